/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Finding the frames that a guest hands over: what receiving (from_guest.c) and looking at them in
 * place (peek.c) have in common. Private to these two.
 *
 * Theory of operation
 *
 * A burst is cut into chunks of BURST_MAX frames. For each chunk whole frames are fetched, with a
 * bound, and *planned*: judged, their first segment translated, what will be read prefetched. A
 * frame that the guest may send and nobody here can hold is passed over with a counter; one that
 * breaks the device's rules ends the plan in front of it. The caller deals with the planned frames
 * and answers their slots, last first.
 *
 * What isn't answered stays fetched, in the slots' private copies, for the next burst: nothing is
 * read from the ring twice.
 */

#ifndef NMX_GUESTPORT_FROM_GUEST_H
#define NMX_GUESTPORT_FROM_GUEST_H

#include "port.h"

/** A frame of a chunk: its slots, counted from `comp`. */
struct frame {
	NMX_SHARED uint8_t *first; /* its first segment */
	uint32_t ahead;            /* its first slot */
	uint32_t n_slots;
	uint32_t bytes;
	uint16_t drops_before; /* of the same chunk */
};

/** A burst under way. */
struct burst {
	struct nmx_from_guest *queue;
	struct guest_ring *ring;
	const struct nmx_mem_view *view;
	uint32_t bytes_max; /* of a frame, by the port's MTU and what its mbufs hold */
	uint64_t frames, bytes;
	uint64_t drops[NMX_FROM_GUEST_DROPS];
	uint64_t no_mbuf;
	uint16_t fault;
};

/** Find a segment; false: the burst has a fault. */
static inline bool
translate(struct burst *burst, const struct nmx_ring_slot *slot, NMX_SHARED uint8_t **ret)
{
	if (likely(nmx_mem_translate_fresh(burst->ring->mem, &burst->view, &burst->ring->cache,
			   slot->address, slot->length, NMX_MEM_READ, ret) == 0))
		return true;
	burst->fault = VDPDK_FAULT_ADDRESS;
	burst->ring->untranslated = (struct nmx_range){ slot->address, slot->length };
	return false;
}

/** Look at the frame whose first slot is `ahead` of `comp`; all its slots are taken. */
static inline void
measure_frame(const struct nmx_ring_host *slots, uint32_t ahead, struct frame *ret)
{
	const struct nmx_ring_slot *slot = nmx_ring_get_taken(&slots->window, ahead);
	uint32_t n_slots = 1, bytes = slot->length;

	while (unlikely(slot->flags & VDPDK_FLAG_NEXT)) {
		slot = nmx_ring_get_taken(&slots->window, ahead + n_slots++);
		bytes += slot->length;
	}
	ret->ahead = ahead;
	ret->n_slots = n_slots;
	ret->bytes = bytes;
}

/** What becomes of a frame. */
enum fate {
	RECEIVED,
	DROPPED,
	WAITS, /* for mbufs, or for nothing any more: the burst ends before it */
};

/** Judge a frame; RECEIVED if it is to be copied. */
static inline enum fate
judge_frame(struct burst *burst, const struct frame *frame)
{
	if (unlikely(frame->bytes < VDPDK_FRAME_BYTES_MIN || frame->bytes > NMX_FRAME_BYTES_MAX)) {
		burst->fault = VDPDK_FAULT_LENGTH;
		return WAITS;
	}
	/* NMX_FROM_GUEST_TOO_LONG, the only reason there is. */
	return likely(frame->bytes <= burst->bytes_max) ? RECEIVED : DROPPED;
}

/** Find and prefetch a frame. */
static inline enum fate
plan_frame(struct burst *burst, const struct nmx_ring_slot *first, struct frame *frame)
{
	enum fate fate = judge_frame(burst, frame);

	if (unlikely(fate != RECEIVED))
		return fate;
	if (unlikely(!translate(burst, first, &frame->first)))
		return WAITS;
	__builtin_prefetch(NMX_SHARED_PLAIN(void, frame->first));
	return RECEIVED;
}

/** Answer n slots, last first. */
static inline void
answer_slots(struct nmx_ring_host *ring, uint32_t n)
{
	struct nmx_ring_host slots = *ring;

	for (uint32_t i = n; i-- > 0;)
		nmx_ring_complete_slot(&slots, i,
			VDPDK_W1(VDPDK_TX_DONE, nmx_ring_get_taken(&slots.window, i)->id, 0, 0));
	nmx_ring_advance_comp(&ring->window, n);
}

/** Context: bracket entered; queue and ring set, all else zero. */
static inline void
begin_burst(struct burst *burst)
{
	burst->view = nmx_mem_get_view(burst->ring->mem);
	burst->bytes_max = atomic_load_explicit(
		&burst->queue->port->from_guest_bytes_max, memory_order_relaxed);
}

/** Count what was done; a fault stops the queue. Context: the bracket is still open. */
static inline void
end_burst(const struct burst *burst)
{
	struct nmx_from_guest *queue = burst->queue;

	if (unlikely(burst->fault != VDPDK_FAULT_NONE))
		nmx_guestport_set_fault(queue->port, burst->ring, &queue->active, burst->fault);
	queue->counters.frames += burst->frames;
	queue->counters.bytes += burst->bytes;
	queue->counters.no_mbuf += burst->no_mbuf;
	for (unsigned int i = 0; i < NMX_FROM_GUEST_DROPS; i++)
		queue->counters.drops[i] += burst->drops[i];
}

/** What a chunk comes to. */
struct chunk {
	uint16_t n; /* frames planned, in order */
	uint16_t n_drops;
	uint32_t n_slots; /* of frames that are done with: planned or dropped */
	struct frame frames[BURST_MAX];
};

/** Look at up to n taken frames; stops at one that waits. */
static inline void
plan_chunk(struct burst *burst, struct chunk *chunk, uint16_t n)
{
	const struct nmx_ring_host slots = burst->ring->slots;
	uint32_t taken = nmx_ring_count_taken(&slots.window), ahead = 0;

	chunk->n = chunk->n_drops = 0;
	while (chunk->n + chunk->n_drops < n && ahead < taken) {
		struct frame *frame = &chunk->frames[chunk->n];
		enum fate fate;

		measure_frame(&slots, ahead, frame);
		fate = plan_frame(burst, nmx_ring_get_taken(&slots.window, ahead), frame);
		if (unlikely(fate == WAITS))
			break;
		frame->drops_before = chunk->n_drops;
		ahead += frame->n_slots;
		if (likely(fate == RECEIVED))
			chunk->n++;
		else
			chunk->n_drops++;
	}
	chunk->n_slots = ahead;
}

#endif
