/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Frames that leave from where they lie (attach.h), in a burst: what receiving and looking at them
 * in place have in common. Private to these two.
 */

#ifndef NMX_GUESTPORT_FROM_GUEST_ATTACH_H
#define NMX_GUESTPORT_FROM_GUEST_ATTACH_H

#include <rte_memcpy.h>

#include "from_guest.h"
#include "lib/dpdk/mbufs.h"

/** True if frames of this burst may be attached. */
static inline bool
may_attach(const struct burst *burst)
{
	const struct nmx_from_guest *queue = burst->queue;

	/* Who sleeps may be the one to free them, and is woken by the guest only. A Tx queue of its
	 * own brings everything back in the end. */
	return !queue->sleeps && queue->room >= ATTACH_HEAD_BYTES &&
	       atomic_load_explicit(&queue->attaches, memory_order_relaxed) &&
	       (queue->tx != NULL || !nmx_guestport_is_attach_stuck(burst->ring->attach)) &&
	       !atomic_load_explicit(&queue->port->lends_nothing, memory_order_relaxed);
}

/** True if a planned frame is worth it, and where devices can read. */
static inline bool
can_attach(struct burst *burst, const struct frame *frame)
{
	NMX_SHARED uint8_t *first;
	const struct nmx_ring_slot *slot;

	if (frame->bytes <= ATTACH_BREAK_BYTES || frame->n_segments > 1 || frame->chain != NULL)
		return false;
	slot = nmx_ring_get_ready(&burst->ring->half.window, frame->ahead);
	return nmx_mem_translate(burst->view, &burst->ring->cache, slot->address, slot->length,
		       NMX_MEM_READ | NMX_MEM_DMA, &first) == 0;
}

/**
 * Choose frames to attach, with what each takes. Where there isn't an mbuf for each, none is.
 *
 * @param wanted       a bit for each frame of the chunk that is to be considered
 * @param ret_entries  in the order of the frames
 * @param ret_tails    raw mbufs, as many
 * @return a bit for each
 */
static inline uint32_t
choose_frames(struct burst *burst, const struct chunk *chunk, uint32_t wanted,
	struct attach_entry **ret_entries, struct rte_mbuf **ret_tails)
{
	struct nmx_attach *attach = burst->ring->attach;
	uint32_t which = 0, n = 0;

	/* What is asked for is done to a copy. */
	wanted &= ~chunk->asks;
	for (uint16_t i = 0; i < chunk->n; i++) {
		if (!(wanted >> i & 1) || !can_attach(burst, &chunk->frames[i]))
			continue;
		ret_entries[n] = nmx_guestport_take_entry(attach);
		if (ret_entries[n] == NULL)
			break;
		n++;
		which |= UINT32_C(1) << i;
	}
	if (n == 0 || rte_mempool_get_bulk(burst->queue->pool, (void **)ret_tails, n) == 0)
		return which;
	while (n > 0)
		nmx_guestport_put_entry(attach, ret_entries[--n]);
	return 0;
}

/** @param first  the frame's first bytes, wherever they are */
static inline void
attach_frame(struct burst *burst, const struct frame *frame, const void *first,
	struct attach_entry *entry, struct rte_mbuf *head, struct rte_mbuf *tail)
{
	const struct nmx_from_guest *queue = burst->queue;
	const struct nmx_ring_slot *slot = nmx_ring_get_ready(
		&burst->ring->half.window, frame->ahead);
	const struct attach_answer answer = { slot->id, slot->flags };

	nmx_dpdk_fill_mbuf(head, queue->rearm, ATTACH_HEAD_BYTES);
	rte_memcpy(rte_pktmbuf_mtod(head, void *), first, ATTACH_HEAD_BYTES);
	nmx_dpdk_fill_mbuf(tail, queue->rearm, 0);
	nmx_guestport_attach(entry, tail,
		NMX_SHARED_PLAIN(uint8_t, frame->first) + ATTACH_HEAD_BYTES,
		(uint16_t)(frame->bytes - ATTACH_HEAD_BYTES), answer);
	head->next = tail;
	head->nb_segs = 2;
	head->pkt_len = frame->bytes;
}

/** Lend all that the chunk has read; what isn't attached is answered at once. */
static inline void
answer_chunk(struct guest_ring *ring, const struct chunk *chunk, uint32_t which)
{
	struct nmx_ring_window *window = &ring->half.window;
	const uint32_t lent = window->lent;
	uint32_t n = 0, attached_slot;

	nmx_ring_lend(window, chunk->n_slots);
	for (uint32_t slot = 0, i = 0; slot < chunk->n_slots; slot++) {
		while (i < chunk->n && !(which >> i & 1))
			i++;
		attached_slot = i < chunk->n ? chunk->frames[i].ahead : UINT32_MAX;
		if (slot == attached_slot)
			i++;
		else
			*nmx_ring_get_taken(window, n++) = *nmx_ring_get_taken(window, lent + slot);
	}
	nmx_guestport_answer_lent(ring, n);
}

#endif
