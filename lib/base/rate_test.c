/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND   UINT64_C(2000000000)
#define A_SECOND 1000 /* times */
#define AT_ONCE  100

/** Try as often as can be from `start` for some seconds. @return how many passed */
static unsigned int
press(struct nmx_rate *rate, uint64_t start, unsigned int seconds)
{
	unsigned int passed = 0;

	for (uint64_t now = start; now < start + seconds * SECOND; now += SECOND / 50000)
		passed += nmx_base_take_rate(rate, now);
	return passed;
}

static void
what_comes_too_often_gets_its_rate_and_some_at_once(void **unused)
{
	struct nmx_rate rate;

	(void)unused;
	nmx_base_init_rate(&rate, SECOND / A_SECOND, AT_ONCE);
	assert_in_range(press(&rate, SECOND, 3), 3 * A_SECOND, 3 * A_SECOND + AT_ONCE + 1);
	/* Time without frames isn't saved up beyond that. */
	assert_in_range(press(&rate, 1000 * SECOND, 1), A_SECOND, A_SECOND + AT_ONCE + 1);
}

static void
what_keeps_to_its_rate_is_never_refused(void **unused)
{
	struct nmx_rate rate;

	(void)unused;
	nmx_base_init_rate(&rate, SECOND / A_SECOND, AT_ONCE);
	for (uint64_t i = 0; i < 10 * A_SECOND; i++)
		assert_true(nmx_base_take_rate(&rate, SECOND + i * (SECOND / A_SECOND)));
}

static void
without_an_interval_nothing_is_refused(void **unused)
{
	struct nmx_rate rate;

	(void)unused;
	nmx_base_init_rate(&rate, 0, AT_ONCE);
	for (uint64_t i = 0; i < 10 * A_SECOND; i++)
		assert_true(nmx_base_take_rate(&rate, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_too_often_gets_its_rate_and_some_at_once),
		cmocka_unit_test(what_keeps_to_its_rate_is_never_refused),
		cmocka_unit_test(without_an_interval_nothing_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
