/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Posted buffers: a source with a ring. */

#include "tnic_port.h"

#include <errno.h>
#include <string.h>

#include "tnic_shape.h"

int
tnic_set_up_posted(struct tnic_source *source, struct rte_mempool *pool)
{
	const struct tnic_config *config = source->config;
	int ret;

	if (config->ring == 0)
		return 0;
	tnic_empty_ring(&source->ring);
	ret = tnic_init_ring(&source->ring, pool, config->ring, config->round, config->rounds_up);
	source->ring.faults = (struct tnic_rx_faults){
		.alloc_fail = config->alloc_fail,
		.shuffled = config->rx_shuffled,
		.random.state = tnic_mix(config->seed + source->queue_idx),
	};
	return ret;
}

void
tnic_release_posted(struct tnic_source *source)
{
	tnic_empty_ring(&source->ring);
	tnic_fini_ring(&source->ring);
}

int
tnic_start_source(struct tnic_source *source)
{
	int ret;

	rte_spinlock_lock(&source->dma->lock);
	ret = tnic_fill_ring(&source->ring);
	rte_spinlock_unlock(&source->dma->lock);
	if (ret == 0)
		atomic_store(&source->stopped, false);
	return ret;
}

int
tnic_stop_source(struct tnic_source *source)
{
	enum tnic_ring_stop how = source->config->stop;

	if (how == TNIC_STOP_REFUSES_LATER)
		how = source->n_stops == 0 ? TNIC_STOP_RETURNS : TNIC_STOP_REFUSES;
	if (how == TNIC_STOP_LIES_LATER)
		how = source->n_stops == 0 ? TNIC_STOP_RETURNS : TNIC_STOP_LIES;
	source->n_stops++;
	if (how == TNIC_STOP_REFUSES)
		return -EBUSY;
	atomic_store(&source->stopped, true);
	rte_spinlock_lock(&source->dma->lock);
	if (how == TNIC_STOP_RETURNS)
		tnic_empty_ring(&source->ring);
	rte_spinlock_unlock(&source->dma->lock);
	return 0;
}

/** Take posted buffers that the NIC reaches; without an IOMMU it's no question. */
static bool
take_reachable(struct tnic_source *source, struct tnic_slot *slots, uint32_t n)
{
	struct tnic_dma *dma = source->dma;
	bool taken, reached = true;

	if (dma->maps_max == 0)
		return tnic_take_slots(&source->ring, slots, n);
	rte_spinlock_lock(&dma->lock);
	taken = tnic_take_slots(&source->ring, slots, n);
	for (uint32_t i = 0; taken && i < n; i++)
		reached &= tnic_reaches(dma, slots[i].address, source->ring.buffer_bytes);
	if (!reached && dma->n_faults++ == 0)
		TNIC_LOG(ERR, "a posted buffer isn't mapped for the device: nothing is written\n");
	rte_spinlock_unlock(&dma->lock);
	if (reached)
		return taken;
	for (uint32_t i = 0; i < n; i++)
		rte_mbuf_raw_free(slots[i].mbuf);
	return false;
}

bool
tnic_take_posted(
	struct tnic_source *source, struct rte_mbuf **segments, struct tnic_span *spans, uint32_t n)
{
	struct tnic_slot slots[TNIC_MAX_SEGMENTS];

	if (!take_reachable(source, slots, n))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		segments[i] = slots[i].mbuf;
		rte_mbuf_refcnt_set(segments[i], 1);
		segments[i]->nb_segs = 1;
		segments[i]->data_off = RTE_PKTMBUF_HEADROOM;
		segments[i]->ol_flags = 0;
		spans[i].data = slots[i].address;
	}
	return true;
}

void
tnic_spoil_rest(const struct tnic_source *source, const struct tnic_span *spans, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		memset(spans[i].data + spans[i].size, 0xEE,
			source->ring.buffer_bytes - spans[i].size);
}
