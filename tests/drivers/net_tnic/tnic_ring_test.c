/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The Rx ring's faults: refills that fail, and buffers that are filled before their turn. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_eal.h>

#include "tnic_ring.h"

#define N       64
#define N_MBUFS 511

static struct rte_mempool *pool;
static struct tnic_ring ring;

static int
set_up(void **unused)
{
	(void)unused;
	return tnic_init_ring(&ring, pool, N, 1, false);
}

static int
tear_down(void **unused)
{
	(void)unused;
	tnic_empty_ring(&ring);
	tnic_fini_ring(&ring);
	return rte_mempool_full(pool) ? 0 : -1;
}

/** Take one frame's buffer. */
static bool
take(struct tnic_slot *ret_slot)
{
	return tnic_take_slots(&ring, ret_slot, 1);
}

static void
a_refill_that_fails_is_counted_and_tried_again(void **unused)
{
	struct tnic_slot slot;
	uint32_t n = 0;

	(void)unused;
	assert_int_equal(tnic_fill_ring(&ring), 0);
	ring.faults.alloc_fail = 2;
	for (; n < 10 * N; n++) {
		if (!take(&slot))
			fail_msg("no buffer for frame %u", n);
		rte_pktmbuf_free_seg(slot.mbuf);
	}
	assert_in_range(ring.failures, 10 * N / TNIC_RING_REFILL - 4, 10 * N / TNIC_RING_REFILL);
	/* The queue that finds its slots empty has nothing to give for one burst. */
	ring.faults.alloc_fail = 1;
	for (n = 0; take(&slot); n++)
		rte_pktmbuf_free_seg(slot.mbuf);
	assert_in_range(n, 1, N);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	ring.faults.alloc_fail = 2;
	assert_true(take(&slot) || take(&slot));
	rte_pktmbuf_free_seg(slot.mbuf);
}

static void
a_start_is_spared(void **unused)
{
	(void)unused;
	ring.faults.alloc_fail = 1;
	assert_int_equal(tnic_fill_ring(&ring), 0);
	assert_int_equal(ring.count, N);
	assert_true(ring.failures == 0);
}

/** Where in the order of posting a buffer stood, by the slots' addresses at the start. */
static uint32_t
find_turn(const struct rte_mbuf *const *posted, const struct rte_mbuf *mbuf)
{
	for (uint32_t i = 0; i < N; i++)
		if (posted[i] == mbuf)
			return i;
	fail();
	return N;
}

static void
shuffled_buffers_come_once_each_and_near_their_turn(void **unused)
{
	const struct rte_mbuf *posted[N];
	bool taken[N] = { false };
	uint32_t n_early = 0;

	(void)unused;
	assert_int_equal(tnic_fill_ring(&ring), 0);
	ring.faults.shuffled = true;
	ring.faults.alloc_fail = 1; /* what was posted first is all that comes */
	for (uint32_t i = 0; i < N; i++)
		posted[i] = ring.slots[(ring.oldest + i) % N].mbuf;
	for (uint32_t i = 0; i < N; i++) {
		struct tnic_slot slot;
		uint32_t turn;

		assert_true(take(&slot));
		turn = find_turn(posted, slot.mbuf);
		assert_false(taken[turn]);
		taken[turn] = true;
		assert_true(turn < i + TNIC_RX_WINDOW);
		n_early += turn > i;
		assert_ptr_equal(
			slot.address, (uint8_t *)slot.mbuf->buf_addr + RTE_PKTMBUF_HEADROOM);
		rte_pktmbuf_free_seg(slot.mbuf);
	}
	assert_true(n_early > N / 8);
}

static void
without_faults_buffers_come_in_their_order(void **unused)
{
	const struct rte_mbuf *next;
	struct tnic_slot slot;

	(void)unused;
	assert_int_equal(tnic_fill_ring(&ring), 0);
	for (uint32_t i = 0; i < 4 * N; i++) {
		next = ring.slots[ring.oldest].mbuf;
		assert_true(take(&slot));
		assert_ptr_equal(slot.mbuf, next);
		rte_pktmbuf_free_seg(slot.mbuf);
	}
	assert_true(ring.failures == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	static char *eal[] = { (char *)"tnic_ring_test", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"--no-telemetry", (char *)"--lcores=0@0", (char *)"-m",
		(char *)"64", (char *)"--log-level=error", NULL };
	const struct CMUnitTest tests[] = {
		TEST(a_refill_that_fails_is_counted_and_tried_again),
		TEST(a_start_is_spared),
		TEST(shuffled_buffers_come_once_each_and_near_their_turn),
		TEST(without_faults_buffers_come_in_their_order),
	};

	if (rte_eal_init((int)RTE_DIM(eal) - 1, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("pool", N_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	return pool != NULL ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
