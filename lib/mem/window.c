/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "window.h"

#include <string.h>
#include <sys/mman.h>

/** The largest huge page of x86-64 and arm64 with 4 KiB pages. */
#define WINDOW_ALIGN (UINT64_C(1) << 30)

#define RESERVE (MAP_PRIVATE | MAP_ANONYMOUS)

void *
nmx_mem_map_untouched(void *place, size_t size, int access, int flags, int fd, uint64_t offset)
{
	uint8_t *at = mmap(place, size, PROT_NONE, flags | MAP_NORESERVE, fd, (off_t)offset);

	if (at == MAP_FAILED)
		return NULL;
	(void)munlock(at, size);
	if (access != PROT_NONE && mprotect(at, size, access) != 0)
		return NULL; /* only over a place that was ours before: the caller clears it */
	return at;
}

bool
nmx_mem_take_piece(struct nmx_range *rest, struct nmx_range *ret_piece)
{
	uint64_t room = NMX_MEM_WINDOW_BYTES - (rest->start & (NMX_MEM_WINDOW_BYTES - 1));

	if (rest->size == 0)
		return false;
	ret_piece->start = rest->start;
	ret_piece->size = rest->size < room ? rest->size : room;
	rest->start += ret_piece->size;
	rest->size -= ret_piece->size;
	return true;
}

static struct nmx_mem_window *
find_window(const struct nmx_mem_windows *windows, uint64_t index)
{
	for (unsigned int i = 0; i < NMX_MEM_WINDOWS_MAX; i++) {
		const struct nmx_mem_window *window = &windows->window[i];

		if (window->base != NULL && window->index == index)
			return (struct nmx_mem_window *)window;
	}
	return NULL;
}

uint8_t *
nmx_mem_find_place(const struct nmx_mem_windows *windows, uint64_t address)
{
	struct nmx_mem_window *window = find_window(windows, address >> NMX_MEM_WINDOW_LOG2);

	if (window == NULL)
		return NULL;
	return window->base + (address & (NMX_MEM_WINDOW_BYTES - 1));
}

/** Reserve a window's address space at an aligned place; NULL if there is none. */
static uint8_t *
reserve_space(void)
{
	const size_t size = NMX_MEM_WINDOW_BYTES + WINDOW_ALIGN;
	uint8_t *space = nmx_mem_map_untouched(NULL, size, PROT_NONE, RESERVE, -1, 0);
	uint8_t *base;
	size_t before;

	if (space == NULL)
		return NULL;
	base = (uint8_t *)(((uintptr_t)space + WINDOW_ALIGN - 1) & ~(WINDOW_ALIGN - 1));
	before = (size_t)(base - space);
	if (before > 0)
		munmap(space, before);
	if (before < WINDOW_ALIGN)
		munmap(base + NMX_MEM_WINDOW_BYTES, WINDOW_ALIGN - before);
	return base;
}

static int
open_window(struct nmx_mem_windows *windows, struct nmx_mem_guarded *owner, uint64_t index)
{
	unsigned int i = 0;
	uint8_t *base;
	int ret;

	if (find_window(windows, index) != NULL)
		return 0;
	while (i < NMX_MEM_WINDOWS_MAX && windows->window[i].base != NULL)
		i++;
	if (i == NMX_MEM_WINDOWS_MAX)
		return -ENOSPC;
	base = reserve_space();
	if (base == NULL)
		return -ENOMEM;
	ret = nmx_mem_add_guard(base, NMX_MEM_WINDOW_BYTES, owner);
	if (ret != 0) {
		munmap(base, NMX_MEM_WINDOW_BYTES);
		return ret;
	}
	windows->window[i].index = index;
	windows->window[i].base = base;
	return 0;
}

/** Guest memory belongs neither in our core dumps nor into a child. Both are refinements: a kernel
 * that refuses one changes nothing of what a guest can do.
 */
static void
keep_private(uint8_t *place, size_t size)
{
	(void)madvise(place, size, MADV_DONTDUMP);
	(void)madvise(place, size, MADV_DONTFORK);
}

static int
lay_piece(uint8_t *place, size_t size, int fd, uint64_t offset, uint32_t protection)
{
	int access = PROT_READ | ((protection & NMX_MEM_WRITE) ? PROT_WRITE : 0);

	if (nmx_mem_map_untouched(place, size, access, MAP_SHARED | MAP_FIXED, fd, offset) == NULL)
		return -errno;
	keep_private(place, size);
	return 0;
}

static int
open_windows(struct nmx_mem_windows *windows, struct nmx_mem_guarded *owner, struct nmx_range range)
{
	struct nmx_range piece;
	int ret = 0;

	while (ret == 0 && nmx_mem_take_piece(&range, &piece))
		ret = open_window(windows, owner, piece.start >> NMX_MEM_WINDOW_LOG2);
	return ret;
}

int
nmx_mem_lay_file(struct nmx_mem_windows *windows, struct nmx_mem_guarded *owner,
	struct nmx_range range, int fd, uint64_t offset, uint32_t protection)
{
	struct nmx_range rest = range, piece;
	int ret = open_windows(windows, owner, range);

	if (ret != 0)
		return ret;
	while (ret == 0 && nmx_mem_take_piece(&rest, &piece))
		ret = lay_piece(nmx_mem_find_place(windows, piece.start), piece.size, fd,
			offset + (piece.start - range.start), protection);
	if (ret != 0)
		nmx_mem_clear_range(windows, range);
	return ret;
}

int
nmx_mem_lay_copy(struct nmx_mem_windows *to, struct nmx_mem_guarded *owner,
	const struct nmx_mem_windows *from, struct nmx_range range)
{
	struct nmx_range piece;
	int ret = open_windows(to, owner, range);

	while (ret == 0 && nmx_mem_take_piece(&range, &piece)) {
		uint8_t *place = nmx_mem_find_place(to, piece.start);

		/* Of a shared mapping, "nothing moved" means: once more. */
		if (mremap(nmx_mem_find_place(from, piece.start), 0, piece.size,
			    MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED)
			ret = -errno;
		else
			keep_private(place, piece.size);
	}
	return ret;
}

/** Made elsewhere and moved there, which is one step for all other threads. */
static int
lay_zero_piece(uint8_t *place, size_t size)
{
	void *zeroes = nmx_mem_map_untouched(NULL, size, PROT_NONE, RESERVE, -1, 0);
	int ret;

	if (zeroes == NULL)
		return -errno;
	if (mprotect(zeroes, size, PROT_READ | PROT_WRITE) == 0 &&
		mremap(zeroes, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place) != MAP_FAILED)
		return 0;
	ret = -errno;
	munmap(zeroes, size);
	return ret;
}

int
nmx_mem_lay_zeroes(struct nmx_mem_windows *windows, struct nmx_range range)
{
	struct nmx_range piece;
	int ret = 0;

	while (ret == 0 && nmx_mem_take_piece(&range, &piece))
		ret = lay_zero_piece(nmx_mem_find_place(windows, piece.start), piece.size);
	return ret;
}

int
nmx_mem_lay_zeroes_everywhere(struct nmx_mem_windows *windows)
{
	int ret = 0;

	for (unsigned int i = 0; ret == 0 && i < NMX_MEM_WINDOWS_MAX; i++)
		if (windows->window[i].base != NULL)
			ret = lay_zero_piece(windows->window[i].base, NMX_MEM_WINDOW_BYTES);
	return ret;
}

void
nmx_mem_clear_range(struct nmx_mem_windows *windows, struct nmx_range range)
{
	struct nmx_range piece;

	while (nmx_mem_take_piece(&range, &piece)) {
		uint8_t *place = nmx_mem_find_place(windows, piece.start);

		/* Over pages of our own this can only fail for want of map entries; then the file
		 * stays mapped here, out of every view, until the window goes. */
		if (place != NULL)
			(void)nmx_mem_map_untouched(
				place, piece.size, PROT_NONE, RESERVE | MAP_FIXED, -1, 0);
	}
}

static void
end_windows(struct nmx_mem_windows *windows, bool unmap)
{
	for (unsigned int i = 0; i < NMX_MEM_WINDOWS_MAX; i++) {
		struct nmx_mem_window *window = &windows->window[i];

		if (window->base == NULL)
			continue;
		nmx_mem_remove_guard(window->base);
		if (unmap)
			munmap(window->base, NMX_MEM_WINDOW_BYTES);
		memset(window, 0, sizeof(*window));
	}
}

void
nmx_mem_release_windows(struct nmx_mem_windows *windows)
{
	end_windows(windows, true);
}

void
nmx_mem_forget_windows(struct nmx_mem_windows *windows)
{
	end_windows(windows, false);
}
