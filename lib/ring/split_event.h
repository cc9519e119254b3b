/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Signals and kicks of a split ring, with and without VIRTIO_F_EVENT_IDX.
 *
 * Theory of operation
 *
 * Without the feature each side has a flag that asks the other one to be quiet; with it each has an
 * index: "tell me when you pass this". Either way both rules are a store, a full fence and a load,
 * so that of two threads that do this at once at least one sees the other's store:
 *
 *   to sleep    store what asks for a kick; fence; look at avail->idx; work there: don't sleep
 *   to signal   publish used->idx; fence; read what the driver asked for
 *
 * `event_idx` is the feature, constant for a queue's life. Source: virtio 1.1/1.2, 2.6.7, 2.6.10.
 */

#ifndef NMX_RING_SPLIT_EVENT_H
#define NMX_RING_SPLIT_EVENT_H

#include <stdatomic.h>

#include "lib/ring/split_host.h"

/** What was signalled for. */
struct nmx_split_bell {
	uint16_t answered; /* used->idx at the last look; the base at first */
};

/** True if (first, last] has event + 1, modulo 65536: an index moved past `event`. 2.6.7.2 */
static inline bool
nmx_ring_passes_event(uint16_t event, uint16_t from, uint16_t to)
{
	return (uint16_t)(to - event - 1) < (uint16_t)(to - from);
}

/**
 * True if the driver wants a signal for what was published since the last look. Call after
 * nmx_ring_publish_used(), at least once in 65535 answers.
 */
static inline bool
nmx_ring_take_split_event(
	const struct nmx_split_host *ring, struct nmx_split_bell *bell, const bool event_idx)
{
	const NMX_SHARED struct nmx_split_avail *avail = ring->parts.avail;
	const uint16_t from = bell->answered, to = (uint16_t)ring->window.comp;

	if (from == to)
		return false;
	bell->answered = to;
	/* Orders used->idx before the load; pairs with the driver's fence between what it asks for
	 * and its look at used->idx. */
	atomic_thread_fence(memory_order_seq_cst);
	if (event_idx)
		return nmx_ring_passes_event(
			nmx_base_load16(&avail->ring[ring->window.mask + 1]), from, to);
	return (nmx_base_load16(&avail->flags) & NMX_SPLIT_AVAIL_NO_INTERRUPT) == 0;
}

/** The word behind the used ring: tell me when you pass this. */
static inline NMX_SHARED uint16_t *
nmx_ring_find_avail_event(const struct nmx_split_host *ring)
{
	return (NMX_SHARED uint16_t *)&ring->parts.used->ring[ring->window.mask + 1];
}

/** Ask for a kick. The caller looks at nmx_ring_has_split() afterwards, before it sleeps. */
static inline void
nmx_ring_arm_kick(struct nmx_split_host *ring, const bool event_idx)
{
	if (event_idx)
		nmx_base_store16(nmx_ring_find_avail_event(ring), (uint16_t)ring->window.fetch);
	else
		nmx_base_store16(&ring->parts.used->flags, 0);
	/* Orders the word before the caller's look at avail->idx; pairs with the driver's fence
	 * between its avail->idx and its load of this word. */
	atomic_thread_fence(memory_order_seq_cst);
}

/**
 * Ask for no further kick; one may be under way. With `event_idx` the word stays behind the avail
 * ring's index, which passes it once in 65536 entries; the flag is 0 then, as 2.6.10.1 demands.
 */
static inline void
nmx_ring_disarm_kick(struct nmx_split_host *ring, const bool event_idx)
{
	if (!event_idx)
		nmx_base_store16(&ring->parts.used->flags, NMX_SPLIT_USED_NO_NOTIFY);
}

#endif
