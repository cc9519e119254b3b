/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Covers: the whole pages of its file that a map is laid with.
 *
 * Theory of operation
 *
 * A file can be mapped in pages of its own size only, and a map may begin or end inside a huge
 * page. What its cover has beyond the map is laid, too, but in no view. A huge page that several
 * maps touch is laid by the first of them and stays until the last one is gone; so all that meet in
 * a page must want the same there: the same file, the same distance between address and offset, and
 * descriptors that are equally writable, since that is what a huge page is laid with. What may be
 * done with a map is for the view to say. Maps of 4 KiB pages are their own covers.
 *
 * Entries don't overlap, so at most the first and the last page of a cover are shared.
 */

#include "space.h"

struct nmx_range
nmx_mem_get_cover(const struct nmx_mem_entry *entry)
{
	struct nmx_range range = entry->map.range, cover = range;

	if (entry->backed) {
		cover.start &= ~(entry->file.page_bytes - 1);
		cover.size = range.start + (range.size - 1) - cover.start;
		cover.size = (cover.size | (entry->file.page_bytes - 1)) + 1;
	}
	return cover;
}

static bool
is_same_file(const struct nmx_mem_entry *a, const struct nmx_mem_entry *b)
{
	return a->file.device == b->file.device && a->file.inode == b->file.inode;
}

/** Whether an entry may have a page in common with a neighbour, if it has. */
static int
judge_neighbour(const struct nmx_mem_entry *entry, const struct nmx_mem_entry *neighbour)
{
	if (!nmx_base_overlaps_range(nmx_mem_get_cover(entry), nmx_mem_get_cover(neighbour)))
		return 0;
	if (neighbour->withdrawn)
		return -EBUSY;
	if (!is_same_file(entry, neighbour) ||
		entry->map.range.start - entry->map.offset !=
			neighbour->map.range.start - neighbour->map.offset)
		return -EEXIST;
	return entry->file.writable == neighbour->file.writable ? 0 : -EACCES;
}

int
nmx_mem_check_cover(const struct nmx_mem *mem, uint32_t at, const struct nmx_mem_entry *entry)
{
	uint32_t before = at, behind = at;
	int ret = 0;

	if (!entry->backed)
		return 0;
	/* The nearest that have files speak for those beyond: whoever is between two that meet in
	 * a page is in that page himself. */
	while (before > 0 && !mem->entries[before - 1].backed)
		before--;
	while (behind < mem->n_entries && !mem->entries[behind].backed)
		behind++;
	if (before > 0)
		ret = judge_neighbour(entry, &mem->entries[before - 1]);
	if (ret == 0 && behind < mem->n_entries)
		ret = judge_neighbour(entry, &mem->entries[behind]);
	return ret;
}

/** True if a map that isn't withdrawn has a byte in a page, or the whole of it. */
static bool
is_touched(const struct nmx_mem *mem, struct nmx_range page)
{
	for (uint32_t i = nmx_mem_find_entry(mem, page.start); i < mem->n_entries; i++) {
		const struct nmx_mem_entry *entry = &mem->entries[i];

		if (!nmx_base_overlaps_range(entry->map.range, page))
			return false;
		if (entry->backed && !entry->withdrawn)
			return true;
	}
	return false;
}

struct nmx_range
nmx_mem_get_own_pages(const struct nmx_mem *mem, const struct nmx_mem_entry *entry)
{
	const uint64_t bytes = entry->file.page_bytes;
	struct nmx_range own = nmx_mem_get_cover(entry);

	if (bytes == NMX_MEM_PAGE_BYTES)
		return own;
	if (is_touched(mem, (struct nmx_range){ own.start, bytes })) {
		own.start += bytes;
		own.size -= bytes;
	}
	if (own.size > 0 &&
		is_touched(mem, (struct nmx_range){ own.start + own.size - bytes, bytes }))
		own.size -= bytes;
	return own;
}
