/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What the NIC reaches, as if behind an IOMMU.
 *
 * Theory of operation
 *
 * A NIC reaches the memory of EAL, which EAL maps for it, and what the driver's dma_map() was told:
 * here a table of that. A posted buffer that isn't in either is an IOMMU's
 * fault: nothing is written, and a line in the log says so. So does another one if memory is
 * unmapped in which buffers are posted: a NIC would write to them a moment later.
 *
 * `lock` guards table and posted buffers: maps come from whatever thread.
 */

#ifndef TNIC_DMA_H
#define TNIC_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_spinlock.h>

#include "tnic_ring.h"

#define TNIC_DMA_MAX 1024

struct tnic_dma {
	rte_spinlock_t lock;
	uint32_t maps_max; /* 0: there is no IOMMU, everything is reached */
	uint32_t n;
	uint32_t n_faults;
	struct {
		uint8_t *start;
		size_t size;
	} maps[TNIC_DMA_MAX];
};

/** @return 0; -ENOSPC the table is full */
int tnic_map_dma(struct tnic_dma *dma, void *start, size_t size);

/** @return 0; -EINVAL it isn't in the table so. Context: `lock` held */
int tnic_unmap_dma(struct tnic_dma *dma, void *start, size_t size);

/** Of the ring's posted buffers, how many have something in this memory. Context: `lock` held. */
uint32_t tnic_count_posted_in(const struct tnic_ring *ring, const uint8_t *start, size_t size);

/** True if the NIC reaches all of it. Context: `lock` held. */
bool tnic_reaches(const struct tnic_dma *dma, const uint8_t *start, size_t size);

#endif
