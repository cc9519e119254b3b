/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The map against a lender of numbered buffers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rte_eal.h>

#include "loans.h"

#define ROOM     256
#define N_SHELLS 64
#define N        16
#define BYTES    (RTE_PKTMBUF_HEADROOM + ROOM)

/** A lender with N buffers, a stack as the ring's front is. */
static struct lender {
	uint8_t memory[N][BYTES];
	struct nmx_ring_slot slots[N];
	uint32_t n; /* ready; the last one is lent first */
} bank;

static struct nmx_rxmap *map;
static struct nmx_rxmap_recaller *recaller;
static struct rte_mbuf *mbufs[N_SHELLS];

static uint32_t
lend(void *context, uint32_t room, uint8_t **starts, struct nmx_rxmap_loan *loans, uint32_t n,
	enum nmx_rxmap_reason *why)
{
	struct lender *l = context;

	assert_int_equal(room, ROOM);
	*why = NMX_RXMAP_NOT_POSTED;
	n = RTE_MIN(n, l->n);
	for (uint32_t i = 0; i < n; i++) {
		loans[i].slot = l->slots[--l->n];
		starts[i] = l->memory[loans[i].slot.id] + RTE_PKTMBUF_HEADROOM;
	}
	return n;
}

static void
take_back(void *context, const struct nmx_ring_slot *slot)
{
	struct lender *l = context;

	l->slots[l->n++] = *slot;
}

static const struct nmx_rxmap_lender lender = { .lend = lend, .take_back = take_back };

/** A map whose lender has `n` buffers, ids from 0 on; none: it has no lender. */
static void
set_up(uint32_t n, bool shown)
{
	static unsigned int serial;
	char name[32];
	const struct nmx_rxmap_config config = {
		.name = name,
		.n_shells = N_SHELLS,
		.room = ROOM,
		.socket = -1,
		.shown = shown,
		.recaller = recaller,
	};
	const char *reason;

	snprintf(name, sizeof(name), "test%u", serial++);
	assert_int_equal(nmx_rxmap_create(&config, &map, &reason), 0);
	memset(&bank, 0, sizeof(bank));
	for (; bank.n < n; bank.n++)
		bank.slots[bank.n].id = (uint16_t)(n - 1 - bank.n);
	map->verdict = NMX_RXMAP_GIVES_BACK;
	if (n > 0) {
		map->lender = &lender;
		map->lender_context = &bank;
	}
}

static void
tear_down(void)
{
	assert_true(rte_mempool_full(nmx_rxmap_get_pool(map)));
	assert_int_equal(nmx_rxmap_count_loans(map), 0);
	nmx_rxmap_destroy(map);
}

static struct rte_mempool *
get_pool(void)
{
	return nmx_rxmap_get_pool(map);
}

static void
take(uint32_t n)
{
	assert_int_equal(rte_pktmbuf_alloc_bulk(get_pool(), mbufs, n), 0);
}

static void
expect_lent(const struct rte_mbuf *mbuf, uint16_t id)
{
	assert_ptr_equal(mbuf->buf_addr, bank.memory[id]);
	assert_int_equal(mbuf->buf_iova, (uintptr_t)bank.memory[id]);
	assert_int_equal(mbuf->buf_len, BYTES);
	assert_int_equal(mbuf->ol_flags, 0);
}

static void
expect_own(struct rte_mbuf *mbuf)
{
	uint8_t *home = (uint8_t *)(mbuf + 1) + mbuf->priv_size;

	assert_ptr_equal(mbuf->buf_addr, home);
	assert_int_equal(mbuf->buf_len, BYTES);
	assert_int_equal(mbuf->buf_iova, rte_mempool_virt2iova(mbuf) + RTE_PTR_DIFF(home, mbuf));
	assert_int_equal(mbuf->ol_flags, 0);
}

/** Answer a frame out of turn. @return its id; -1: it has to be copied */
static int
answer(struct rte_mbuf *mbuf)
{
	uint32_t word;
	int id = -1;

	nmx_rxmap_lock(map);
	if (nmx_rxmap_is_in_place(map, mbuf, 0, ROOM, &word)) {
		id = word >> 16;
		nmx_rxmap_finish_loans(map, &mbuf, 1);
	}
	nmx_rxmap_unlock(map);
	return id;
}

static void
without_a_lender_it_is_a_pool(void **unused)
{
	(void)unused;
	set_up(0, false);
	take(N_SHELLS);
	for (uint32_t i = 0; i < N_SHELLS; i++) {
		expect_own(mbufs[i]);
		assert_int_equal(answer(mbufs[i]), -1);
	}
	assert_null(rte_pktmbuf_alloc(get_pool()));
	rte_pktmbuf_free_bulk(mbufs, N_SHELLS);
	tear_down();
}

static void
what_the_lender_has_not_is_the_shells_own(void **unused)
{
	(void)unused;
	set_up(4, false);
	take(8);
	for (uint16_t i = 0; i < 4; i++)
		expect_lent(mbufs[i], i);
	for (uint32_t i = 4; i < 8; i++)
		expect_own(mbufs[i]);
	for (int i = 0; i < 4; i++)
		assert_int_equal(answer(mbufs[i]), i);
	for (uint32_t i = 4; i < 8; i++) {
		assert_int_equal(answer(mbufs[i]), -1);
		rte_pktmbuf_free(mbufs[i]);
	}
	/* All buffers are the guest's now: the same shells have their own room again. */
	take(N_SHELLS);
	for (uint32_t i = 0; i < N_SHELLS; i++)
		expect_own(mbufs[i]);
	rte_pktmbuf_free_bulk(mbufs, N_SHELLS);
	tear_down();
}

static void
frames_out_of_order_find_their_buffers(void **unused)
{
	static const int order[] = { 3, 0, 7, 1, 2, 6, 5, 4 };

	(void)unused;
	set_up(8, false);
	take(8);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(answer(mbufs[order[i]]), order[i]);
	tear_down();
}

static void
freed_buffers_go_back_wherever_they_stand(void **unused)
{
	static const uint16_t freed[] = { 0, 7, 3, 6, 1 }, kept[] = { 2, 4, 5 };

	(void)unused;
	set_up(8, false);
	take(8);
	for (uint32_t i = 0; i < RTE_DIM(freed); i++) {
		rte_pktmbuf_free(mbufs[freed[i]]);
		assert_int_equal(bank.n, i + 1);
		assert_int_equal(bank.slots[i].id, freed[i]);
	}
	for (uint32_t i = 0; i < RTE_DIM(kept); i++)
		assert_int_equal(answer(mbufs[kept[i]]), kept[i]);
	tear_down();
}

static void
what_idle_drivers_take_and_free_stays_in_order(void **unused)
{
	struct rte_mbuf *idle;

	(void)unused;
	set_up(8, false);
	take(4);
	for (int i = 0; i < 100; i++) {
		idle = rte_pktmbuf_alloc(get_pool());
		expect_lent(idle, 4);
		rte_pktmbuf_free(idle);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(answer(mbufs[i]), i);
	take(4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(answer(mbufs[i]), 4 + i);
	tear_down();
}

static void
a_frame_that_was_changed_is_not_answered(void **unused)
{
	(void)unused;
	set_up(3, false);
	take(3);
	mbufs[0]->data_off += 4;
	rte_mbuf_refcnt_set(mbufs[1], 2);
	mbufs[2]->nb_segs = 2;
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(answer(mbufs[i]), -1);
	mbufs[0]->data_off -= 4;
	rte_mbuf_refcnt_set(mbufs[1], 1);
	mbufs[2]->nb_segs = 1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(answer(mbufs[i]), i);
	tear_down();
}

/** Frames in front that are in place, of 60 bytes if nothing else was done to them. */
static uint32_t
count_in_place(uint32_t n, uint32_t *answers)
{
	uint32_t found;

	nmx_rxmap_lock(map);
	found = nmx_rxmap_count_in_place(map, mbufs, n, 0, 14, 9000, answers);
	nmx_rxmap_unlock(map);
	return found;
}

static void
a_run_in_place_ends_at_the_first_other_frame(void **unused)
{
	uint32_t answers[8];

	(void)unused;
	for (int shown = 0; shown <= 1; shown++) {
		set_up(8, shown != 0);
		take(8);
		for (uint32_t i = 0; i < 8; i++)
			rte_pktmbuf_append(mbufs[i], 60);
		if (shown)
			nmx_rxmap_show(map, mbufs, 8);
		assert_int_equal(count_in_place(8, answers), 8);
		for (uint32_t i = 0; i < 8; i++)
			assert_int_equal(answers[i], 60 | i << 16);
		/* Too long, too short, of two minds, of several segments, not alone; another one.
		 */
		mbufs[7]->data_len = ROOM + 1;
		mbufs[7]->pkt_len = ROOM + 1;
		assert_int_equal(count_in_place(8, answers), 7);
		rte_pktmbuf_trim(mbufs[6], 47);
		assert_int_equal(count_in_place(8, answers), 6);
		mbufs[5]->pkt_len = 61;
		assert_int_equal(count_in_place(8, answers), 5);
		mbufs[4]->nb_segs = 2;
		assert_int_equal(count_in_place(8, answers), 4);
		mbufs[4]->nb_segs = 1;
		rte_mbuf_refcnt_set(mbufs[3], 2);
		assert_int_equal(count_in_place(8, answers), 3);
		rte_mbuf_refcnt_set(mbufs[3], 1);
		RTE_SWAP(mbufs[2], mbufs[1]);
		assert_int_equal(count_in_place(8, answers), 1);
		nmx_rxmap_lock(map);
		nmx_rxmap_finish_loans(map, mbufs, 1);
		nmx_rxmap_unlock(map);
		rte_pktmbuf_free_bulk(mbufs + 1, 7);
		assert_int_equal(bank.n, 7);
		tear_down();
	}
}

/* --- Frames that any program may have --- */

static void
expect_shown(struct rte_mbuf *mbuf, uint16_t id)
{
	assert_true(RTE_MBUF_HAS_EXTBUF(mbuf));
	assert_ptr_equal(rte_pktmbuf_mtod(mbuf, uint8_t *), bank.memory[id] + RTE_PKTMBUF_HEADROOM);
	assert_int_equal(rte_pktmbuf_headroom(mbuf), 0);
	assert_int_equal(mbuf->buf_len, ROOM);
}

static void
a_shown_frame_is_external_and_answered(void **unused)
{
	(void)unused;
	set_up(2, true);
	take(3);
	nmx_rxmap_show(map, mbufs, 3);
	expect_shown(mbufs[0], 0);
	expect_shown(mbufs[1], 1);
	expect_own(mbufs[2]);
	assert_null(rte_pktmbuf_prepend(mbufs[0], 1));
	assert_int_equal(answer(mbufs[0]), 0);
	rte_pktmbuf_free(mbufs[1]);
	rte_pktmbuf_free(mbufs[2]);
	assert_int_equal(bank.n, 1);
	/* Nothing of that sticks to the shells. */
	take(3);
	expect_lent(mbufs[0], 1);
	expect_own(mbufs[1]);
	expect_own(mbufs[2]);
	rte_pktmbuf_free_bulk(mbufs, 3);
	tear_down();
}

/** @param clone_first  the order in which the two are freed */
static void
check_clone(bool clone_first)
{
	struct rte_mempool *others = rte_pktmbuf_pool_create("others", 1, 0, 0, 0, -1);
	struct rte_mbuf *clone;

	assert_non_null(others);
	set_up(1, true);
	take(1);
	nmx_rxmap_show(map, mbufs, 1);
	clone = rte_pktmbuf_clone(mbufs[0], others);
	assert_non_null(clone);
	assert_int_equal(answer(mbufs[0]), -1);
	rte_pktmbuf_free(clone_first ? clone : mbufs[0]);
	assert_int_equal(bank.n, 0);
	assert_int_equal(nmx_rxmap_count_loans(map), 1);
	rte_pktmbuf_free(clone_first ? mbufs[0] : clone);
	assert_int_equal(bank.n, 1);
	take(1);
	expect_lent(mbufs[0], 0);
	rte_pktmbuf_free(mbufs[0]);
	tear_down();
	rte_mempool_free(others);
}

static void
a_clone_keeps_the_buffer(void **unused)
{
	(void)unused;
	check_clone(true);
	check_clone(false);
}

static void
what_is_freed_inside_a_burst_is_put_aside(void **unused)
{
	(void)unused;
	for (int shown = 0; shown <= 1; shown++) {
		set_up(4, shown != 0);
		take(6);
		if (shown)
			nmx_rxmap_show(map, mbufs, 6);
		nmx_rxmap_lock(map);
		rte_pktmbuf_free_bulk(mbufs, 6);
		assert_int_equal(bank.n, 0);
		nmx_rxmap_sweep(map);
		nmx_rxmap_unlock(map);
		assert_int_equal(bank.n, 4);
		tear_down();
	}
}

int
main(void)
{
	static char *eal[] = { (char *)"rxmap_test", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"--no-telemetry", (char *)"--lcores=0@0", (char *)"-m",
		(char *)"64", (char *)"--log-level=error", NULL };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_lender_it_is_a_pool),
		cmocka_unit_test(what_the_lender_has_not_is_the_shells_own),
		cmocka_unit_test(frames_out_of_order_find_their_buffers),
		cmocka_unit_test(freed_buffers_go_back_wherever_they_stand),
		cmocka_unit_test(what_idle_drivers_take_and_free_stays_in_order),
		cmocka_unit_test(a_frame_that_was_changed_is_not_answered),
		cmocka_unit_test(a_run_in_place_ends_at_the_first_other_frame),
		cmocka_unit_test(a_shown_frame_is_external_and_answered),
		cmocka_unit_test(a_clone_keeps_the_buffer),
		cmocka_unit_test(what_is_freed_inside_a_burst_is_put_aside),
	};

	if (rte_eal_init((int)RTE_DIM(eal) - 1, eal) < 0 ||
		nmx_rxmap_start_recaller(&recaller) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
