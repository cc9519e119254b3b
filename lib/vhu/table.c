/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The memory table. */

#include <errno.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/range.h"
#include "request.h"

static struct nmx_range
get_guest_range(const struct nmx_vhu_region *region)
{
	return (struct nmx_range){ region->guest, region->size };
}

static struct nmx_range
get_user_range(const struct nmx_vhu_region *region)
{
	return (struct nmx_range){ region->user, region->size };
}

/** True if a region is one, and beside those before it. */
static bool
is_good_region(const struct nmx_vhu_region *regions, uint32_t i)
{
	const struct nmx_vhu_region *region = &regions[i];
	struct nmx_range in_file = { region->offset, region->size };

	if (!nmx_base_check_range(get_guest_range(region)) ||
		!nmx_base_check_range(get_user_range(region)) || !nmx_base_check_range(in_file))
		return false;
	for (uint32_t k = 0; k < i; k++)
		if (nmx_base_overlaps_range(
			    get_guest_range(region), get_guest_range(&regions[k])) ||
			nmx_base_overlaps_range(
				get_user_range(region), get_user_range(&regions[k])))
			return false;
	return true;
}

/** @return 0 and server->next; -EINVAL */
static int
read_table(struct nmx_vhu_server *server)
{
	struct nmx_vhu_memory *next = &server->next;
	const size_t head = offsetof(struct nmx_vhu_table, regions);
	struct nmx_vhu_table table;

	if (server->header.size < head)
		return -EINVAL;
	memcpy(&table, server->body, head);
	if (table.n_regions == 0 || table.n_regions > NMX_VHU_REGIONS_MAX ||
		server->header.size < head + table.n_regions * sizeof(table.regions[0]) ||
		server->exchange.n_fds != table.n_regions)
		return -EINVAL;
	next->n = table.n_regions;
	memcpy(next->regions, server->body + head, next->n * sizeof(next->regions[0]));
	for (uint32_t i = 0; i < next->n; i++)
		if (!is_good_region(next->regions, i) ||
			!nmx_base_is_memory(server->exchange.fds[i]))
			return -EINVAL;
	return 0;
}

int
nmx_vhu_set_table(struct nmx_vhu_server *server)
{
	int ret = read_table(server);

	if (ret == 0)
		ret = server->handlers->set_memory(server->context, server->next.regions,
			server->next.n, server->exchange.fds);
	if (ret == 0)
		nmx_vhu_adopt_table(server);
	return ret;
}

void
nmx_vhu_adopt_table(struct nmx_vhu_server *server)
{
	server->memory = server->next;
	/* A ring that can't be started by a new table isn't the table's fault. */
	(void)nmx_vhu_settle_rings(server);
}

bool
nmx_vhu_find_guest_address(
	const struct nmx_vhu_memory *memory, uint64_t user, uint64_t size, uint64_t *ret_guest)
{
	for (uint32_t i = 0; i < memory->n; i++) {
		const struct nmx_vhu_region *region = &memory->regions[i];

		if (user >= region->user &&
			nmx_base_check_slice(user - region->user, size, region->size)) {
			*ret_guest = region->guest + (user - region->user);
			return true;
		}
	}
	return false;
}
