/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct nmx_mux_guest_config *
find_by_name(const struct nmx_mux_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->n_guests; i++)
		if (strcmp(config->guests[i].name, name) == 0)
			return &config->guests[i];
	return NULL;
}

static bool
has_path(const struct nmx_mux_config *config, const char *path)
{
	for (uint32_t i = 0; i < config->n_guests; i++)
		if (strcmp(config->guests[i].path, path) == 0)
			return true;
	return false;
}

bool
nmx_mux_keeps_guest(const struct nmx_mux_config *config, const struct nmx_mux_guest_config *guest)
{
	const struct nmx_mux_guest_config *same = find_by_name(config, guest->name);

	return same != NULL && memcmp(same, guest, sizeof(*same)) == 0;
}

static void
add_index(struct nmx_mux_plan_list *list, uint32_t index)
{
	list->indices[list->n++] = index;
}

int
nmx_mux_make_plan(const struct nmx_mux_config *present, const struct nmx_mux_config *next,
	struct nmx_mux_plan *ret_plan)
{
	struct nmx_mux_changes *changes = &ret_plan->changes;

	memset(ret_plan, 0, sizeof(*ret_plan));
	ret_plan->free.indices = calloc(next->n_guests + 1, sizeof(uint32_t));
	ret_plan->taken.indices = calloc(next->n_guests + 1, sizeof(uint32_t));
	if (ret_plan->free.indices == NULL || ret_plan->taken.indices == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < next->n_guests; i++) {
		const struct nmx_mux_guest_config *guest = &next->guests[i];

		if (nmx_mux_keeps_guest(present, guest)) {
			changes->kept++;
			continue;
		}
		if (find_by_name(present, guest->name) != NULL)
			changes->changed++;
		else
			changes->added++;
		add_index(has_path(present, guest->path) ? &ret_plan->taken : &ret_plan->free, i);
	}
	for (uint32_t i = 0; i < present->n_guests; i++)
		changes->removed += find_by_name(next, present->guests[i].name) == NULL;
	return 0;
}

void
nmx_mux_free_plan(struct nmx_mux_plan *plan)
{
	free(plan->free.indices);
	free(plan->taken.indices);
}
