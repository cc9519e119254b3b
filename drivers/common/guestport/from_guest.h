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

#include "kinds.h"

/** A frame of a chunk: its slots, counted from the first ready one. */
struct frame {
	NMX_SHARED uint8_t *first; /* its first segment */
	uint32_t ahead;            /* its first slot */
	uint32_t n_slots;
	uint32_t n_segments; /* as many as slots, unless it is a chain of virtio's */
	uint32_t bytes;
	struct nmx_split_net_header header;  /* of a chain, a long frame, or one that asks */
	const struct nmx_split_chain *chain; /* NULL: none */
	uint16_t drops_before;               /* of the same chunk */
};

/** A burst under way. */
struct burst {
	struct nmx_from_guest *queue;
	struct guest_ring *ring;
	const struct nmx_mem_view *view;
	uint32_t bytes_max; /* of a frame, by the port's MTU and what its mbufs hold */
	uint32_t long_max;  /* of one that is to be cut; 0: none may be */
	uint64_t frames, bytes;
	uint64_t drops[NMX_FROM_GUEST_DROPS];
	uint64_t no_mbuf, attached;
	uint16_t fault;
};

/** Find memory of the guest's; false: the burst has a fault. */
static inline bool
translate(struct burst *burst, uint64_t address, uint32_t bytes, NMX_SHARED uint8_t **ret)
{
	if (likely(nmx_mem_translate_fresh(burst->ring->mem, &burst->view, &burst->ring->cache,
			   address, bytes, NMX_MEM_READ, ret) == 0))
		return true;
	burst->fault = VDPDK_FAULT_ADDRESS;
	burst->ring->untranslated = (struct nmx_range){ address, bytes };
	return false;
}

/** A frame's segment by its number. @return false: the burst has a fault */
static inline bool
find_segment(struct burst *burst, const struct frame *frame, uint32_t i, NMX_SHARED uint8_t **ret,
	uint32_t *ret_bytes)
{
	const struct nmx_ring_slot *slot;

	if (frame->chain != NULL) {
		*ret_bytes = frame->chain->extents[i].length;
		return translate(burst, frame->chain->extents[i].address, *ret_bytes, ret);
	}
	slot = nmx_ring_get_ready(&burst->ring->half.window, frame->ahead + i);
	*ret_bytes = slot->length;
	return translate(burst, slot->address, *ret_bytes, ret);
}

/** Look at the frame whose first slot is `ahead` of the window's `comp`; all its slots are there.
 */
static inline __rte_always_inline void
measure_frame(const struct nmx_ring_window *window, uint32_t ahead, struct frame *ret,
	const enum ring_kind kind)
{
	const struct nmx_ring_slot *slot = nmx_ring_get_taken(window, ahead);
	uint32_t n_slots = 1, bytes = slot->length;

	while (kind == RING_VDPDK && unlikely(slot->flags & VDPDK_FLAG_NEXT)) {
		slot = nmx_ring_get_taken(window, ahead + n_slots++);
		bytes += slot->length;
	}
	ret->ahead = ahead;
	ret->n_slots = ret->n_segments = n_slots;
	ret->bytes = bytes;
	ret->chain = NULL;
}

/** The same of a chain. @return false: the burst has a fault */
static inline bool
measure_chain(struct burst *burst, const struct nmx_ring_slot *slot, struct frame *frame,
	struct nmx_split_chain *chain, const enum ring_kind kind)
{
	const uint32_t header_bytes = get_header_bytes(kind);
	NMX_SHARED uint8_t *header;

	burst->fault = walk_chain(burst->ring, &burst->view, slot, false, kind, chain);
	if (burst->fault != VDPDK_FAULT_NONE ||
		!translate(burst, chain->header, header_bytes, &header))
		return false;
	frame->header = nmx_ring_load_net_header(header + header_bytes, header_bytes);
	frame->chain = chain;
	frame->n_segments = chain->n;
	frame->bytes = (uint32_t)chain->bytes;
	return true;
}

/** What becomes of a frame. */
enum fate {
	RECEIVED,
	DROPPED,
	WAITS, /* for mbufs, or for nothing any more: the burst ends before it */
};

/** Judge a frame over the limit: it may be one that is to be cut, by its header. */
static inline enum fate
judge_long(struct burst *burst, const struct nmx_ring_slot *first, struct frame *frame,
	const uint32_t header_bytes)
{
	NMX_SHARED uint8_t *data;

	if (frame->bytes > burst->long_max)
		return DROPPED;
	if (frame->chain == NULL) {
		if (!translate(burst, first->address - header_bytes, header_bytes, &data))
			return WAITS;
		frame->header = nmx_ring_load_net_header(data + header_bytes, header_bytes);
	}
	return frame->header.gso_type == NMX_SPLIT_NET_GSO_NONE ? DROPPED : RECEIVED;
}

/** Judge a frame; RECEIVED if it is to be copied. */
static inline __rte_always_inline enum fate
judge_frame(struct burst *burst, const struct nmx_ring_slot *first, struct frame *frame,
	const enum ring_kind kind)
{
	/* Nobody has told a virtio guest how long a frame may be. */
	const uint32_t bytes_max = kind == RING_VDPDK ? NMX_FRAME_BYTES_MAX : UINT32_MAX;

	if (unlikely(frame->bytes < VDPDK_FRAME_BYTES_MIN || frame->bytes > bytes_max)) {
		burst->fault = VDPDK_FAULT_LENGTH;
		return WAITS;
	}
	/* NMX_FROM_GUEST_TOO_LONG, the only reason there is so early. */
	if (likely(frame->bytes <= burst->bytes_max))
		return RECEIVED;
	return kind == RING_VDPDK ? DROPPED
				  : judge_long(burst, first, frame, get_header_bytes(kind));
}

/**
 * Find and prefetch a frame. The net header of one that is in one piece is looked at when the frame
 * is: it shares a line with it.
 */
static inline __rte_always_inline enum fate
plan_frame(struct burst *burst, const struct nmx_ring_slot *first, struct frame *frame,
	const enum ring_kind kind)
{
	const uint32_t header_bytes = get_header_bytes(kind);
	enum fate fate = judge_frame(burst, first, frame, kind);

	if (unlikely(fate != RECEIVED))
		return fate;
	if (kind != RING_VDPDK && unlikely(frame->chain != NULL)) {
		uint32_t bytes;

		return find_segment(burst, frame, 0, &frame->first, &bytes) ? RECEIVED : WAITS;
	}
	if (unlikely(!translate(burst, first->address - header_bytes, first->length + header_bytes,
		    &frame->first)))
		return WAITS;
	__builtin_prefetch(NMX_SHARED_PLAIN(void, frame->first));
	frame->first += header_bytes;
	return RECEIVED;
}

/** Context: bracket entered; queue and ring set, all else zero. */
static inline void
begin_burst(struct burst *burst)
{
	burst->view = nmx_mem_get_view(burst->ring->mem);
	burst->bytes_max = atomic_load_explicit(
		&burst->queue->port->from_guest_bytes_max, memory_order_relaxed);
}

/**
 * Count what was done, signal; a fault stops the queue. Context: the bracket is still open.
 *
 * A vDPDK guest looks for what was read when it needs the room, and isn't signalled.
 */
static inline __rte_always_inline void
end_burst(const struct burst *burst, const enum ring_kind kind)
{
	struct nmx_from_guest *queue = burst->queue;

	if (kind != RING_VDPDK && take_event(burst->ring, kind))
		(void)nmx_guestport_ring_bell(queue->port, &queue->bell);
	if (unlikely(burst->fault != VDPDK_FAULT_NONE))
		nmx_guestport_set_fault(queue->port, burst->ring, &queue->active, burst->fault);
	queue->counters.frames += burst->frames;
	queue->counters.bytes += burst->bytes;
	queue->counters.no_mbuf += burst->no_mbuf;
	queue->counters.attached += burst->attached;
	for (unsigned int i = 0; i < NMX_FROM_GUEST_DROPS; i++)
		queue->counters.drops[i] += burst->drops[i];
}

/** Chains in a chunk. */
#define CHAINS_MAX 8

/** What a chunk comes to. */
struct chunk {
	uint16_t n; /* frames planned, in order */
	uint16_t n_drops;
	uint32_t n_slots; /* of frames that are done with: planned or dropped */
	uint32_t asks;    /* a bit for each frame whose header asks for something */
	struct frame frames[BURST_MAX];
	uint16_t n_chains;
	struct nmx_split_chain chains[CHAINS_MAX];
};

/** Look at up to n fetched frames; stops at one that waits. */
static inline __rte_always_inline void
plan_chunk(struct burst *burst, struct chunk *chunk, uint16_t n, const enum ring_kind kind)
{
	struct nmx_ring_window window = burst->ring->half.window;
	uint32_t ready = nmx_ring_count_ready(&window), ahead = 0;

	window.comp += window.lent; /* `ahead` counts from there */

	chunk->n = chunk->n_drops = chunk->n_chains = 0;
	chunk->asks = 0;
	while (chunk->n + chunk->n_drops < n && ahead < ready) {
		const struct nmx_ring_slot *slot = nmx_ring_get_taken(&window, ahead);
		struct frame *frame = &chunk->frames[chunk->n];
		enum fate fate;

		measure_frame(&window, ahead, frame, kind);
		if (is_chain(slot, kind) &&
			(chunk->n_chains == CHAINS_MAX ||
				!measure_chain(burst, slot, frame,
					&chunk->chains[chunk->n_chains++], kind)))
			break;
		fate = plan_frame(burst, slot, frame, kind);
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

/**
 * What isn't to be had of a chunk now, from its frame i on: it is planned anew in the next burst.
 */
static inline void
cut_chunk(struct chunk *chunk, uint16_t i)
{
	chunk->n_slots = chunk->frames[i].ahead;
	chunk->n_drops = chunk->frames[i].drops_before;
	chunk->n = i;
}

static_assert(BURST_MAX <= 32, "a bit for each frame of a chunk");

/** True if a planned frame's header was read before: what was decided by that holds. */
static inline __rte_always_inline bool
has_header(const struct burst *burst, const struct frame *frame)
{
	return frame->chain != NULL || frame->bytes > burst->bytes_max;
}

/** Judge the net headers of planned frames. */
static inline __rte_always_inline void
check_headers(struct burst *burst, struct chunk *chunk, const enum ring_kind kind)
{
	for (uint16_t i = 0; kind != RING_VDPDK && i < chunk->n; i++) {
		struct frame *frame = &chunk->frames[i];
		struct nmx_split_net_header header = unlikely(has_header(burst, frame))
							     ? frame->header
							     : nmx_ring_load_net_header(
								       frame->first,
								       get_header_bytes(kind));
		uint16_t fault;

		if (likely(nmx_ring_is_plain(&header)))
			continue;
		fault = nmx_ring_judge_request(&header, burst->ring->may);
		if (fault != VDPDK_FAULT_NONE) {
			burst->fault = fault;
			cut_chunk(chunk, i);
			break;
		}
		frame->header = header;
		chunk->asks |= UINT32_C(1) << i;
	}
}

#endif
