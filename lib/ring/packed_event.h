/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Signals and kicks of a packed ring, with and without VIRTIO_F_EVENT_IDX.
 *
 * Theory of operation
 *
 * Each side has a word that says whether the other one should signal: always, never, or, with the
 * feature, when it comes to a position. Both rules are a store, a full fence and a load, so that of
 * two threads that do this at once at least one sees the other's store:
 *
 *   to sleep    store what asks for a kick; fence; look at the next descriptor; work there: don't
 *               sleep
 *   to signal   publish the answers; fence; read what the driver asked for
 *
 * A word is one load or store: position and kind never come from two. `event_idx` is the feature,
 * constant for a queue's life. Source: virtio 1.1, 2.7.14.
 */

#ifndef NMX_RING_PACKED_EVENT_H
#define NMX_RING_PACKED_EVENT_H

#include <stdatomic.h>

#include "lib/ring/packed_host.h"

/** What was signalled for. */
struct nmx_packed_bell {
	uint32_t answered; /* used_seq at the last look; the ring's own at first */
};

/**
 * True if the driver wants a signal for what was published since the last look. Call after
 * nmx_ring_publish_packed().
 */
static inline bool
nmx_ring_take_packed_event(
	const struct nmx_packed_host *ring, struct nmx_packed_bell *bell, const bool event_idx)
{
	const uint32_t from = bell->answered, to = ring->used_seq;
	const uint32_t n_slots = ring->window.mask + 1;
	uint32_t word, ahead;

	if (from == to)
		return false;
	bell->answered = to;
	/* Orders the answers before the load; pairs with the driver's fence between what it asks
	 * for and its look at the next descriptor. */
	atomic_thread_fence(memory_order_seq_cst);
	word = nmx_base_load32(&ring->parts.driver->word);
	if (!event_idx || NMX_PACKED_EVENT_KIND(word) != NMX_PACKED_EVENT_DESC)
		return NMX_PACKED_EVENT_KIND(word) != NMX_PACKED_EVENT_DISABLE;
	/* Positions come again after two laps. */
	ahead = (nmx_ring_find_packed_seq(NMX_PACKED_EVENT_POSITION(word), n_slots) - from) &
		(2 * n_slots - 1);
	return ahead < to - from;
}

/**
 * Ask for a kick. The caller looks at nmx_ring_has_packed() afterwards, before it sleeps.
 */
static inline void
nmx_ring_arm_packed_kick(struct nmx_packed_host *ring, const bool event_idx)
{
	uint16_t position = nmx_ring_get_packed_position(ring, ring->avail_seq);

	nmx_base_store32(&ring->parts.device->word,
		event_idx ? NMX_PACKED_EVENT(position, NMX_PACKED_EVENT_DESC)
			  : NMX_PACKED_EVENT(0, NMX_PACKED_EVENT_ENABLE));
	/* Orders the word before the caller's look at the next descriptor; pairs with the driver's
	 * fence between that one's flags and its load of this word. */
	atomic_thread_fence(memory_order_seq_cst);
}

/** Ask for no further kick; one may be under way. */
static inline void
nmx_ring_disarm_packed_kick(struct nmx_packed_host *ring)
{
	nmx_base_store32(&ring->parts.device->word, NMX_PACKED_EVENT(0, NMX_PACKED_EVENT_DISABLE));
}

#endif
