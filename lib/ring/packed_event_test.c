/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "lib/ring/packed_pair_test.h"

#include "lib/ring/packed_event.h"

#define ENABLE  NMX_PACKED_EVENT_ENABLE
#define DISABLE NMX_PACKED_EVENT_DISABLE
#define DESC    NMX_PACKED_EVENT_DESC

static void
signals_come_at_the_position_that_the_driver_says(void **unused)
{
	/* Answers from `from` to `to` pass the event or not. */
	static const struct {
		uint16_t event;
		uint32_t from, to;
		bool passes;
	} row[] = {
		{ 0x8000, 0, 1, true },
		{ 0x8001, 0, 1, false },
		{ 0x8001, 0, 2, true },
		{ 0x8001, 2, 2, false },
		/* The same place of the other lap: a driver that waits long is asked for less. */
		{ 0x0000, 0, 1, false },
		{ 0x0000, 0, N, false },
		{ 0x0000, 0, N + 1, true },
		{ 0x8000 | (N - 1), N - 1, N, true },
		{ 0x8000 | (N - 1), N - 1, N + 3, true },
		{ 0x0002, N - 1, N + 3, true },
		{ 0x0003, N - 1, N + 3, false },
		{ 0x8003, N - 1, N + 3, false },
		/* From the second lap into the next first one; at the number's end. */
		{ 0x8000, 2 * N - 1, 2 * N + 1, true },
		{ 0x8001, 2 * N - 1, 2 * N + 1, false },
		{ 0x0000, 2 * N - 1, 2 * N + 1, false },
		{ 0x8000, UINT32_MAX, 1, true },
		{ 0x8001, UINT32_MAX, 1, false },
		{ N - 1, UINT32_MAX, 1, true },
		/* Two laps pass everything. */
		{ 0x8003, 4, 4 + 2 * N, true },
		/* No position, but in its lowest bits. */
		{ 0x8000 | (N + 1), 0, 2, true },
		{ 0x7fff, 0, 2, false },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct nmx_packed_bell bell = { row[i].from };
		struct pair p;

		open_pair(&p, N, 0, true);
		p.host.used_seq = row[i].to;
		/* Reserved bits say nothing. */
		p.driver.asks->word = NMX_PACKED_EVENT(row[i].event, DESC) | 0xfffc0000;
		begin_step();
		assert_int_equal(nmx_ring_take_packed_event(&p.host, &bell, true), row[i].passes);
		assert_int_equal(n_loads, row[i].from != row[i].to);
		assert_int_equal(bell.answered, row[i].to);
		assert_false(nmx_ring_take_packed_event(&p.host, &bell, true));
		close_pair(&p);
	}
}

static void
signals_follow_what_the_driver_asks_for(void **unused)
{
	static const struct {
		uint16_t kind;
		bool event_idx, is_wanted;
	} row[] = {
		{ ENABLE, false, true },
		{ ENABLE, true, true },
		{ DISABLE, false, false },
		{ DISABLE, true, false },
		{ DESC, true, false },
		/* Without the feature there is no such kind: when in doubt, signal. */
		{ DESC, false, true },
		{ 3, false, true },
		{ 3, true, true },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct packed_used used;
		struct nmx_packed_bell bell;
		struct pair p;

		open_pair(&p, N, 7, false);
		bell.answered = p.host.used_seq;
		p.driver.asks->word = NMX_PACKED_EVENT(9, row[i].kind);
		post(&p, 1, 1);
		assert_int_equal(fetch(&p, 1, true), VDPDK_FAULT_NONE);
		complete(&p, get_ready(&p, 0), 1);
		assert_false(nmx_ring_take_packed_event(&p.host, &bell, row[i].event_idx));
		nmx_ring_publish_packed(&p.host, 1);
		assert_int_equal(nmx_ring_take_packed_event(&p.host, &bell, row[i].event_idx),
			row[i].is_wanted);
		assert_false(nmx_ring_take_packed_event(&p.host, &bell, row[i].event_idx));
		assert_true(take_packed_used(&p.driver, &used));
		close_pair(&p);
	}
}

static void
kicks_are_asked_for_and_refused(void **unused)
{
	struct pair p;

	(void)unused;
	open_pair(&p, N, N - 1, false);
	nmx_ring_disarm_packed_kick(&p.host);
	assert_int_equal(p.driver.device->word, NMX_PACKED_EVENT(0, DISABLE));
	nmx_ring_arm_packed_kick(&p.host, false);
	assert_int_equal(p.driver.device->word, NMX_PACKED_EVENT(0, ENABLE));
	nmx_ring_arm_packed_kick(&p.host, true);
	assert_int_equal(p.driver.device->word, NMX_PACKED_EVENT(N - 1, DESC));
	assert_false(nmx_ring_has_packed(&p.host, 1));
	post(&p, 0, 1);
	assert_true(nmx_ring_has_packed(&p.host, 1));
	assert_int_equal(fetch(&p, 1, true), VDPDK_FAULT_NONE);
	nmx_ring_arm_packed_kick(&p.host, true);
	assert_int_equal(p.driver.device->word, NMX_PACKED_EVENT(0x8000, DESC));
	close_pair(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_come_at_the_position_that_the_driver_says),
		cmocka_unit_test(signals_follow_what_the_driver_asks_for),
		cmocka_unit_test(kicks_are_asked_for_and_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
