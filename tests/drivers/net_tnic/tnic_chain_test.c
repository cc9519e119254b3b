/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Chains that lie: nothing outside an mbuf's room is ever taken for a frame. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tnic_chain.h"

#define ROOM 128

struct chain {
	struct rte_mbuf mbufs[TNIC_MAX_CHAIN + 1];
	uint8_t room[ROOM];
	struct tnic_span spans[TNIC_MAX_CHAIN];
};

static struct chain chain;

/** n segments of 10 bytes each, all in the same room. */
static void
make_chain(uint16_t n)
{
	memset(chain.mbufs, 0, sizeof(chain.mbufs));
	for (uint16_t i = 0; i < n; i++) {
		chain.mbufs[i].buf_addr = chain.room;
		chain.mbufs[i].buf_len = ROOM;
		chain.mbufs[i].data_off = 20;
		chain.mbufs[i].data_len = 10;
		chain.mbufs[i].next = i + 1 < n ? &chain.mbufs[i + 1] : NULL;
	}
	chain.mbufs[0].nb_segs = n;
	chain.mbufs[0].pkt_len = 10u * n;
}

static uint32_t
collect(void)
{
	return tnic_collect_spans(&chain.mbufs[0], chain.spans);
}

static void
true_chains_are_taken(void **unused)
{
	static const uint16_t lengths[] = { 1, 2, 5, TNIC_MAX_CHAIN };

	(void)unused;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		make_chain(lengths[i]);
		assert_int_equal(collect(), lengths[i]);
		for (uint16_t j = 0; j < lengths[i]; j++) {
			assert_ptr_equal(chain.spans[j].data, chain.room + 20);
			assert_int_equal(chain.spans[j].size, 10);
		}
	}
	make_chain(1);
	chain.mbufs[0].data_len = ROOM - 20;
	chain.mbufs[0].pkt_len = ROOM - 20;
	assert_int_equal(collect(), 1);
}

static void
lies_are_malformed(void **unused)
{
	(void)unused;
	make_chain(3);
	chain.mbufs[0].nb_segs = 2;
	assert_int_equal(collect(), 0);
	chain.mbufs[0].nb_segs = 4;
	assert_int_equal(collect(), 0);
	make_chain(3);
	chain.mbufs[0].pkt_len = 29;
	assert_int_equal(collect(), 0);
	chain.mbufs[0].pkt_len = 31;
	assert_int_equal(collect(), 0);
	make_chain(3);
	chain.mbufs[1].data_len = 0;
	chain.mbufs[0].pkt_len = 20;
	assert_int_equal(collect(), 0);
	make_chain(1);
	chain.mbufs[0].data_len = ROOM - 19; /* a byte beyond the room */
	chain.mbufs[0].pkt_len = ROOM - 19;
	assert_int_equal(collect(), 0);
	make_chain(1);
	chain.mbufs[0].data_off = UINT16_MAX;
	assert_int_equal(collect(), 0);
	make_chain(TNIC_MAX_CHAIN + 1);
	assert_int_equal(collect(), 0);
	make_chain(2);
	chain.mbufs[1].next = &chain.mbufs[0]; /* a ring of mbufs */
	assert_int_equal(collect(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(true_chains_are_taken),
		cmocka_unit_test(lies_are_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
