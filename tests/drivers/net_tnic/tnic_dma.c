/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_dma.h"

#include <errno.h>

#include <rte_memory.h>

int
tnic_map_dma(struct tnic_dma *dma, void *start, size_t size)
{
	int ret = -ENOSPC;

	rte_spinlock_lock(&dma->lock);
	if (dma->n < dma->maps_max) {
		dma->maps[dma->n].start = start;
		dma->maps[dma->n++].size = size;
		ret = 0;
	}
	rte_spinlock_unlock(&dma->lock);
	return ret;
}

int
tnic_unmap_dma(struct tnic_dma *dma, void *start, size_t size)
{
	for (uint32_t i = 0; i < dma->n; i++)
		if (dma->maps[i].start == start && dma->maps[i].size == size) {
			dma->maps[i] = dma->maps[--dma->n];
			return 0;
		}
	return -EINVAL;
}

uint32_t
tnic_count_posted_in(const struct tnic_ring *ring, const uint8_t *start, size_t size)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ring->count; i++) {
		const uint8_t *at = ring->slots[(ring->oldest + i) % ring->n].address;

		n += at + ring->buffer_bytes > start && at < start + size;
	}
	return n;
}

/** How many bytes from here on are in one map; 0: none. */
static size_t
measure(const struct tnic_dma *dma, const uint8_t *start)
{
	for (uint32_t i = 0; i < dma->n; i++)
		if (start >= dma->maps[i].start && start < dma->maps[i].start + dma->maps[i].size)
			return (size_t)(dma->maps[i].start + dma->maps[i].size - start);
	return 0;
}

bool
tnic_reaches(const struct tnic_dma *dma, const uint8_t *start, size_t size)
{
	/* Both ends: EAL's memory goes from page to page. */
	if (rte_mem_virt2memseg_list(start) != NULL &&
		rte_mem_virt2memseg_list(start + size - 1) != NULL)
		return true;
	while (size > 0) {
		size_t some = measure(dma, start);

		if (some == 0)
			return false;
		some = some < size ? some : size;
		start += some;
		size -= some;
	}
	return true;
}
