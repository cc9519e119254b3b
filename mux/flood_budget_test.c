/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "flood_budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HZ       UINT64_C(2000000000)
#define A_SECOND 1000

/** Try as often as can be from `start` for some seconds. @return how many passed */
static unsigned int
flood(struct nmx_mux_flood_budget *budget, uint64_t start, unsigned int seconds)
{
	unsigned int passed = 0;

	for (uint64_t now = start; now < start + seconds * HZ; now += HZ / 50000)
		passed += nmx_mux_take_flood(budget, now);
	return passed;
}

static void
a_flood_gets_its_budget_and_a_tenth_at_once(void **unused)
{
	struct nmx_mux_flood_budget budget;

	(void)unused;
	nmx_mux_init_flood_budget(&budget, A_SECOND, HZ);
	assert_in_range(flood(&budget, HZ, 3), 3 * A_SECOND, 3 * A_SECOND + A_SECOND / 10 + 1);
	/* Time without frames isn't saved up beyond that. */
	assert_in_range(flood(&budget, 1000 * HZ, 1), A_SECOND, A_SECOND + A_SECOND / 10 + 1);
}

static void
what_keeps_within_its_budget_is_never_refused(void **unused)
{
	struct nmx_mux_flood_budget budget;

	(void)unused;
	nmx_mux_init_flood_budget(&budget, A_SECOND, HZ);
	for (uint64_t i = 0; i < 10 * A_SECOND; i++)
		assert_true(nmx_mux_take_flood(&budget, HZ + i * (HZ / A_SECOND)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_gets_its_budget_and_a_tenth_at_once),
		cmocka_unit_test(what_keeps_within_its_budget_is_never_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
