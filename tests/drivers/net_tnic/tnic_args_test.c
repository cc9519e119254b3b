/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Device arguments: what is taken, and that what is refused gets a sentence. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tnic_args.h"

static void
defaults_need_a_file_only(void **unused)
{
	struct tnic_reason reason = { "" };
	struct tnic_config config;

	(void)unused;
	assert_int_equal(tnic_parse_args("file=/run/x", &config, &reason), 0);
	assert_string_equal(config.file, "/run/x");
	assert_true(config.sends && config.audits);
	assert_true(config.frames == 0);
	assert_int_equal(config.sizes.low, 60);
	assert_int_equal(config.sizes.high, 1514);
	assert_int_equal(config.segments.high, 1);
	assert_int_equal(config.window, 0);
	assert_true(config.rate == 0);
	assert_true(config.spoils);
	assert_int_equal(config.first_queue, 0);
	assert_true(config.ring == 0 && config.alloc_fail == 0 && !config.rx_shuffled);
	assert_true(config.tx_ring == 0 && !config.tx_shuffled && config.flap_ms == 0);
	assert_int_equal(config.tx_keep, TNIC_TX_KEEP_NO);
	assert_int_equal(config.macs.dst[0], 2);
	assert_int_equal(config.macs.src[0], 2);
}

static void
every_argument_is_taken(void **unused)
{
	struct tnic_reason reason = { "" };
	struct tnic_config config;
	struct tnic_macs expected;

	(void)unused;
	assert_int_equal(
		tnic_parse_args(
			"frames=18446744073709551615,sizes=61-9728,segments=2-64,"
			"flows=4096,window=4096,rate=1000000000,dst=02:00:00:00:00:0a,"
			"src=02:00:00:00:00:0B,macs=swapped,seed=7,role=both,file=f,spoil=0,"
			"first=15",
			&config, &reason),
		0);
	assert_true(config.frames == UINT64_MAX);
	assert_int_equal(config.sizes.low, 61);
	assert_int_equal(config.sizes.high, 9728);
	assert_int_equal(config.segments.low, 2);
	assert_int_equal(config.segments.high, 64);
	assert_int_equal(config.n_flows, 4096);
	assert_int_equal(config.window, 4096);
	assert_true(config.rate == 1000000000);
	assert_true(config.seed == 7);
	assert_true(!config.spoils);
	assert_int_equal(config.first_queue, 15);
	expected = tnic_get_expected_macs(&config);
	assert_int_equal(config.macs.dst[5], 0x0a);
	assert_int_equal(expected.dst[5], 0x0b);
	assert_int_equal(expected.src[5], 0x0a);
	assert_int_equal(tnic_parse_args("file=f,role=audit,macs=same,sizes=100", &config, &reason),
		-EINVAL);
	assert_int_equal(tnic_parse_args("file=f,role=send,sizes=100", &config, &reason), 0);
	assert_int_equal(config.sizes.low, 100);
	assert_int_equal(config.sizes.high, 100);
	assert_true(config.sends && !config.audits);
	assert_int_equal(tnic_parse_args("file=f,role=audit,macs=swapped", &config, &reason), 0);
	assert_true(!config.sends && config.audits);
}

static void
faults_are_taken(void **unused)
{
	struct tnic_reason reason = { "" };
	struct tnic_config config;

	(void)unused;
	assert_int_equal(
		tnic_parse_args("file=f,ring=256,rx_order=shuffled,alloc_fail=2", &config, &reason),
		0);
	assert_true(config.rx_shuffled);
	assert_int_equal(config.alloc_fail, 2);
	assert_int_equal(
		tnic_parse_args("file=f,ring=256,rx_order=posted,alloc_fail=0", &config, &reason),
		0);
	assert_false(config.rx_shuffled);
	assert_int_equal(config.alloc_fail, 0);
	assert_int_equal(tnic_parse_args("file=f,tx_ring=4096,tx_order=shuffled,tx_keep=until-stop,"
					 "flap_ms=60000",
				 &config, &reason),
		0);
	assert_int_equal(config.tx_ring, 4096);
	assert_true(config.tx_shuffled);
	assert_int_equal(config.tx_keep, TNIC_TX_KEEP_UNTIL_STOP);
	assert_int_equal(config.flap_ms, 60000);
	assert_int_equal(tnic_parse_args("file=f,role=audit,tx_ring=64,tx_order=sent,"
					 "tx_keep=until-close",
				 &config, &reason),
		0);
	assert_int_equal(config.tx_ring, 64);
	assert_false(config.tx_shuffled);
	assert_int_equal(config.tx_keep, TNIC_TX_KEEP_UNTIL_CLOSE);
	assert_int_equal(
		tnic_parse_args("file=f,tx_ring=64,tx_keep=until-asked", &config, &reason), 0);
	assert_int_equal(config.tx_keep, TNIC_TX_KEEP_UNTIL_ASKED);
}

static void
a_lower_port_needs_nothing_else(void **unused)
{
	struct tnic_reason reason = { "" };
	struct tnic_config config;

	(void)unused;
	assert_int_equal(tnic_parse_args("lower=net_null0", &config, &reason), 0);
	assert_string_equal(config.lower, "net_null0");
	assert_string_equal(config.file, "");
	assert_int_equal(tnic_parse_args("lower=[net_tap0,iface=x],ring=64,round=128up,stop=lies,"
					 "dma=3,spoil=0,rx_order=shuffled,alloc_fail=2,places=p,"
					 "seed=3,tx_ring=64,tx_order=shuffled,tx_keep=until-stop,"
					 "flap_ms=9",
				 &config, &reason),
		0);
	assert_string_equal(config.lower, "[net_tap0,iface=x]");
	assert_true(config.rx_shuffled && config.tx_shuffled);
	assert_int_equal(config.stop, TNIC_STOP_LIES);
}

static void
what_makes_or_judges_frames_is_refused_with_a_lower_port(void **unused)
{
	static const char *const pairs[] = { "file=f", "role=both", "frames=1", "sizes=60",
		"segments=1", "flows=1", "window=1", "rate=1", "dst=02:00:00:00:00:01",
		"src=02:00:00:00:00:01", "macs=same", "first=1" };

	(void)unused;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct tnic_reason reason = { "" };
		struct tnic_config config;
		char text[64];

		snprintf(text, sizeof(text), "%s,lower=net_null0", pairs[i]);
		assert_int_equal(tnic_parse_args(text, &config, &reason), -EINVAL);
		assert_non_null(strstr(reason.text, "=: means nothing with lower="));
		assert_memory_equal(reason.text, pairs[i], strcspn(pairs[i], "="));
	}
}

static void
bad_arguments_get_a_sentence_and_change_nothing(void **unused)
{
	static const struct {
		const char *text;
		const char *says;
	} cases[] = {
		{ "", "file=: missing" },
		{ "file=", "file=: bad value" },
		{ "lower=", "a port's name, or [devargs]" },
		{ "lower=[]", "a port's name, or [devargs]" },
		{ "lower=[net_null0", "a port's name, or [devargs]" },
		{ "lower=[net_null0,size=64],lower=b", "lower=: given 2 times" },
		{ "lower=[net_null0,size=64]x", "lower=[]x: bad value" },
		{ "lower=a,lower=b", "lower=: given 2 times" },
		{ "lower=a,rx_order=posted", "rx_order=: means nothing without ring=" },
		{ "lower=a,tx_keep=no", "tx_keep=: means nothing without tx_ring=" },
		{ "file", "file=: bad value" },
		{ "fill=x", "fill: no such argument" },
		{ "file=f,role=none", "role=none: bad value; it must be both, send or audit" },
		{ "file=f,frames=-1", "frames=-1" },
		{ "file=f,frames=", "frames=" },
		{ "file=f,frames=1k", "frames=1k" },
		{ "file=f,frames=18446744073709551616", "frames=18446744073709551616" },
		{ "file=f,sizes=59-100", "60 <= LO <= HI <= 9728" },
		{ "file=f,sizes=100-60", "sizes=100-60" },
		{ "file=f,sizes=60-9729", "sizes=60-9729" },
		{ "file=f,sizes=-70", "sizes=-70" },
		{ "file=f,sizes=60-", "sizes=60-" },
		{ "file=f,sizes=60-70-80", "sizes=60-70-80" },
		{ "file=f,segments=0-1", "segments=0-1" },
		{ "file=f,segments=1-65", "segments=1-65" },
		{ "file=f,flows=0", "flows=0" },
		{ "file=f,flows=4097", "flows=4097" },
		{ "file=f,window=4097", "window=4097" },
		{ "file=f,rate=1000000001", "frames a second" },
		{ "file=f,role=audit,rate=5", "rate=: means nothing to a port that only audits" },
		{ "file=f,dst=2:3", "dst=2:3" },
		{ "file=f,src=03:00:00:00:00:01", "MAC address of one station" },
		{ "file=f,macs=odd", "same or swapped" },
		{ "file=f,seed=0x1", "seed=0x1" },
		{ "file=f,spoil=2", "0 or 1" },
		{ "file=f,first=16", "from 0 to 15" },
		{ "file=f,file=g", "file=: given 2 times" },
		{ "file=f,role=audit,frames=5",
			"frames=: means nothing to a port that only audits" },
		{ "file=f,ring=32,alloc_fail=1", "a number from 2 to 1000000" },
		{ "file=f,alloc_fail=5", "alloc_fail=: means nothing without ring=" },
		{ "file=f,ring=32,rx_order=odd", "posted or shuffled" },
		{ "file=f,rx_order=shuffled", "rx_order=: means nothing without ring=" },
		{ "file=f,role=audit,rx_order=posted", "a port that only audits" },
		{ "file=f,tx_ring=32", "a power of 2 from 64 to 4096" },
		{ "file=f,tx_ring=96", "a power of 2" },
		{ "file=f,tx_ring=8192", "a power of 2" },
		{ "file=f,tx_order=sent", "tx_order=: means nothing without tx_ring=" },
		{ "file=f,tx_ring=64,tx_order=posted", "sent or shuffled" },
		{ "file=f,tx_ring=64,tx_keep=1", "no, until-asked, until-stop or until-close" },
		{ "file=f,tx_keep=no", "tx_keep=: means nothing without tx_ring=" },
		{ "file=f,role=send,tx_ring=64", "a port that only sends" },
		{ "file=f,flap_ms=60001", "milliseconds" },
		{ "file=f,role=send,macs=same", "macs=: means nothing to a port that only sends" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tnic_reason reason = { "" };
		struct tnic_config config;

		memset(&config, 0x55, sizeof(config));
		assert_int_equal(tnic_parse_args(cases[i].text, &config, &reason), -EINVAL);
		if (strstr(reason.text, cases[i].says) == NULL)
			fail_msg("%s: \"%s\" doesn't say \"%s\"", cases[i].text, reason.text,
				cases[i].says);
		assert_int_equal(config.n_flows, 0x55555555);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_need_a_file_only),
		cmocka_unit_test(every_argument_is_taken),
		cmocka_unit_test(faults_are_taken),
		cmocka_unit_test(a_lower_port_needs_nothing_else),
		cmocka_unit_test(what_makes_or_judges_frames_is_refused_with_a_lower_port),
		cmocka_unit_test(bad_arguments_get_a_sentence_and_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
