/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A client's memory, for devices that reach it by themselves through an IOMMU.
 *
 * Theory of operation
 *
 * A *domain* is whatever one table of the IOMMU is for: one device, or all of a bus. It is entered
 * when buffers are to be lent to a device of it, and left after that. In between each map that a
 * device may write to is mapped in the domain, too, at the addresses that it has here.
 *
 * That pins memory, and takes time: it is done in pieces, by nmx_mem_advance_dma(), between a
 * client's requests and never within one. A map that is done, in all domains that are entered, has
 * NMX_MEM_DMA in its region's protection, and so has all that can be written to while there is no
 * domain; buffers are lent from nowhere else. A map that a domain refuses stays without it, and is
 * told in the counts.
 *
 * Memory that goes leaves its domains before it leaves its place here: in nmx_mem_reclaim(), when
 * nobody holds any of it, or by force, in nmx_mem_blank() and nmx_mem_revoke(). What a device
 * writes after that doesn't arrive.
 *
 * Context of all: the address space's control thread.
 */

#ifndef NMX_MEM_DMA_H
#define NMX_MEM_DMA_H

#include "mem.h"

#define NMX_MEM_DOMAINS_MAX 4

struct nmx_mem_domain {
	const void *key; /* what it is known by */
	void *device;    /* given to both of these */
	/** Map memory of this process at its own address. @return 0; -errno */
	int (*map)(void *device, void *host, uint64_t size);
	/** Undo one map() that returned 0. */
	void (*unmap)(void *device, void *host, uint64_t size);
};

struct nmx_mem_dma_counts {
	uint64_t mapped_bytes; /* in all entered domains */
	uint32_t refused_maps; /* by one of them, for good */
	int error;             /* why the last one was, -errno; 0 */
};

/**
 * Enter a domain, or enter it once more. No view that is published from now on says NMX_MEM_DMA of
 * what isn't mapped in it.
 *
 * @param domain  kept as a copy
 * @return 0; -ENOSPC too many; -ENOMEM. Nothing is changed then
 */
int nmx_mem_enter_domain(struct nmx_mem *mem, const struct nmx_mem_domain *domain);

/** Undo one nmx_mem_enter_domain(); the last one unmaps. Context: no device of it writes there. */
void nmx_mem_leave_domain(struct nmx_mem *mem, const void *key);

/** Map the next piece of what is missing. @return true if something is missing yet */
bool nmx_mem_advance_dma(struct nmx_mem *mem);

/** True if nmx_mem_advance_dma() has something to do. */
bool nmx_mem_needs_dma(const struct nmx_mem *mem);

void nmx_mem_count_dma(const struct nmx_mem *mem, struct nmx_mem_dma_counts *ret_counts);

#endif
