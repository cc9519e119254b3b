/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/** @param guests  "name:path" each */
static struct nmx_mux_config *
make_config(const char *const *guests, uint32_t n)
{
	struct nmx_mux_config *config = calloc(1, sizeof(*config) + n * sizeof(config->guests[0]));

	assert_non_null(config);
	config->n_guests = n;
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(sscanf(guests[i], "%31[^:]:%107s", config->guests[i].name,
					 config->guests[i].path),
			2);
	return config;
}

static void
check_plan(const char *const *before, uint32_t n_before, const char *const *after, uint32_t n_after,
	const struct nmx_mux_changes *changes, uint32_t n_free, uint32_t n_taken)
{
	struct nmx_mux_config *present = make_config(before, n_before);
	struct nmx_mux_config *next = make_config(after, n_after);
	struct nmx_mux_plan plan;

	assert_int_equal(nmx_mux_make_plan(present, next, &plan), 0);
	assert_memory_equal(&plan.changes, changes, sizeof(*changes));
	assert_int_equal(plan.free.n, n_free);
	assert_int_equal(plan.taken.n, n_taken);
	nmx_mux_free_plan(&plan);
	free(present);
	free(next);
}

static void
guests_are_added_removed_changed_and_kept(void **unused)
{
	static const char *const before[] = { "a:/a", "b:/b", "c:/c" };
	static const char *const after[] = { "d:/d", "c:/other", "b:/b" };
	static const struct nmx_mux_changes changes = {
		.added = 1, .removed = 1, .changed = 1, .kept = 1
	};

	(void)unused;
	check_plan(before, 3, after, 3, &changes, 2, 0);
	check_plan(before, 0, after, 0, &(struct nmx_mux_changes){ 0 }, 0, 0);
}

/** A path can't be had before its present owner has ended. */
static void
swapped_paths_are_taken(void **unused)
{
	static const char *const before[] = { "a:/a", "b:/b" };
	static const char *const after[] = { "a:/b", "b:/a" };
	static const struct nmx_mux_changes changes = { .changed = 2 };

	(void)unused;
	check_plan(before, 2, after, 2, &changes, 0, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guests_are_added_removed_changed_and_kept),
		cmocka_unit_test(swapped_paths_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
