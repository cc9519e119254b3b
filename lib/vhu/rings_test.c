/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Rings and memory: what they need, in which order it may come, and what takes it away. */

#include <errno.h>
#include <string.h>

#include "rig_test.h"

/* --- Beginning --- */

enum step { NUM, BASE, ADDR, KICK, STEPS };

static void
take_step(struct rig *rig, enum step step)
{
	switch (step) {
	case NUM:
		tell_state(rig, NMX_VHU_SET_VRING_NUM, 1, RING_SIZE);
		break;
	case BASE:
		tell_state(rig, NMX_VHU_SET_VRING_BASE, 1, 9);
		break;
	case ADDR:
		tell_addresses(rig, 1, USER_START + 0x1000);
		break;
	case KICK:
		tell_file(rig, NMX_VHU_SET_VRING_KICK, 1, true);
		break;
	case STEPS:
		break;
	}
}

/** Features and memory come before step `when`. */
static void
take_steps(const enum step *order, unsigned int when)
{
	struct rig rig;

	start(&rig);
	for (unsigned int i = 0; i <= STEPS; i++) {
		if (i == when)
			agree(&rig);
		if (i < STEPS)
			take_step(&rig, order[i]);
	}
	assert_int_equal(serve(&rig), -EAGAIN);
	assert_int_equal(rig.ring[1].n_starts, 1);
	assert_int_equal(rig.ring[1].parts.size, RING_SIZE);
	assert_int_equal(rig.ring[1].parts.desc, GUEST_START + 0x1000);
	assert_int_equal(rig.ring[1].parts.avail, GUEST_START + 0x5000);
	assert_int_equal(rig.ring[1].parts.used, GUEST_START + 0x9000);
	assert_false(rig.ring[1].enabled);
	assert_true(rig.ring[1].kick >= 0);
	stop(&rig);
}

static void
a_ring_starts_once_it_has_all_in_any_order(void **unused)
{
	/* The base isn't waited for: it is first in all orders that front ends have. */
	static const enum step orders[][STEPS] = {
		{ BASE, NUM, ADDR, KICK },
		{ BASE, NUM, KICK, ADDR },
		{ BASE, ADDR, NUM, KICK },
		{ BASE, ADDR, KICK, NUM },
		{ BASE, KICK, NUM, ADDR },
		{ BASE, KICK, ADDR, NUM },
		{ NUM, BASE, ADDR, KICK },
		{ NUM, ADDR, BASE, KICK },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		for (unsigned int when = 0; when <= STEPS; when++)
			take_steps(orders[i], when);
}

static void
without_protocol_features_rings_are_enabled(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	tell_number(&rig, NMX_VHU_SET_FEATURES, UINT64_C(1) << 32);
	tell_memory(&rig, 0, GUEST_START, USER_START, REGION_BYTES);
	run_ring(&rig, 0);
	assert_true(rig.ring[0].enabled);
	stop(&rig);
}

static void
enabling_is_remembered_and_told(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	agree(&rig);
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 2, 1);
	run_ring(&rig, 2);
	assert_true(rig.ring[2].enabled);
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 2, 0);
	assert_false(rig.ring[2].enabled);
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 2, 1);
	assert_true(rig.ring[2].enabled);
	tell(&rig, NMX_VHU_RESET_OWNER, NULL, 0);
	assert_false(rig.ring[2].enabled);
	assert_true(rig.ring[2].running);
	stop(&rig);
}

/* --- Ending --- */

static void
a_stopped_ring_tells_its_base_and_starts_again_when_kicked(void **unused)
{
	struct nmx_vhu_state state = { 0, 0x5585 };
	struct rig rig;

	(void)unused;
	start(&rig);
	agree(&rig);
	run_ring(&rig, 0);
	assert_int_equal(ask(&rig, NMX_VHU_GET_VRING_BASE, &state, sizeof(state)).state.num, 77);
	assert_int_equal(rig.ring[0].n_stops, 1);
	/* Again: there is nothing to stop, the base is the same. */
	assert_int_equal(ask(&rig, NMX_VHU_GET_VRING_BASE, &state, sizeof(state)).state.num, 77);
	assert_int_equal(rig.ring[0].n_stops, 1);
	tell_state(&rig, NMX_VHU_SET_VRING_BASE, 0, 5);
	assert_int_equal(rig.ring[0].n_starts, 1);
	tell_file(&rig, NMX_VHU_SET_VRING_KICK, 0, true);
	assert_int_equal(rig.ring[0].n_starts, 2);
	assert_int_equal(rig.ring[0].parts.base, 5);
	stop(&rig);
}

static void
a_parked_stop_is_answered_with_the_base_of_then(void **unused)
{
	struct nmx_vhu_state state = { 3, 0 };
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	agree(&rig);
	run_ring(&rig, 3);
	rig.later = true;
	tell(&rig, NMX_VHU_GET_VRING_BASE, &state, sizeof(state));
	/* What comes behind it waits. */
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 0, 1);
	assert_true(nmx_vhu_is_parked(rig.server));
	assert_false(nmx_vhu_wants_input(rig.server));
	assert_int_equal(receive_reply(&rig).size, -1);
	nmx_vhu_answer(rig.server, 0, 1234);
	assert_int_equal(serve(&rig), -EAGAIN);
	reply = receive_reply(&rig);
	assert_int_equal(reply.state.index, 3);
	assert_int_equal(reply.state.num, 1234);
	assert_false(nmx_vhu_is_parked(rig.server));
	stop(&rig);
}

/* --- Memory --- */

static void
tables_that_make_no_sense_are_refused_and_change_nothing(void **unused)
{
	const uint64_t g = GUEST_START, u = USER_START, s = REGION_BYTES;
	const struct {
		uint32_t n, n_fds;
		struct nmx_vhu_region regions[2];
	} row[] = {
		{ 0, 0, { { 0 } } },
		{ 9, 1, { { 0 } } },
		{ UINT32_MAX, 1, { { 0 } } },
		{ 1, 0, { { g, s, u, 0 } } },
		{ 1, 2, { { g, s, u, 0 } } },
		{ 2, 1, { { g, s, u, 0 }, { g + s, s, u + s, 0 } } },
		{ 1, 1, { { g, 0, u, 0 } } },
		{ 1, 1, { { UINT64_MAX - 4095, 8192, u, 0 } } },
		{ 1, 1, { { g, 8192, UINT64_MAX - 4095, 0 } } },
		{ 1, 1, { { g, 8192, u, UINT64_MAX - 4095 } } },
		{ 2, 2, { { g, s, u, 0 }, { g + s - 1, s, u + s, 0 } } },
		{ 2, 2, { { g, s, u, 0 }, { g + s, s, u + s - 1, 0 } } },
		/* Up to the last address there is. */
		{ 2, 2, { { -s, s, u, 0 }, { -s, s, u + s, 0 } } },
		{ 2, 2, { { g, s, -s, 0 }, { g + s, s / 2, -s, 0 } } },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct nmx_vhu_table table = { .n_regions = row[i].n };
		int fds[2] = { make_memory(), make_memory() };
		struct reply reply;
		struct rig rig;

		start(&rig);
		agree(&rig);
		run_ring(&rig, 0);
		memcpy(table.regions, row[i].regions, sizeof(row[i].regions));
		tell_with_fds(&rig, NMX_VHU_SET_MEM_TABLE, NMX_VHU_NEED_REPLY, &table, 8 + 64, fds,
			row[i].n_fds);
		reply = receive_reply(&rig);
		assert_true(reply.size > 0 && reply.number == 1);
		assert_int_equal(rig.n_tables, 1);
		assert_true(rig.ring[0].running);
		nmx_base_close_fds(fds, 2);
		rig.n_fds_before -= 2;
		stop(&rig);
	}
}

static void
a_table_that_grows_leaves_rings_alone(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	agree(&rig);
	run_ring(&rig, 0);
	tell_memory(&rig, NMX_VHU_NEED_REPLY, GUEST_START, USER_START, 2 * REGION_BYTES);
	assert_int_equal(receive_reply(&rig).number, 0);
	assert_true(rig.ring[0].running);
	assert_int_equal(rig.ring[0].n_starts, 1);
	stop(&rig);
}

static void
a_ring_that_a_table_takes_away_is_lost(void **unused)
{
	static const struct {
		uint64_t guest, user, size;
	} row[] = {
		{ GUEST_START + REGION_BYTES, USER_START + REGION_BYTES, REGION_BYTES },
		{ GUEST_START + REGION_BYTES, USER_START, REGION_BYTES }, /* elsewhere */
		{ GUEST_START, USER_START, 0x8000 },                      /* in part */
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig;

		start(&rig);
		agree(&rig);
		run_ring(&rig, 0);
		tell_memory(&rig, 0, row[i].guest, row[i].user, row[i].size);
		assert_int_equal(serve(&rig), -EAGAIN);
		assert_int_equal(rig.ring[0].n_losses, 1);
		/* It can be had again. */
		tell_memory(&rig, 0, GUEST_START, USER_START, REGION_BYTES);
		tell_file(&rig, NMX_VHU_SET_VRING_KICK, 0, true);
		assert_int_equal(rig.ring[0].n_starts, 2);
		stop(&rig);
	}
}

/** The device's side may be using it yet, and where it was left isn't known here. */
static void
a_lost_rings_base_is_asked_for_and_may_be_late(void **unused)
{
	const struct nmx_vhu_state state = { 0, 0 };
	struct rig rig;

	(void)unused;
	start(&rig);
	agree(&rig);
	run_ring(&rig, 0);
	tell_memory(&rig, 0, GUEST_START + REGION_BYTES, USER_START + REGION_BYTES, REGION_BYTES);
	assert_int_equal(rig.ring[0].n_losses, 1);
	rig.later = true;
	tell(&rig, NMX_VHU_GET_VRING_BASE, &state, sizeof(state));
	assert_int_equal(rig.ring[0].n_stops, 1);
	assert_true(nmx_vhu_is_parked(rig.server));
	assert_int_equal(receive_reply(&rig).size, -1);
	nmx_vhu_answer(rig.server, 0, 1234);
	assert_int_equal(serve(&rig), -EAGAIN);
	assert_int_equal(receive_reply(&rig).state.num, 1234);
	/* Again: there is nothing to stop, the base is the same. */
	assert_int_equal(ask(&rig, NMX_VHU_GET_VRING_BASE, &state, sizeof(state)).state.num, 1234);
	assert_int_equal(rig.ring[0].n_stops, 1);
	stop(&rig);
}

static void
a_parked_table_is_the_rings_only_when_it_is_agreed_to(void **unused)
{
	struct rig rig;

	(void)unused;
	for (int result = 0; result >= -EINVAL; result -= EINVAL) {
		start(&rig);
		agree(&rig);
		run_ring(&rig, 0);
		rig.later = true;
		tell_memory(&rig, NMX_VHU_NEED_REPLY, GUEST_START, USER_START + REGION_BYTES,
			REGION_BYTES);
		assert_true(nmx_vhu_is_parked(rig.server));
		assert_int_equal(rig.ring[0].n_losses, 0);
		nmx_vhu_answer(rig.server, result, 0);
		serve(&rig);
		assert_int_equal(receive_reply(&rig).number, result != 0);
		assert_int_equal(rig.ring[0].n_losses, result == 0);
		stop(&rig);
	}
}

/* --- What is refused --- */

static void
rings_settings_that_make_no_sense_are_refused(void **unused)
{
	static const struct {
		uint32_t request, index, num;
	} row[] = {
		{ NMX_VHU_SET_VRING_NUM, 0, 0 },
		{ NMX_VHU_SET_VRING_NUM, 0, 3 },
		{ NMX_VHU_SET_VRING_NUM, 0, 2048 },
		{ NMX_VHU_SET_VRING_NUM, 0, UINT32_MAX },
		{ NMX_VHU_SET_VRING_NUM, N_RINGS, 256 },
		{ NMX_VHU_SET_VRING_NUM, UINT32_MAX, 256 },
		{ NMX_VHU_SET_VRING_BASE, N_RINGS, 0 },
		{ NMX_VHU_SET_VRING_ENABLE, N_RINGS, 1 },
		{ NMX_VHU_SET_VRING_ENABLE, 0, 2 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const struct nmx_vhu_state state = { row[i].index, row[i].num };
		struct rig rig;

		start(&rig);
		agree(&rig);
		assert_false(ask_whether(&rig, row[i].request, &state, sizeof(state)));
		stop(&rig);
	}
}

static void
what_a_running_ring_uses_cant_be_changed(void **unused)
{
	const struct nmx_vhu_state size = { 0, RING_SIZE / 2 }, same = { 0, RING_SIZE },
				   base = { 0, 1 };
	struct nmx_vhu_addresses addresses = { .index = 0,
		.desc = USER_START,
		.avail = USER_START + 0x4000,
		.used = USER_START + 0x8000,
		.flags = 1 };
	uint64_t features = AGREED | UINT64_C(1) << 15;
	struct rig rig;

	(void)unused;
	start(&rig);
	agree(&rig);
	run_ring(&rig, 0);
	assert_false(ask_whether(&rig, NMX_VHU_SET_VRING_NUM, &size, sizeof(size)));
	assert_true(ask_whether(&rig, NMX_VHU_SET_VRING_NUM, &same, sizeof(same)));
	assert_false(ask_whether(&rig, NMX_VHU_SET_VRING_BASE, &base, sizeof(base)));
	assert_true(ask_whether(&rig, NMX_VHU_SET_VRING_ADDR, &addresses, sizeof(addresses)));
	addresses.used += 4;
	assert_false(ask_whether(&rig, NMX_VHU_SET_VRING_ADDR, &addresses, sizeof(addresses)));
	assert_false(ask_whether(&rig, NMX_VHU_SET_FEATURES, &features, sizeof(features)));
	features = AGREED | NMX_VHU_FEATURE_LOG_ALL;
	assert_true(ask_whether(&rig, NMX_VHU_SET_FEATURES, &features, sizeof(features)));
	assert_int_equal(rig.features, features & ~NMX_VHU_FEATURE_PROTOCOL_FEATURES);
	assert_int_equal(rig.ring[0].n_starts, 1);
	stop(&rig);
}

static void
rings_that_arent_aligned_or_not_in_memory_dont_start(void **unused)
{
	static const uint64_t bad[][3] = {
		{ 8, 0x4000, 0x8000 },
		{ 0, 0x4001, 0x8000 },
		{ 0, 0x4000, 0x8002 },
		{ REGION_BYTES - 4080, 0x4000, 0x8000 },
		{ 0, REGION_BYTES - 516, 0x8000 },
		{ 0, 0x4000, REGION_BYTES - 2052 },
		{ -UINT64_C(16), 0x4000, 0x8000 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct nmx_vhu_addresses addresses = { .index = 0,
			.desc = USER_START + bad[i][0],
			.avail = USER_START + bad[i][1],
			.used = USER_START + bad[i][2] };
		struct rig rig;

		start(&rig);
		agree(&rig);
		tell_state(&rig, NMX_VHU_SET_VRING_NUM, 0, RING_SIZE);
		tell(&rig, NMX_VHU_SET_VRING_ADDR, &addresses, sizeof(addresses));
		tell_file(&rig, NMX_VHU_SET_VRING_KICK, 0, true);
		assert_int_equal(serve(&rig), -EAGAIN);
		assert_int_equal(rig.ring[0].n_starts, 0);
		stop(&rig);
	}
}

/** Their event words have four bytes each, wherever those are. 2.7.10 */
static void
packed_rings_may_end_where_their_region_does(void **unused)
{
	static const struct {
		uint64_t avail, used;
		unsigned int n_starts;
	} row[] = {
		{ REGION_BYTES - 8, REGION_BYTES - 4, 1 },
		{ REGION_BYTES - 8, REGION_BYTES - 2, 0 },
		{ REGION_BYTES - 6, REGION_BYTES - 12, 0 },
		{ REGION_BYTES, REGION_BYTES - 4, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const struct nmx_vhu_addresses addresses = { .index = 0,
			.desc = USER_START,
			.avail = USER_START + row[i].avail,
			.used = USER_START + row[i].used };
		struct rig rig;

		start(&rig);
		agree(&rig);
		tell_number(&rig, NMX_VHU_SET_FEATURES, AGREED | NMX_VHU_FEATURE_RING_PACKED);
		tell_state(&rig, NMX_VHU_SET_VRING_NUM, 0, RING_SIZE);
		tell(&rig, NMX_VHU_SET_VRING_ADDR, &addresses, sizeof(addresses));
		tell_file(&rig, NMX_VHU_SET_VRING_KICK, 0, true);
		assert_int_equal(serve(&rig), -EAGAIN);
		assert_int_equal(rig.ring[0].n_starts, row[i].n_starts);
		stop(&rig);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_starts_once_it_has_all_in_any_order),
		cmocka_unit_test(without_protocol_features_rings_are_enabled),
		cmocka_unit_test(enabling_is_remembered_and_told),
		cmocka_unit_test(a_stopped_ring_tells_its_base_and_starts_again_when_kicked),
		cmocka_unit_test(a_parked_stop_is_answered_with_the_base_of_then),
		cmocka_unit_test(tables_that_make_no_sense_are_refused_and_change_nothing),
		cmocka_unit_test(a_table_that_grows_leaves_rings_alone),
		cmocka_unit_test(a_ring_that_a_table_takes_away_is_lost),
		cmocka_unit_test(a_lost_rings_base_is_asked_for_and_may_be_late),
		cmocka_unit_test(a_parked_table_is_the_rings_only_when_it_is_agreed_to),
		cmocka_unit_test(rings_settings_that_make_no_sense_are_refused),
		cmocka_unit_test(what_a_running_ring_uses_cant_be_changed),
		cmocka_unit_test(rings_that_arent_aligned_or_not_in_memory_dont_start),
		cmocka_unit_test(packed_rings_may_end_where_their_region_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
