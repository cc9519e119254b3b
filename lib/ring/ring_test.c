/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/ring/ring_event.h"
#include "lib/ring/ring_guest.h"
#include "lib/ring/ring_host.h"

#define N 64

/** A ring with both its ends in one process. */
struct pair {
	_Alignas(VDPDK_RING_ALIGN) uint8_t memory[VDPDK_RING_BYTES(N)];
	struct nmx_ring_guest guest;
	struct nmx_ring_host host;
	struct nmx_ring_slot taken[N];
};

static void
init_pair(struct pair *p)
{
	nmx_ring_init_guest(&p->guest, p->memory, N);
	nmx_ring_init_host(&p->host, p->guest.header, p->taken, N);
}

static void
submit(struct pair *p, uint16_t length, uint16_t id, uint16_t flags)
{
	nmx_ring_submit_slot(&p->guest, 0, 0x1000 + id, VDPDK_W1(length, id, flags, 0));
	nmx_ring_advance_sub(&p->guest, 1);
}

static void
words_carry_their_fields(void **unused)
{
	uint64_t w1 = VDPDK_W1(0x1234, 0x5678, 0x9abc, 0xdef0);

	(void)unused;
	assert_int_equal(w1, UINT64_C(0xdef09abc56781234));
	assert_int_equal(VDPDK_W1_LENGTH(w1), 0x1234);
	assert_int_equal(VDPDK_W1_ID(w1), 0x5678);
	assert_int_equal(VDPDK_W1_FLAGS(w1), 0x9abc);
	assert_int_equal(VDPDK_W1_EXTRA(w1), 0xdef0);
	assert_int_equal(VDPDK_W1(0, 0, VDPDK_FLAG_AVAIL, 0), VDPDK_W1_AVAIL);
}

static void
buffers_pass_both_ways_for_many_laps(void **unused)
{
	struct pair p;
	uint64_t w1 = 0;

	(void)unused;
	init_pair(&p);
	for (uint32_t i = 0; i < 10 * N; i++) {
		submit(&p, 100, (uint16_t)(i % N), VDPDK_FLAG_AVAIL);
		assert_int_equal(nmx_ring_fetch_posted(&p.host, N), VDPDK_FAULT_NONE);
		assert_int_equal(nmx_ring_count_taken(&p.host.window), 1);
		assert_int_equal(nmx_ring_get_taken(&p.host.window, 0)->id, i % N);
		assert_false(nmx_ring_peek_slot(&p.guest, 0, &w1));
		nmx_ring_complete_slot_w0(&p.host, 0, 7, VDPDK_W1(60, i % N, 0, 0));
		nmx_ring_advance_comp(&p.host.window, 1);
		assert_true(nmx_ring_peek_slot(&p.guest, 0, &w1));
		assert_int_equal(VDPDK_W1_LENGTH(w1), 60);
		nmx_ring_advance_reap(&p.guest, 1);
		assert_int_equal(nmx_ring_count_free(&p.guest), N);
	}
}

static void
full_ring_is_fetched_once(void **unused)
{
	struct pair p;
	struct nmx_ring_slot slot;

	(void)unused;
	init_pair(&p);
	for (uint16_t i = 0; i < N; i++)
		submit(&p, 1, i, VDPDK_FLAG_AVAIL);
	assert_int_equal(nmx_ring_count_free(&p.guest), 0);
	assert_int_equal(nmx_ring_fetch_posted(&p.host, N), VDPDK_FAULT_NONE);
	assert_int_equal(nmx_ring_count_taken(&p.host.window), N);
	assert_false(nmx_ring_load_slot(&p.host, &slot));
}

/** Answer a lent buffer, the n-th of `lent`. */
static void
answer_lent(struct pair *p, struct nmx_ring_slot *lent, uint32_t n)
{
	nmx_ring_complete_slot_w0(&p->host, 0, 0, VDPDK_W1(60, lent[n].id, 0, 0));
	p->host.window.lent--;
	nmx_ring_advance_comp(&p->host.window, 1);
	lent[n] = lent[p->host.window.lent];
}

/** One step of a host that lends, by a random number. `lent`: what is out. */
static void
take_step(struct pair *p, struct nmx_ring_slot *lent, uint32_t random)
{
	const uint32_t n = p->host.window.lent;
	struct nmx_ring_slot slot;

	switch (random % 5) {
	case 0:
		if (nmx_ring_count_ready(&p->host.window) == 0 &&
			nmx_ring_fetch_lent(&p->host, &slot))
			lent[n] = slot;
		break;
	case 1:
		assert_int_equal(nmx_ring_fetch_posted(&p->host, 3), VDPDK_FAULT_NONE);
		if (nmx_ring_count_ready(&p->host.window) > 0) {
			lent[n] = *nmx_ring_get_ready(&p->host.window, 0);
			nmx_ring_lend(&p->host.window, 1);
		}
		break;
	case 2:
		if (n > 0)
			answer_lent(p, lent, random / 5 % n);
		break;
	case 3:
		if (n == 0)
			break;
		slot = lent[random / 5 % n];
		lent[random / 5 % n] = lent[n - 1];
		nmx_ring_take_back(&p->host.window, &slot);
		assert_int_equal(nmx_ring_get_ready(&p->host.window, 0)->id, slot.id);
		break;
	case 4:
		if (nmx_ring_count_ready(&p->host.window) == 0)
			break;
		slot = *nmx_ring_get_ready(&p->host.window, 0);
		nmx_ring_complete_slot_w0(&p->host, 0, 0, VDPDK_W1(60, slot.id, 0, 0));
		nmx_ring_advance_comp(&p->host.window, 1);
		break;
	}
}

static void
lent_buffers_are_answered_once_in_any_order(void **unused)
{
	struct nmx_ring_slot lent[N];
	bool posted[N] = { false };
	uint32_t random = 1;
	struct pair p;
	uint64_t w1 = 0;

	(void)unused;
	init_pair(&p);
	for (uint32_t step = 0; step < 100000; step++) {
		random = random * 1664525 + 1013904223;
		for (uint16_t id = (uint16_t)(random >> 26); !posted[id]; posted[id] = true)
			submit(&p, 100, id, VDPDK_FLAG_AVAIL);
		take_step(&p, lent, random >> 8);
		assert_true(nmx_ring_count_ready(&p.host.window) + p.host.window.lent ==
			    nmx_ring_count_taken(&p.host.window));
		while (nmx_ring_peek_slot(&p.guest, 0, &w1) && nmx_ring_count_free(&p.guest) < N) {
			assert_true(posted[VDPDK_W1_ID(w1)]);
			posted[VDPDK_W1_ID(w1)] = false;
			nmx_ring_advance_reap(&p.guest, 1);
		}
	}
	while (p.host.window.lent > 0) {
		struct nmx_ring_slot slot = lent[p.host.window.lent - 1];

		nmx_ring_take_back(&p.host.window, &slot);
	}
	nmx_ring_return_slots(&p.host, 0, VDPDK_FLAG_RX_UNUSED);
	for (; nmx_ring_count_free(&p.guest) < N; nmx_ring_advance_reap(&p.guest, 1)) {
		assert_true(nmx_ring_peek_slot(&p.guest, 0, &w1));
		assert_true(posted[VDPDK_W1_ID(w1)]);
		posted[VDPDK_W1_ID(w1)] = false;
	}
}

static void
bad_slots_are_faults_and_are_not_fetched(void **unused)
{
	static const struct {
		uint16_t length, flags, extra, rx, tx;
	} row[] = {
		{ 1, VDPDK_FLAG_AVAIL, 0, VDPDK_FAULT_NONE, VDPDK_FAULT_NONE },
		{ 0, VDPDK_FLAG_AVAIL, 0, VDPDK_FAULT_LENGTH, VDPDK_FAULT_LENGTH },
		{ 1, VDPDK_FLAG_AVAIL, 1, VDPDK_FAULT_FLAGS, VDPDK_FAULT_FLAGS },
		{ 1, VDPDK_FLAG_AVAIL | VDPDK_FLAG_NEXT, 0, VDPDK_FAULT_FLAGS, VDPDK_FAULT_CHAIN },
		{ 1, VDPDK_FLAG_AVAIL | VDPDK_FLAG_TX_OFFLOAD, 0, VDPDK_FAULT_FLAGS,
			VDPDK_FAULT_FLAGS },
		{ 1, VDPDK_FLAG_AVAIL | 0x8000, 0, VDPDK_FAULT_FLAGS, VDPDK_FAULT_FLAGS },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct pair p;
		uint64_t w1 = VDPDK_W1(row[i].length, 3, row[i].flags, row[i].extra);

		init_pair(&p);
		nmx_ring_submit_slot(&p.guest, 0, 0, w1);
		assert_int_equal(nmx_ring_fetch_posted(&p.host, N), row[i].rx);
		assert_int_equal(p.host.window.fetch, row[i].rx == VDPDK_FAULT_NONE);
		p.host.window.fetch = 0;
		assert_int_equal(nmx_ring_fetch_frames(&p.host, N), row[i].tx);
		assert_int_equal(p.host.window.fetch, row[i].tx == VDPDK_FAULT_NONE);
	}
}

static void
frames_are_fetched_whole(void **unused)
{
	struct pair p;

	(void)unused;
	init_pair(&p);
	for (uint16_t i = 0; i < 6; i++)
		submit(&p, 1, i, VDPDK_FLAG_AVAIL | (i % 3 < 2 ? VDPDK_FLAG_NEXT : 0));
	assert_int_equal(nmx_ring_fetch_frames(&p.host, 1), VDPDK_FAULT_NONE);
	assert_int_equal(nmx_ring_count_taken(&p.host.window), 3);
	assert_int_equal(nmx_ring_fetch_frames(&p.host, 4), VDPDK_FAULT_NONE);
	assert_int_equal(nmx_ring_count_taken(&p.host.window), 6);
}

static void
chains_end_or_stop_the_queue(void **unused)
{
	struct pair p;

	(void)unused;
	/* 32 segments are a frame, 33 are not; the frame before stays. */
	init_pair(&p);
	submit(&p, 1, 0, VDPDK_FLAG_AVAIL);
	for (uint16_t i = 0; i < VDPDK_TX_SEGMENTS_MAX; i++)
		submit(&p, 1, i,
			VDPDK_FLAG_AVAIL | (i + 1 < VDPDK_TX_SEGMENTS_MAX ? VDPDK_FLAG_NEXT : 0));
	assert_int_equal(nmx_ring_fetch_frames(&p.host, N), VDPDK_FAULT_NONE);
	assert_int_equal(nmx_ring_count_taken(&p.host.window), 1 + VDPDK_TX_SEGMENTS_MAX);

	init_pair(&p);
	submit(&p, 1, 0, VDPDK_FLAG_AVAIL);
	for (uint16_t i = 0; i < N - 1; i++)
		submit(&p, 1, i, VDPDK_FLAG_AVAIL | VDPDK_FLAG_NEXT);
	assert_int_equal(nmx_ring_fetch_frames(&p.host, N), VDPDK_FAULT_CHAIN);
	assert_int_equal(nmx_ring_count_taken(&p.host.window), 1);

	/* A chain longer than the ring: the lap's bound ends it. */
	memset(&p.host, 0, sizeof(p.host));
	nmx_ring_init_host(&p.host, p.guest.header, p.taken, 16);
	for (uint16_t i = 0; i < 16; i++)
		nmx_ring_submit_slot(&p.guest, i - p.guest.sub, 0,
			VDPDK_W1(1, i, VDPDK_FLAG_AVAIL | VDPDK_FLAG_NEXT, 0));
	assert_int_equal(nmx_ring_fetch_frames(&p.host, 1), VDPDK_FAULT_CHAIN);
	assert_int_equal(nmx_ring_count_taken(&p.host.window), 0);
}

static void
returned_slots_are_all_that_were_submitted(void **unused)
{
	struct pair p;
	bool back[N] = { false };
	uint64_t w1 = 0;

	(void)unused;
	init_pair(&p);
	for (uint16_t i = 0; i < N; i++)
		submit(&p, 1, i, VDPDK_FLAG_AVAIL);
	assert_int_equal(nmx_ring_fetch_posted(&p.host, N / 2), VDPDK_FAULT_NONE);
	nmx_ring_return_slots(&p.host, 0, VDPDK_FLAG_RX_UNUSED);
	for (uint32_t i = 0; i < N; i++) {
		assert_true(nmx_ring_peek_slot(&p.guest, 0, &w1));
		assert_int_equal(VDPDK_W1_FLAGS(w1), VDPDK_FLAG_RX_UNUSED);
		assert_false(back[VDPDK_W1_ID(w1)]);
		back[VDPDK_W1_ID(w1)] = true;
		nmx_ring_advance_reap(&p.guest, 1);
	}
	assert_int_equal(nmx_ring_count_taken(&p.host.window), 0);
}

static void
each_arming_is_answered_once(void **unused)
{
	uint32_t word = 0;
	struct nmx_ring_arm arm = { .word = (NMX_SHARED uint32_t *)&word };
	struct nmx_ring_bell bell = { .word = (NMX_SHARED uint32_t *)&word };

	(void)unused;
	assert_false(nmx_ring_take_event(&bell));
	for (int i = 0; i < 3; i++) {
		nmx_ring_arm_event(&arm);
		assert_true(nmx_ring_take_event(&bell));
		assert_false(nmx_ring_take_event(&bell));
	}
	nmx_ring_arm_event(&arm);
	nmx_ring_disarm_event(&arm);
	assert_false(nmx_ring_take_event(&bell));
	arm.seq = UINT32_MAX;
	nmx_ring_arm_event(&arm);
	assert_int_equal(arm.seq, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_carry_their_fields),
		cmocka_unit_test(buffers_pass_both_ways_for_many_laps),
		cmocka_unit_test(full_ring_is_fetched_once),
		cmocka_unit_test(lent_buffers_are_answered_once_in_any_order),
		cmocka_unit_test(bad_slots_are_faults_and_are_not_fetched),
		cmocka_unit_test(frames_are_fetched_whole),
		cmocka_unit_test(chains_end_or_stop_the_queue),
		cmocka_unit_test(returned_slots_are_all_that_were_submitted),
		cmocka_unit_test(each_arming_is_answered_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
