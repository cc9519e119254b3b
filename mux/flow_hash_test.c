/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The examples are those of Microsoft's "Verifying the RSS Hash Calculation". */

#include "flow_hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/** From 66.9.149.187:2794 to 161.142.100.80:1766, TCP. */
static const uint8_t ipv4[] = {
	2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00,                              /* Ethernet */
	0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 66, 9, 149, 187, 161, 142, 100, 80, /* IPv4 */
	0x0a, 0xea, 0x06, 0xe6,                                                      /* TCP */
};

/** From 3ffe:2501:200:1fff::7, port 2794, to 3ffe:2501:200:3::1, port 1766, TCP. */
static const uint8_t ipv6[] = {
	2,
	0,
	0,
	0,
	0,
	1,
	2,
	0,
	0,
	0,
	0,
	2,
	0x86,
	0xdd, /* */
	0x60,
	0,
	0,
	0,
	0,
	20,
	6,
	64, /* */
	0x3f,
	0xfe,
	0x25,
	0x01,
	0x02,
	0x00,
	0x1f,
	0xff,
	0,
	0,
	0,
	0,
	0,
	0,
	0,
	7, /* */
	0x3f,
	0xfe,
	0x25,
	0x01,
	0x02,
	0x00,
	0x00,
	0x03,
	0,
	0,
	0,
	0,
	0,
	0,
	0,
	1, /* */
	0x0a,
	0xea,
	0x06,
	0xe6,
};

#define IPV4_PROTOCOL 23
#define IPV4_FRAGMENT 20

static uint32_t
hash(const uint8_t *frame, size_t bytes)
{
	static uint8_t copy[128];
	struct rte_mbuf mbuf = { .buf_addr = copy, .data_len = (uint16_t)bytes };

	assert_true(bytes <= sizeof(copy));
	memcpy(copy, frame, bytes);
	return nmx_mux_hash_flow(&mbuf);
}

/** The hash of the IPv4 frame with one byte changed. */
static uint32_t
hash_ipv4_with(size_t at, uint8_t value)
{
	uint8_t frame[sizeof(ipv4)];

	memcpy(frame, ipv4, sizeof(frame));
	frame[at] = value;
	return hash(frame, sizeof(frame));
}

static void
examples_of_the_specification_are_met(void **unused)
{
	(void)unused;
	assert_int_equal(hash(ipv4, sizeof(ipv4)), 0x51ccc178);
	assert_int_equal(hash(ipv6, sizeof(ipv6)), 0x40207d3d);
	/* ICMP has no ports. */
	assert_int_equal(hash_ipv4_with(IPV4_PROTOCOL, 1), 0x323e8fc2);
	assert_int_equal(hash(ipv6, sizeof(ipv6) - 4), 0x2cc18cd5);
}

static void
fragments_of_a_datagram_stay_together(void **unused)
{
	(void)unused;
	/* The first: more follow, ports in sight. A later one: no ports, but bytes in their place.
	 */
	assert_int_equal(hash_ipv4_with(IPV4_FRAGMENT, 0x20), 0x323e8fc2);
	assert_int_equal(hash_ipv4_with(IPV4_FRAGMENT, 0x01), 0x323e8fc2);
}

static void
tags_are_passed_over(void **unused)
{
	static const uint8_t tags[] = { 0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6 };
	uint8_t frame[sizeof(ipv4) + sizeof(tags)];

	(void)unused;
	memcpy(frame, ipv4, 12);
	memcpy(frame + 12, tags, sizeof(tags));
	memcpy(frame + 12 + sizeof(tags), ipv4 + 12, sizeof(ipv4) - 12);
	assert_int_equal(hash(frame, sizeof(frame)), 0x51ccc178);
}

/** Every length of every frame: the sanitizer sees what is read behind. */
static void
cut_frames_are_read_no_further(void **unused)
{
	(void)unused;
	for (size_t n = 0; n < sizeof(ipv4); n++)
		if (n < 34)
			assert_int_equal(hash(ipv4, n), 0);
	for (size_t n = 0; n < 54; n++)
		assert_int_equal(hash(ipv6, n), 0);
}

static void
a_hash_of_the_nic_is_taken(void **unused)
{
	struct rte_mbuf mbuf = { .ol_flags = RTE_MBUF_F_RX_RSS_HASH };

	(void)unused;
	mbuf.hash.rss = 4711;
	assert_int_equal(nmx_mux_hash_flow(&mbuf), 4711);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_of_the_specification_are_met),
		cmocka_unit_test(fragments_of_a_datagram_stay_together),
		cmocka_unit_test(tags_are_passed_over),
		cmocka_unit_test(cut_frames_are_read_no_further),
		cmocka_unit_test(a_hash_of_the_nic_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
