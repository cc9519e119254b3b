/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "mem.h"

#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "lib/base/discard.h"
#include "space.h"

int
nmx_mem_create(const struct nmx_mem_limits *limits, int lost_fd, struct nmx_mem **ret_mem)
{
	struct nmx_mem *mem = calloc(1, sizeof(*mem));

	if (mem == NULL)
		return -ENOMEM;
	atomic_init(&mem->view, &nmx_mem_empty_view);
	atomic_init(&mem->guarded.lost, false);
	mem->guarded.lost_fd = lost_fd;
	mem->limits = *limits;
	nmx_mem_init_kept(mem);
	*ret_mem = mem;
	return 0;
}

void
nmx_mem_destroy(struct nmx_mem *mem)
{
	if (mem == NULL)
		return;
	nmx_mem_unmap_all(mem);
	nmx_mem_release_windows(&mem->retired);
	mem->hidden = false;
	nmx_mem_reclaim(mem);
	free(mem->entries);
	free(mem);
}

/* --- Maps --- */

uint32_t
nmx_mem_find_entry(const struct nmx_mem *mem, uint64_t start)
{
	uint32_t low = 0, high = mem->n_entries;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct nmx_range range = mem->entries[middle].map.range;

		if (start >= range.start && start - range.start >= range.size)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
check_map(const struct nmx_mem_map *map, bool backed)
{
	const uint64_t page = NMX_MEM_PAGE_BYTES;

	if (!nmx_base_check_range(map->range) || !nmx_base_is_aligned(map->range.start, page) ||
		!nmx_base_is_aligned(map->range.size, page))
		return false;
	if (map->protection == 0 || (map->protection & ~(NMX_MEM_READ | NMX_MEM_WRITE)) != 0)
		return false;
	return !backed || (nmx_base_is_aligned(map->offset, page) &&
				  nmx_base_check_slice(map->offset, map->range.size, INT64_MAX));
}

static bool
is_same(const struct nmx_mem_entry *a, const struct nmx_mem_entry *b)
{
	return a->map.range.start == b->map.range.start && a->map.range.size == b->map.range.size &&
	       a->map.offset == b->map.offset && a->map.protection == b->map.protection &&
	       a->backed == b->backed && a->file.device == b->file.device &&
	       a->file.inode == b->file.inode;
}

/** Fill *entry from what the client says. */
static int
judge_map(const struct nmx_mem_map *map, int fd, struct nmx_mem_entry *entry)
{
	int ret;

	memset(entry, 0, sizeof(*entry));
	entry->map = *map;
	entry->backed = fd >= 0;
	if (!check_map(map, entry->backed))
		return -EINVAL;
	if (!entry->backed)
		return 0;
	ret = nmx_mem_admit_file(fd, map->offset, map->range.size,
		(map->protection & NMX_MEM_WRITE) != 0, &entry->file);
	/* A page of the file has the same place in it as in the window. */
	if (ret == 0 &&
		!nmx_base_is_aligned(map->range.start - map->offset, entry->file.page_bytes))
		ret = -EINVAL;
	return ret;
}

static int
make_room(struct nmx_mem *mem)
{
	uint32_t room = mem->entries_room == 0 ? 16 : 2 * mem->entries_room;
	struct nmx_mem_entry *entries;

	if (mem->n_entries < mem->entries_room)
		return 0;
	entries = reallocarray(mem->entries, room, sizeof(*entries));
	if (entries == NULL)
		return -ENOMEM;
	mem->entries = entries;
	mem->entries_room = room;
	return 0;
}

/** A piece, and the reservation that goes on behind it: a bound, where a page is shared. */
static uint32_t
count_mappings(const struct nmx_mem_entry *entry)
{
	struct nmx_range rest = entry->map.range, piece;
	uint32_t n = 0;

	while (entry->backed && nmx_mem_take_piece(&rest, &piece))
		n += 2;
	return n;
}

static void
insert_entry(struct nmx_mem *mem, uint32_t at, const struct nmx_mem_entry *entry)
{
	memmove(&mem->entries[at + 1], &mem->entries[at],
		(mem->n_entries - at) * sizeof(*mem->entries));
	mem->entries[at] = *entry;
	mem->n_entries++;
	mem->n_bytes += entry->backed ? entry->map.range.size : 0;
	mem->n_mappings += count_mappings(entry);
}

static void
remove_entry(struct nmx_mem *mem, uint32_t at)
{
	mem->n_bytes -= mem->entries[at].backed ? mem->entries[at].map.range.size : 0;
	mem->n_mappings -= count_mappings(&mem->entries[at]);
	mem->n_entries--;
	memmove(&mem->entries[at], &mem->entries[at + 1],
		(mem->n_entries - at) * sizeof(*mem->entries));
}

uint32_t
nmx_mem_get_laid_protection(const struct nmx_mem_entry *entry)
{
	if (entry->file.page_bytes == NMX_MEM_PAGE_BYTES)
		return entry->map.protection;
	return NMX_MEM_READ | (entry->file.writable ? NMX_MEM_WRITE : 0);
}

static int
lay_entry(struct nmx_mem *mem, uint32_t at, struct nmx_mem_entry *entry, int *fd)
{
	struct nmx_range pages = { 0 };
	int ret = make_room(mem);

	if (ret == 0 && entry->backed) {
		pages = nmx_mem_get_own_pages(mem, entry);
		/* Those of its cover that aren't laid yet. */
		ret = nmx_mem_lay_file(&mem->windows, &mem->guarded, pages, *fd,
			entry->map.offset + (pages.start - entry->map.range.start),
			nmx_mem_get_laid_protection(entry));
	}
	if (ret != 0)
		return ret;
	insert_entry(mem, at, entry);
	ret = nmx_mem_renew_view(mem);
	if (ret != 0) {
		remove_entry(mem, at);
		nmx_mem_clear_range(&mem->windows, pages);
		return ret;
	}
	nmx_mem_keep_file(mem, &mem->entries[at], fd);
	mem->dma_due = true;
	return 0;
}

static int
add_entry(struct nmx_mem *mem, uint32_t at, struct nmx_mem_entry *entry, int *fd)
{
	uint32_t n_mappings = count_mappings(entry);
	int ret = nmx_mem_check_cover(mem, at, entry);

	if (ret != 0)
		return ret;
	if (mem->n_entries >= mem->limits.maps_max || !nmx_mem_can_keep_file(mem, entry) ||
		(entry->backed && !nmx_base_check_slice(mem->n_bytes, entry->map.range.size,
					  mem->limits.bytes_max)))
		return -ENOSPC;
	ret = nmx_mem_take_mappings(mem->n_mappings, n_mappings);
	if (ret != 0)
		return ret;
	ret = lay_entry(mem, at, entry, fd);
	if (ret != 0)
		nmx_mem_give_mappings(n_mappings);
	return ret;
}

/** A map upon another one. */
static int
judge_again(const struct nmx_mem_entry *present, const struct nmx_mem_entry *entry)
{
	if (present->withdrawn)
		return -EBUSY;
	return is_same(present, entry) ? 0 : -EEXIST;
}

int
nmx_mem_map(struct nmx_mem *mem, const struct nmx_mem_map *map, int *fd)
{
	struct nmx_mem_entry entry;
	int ret = judge_map(map, *fd, &entry);
	uint32_t at = 0;

	if (ret == 0 && nmx_mem_needs_wait(mem))
		ret = -EBUSY;
	if (ret == 0) {
		at = nmx_mem_find_entry(mem, map->range.start);
		if (at < mem->n_entries &&
			nmx_base_overlaps_range(mem->entries[at].map.range, map->range))
			ret = judge_again(&mem->entries[at], &entry);
		else
			ret = add_entry(mem, at, &entry, fd);
	}
	if (ret != -EBUSY)
		nmx_base_drop_fds(mem->limits.bin, fd, 1);
	return ret;
}

void
nmx_mem_withdraw(struct nmx_mem *mem, struct nmx_mem_entry *entry)
{
	mem->n_withdrawn += !entry->withdrawn;
	entry->withdrawn = true;
}

/**
 * Publish a view of what isn't withdrawn. That must not fail: without memory for a new view
 * everything is withdrawn from sight, and the client's session ends as if its memory had vanished.
 */
static void
show_present(struct nmx_mem *mem)
{
	if (nmx_mem_renew_view(mem) == 0)
		return;
	nmx_mem_publish_view(mem, &nmx_mem_empty_view);
	nmx_mem_mark_lost(&mem->guarded);
}

int
nmx_mem_unmap(struct nmx_mem *mem, struct nmx_range range)
{
	const uint32_t first = nmx_mem_find_entry(mem, range.start);
	uint32_t n = 0;

	while (first + n < mem->n_entries &&
		nmx_base_overlaps_range(mem->entries[first + n].map.range, range)) {
		if (!nmx_base_contains_range(range, mem->entries[first + n].map.range))
			return -EINVAL;
		n++;
	}
	if (n == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		nmx_mem_withdraw(mem, &mem->entries[first + i]);
	if (mem->hidden)
		nmx_mem_drop_withdrawn(mem);
	else
		show_present(mem);
	return 0;
}

void
nmx_mem_unmap_all(struct nmx_mem *mem)
{
	for (uint32_t i = 0; i < mem->n_entries; i++)
		nmx_mem_withdraw(mem, &mem->entries[i]);
	nmx_mem_publish_view(mem, &nmx_mem_empty_view);
	if (mem->hidden)
		nmx_mem_drop_withdrawn(mem);
}

bool
nmx_mem_has_withdrawn(const struct nmx_mem *mem)
{
	return mem->n_withdrawn > 0;
}

bool
nmx_mem_needs_reclaim(const struct nmx_mem *mem)
{
	return mem->n_withdrawn > 0 || mem->replaced != NULL || mem->hidden;
}

bool
nmx_mem_needs_wait(const struct nmx_mem *mem)
{
	return mem->n_withdrawn > mem->n_blanked;
}

/** Forget all entries with what is laid for them. */
static void
drop_all(struct nmx_mem *mem)
{
	nmx_mem_release_windows(&mem->windows);
	nmx_mem_give_mappings(mem->n_mappings);
	mem->n_entries = mem->n_withdrawn = mem->n_blanked = 0;
	mem->n_bytes = mem->n_mappings = 0;
}

void
nmx_mem_drop_withdrawn(struct nmx_mem *mem)
{
	bool all = mem->n_withdrawn == mem->n_entries;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < mem->n_entries; i++) {
		struct nmx_mem_entry *entry = &mem->entries[i];

		if (!entry->withdrawn)
			continue;
		nmx_mem_leave_domains(mem, entry);
		nmx_mem_let_file_go(mem, entry);
		if (entry->backed && !all)
			nmx_mem_clear_range(&mem->windows, nmx_mem_get_own_pages(mem, entry));
	}
	if (all)
		drop_all(mem);
	nmx_mem_close_files(mem);
	if (all)
		return;
	for (uint32_t i = 0; i < mem->n_entries; i++) {
		struct nmx_mem_entry *entry = &mem->entries[i];

		if (!entry->withdrawn) {
			mem->entries[kept++] = *entry;
		} else if (entry->backed) {
			mem->n_bytes -= entry->map.range.size;
			mem->n_mappings -= count_mappings(entry);
			nmx_mem_give_mappings(count_mappings(entry));
		}
	}
	mem->n_entries = kept;
	mem->n_withdrawn = mem->n_blanked = 0;
}

void
nmx_mem_reclaim(struct nmx_mem *mem)
{
	nmx_mem_free_replaced(mem);
	if (mem->n_withdrawn > 0)
		nmx_mem_drop_withdrawn(mem);
	if (mem->hidden) {
		nmx_mem_release_windows(&mem->retired);
		mem->hidden = false;
		mem->dma_due = true;
		show_present(mem);
	}
}

bool
nmx_mem_is_lost(const struct nmx_mem *mem)
{
	return atomic_load(&mem->guarded.lost);
}

uint32_t
nmx_mem_count_maps(const struct nmx_mem *mem)
{
	return mem->n_entries - mem->n_withdrawn;
}

uint64_t
nmx_mem_count_bytes(const struct nmx_mem *mem)
{
	return mem->n_bytes;
}
