/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** What data threads see: immutable tables of regions, made anew at each change. */

#include <stdlib.h>

#include "space.h"

const struct nmx_mem_view nmx_mem_empty_view;

static bool
extends(const struct nmx_mem_region *region, struct nmx_range piece, uint32_t protection)
{
	return region->start + region->size == piece.start && region->protection == protection &&
	       (piece.start & (NMX_MEM_WINDOW_BYTES - 1)) != 0;
}

static void
add_to_view(struct nmx_mem_view *view, const struct nmx_mem *mem, const struct nmx_mem_entry *entry)
{
	const uint32_t protection = nmx_mem_get_protection(mem, entry);
	struct nmx_range rest = entry->map.range, piece;

	while (nmx_mem_take_piece(&rest, &piece)) {
		struct nmx_mem_region *region = &view->regions[view->n_regions];

		if (view->n_regions > 0 && extends(region - 1, piece, protection)) {
			region[-1].size += piece.size;
			continue;
		}
		region->start = piece.start;
		region->size = piece.size;
		region->host = (NMX_SHARED uint8_t *)nmx_mem_find_place(&mem->windows, piece.start);
		region->protection = protection;
		view->n_regions++;
	}
}

void
nmx_mem_publish_view(struct nmx_mem *mem, const struct nmx_mem_view *view)
{
	struct nmx_mem_view *old = (struct nmx_mem_view *)(uintptr_t)nmx_mem_get_view(mem);

	if (old != &nmx_mem_empty_view) {
		old->older = mem->replaced;
		mem->replaced = old;
	}
	/* Orders the table before the pointer; pairs with the acquire in nmx_mem_get_view(). */
	atomic_store_explicit(&mem->view, view, memory_order_release);
}

int
nmx_mem_renew_view(struct nmx_mem *mem)
{
	/* A piece of an entry beyond its first begins a window. */
	const size_t n = mem->n_entries + NMX_MEM_WINDOWS_MAX;
	struct nmx_mem_view *view;

	if (mem->hidden)
		return 0;
	view = calloc(1, sizeof(*view) + n * sizeof(view->regions[0]));
	if (view == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < mem->n_entries; i++)
		if (mem->entries[i].backed && !mem->entries[i].withdrawn)
			add_to_view(view, mem, &mem->entries[i]);
	view->generation = ++mem->generation;
	nmx_mem_publish_view(mem, view);
	return 0;
}

const struct nmx_mem_view *
nmx_mem_get_view(const struct nmx_mem *mem)
{
	return atomic_load_explicit(&mem->view, memory_order_acquire);
}

const struct nmx_mem_region *
nmx_mem_find_region(const struct nmx_mem_view *view, uint64_t address)
{
	uint32_t low = 0, high = view->n_regions;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct nmx_mem_region *region = &view->regions[middle];

		if (address < region->start)
			high = middle;
		else if (address - region->start >= region->size)
			low = middle + 1;
		else
			return region;
	}
	return NULL;
}

void
nmx_mem_free_replaced(struct nmx_mem *mem)
{
	while (mem->replaced != NULL) {
		struct nmx_mem_view *view = mem->replaced;

		mem->replaced = view->older;
		free(view);
	}
}
