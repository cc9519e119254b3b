/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A client's address space: the only place that turns a guest's address into a host pointer.
 *
 * Theory of operation
 *
 * The guest's addresses are cut into windows of 64 GiB. At the first map in a window, as much host
 * address space is reserved for it; a map is then laid at the same place of the reservation. So
 * host = window's base + offset in the window, adjacent maps are adjacent here too, and a *region*
 * is a maximal run of adjacent maps of equal protection in one window. A range may cross maps, not
 * regions. Maps of huge pages that begin or end inside a page share it (cover.c).
 *
 * What data threads use is a *view*: an immutable, sorted table of regions with a generation,
 * swapped by pointer. A thread takes the view inside its burst's bracket and may keep a pointer
 * that it got from it until the bracket's end. Withdrawing memory is therefore two steps, with a
 * wait between them that only the caller can do:
 *
 *   nmx_mem_unmap()     the range is in no view any more
 *   (wait until no bracket that began before is open)
 *   nmx_mem_reclaim()   views and pages that nobody can hold any more go
 *
 * Maps only add; the view they replace goes at the next nmx_mem_reclaim().
 *
 * Memory that its owner truncates or punches under us raises SIGBUS here. The guard (guard.h) puts
 * a zero page there, remembers that this address space is lost, and wakes its control thread.
 *
 * Threads: one control thread calls everything but nmx_mem_get_view() and nmx_mem_translate().
 * Source: vfio-user DMA_MAP and DMA_UNMAP; docs/architecture.md, "Guest memory".
 */

#ifndef NMX_MEM_MEM_H
#define NMX_MEM_MEM_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/range.h"
#include "lib/base/shared.h"

#define NMX_MEM_PAGE_BYTES   UINT64_C(4096)
#define NMX_MEM_WINDOW_LOG2  36
#define NMX_MEM_WINDOW_BYTES (UINT64_C(1) << NMX_MEM_WINDOW_LOG2)
#define NMX_MEM_WINDOWS_MAX  16

/** What the device may do with a region; the same bits as in vfio-user's DMA_MAP. */
#define NMX_MEM_READ  UINT32_C(1)
#define NMX_MEM_WRITE UINT32_C(2)
/** Of a region only: it may be written to, and devices can do that, if there are any (dma.h). */
#define NMX_MEM_DMA UINT32_C(4)

struct nmx_mem_region {
	uint64_t start; /* guest address */
	uint64_t size;
	NMX_SHARED uint8_t *host;
	uint32_t protection; /* NMX_MEM_READ | NMX_MEM_WRITE | NMX_MEM_DMA */
};

/** Sorted by start, not overlapping. */
struct nmx_mem_view {
	uint64_t generation;        /* unlike that of any other view of this address space */
	struct nmx_mem_view *older; /* for the control thread, once replaced */
	uint32_t n_regions;
	struct nmx_mem_region regions[];
};

/** The region that a queue used last. Zeroed at start; one thread's. */
struct nmx_mem_cache {
	struct nmx_mem_region region;
	uint64_t generation;
};

struct nmx_bin;

struct nmx_mem_limits {
	uint32_t maps_max;
	uint64_t bytes_max;  /* of all maps together */
	struct nmx_bin *bin; /* for files; not owned. NULL: they are closed at once */
};

struct nmx_mem_map {
	struct nmx_range range; /* guest addresses, multiples of NMX_MEM_PAGE_BYTES */
	uint64_t offset;        /* of its first byte in the file */
	uint32_t protection;
};

struct nmx_mem;

/**
 * Make an empty address space.
 *
 * @param lost_fd  eventfd, not ours, open as long as the address space: written when a page of it
 *                 is lost
 * @return 0; -ENOMEM
 */
int nmx_mem_create(const struct nmx_mem_limits *limits, int lost_fd, struct nmx_mem **ret_mem);

/** Unmap and free everything. Context: no bracket is open in which it was used. NULL is nothing. */
void nmx_mem_destroy(struct nmx_mem *mem);

/**
 * Add a map. The same map of the same file again is a success that changes nothing.
 *
 * @param map  hostile
 * @param fd   the file, or -1: memory that can't be reached, remembered only so that it can be
 *             unmapped. Taken over on every path but -EBUSY
 * @return 0; -EINVAL range, offset, protection, kind of file, or address and offset don't agree
 *         modulo the file's pages; -EEXIST overlaps, or a huge page of it holds something else
 *         already; -ENOSPC a limit; -EACCES file not writable, or not as its huge page is; -EFAULT
 *         file too short; -ENOMEM; -EBUSY what was withdrawn is in the way, until reclaim or revoke
 */
int nmx_mem_map(struct nmx_mem *mem, const struct nmx_mem_map *map, int *fd);

/**
 * Withdraw the maps in a range; first of two steps. A range without any is no mistake: a virtual
 * IOMMU that is switched off, or gets another table, unmaps all there may have been.
 *
 * @param range  checked not to wrap
 * @return 0; -EINVAL a map reaches beyond the range, and none is withdrawn
 */
int nmx_mem_unmap(struct nmx_mem *mem, struct nmx_range range);

/** Withdraw all maps; first of two steps. */
void nmx_mem_unmap_all(struct nmx_mem *mem);

/** True if what was withdrawn can still be reached, until reclaim, blank or revoke. */
bool nmx_mem_needs_wait(const struct nmx_mem *mem);

/**
 * By force: nobody reaches what is withdrawn any more. Who still holds a pointer to it reads zeroes
 * and writes nowhere. nmx_mem_reclaim() follows as ever.
 *
 * @return 0; -EBUSY it shares a huge page with what stays, nothing is done: only nmx_mem_revoke()
 *         helps; -errno perhaps done in part
 */
int nmx_mem_blank(struct nmx_mem *mem);

/**
 * By force: nobody reaches any of the memory any more, and the view is empty, until
 * nmx_mem_reclaim() shows again what is mapped by then. In between maps come and go at once: there
 * is nothing to wait for. What can't be kept that long (more files of huge pages than
 * 64, no memory) is withdrawn, and the address space is lost.
 *
 * @return 0; -errno: some of it may be reached, and the address space is lost
 */
int nmx_mem_revoke(struct nmx_mem *mem);

/**
 * Of memory that is revoked: nmx_mem_reclaim() and nmx_mem_destroy() leave the zeroes where they
 * are, since somebody will never let go of a pointer there. Costs address space, and what is
 * written there.
 */
void nmx_mem_keep_zeroes(struct nmx_mem *mem);

/** True from nmx_mem_revoke() to nmx_mem_reclaim(). */
bool nmx_mem_is_revoked(const struct nmx_mem *mem);

/** Second step: nobody can hold a view older than the present one, nor a pointer got from it. */
void nmx_mem_reclaim(struct nmx_mem *mem);

/** True if maps are withdrawn, and nmx_mem_reclaim() is due. */
bool nmx_mem_has_withdrawn(const struct nmx_mem *mem);

/** True if there is something for nmx_mem_reclaim(). */
bool nmx_mem_needs_reclaim(const struct nmx_mem *mem);

/** True once a page vanished under us: the session is to be ended. Any thread. */
bool nmx_mem_is_lost(const struct nmx_mem *mem);

/** The present view. Context: inside a bracket, or the control thread. */
const struct nmx_mem_view *nmx_mem_get_view(const struct nmx_mem *mem);

/** Maps, and bytes in them, at present. */
uint32_t nmx_mem_count_maps(const struct nmx_mem *mem);
uint64_t nmx_mem_count_bytes(const struct nmx_mem *mem);

/** The region that holds an address, or NULL. Bounded by log2 of the regions. */
const struct nmx_mem_region *nmx_mem_find_region(const struct nmx_mem_view *view, uint64_t address);

/**
 * Translate a guest range to a host pointer.
 *
 * @param cache       of the calling queue; brought up to date
 * @param address     hostile
 * @param size        bytes, not 0; hostile
 * @param protection  NMX_MEM_READ, NMX_MEM_WRITE, or both; NMX_MEM_DMA, which implies the latter
 * @param ret         written on success only
 * @return 0; -EFAULT not mapped, wraps or crosses a region; -EACCES
 *
 * Context: inside the bracket in which the view was taken; valid until its end. No lock, no log.
 */
static inline int
nmx_mem_translate(const struct nmx_mem_view *view, struct nmx_mem_cache *cache, uint64_t address,
	uint64_t size, uint32_t protection, NMX_SHARED uint8_t **ret)
{
	/* An address below the region's start wraps to a number that no region reaches. */
	uint64_t offset = address - cache->region.start;

	if (__builtin_expect(cache->generation != view->generation ||
				     !nmx_base_check_slice(offset, size, cache->region.size),
		    0)) {
		const struct nmx_mem_region *region = nmx_mem_find_region(view, address);

		if (region == NULL)
			return -EFAULT;
		cache->region = *region;
		cache->generation = view->generation;
		offset = address - region->start;
		if (!nmx_base_check_slice(offset, size, region->size))
			return -EFAULT;
	}
	if (__builtin_expect((cache->region.protection & protection) != protection, 0))
		return -EACCES;
	*ret = cache->region.host + offset;
	return 0;
}

/**
 * As nmx_mem_translate(), for a burst that took its view before it fetched the address.
 *
 * Memory may have been mapped in between: the map is published before the client is told, and the
 * client hands over the address after that, so a view taken now has it. What is in a later view
 * only is as good: withdrawn memory outlives the bracket either way.
 *
 * @param view  of the burst; replaced by the present one if need be
 */
static inline int
nmx_mem_translate_fresh(const struct nmx_mem *mem, const struct nmx_mem_view **view,
	struct nmx_mem_cache *cache, uint64_t address, uint64_t size, uint32_t protection,
	NMX_SHARED uint8_t **ret)
{
	const struct nmx_mem_view *present;
	int error = nmx_mem_translate(*view, cache, address, size, protection, ret);

	if (__builtin_expect(error == 0, 1))
		return 0;
	present = nmx_mem_get_view(mem);
	if (present == *view)
		return error;
	*view = present;
	return nmx_mem_translate(present, cache, address, size, protection, ret);
}

#endif
