/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Taking memory away by force from a thread that doesn't let go of it.
 *
 * Theory of operation
 *
 * A thread that hangs inside a burst holds pointers, and may use them whenever it goes on. So what
 * it is not to reach is replaced under it by private zero pages, in one step.
 *
 * Some memory only, while the device goes on: nmx_mem_blank() does that at the place of what was
 * withdrawn. The place is taken until nmx_mem_reclaim().
 *
 * All of it: nmx_mem_revoke() lays the maps once more in windows of their own, where nobody has a
 * pointer to, and fills the former windows with zeroes; they are retired until nmx_mem_reclaim().
 * The view is empty as long, so that a burst that goes on finds no way to the new ones. Shared
 * mappings can be made once more from themselves, those of huge pages not: that takes their files
 * (kept.c), as far as they are few. A VMM's guest has one or two; a program that has one for each
 * huge page loses its session instead.
 */

#include "space.h"

/* --- Some of the memory --- */

static bool
is_to_be_blanked(const struct nmx_mem_entry *entry)
{
	return entry->withdrawn && !entry->blanked;
}

/** True if no map that stays has a page in common with the entry. */
static bool
owns_its_pages(const struct nmx_mem *mem, const struct nmx_mem_entry *entry)
{
	return !entry->backed ||
	       nmx_mem_get_own_pages(mem, entry).size == nmx_mem_get_cover(entry).size;
}

int
nmx_mem_blank(struct nmx_mem *mem)
{
	int ret = 0;

	for (uint32_t i = 0; i < mem->n_entries; i++)
		if (is_to_be_blanked(&mem->entries[i]) && !owns_its_pages(mem, &mem->entries[i]))
			return -EBUSY;
	for (uint32_t i = 0; ret == 0 && i < mem->n_entries; i++) {
		struct nmx_mem_entry *entry = &mem->entries[i];

		if (!is_to_be_blanked(entry))
			continue;
		nmx_mem_leave_domains(mem, entry);
		if (entry->backed)
			ret = nmx_mem_lay_zeroes(&mem->windows, nmx_mem_get_cover(entry));
		entry->blanked = ret == 0;
		mem->n_blanked += ret == 0;
	}
	return ret;
}

/* --- All of it --- */

/** The pages of a cover that the one before it doesn't have, which was laid already. */
static struct nmx_range
cut_cover(const struct nmx_mem_entry *entry, const struct nmx_mem_entry *before)
{
	struct nmx_range cover = nmx_mem_get_cover(entry), other;
	uint64_t cut;

	if (before == NULL)
		return cover;
	other = nmx_mem_get_cover(before);
	if (!nmx_base_overlaps_range(cover, other))
		return cover;
	cut = other.start + other.size - cover.start;
	cover.start += cut;
	cover.size -= cut;
	return cover;
}

static int
lay_entry_again(struct nmx_mem *mem, const struct nmx_mem_entry *entry,
	const struct nmx_mem_entry *before, struct nmx_mem_windows *fresh)
{
	struct nmx_range pages = cut_cover(entry, before);
	const struct nmx_mem_kept *kept;

	if (entry->file.page_bytes == NMX_MEM_PAGE_BYTES)
		return nmx_mem_lay_copy(fresh, &mem->guarded, &mem->windows, pages);
	kept = nmx_mem_find_kept(mem, entry);
	if (kept == NULL)
		return -EMFILE;
	return nmx_mem_lay_file(fresh, &mem->guarded, pages, kept->fd,
		entry->map.offset + (pages.start - entry->map.range.start),
		nmx_mem_get_laid_protection(entry));
}

/** Lay all that isn't withdrawn in other windows. */
static int
lay_again(struct nmx_mem *mem, struct nmx_mem_windows *fresh)
{
	const struct nmx_mem_entry *before = NULL;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < mem->n_entries; i++) {
		const struct nmx_mem_entry *entry = &mem->entries[i];

		if (!entry->backed || entry->withdrawn)
			continue;
		ret = lay_entry_again(mem, entry, before, fresh);
		before = entry;
	}
	return ret;
}

/** It can't be kept, or not be revoked: the session is to be ended. */
static void
give_up(struct nmx_mem *mem, struct nmx_mem_windows *fresh)
{
	nmx_mem_release_windows(fresh);
	for (uint32_t i = 0; i < mem->n_entries; i++)
		nmx_mem_withdraw(mem, &mem->entries[i]);
	nmx_mem_mark_lost(&mem->guarded);
}

int
nmx_mem_revoke(struct nmx_mem *mem)
{
	struct nmx_mem_windows fresh = { 0 };
	int ret;

	if (mem->hidden)
		return 0;
	/* First of all: from now on a view leads nowhere. */
	nmx_mem_publish_view(mem, &nmx_mem_empty_view);
	for (uint32_t i = 0; i < mem->n_entries; i++)
		nmx_mem_leave_domains(mem, &mem->entries[i]);
	if (lay_again(mem, &fresh) != 0)
		give_up(mem, &fresh);
	ret = nmx_mem_lay_zeroes_everywhere(&mem->windows);
	if (ret != 0) {
		give_up(mem, &fresh);
		return ret;
	}
	mem->retired = mem->windows;
	mem->windows = fresh;
	mem->hidden = true;
	nmx_mem_drop_withdrawn(mem);
	return 0;
}

void
nmx_mem_keep_zeroes(struct nmx_mem *mem)
{
	nmx_mem_forget_windows(&mem->retired);
}

bool
nmx_mem_is_revoked(const struct nmx_mem *mem)
{
	return mem->hidden;
}
