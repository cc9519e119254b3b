/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Files that stay open while they are mapped.
 *
 * Theory of operation
 *
 * A file is kept for two reasons. One of huge pages can't be laid again without (revoke.c). And
 * whoever lets go of a file last frees its pages, which takes 40 ms for a GiB of small ones: that
 * is to be a close by the owner's bin, not an unmapping in the thread that serves all guests. So
 * the files of what is withdrawn are closed when it is unmapped, and not before.
 *
 * Of either kind 64 are kept. One of huge pages too many isn't, and freeing those is quick;
 * a map of any other file too many is refused.
 */

#include "lib/base/discard.h"
#include "lib/base/fd.h"
#include "space.h"

static bool
is_huge(const struct nmx_mem_file *file)
{
	return file->page_bytes != NMX_MEM_PAGE_BYTES;
}

static bool
is_equal_file(const struct nmx_mem_file *a, const struct nmx_mem_file *b)
{
	return a->device == b->device && a->inode == b->inode && a->writable == b->writable;
}

/** The half of the table that is for a file's kind. */
static struct nmx_mem_kept *
get_half(struct nmx_mem *mem, const struct nmx_mem_file *file)
{
	return mem->kept + (is_huge(file) ? NMX_MEM_KEPT_MAX : 0);
}

static struct nmx_mem_kept *
find_file(struct nmx_mem *mem, const struct nmx_mem_file *file)
{
	struct nmx_mem_kept *half = get_half(mem, file);

	for (unsigned int i = 0; i < NMX_MEM_KEPT_MAX; i++)
		if (half[i].n_entries > 0 && is_equal_file(&half[i].file, file))
			return &half[i];
	return NULL;
}

static struct nmx_mem_kept *
find_free(struct nmx_mem *mem, const struct nmx_mem_file *file)
{
	struct nmx_mem_kept *half = get_half(mem, file);

	for (unsigned int i = 0; i < NMX_MEM_KEPT_MAX; i++)
		if (half[i].n_entries == 0 && half[i].fd < 0)
			return &half[i];
	return NULL;
}

void
nmx_mem_init_kept(struct nmx_mem *mem)
{
	for (unsigned int i = 0; i < 2 * NMX_MEM_KEPT_MAX; i++)
		mem->kept[i].fd = -1;
}

const struct nmx_mem_kept *
nmx_mem_find_kept(struct nmx_mem *mem, const struct nmx_mem_entry *entry)
{
	return entry->kept ? find_file(mem, &entry->file) : NULL;
}

bool
nmx_mem_can_keep_file(struct nmx_mem *mem, const struct nmx_mem_entry *entry)
{
	return !entry->backed || is_huge(&entry->file) || find_file(mem, &entry->file) != NULL ||
	       find_free(mem, &entry->file) != NULL;
}

void
nmx_mem_keep_file(struct nmx_mem *mem, struct nmx_mem_entry *entry, int *fd)
{
	struct nmx_mem_kept *kept;

	if (!entry->backed)
		return;
	kept = find_file(mem, &entry->file);
	if (kept == NULL) {
		kept = find_free(mem, &entry->file);
		if (kept == NULL)
			return;
		kept->file = entry->file;
		kept->fd = nmx_base_take_fd(fd);
	}
	entry->kept = true;
	kept->n_entries++;
}

void
nmx_mem_let_file_go(struct nmx_mem *mem, const struct nmx_mem_entry *entry)
{
	if (entry->kept)
		find_file(mem, &entry->file)->n_entries--;
}

void
nmx_mem_close_files(struct nmx_mem *mem)
{
	int fds[2 * NMX_MEM_KEPT_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < 2 * NMX_MEM_KEPT_MAX; i++)
		if (mem->kept[i].n_entries == 0 && mem->kept[i].fd >= 0)
			fds[n++] = nmx_base_take_fd(&mem->kept[i].fd);
	nmx_base_drop_fds(mem->limits.bin, fds, n);
}
