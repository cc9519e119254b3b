/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The Tx ring: what it holds, when its frames are read, and when it gives back. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_eal.h>

#include "tnic_tx_ring.h"

#define N       128
#define N_MBUFS 511

static struct rte_mempool *pool;
static struct tnic_tx_ring ring;

static int
set_up(void **unused)
{
	(void)unused;
	return tnic_init_tx_ring(&ring, N, false, TNIC_TX_KEEP_NO);
}

static int
tear_down(void **unused)
{
	(void)unused;
	tnic_fini_tx_ring(&ring);
	return rte_mempool_full(pool) ? 0 : -1;
}

static struct rte_mbuf *
make_frame(uint8_t first_byte, uint16_t n_segments)
{
	struct rte_mbuf *head = NULL;

	for (uint16_t i = 0; i < n_segments; i++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

		assert_non_null(mbuf);
		*(uint8_t *)rte_pktmbuf_append(mbuf, 60) = first_byte;
		if (head == NULL)
			head = mbuf;
		else
			assert_int_equal(rte_pktmbuf_chain(head, mbuf), 0);
	}
	return head;
}

/** @return frames that found room */
static uint32_t
post(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = make_frame(0, 1);

		if (tnic_post_frames(&ring, &mbuf, 1) == 0) {
			rte_pktmbuf_free(mbuf);
			return i;
		}
	}
	return n;
}

/** @return frames that could be read */
static uint32_t
read_frames(void)
{
	struct tnic_span spans[TNIC_MAX_CHAIN];
	uint32_t n = 0, n_spans;

	for (; (n_spans = tnic_get_posted(&ring, spans)) != 0; n++)
		tnic_finish_posted(&ring, n_spans);
	return n;
}

static void
frames_are_read_late_and_as_they_are_then(void **unused)
{
	struct tnic_span spans[TNIC_MAX_CHAIN];
	struct rte_mbuf *mbuf = make_frame(1, 1);

	(void)unused;
	assert_int_equal(tnic_post_frames(&ring, &mbuf, 1), 1);
	assert_int_equal(tnic_get_posted(&ring, spans), 0);
	tnic_look_at_tx(&ring);
	*rte_pktmbuf_mtod(mbuf, uint8_t *) = 2;
	assert_int_equal(tnic_get_posted(&ring, spans), 1);
	assert_int_equal(spans[0].size, 60);
	assert_int_equal(spans[0].data[0], 2);
	tnic_finish_posted(&ring, 1);
	assert_int_equal(tnic_get_posted(&ring, spans), 0);
}

static void
what_an_mbuf_says_later_changes_nothing(void **unused)
{
	struct tnic_span spans[TNIC_MAX_CHAIN];
	struct rte_mbuf *mbuf = make_frame(1, 2);
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);

	(void)unused;
	assert_int_equal(tnic_post_frames(&ring, &mbuf, 1), 1);
	tnic_look_at_tx(&ring);
	mbuf->data_off += 7;
	mbuf->data_len = 9;
	assert_int_equal(tnic_get_posted(&ring, spans), 2);
	assert_ptr_equal(spans[0].data, data);
	assert_int_equal(spans[0].size, 60);
	tnic_finish_posted(&ring, 2);
}

static void
an_idle_queue_holds_nearly_all(void **unused)
{
	(void)unused;
	assert_int_equal(post(N), N);
	tnic_look_at_tx(&ring);
	assert_int_equal(read_frames(), N);
	assert_int_equal(rte_mempool_in_use_count(pool), N);
	/* One burst brings back a few. */
	assert_int_equal(post(1), 1);
	assert_int_equal(rte_mempool_in_use_count(pool), N + 1 - TNIC_TX_FREE);
	assert_int_equal(post(1), 1);
	assert_int_equal(rte_mempool_in_use_count(pool), N + 2 - 2 * TNIC_TX_FREE);
	/* Enough are free. */
	assert_int_equal(post(1), 1);
	assert_int_equal(rte_mempool_in_use_count(pool), N + 3 - 2 * TNIC_TX_FREE);
}

static void
what_is_asked_for_comes_back_if_it_is_read(void **unused)
{
	(void)unused;
	assert_int_equal(post(3), 3);
	assert_int_equal(tnic_clean_tx_ring(&ring), -ENOTSUP);
	ring.keep = TNIC_TX_KEEP_UNTIL_ASKED;
	assert_int_equal(tnic_clean_tx_ring(&ring), 0);
	tnic_look_at_tx(&ring);
	assert_int_equal(read_frames(), 3);
	assert_int_equal(post(1), 1);
	assert_int_equal(tnic_clean_tx_ring(&ring), 3);
	assert_int_equal(rte_mempool_in_use_count(pool), 1);
}

static void
a_full_ring_refuses_what_is_not_read(void **unused)
{
	(void)unused;
	assert_int_equal(post(N + 1), N);
	assert_int_equal(rte_mempool_in_use_count(pool), N);
	tnic_look_at_tx(&ring);
	assert_int_equal(read_frames(), N);
	assert_int_equal(post(1), 1);
}

static void
kept_mbufs_come_back_when_it_is_said(void **unused)
{
	(void)unused;
	ring.keep = TNIC_TX_KEEP_UNTIL_STOP;
	assert_int_equal(post(N), N);
	tnic_look_at_tx(&ring);
	assert_int_equal(read_frames(), N);
	assert_int_equal(post(1), 0);
	tnic_stop_tx_ring(&ring);
	assert_true(rte_mempool_full(pool));
	ring.keep = TNIC_TX_KEEP_UNTIL_CLOSE;
	assert_int_equal(post(N), N);
	tnic_look_at_tx(&ring);
	assert_int_equal(read_frames(), N);
	tnic_stop_tx_ring(&ring);
	assert_int_equal(rte_mempool_in_use_count(pool), N);
	assert_int_equal(post(1), 0);
}

/** Each mbuf has a number; a reference of ours keeps it from being used again. */
static void
shuffled_mbufs_come_back_once_each_and_out_of_order(void **unused)
{
	struct rte_mbuf *mbufs[N];
	uint32_t n_back = 0, n_early = 0;

	(void)unused;
	ring.shuffled = true;
	for (uint32_t i = 0; i < N; i++) {
		mbufs[i] = make_frame(0, 1);
		rte_mbuf_refcnt_update(mbufs[i], 1);
	}
	assert_int_equal(tnic_post_frames(&ring, mbufs, N), N);
	tnic_look_at_tx(&ring);
	assert_int_equal(read_frames(), N);
	assert_int_equal(post(1), 1);
	for (uint32_t i = 0; i < N; i++) {
		n_back += rte_mbuf_refcnt_read(mbufs[i]) == 1;
		n_early += rte_mbuf_refcnt_read(mbufs[i]) == 1 && i >= TNIC_TX_FREE;
	}
	assert_int_equal(n_back, TNIC_TX_FREE);
	assert_true(n_early > 0);
	tnic_stop_tx_ring(&ring);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(rte_mbuf_refcnt_read(mbufs[i]), 1);
	rte_pktmbuf_free_bulk(mbufs, N);
}

static void
malformed_and_endless_chains_take_one_slot(void **unused)
{
	struct tnic_span spans[TNIC_MAX_CHAIN];
	struct rte_mbuf *mbufs[2] = { make_frame(0, 1), make_frame(0, N + 1) };

	(void)unused;
	mbufs[0]->data_off = UINT16_MAX;
	assert_int_equal(tnic_post_frames(&ring, mbufs, 2), 2);
	tnic_look_at_tx(&ring);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tnic_get_posted(&ring, spans), 1);
		assert_null(spans[0].data);
		assert_int_equal(spans[0].size, i == 0 ? 60 : 60 * (N + 1));
		tnic_finish_posted(&ring, 1);
	}
}

/** Frames of all lengths, round and round: nothing is lost, doubled or mixed up. */
static void
chains_wrap_around(void **unused)
{
	struct tnic_span spans[TNIC_MAX_CHAIN];
	uint8_t next = 0, expected = 0;

	(void)unused;
	for (uint32_t i = 0; i < 1000; i++) {
		struct rte_mbuf *mbuf = make_frame(next, 1 + i % 7);
		uint32_t n;

		assert_int_equal(tnic_post_frames(&ring, &mbuf, 1), 1);
		next++;
		while ((n = tnic_get_posted(&ring, spans)) != 0) {
			for (uint32_t j = 0; j < n; j++)
				assert_int_equal(spans[j].data[0], expected);
			expected++;
			tnic_finish_posted(&ring, n);
		}
		tnic_look_at_tx(&ring);
	}
	assert_int_equal((uint8_t)(next - expected), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	static char *eal[] = { (char *)"tnic_tx_ring_test", (char *)"--no-huge",
		(char *)"--no-shconf", (char *)"--no-pci", (char *)"--no-telemetry",
		(char *)"--lcores=0@0", (char *)"-m", (char *)"64", (char *)"--log-level=error",
		NULL };
	const struct CMUnitTest tests[] = {
		TEST(frames_are_read_late_and_as_they_are_then),
		TEST(what_an_mbuf_says_later_changes_nothing),
		TEST(an_idle_queue_holds_nearly_all),
		TEST(what_is_asked_for_comes_back_if_it_is_read),
		TEST(a_full_ring_refuses_what_is_not_read),
		TEST(kept_mbufs_come_back_when_it_is_said),
		TEST(shuffled_mbufs_come_back_once_each_and_out_of_order),
		TEST(malformed_and_endless_chains_take_one_slot),
		TEST(chains_wrap_around),
	};

	if (rte_eal_init((int)RTE_DIM(eal) - 1, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("pool", N_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	return pool != NULL ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
