/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Windows: reserved host address space, 64 GiB of guest addresses each.
 *
 * Theory of operation
 *
 * A window's base has the alignment of the largest huge page, so a guest address and its place here
 * agree modulo any page size. What isn't mapped in a window is reserved without access.
 * Context of all: the address space's control thread.
 */

#ifndef NMX_MEM_WINDOW_H
#define NMX_MEM_WINDOW_H

#include "guard.h"
#include "mem.h"

struct nmx_mem_window {
	uint64_t index; /* guest address >> NMX_MEM_WINDOW_LOG2 */
	uint8_t *base;  /* NULL: free */
};

struct nmx_mem_windows {
	struct nmx_mem_window window[NMX_MEM_WINDOWS_MAX];
};

/**
 * Map without touching. Programs of this field lock all their memory, future mappings too, and then
 * every mapping is filled at once: a client's gigabytes within a message, its sparse file made
 * real. A mapping without access can't be filled; unlocked, it gets its access and stays as it is.
 *
 * @param access  PROT_*; @param flags  MAP_*; the rest as for mmap(). Async-signal-safe
 * @return NULL: errno says why
 */
void *nmx_mem_map_untouched(
	void *place, size_t size, int access, int flags, int fd, uint64_t offset);

/** Cut the part of *rest off that lies in one window. False if nothing is left. */
bool nmx_mem_take_piece(struct nmx_range *rest, struct nmx_range *ret_piece);

/** Where a guest address of a reserved window is here; NULL if its window isn't reserved. */
uint8_t *nmx_mem_find_place(const struct nmx_mem_windows *windows, uint64_t address);

/**
 * Lay a file over a range, reserving windows as needed.
 *
 * @param range       aligned to the file's pages
 * @param protection  NMX_MEM_*
 * @return 0; -ENOSPC no more windows; -errno of mmap(). Nothing is laid then
 */
int nmx_mem_lay_file(struct nmx_mem_windows *windows, struct nmx_mem_guarded *owner,
	struct nmx_range range, int fd, uint64_t offset, uint32_t protection);

/**
 * Lay in `to` what `from` has in a range, reserving windows as needed. Not huge pages: the kernel
 * has no way to map those once more without their file.
 *
 * @return as nmx_mem_lay_file()
 */
int nmx_mem_lay_copy(struct nmx_mem_windows *to, struct nmx_mem_guarded *owner,
	const struct nmx_mem_windows *from, struct nmx_range range);

/**
 * Lay zero pages of our own over a range. Whoever reads or writes there meanwhile meets either
 * what was there or the zeroes, never nothing.
 *
 * @param range  aligned to the pages of what is laid there
 * @return 0; -errno of mmap() or mremap(): perhaps only a part of it has them
 */
int nmx_mem_lay_zeroes(struct nmx_mem_windows *windows, struct nmx_range range);

/** The same over all of each window. */
int nmx_mem_lay_zeroes_everywhere(struct nmx_mem_windows *windows);

/** Take what was laid over a range away again; the window stays reserved. */
void nmx_mem_clear_range(struct nmx_mem_windows *windows, struct nmx_range range);

/** Give all windows back. */
void nmx_mem_release_windows(struct nmx_mem_windows *windows);

/** Leave all windows as they are, for ever. They hold pages of our own and nothing else. */
void nmx_mem_forget_windows(struct nmx_mem_windows *windows);

#endif
