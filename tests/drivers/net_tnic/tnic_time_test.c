/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** What goes by the clock: pacing, and the histogram of times. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tnic_pace.h"
#include "tnic_random.h"
#include "tnic_times.h"

#define HZ UINT64_C(2999999999)

/** Poll a source at random moments, bursts of 32 at most. @return frames */
static uint64_t
poll_for(struct tnic_pace *pace, uint64_t start_tsc, uint64_t cycles, uint32_t step_max)
{
	struct tnic_random random = { 5 };
	uint64_t n = 0, due;

	for (uint64_t at = 0; at <= cycles;
		at += tnic_draw_from(&random, (struct tnic_range){ 1, step_max })) {
		due = tnic_count_due(pace, start_tsc + at);
		due = due < 32 ? due : 32;
		tnic_spend_due(pace, due);
		n += due;
	}
	return n;
}

static void
rate_is_kept(void **unused)
{
	static const uint64_t rates[] = { 1, 1000, 1234567, 10000000 };

	(void)unused;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		uint64_t seconds = rates[i] < 1000 ? 5 : 1, wanted = rates[i] * seconds;
		struct tnic_pace pace;
		uint64_t n;

		tnic_init_pace(&pace, rates[i], HZ, 1);
		n = poll_for(&pace, 77, HZ * seconds, rates[i] < 1000 ? 100000 : 5000);
		/* What is due at the very end may still be owed. */
		assert_in_range(n, wanted - 1 - wanted / 100000, wanted);
	}
}

static void
queues_share_the_rate(void **unused)
{
	struct tnic_pace pace;

	(void)unused;
	tnic_init_pace(&pace, 3000000, HZ, 3);
	assert_in_range(poll_for(&pace, 1, HZ, 5000), 999980, 1000000);
}

static void
idle_time_earns_no_flood(void **unused)
{
	struct tnic_pace pace;

	(void)unused;
	tnic_init_pace(&pace, 1000, HZ, 1);
	assert_true(tnic_count_due(&pace, 1) == 0);
	assert_true(tnic_count_due(&pace, 1 + HZ * 60) == TNIC_PACE_FRAMES);
	/* However long, and at the highest rate. */
	tnic_init_pace(&pace, TNIC_PACE_MAX_RATE, HZ, 1);
	assert_true(tnic_count_due(&pace, 1) == 0);
	assert_in_range(tnic_count_due(&pace, UINT64_MAX), TNIC_PACE_MAX_RATE / 10000 - 50,
		TNIC_PACE_MAX_RATE / 10000);
}

static void
no_rate_is_no_limit(void **unused)
{
	struct tnic_pace pace;

	(void)unused;
	tnic_init_pace(&pace, 0, HZ, 4);
	assert_true(tnic_count_due(&pace, 5) == UINT64_MAX);
	tnic_spend_due(&pace, 32);
	assert_true(tnic_count_due(&pace, 5) == UINT64_MAX);
}

static void
classes_are_narrow_and_in_order(void **unused)
{
	uint32_t last = 0;

	(void)unused;
	for (uint64_t cycles = 0; cycles < UINT64_C(1) << 41; cycles += cycles / 100 + 1) {
		uint32_t class = tnic_find_time_class(cycles);

		assert_in_range(class, last, TNIC_N_TIMES - 1);
		assert_true(cycles >= UINT64_C(1) << 40 || class <= last + 1);
		last = class;
	}
	assert_int_equal(last, TNIC_N_TIMES - 1);
	assert_int_equal(tnic_find_time_class(UINT64_MAX), TNIC_N_TIMES - 1);
	assert_int_equal(tnic_find_time_class((UINT64_C(1) << 40) - 1), TNIC_N_TIMES - 1);
	assert_int_equal(tnic_find_time_class(15), 15);
	assert_int_equal(tnic_find_time_class(16), 16);
	assert_int_equal(tnic_find_time_class(31), 31);
	assert_int_equal(tnic_find_time_class(32), 32);
	assert_int_equal(tnic_find_time_class(33), 32);
	assert_int_equal(tnic_find_time_class(34), 33);
	assert_int_equal(tnic_find_time_class(1000), 16 * 6 + 15);
}

static void
times_are_counted(void **unused)
{
	static struct tnic_times times;

	(void)unused;
	tnic_count_time(&times, 1000, 1010);
	tnic_count_time(&times, 1000, 1010);
	tnic_count_time(&times, 1010, 1000); /* another processor's clock */
	assert_true(times.counts[10] == 2);
	assert_true(times.counts[0] == 1);
	tnic_clear_times(&times);
	assert_true(times.counts[10] == 0 && times.counts[0] == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate_is_kept),
		cmocka_unit_test(queues_share_the_rate),
		cmocka_unit_test(idle_time_earns_no_flood),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(classes_are_narrow_and_in_order),
		cmocka_unit_test(times_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
