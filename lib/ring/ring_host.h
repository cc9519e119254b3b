/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device's half of a vDPDK ring.
 *
 * Theory of operation
 *
 *   comp       comp + lent       fetch      comp <= fetch <= comp + N, free-running, modulo N
 *    |--------------|--------------|
 *    |     lent     |    ready     |
 *    fetched, not answered yet; each fetched slot is answered by exactly one completed slot
 *
 * A ready buffer is used within a burst, or *lent*: to a NIC that fills it later. Its copy leaves
 * `taken` then, and returns in front of the ready ones, should the buffer come back empty. Buffers
 * are answered in any order, so the entries of the lent part say nothing, but that a burst keeps
 * its answers in the first of them until it stores these.
 *
 * Slot `fetch` is fetched if its AVAIL is set and fetch - comp < N. (After a full lap a set AVAIL
 * is the same entry, not answered yet.) A completion goes into slot `comp`, whatever buffer it is
 * for. The device relies on these two numbers only, and reads nothing back that it wrote: a guest
 * that flips AVAIL bits disorders its own ids and nothing else.
 *
 * Fetching is the snapshot: both words are read once into `taken`, checked there, and used from
 * there. Every function is bounded by N. A fault is a number (VDPDK_FAULT_*): the caller stops the
 * queue.
 *
 * The slots lie in the guest's memory; that they stay mapped is the caller's matter (the burst's
 * bracket). One thread at a time uses a ring. docs/device.md, section "Rings".
 */

#ifndef NMX_RING_HOST_H
#define NMX_RING_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/vdpdk_ring.h"
#include "lib/base/shared.h"

/** A descriptor's private copy. */
struct nmx_ring_slot {
	uint64_t address;
	uint16_t length;
	uint16_t id;
	uint16_t flags;
	uint16_t extra;
};

struct nmx_ring_host {
	NMX_SHARED struct vdpdk_slot_words *slots;
	struct nmx_ring_slot *taken; /* N copies; ready: seq modulo N, comp + lent <= seq < fetch */
	uint32_t mask;               /* N - 1 */
	uint32_t fetch;              /* next slot to fetch */
	uint32_t comp;               /* next slot to complete */
	uint32_t lent;               /* buffers fetched and neither ready nor answered */
};

/**
 * Start a ring anew.
 *
 * @param header   where the guest's ring is; aligned, VDPDK_RING_BYTES(n_slots) mapped
 * @param taken    host memory for n_slots copies
 * @param n_slots  2^k
 */
static inline void
nmx_ring_init_host(struct nmx_ring_host *ring, NMX_SHARED struct vdpdk_ring_header *header,
	struct nmx_ring_slot *taken, uint32_t n_slots)
{
	ring->slots = (NMX_SHARED struct vdpdk_slot_words *)(header + 1);
	ring->taken = taken;
	ring->mask = n_slots - 1;
	ring->fetch = 0;
	ring->comp = 0;
	ring->lent = 0;
}

/** Slots fetched and not answered. */
static inline uint32_t
nmx_ring_count_taken(const struct nmx_ring_host *ring)
{
	return ring->fetch - ring->comp;
}

/** Slots fetched that can be used. */
static inline uint32_t
nmx_ring_count_ready(const struct nmx_ring_host *ring)
{
	return ring->fetch - ring->comp - ring->lent;
}

/**
 * The copy of the ready slot that is `ahead` of the first one, below nmx_ring_count_ready().
 */
static inline struct nmx_ring_slot *
nmx_ring_get_ready(const struct nmx_ring_host *ring, uint32_t ahead)
{
	return &ring->taken[(ring->comp + ring->lent + ahead) & ring->mask];
}

/** The first n ready buffers are lent; their copies were taken. */
static inline void
nmx_ring_lend(struct nmx_ring_host *ring, uint32_t n)
{
	ring->lent += n;
}

/** A lent buffer has come back empty: it is the first ready one. */
static inline void
nmx_ring_take_back(struct nmx_ring_host *ring, const struct nmx_ring_slot *slot)
{
	ring->lent--;
	*nmx_ring_get_ready(ring, 0) = *slot;
}

/** The copy of the fetched slot that is `ahead` of `comp`, below nmx_ring_count_taken(). */
static inline const struct nmx_ring_slot *
nmx_ring_get_taken(const struct nmx_ring_host *ring, uint32_t ahead)
{
	return &ring->taken[(ring->comp + ahead) & ring->mask];
}

/** Copy slot `fetch`; false if it isn't the device's. Doesn't advance. */
static inline bool
nmx_ring_load_slot(const struct nmx_ring_host *ring, struct nmx_ring_slot *ret)
{
	const NMX_SHARED struct vdpdk_slot_words *slot = &ring->slots[ring->fetch & ring->mask];
	uint64_t w1;

	if (ring->fetch - ring->comp > ring->mask)
		return false;
	/* Orders AVAIL before w0 and what it points to; pairs with nmx_ring_submit_slot(). */
	w1 = nmx_base_load64_acquire(&slot->w1);
	if (!(w1 & VDPDK_W1_AVAIL))
		return false;
	ret->address = nmx_base_load64(&slot->w0);
	ret->length = VDPDK_W1_LENGTH(w1);
	ret->id = VDPDK_W1_ID(w1);
	ret->flags = VDPDK_W1_FLAGS(w1);
	ret->extra = VDPDK_W1_EXTRA(w1);
	return true;
}

/** Judge a posted Rx buffer: VDPDK_FAULT_*. Pure. */
static inline uint16_t
nmx_ring_check_posted(const struct nmx_ring_slot *slot)
{
	if (slot->flags != VDPDK_FLAG_AVAIL || slot->extra != 0)
		return VDPDK_FAULT_FLAGS;
	return slot->length == 0 ? VDPDK_FAULT_LENGTH : VDPDK_FAULT_NONE;
}

/**
 * Fetch a posted Rx buffer that is lent at once. Nothing is ready.
 *
 * @param ret  its copy
 * @return false: no more is handed over, or what is is faulty and isn't fetched
 */
static inline bool
nmx_ring_fetch_lent(struct nmx_ring_host *ring, struct nmx_ring_slot *ret)
{
	if (!nmx_ring_load_slot(ring, ret) || nmx_ring_check_posted(ret) != VDPDK_FAULT_NONE)
		return false;
	ring->fetch++;
	ring->lent++;
	return true;
}

/** Judge a segment of a frame from the guest: VDPDK_FAULT_*. Pure. */
static inline uint16_t
nmx_ring_check_segment(const struct nmx_ring_slot *slot)
{
	if ((slot->flags & ~(VDPDK_FLAG_AVAIL | VDPDK_FLAG_NEXT)) != 0 || slot->extra != 0)
		return VDPDK_FAULT_FLAGS;
	return slot->length == 0 ? VDPDK_FAULT_LENGTH : VDPDK_FAULT_NONE;
}

/**
 * Fetch posted Rx buffers until `want` are ready or no more are handed over.
 *
 * @param want  at most N
 * @return VDPDK_FAULT_*; the faulty slot isn't fetched
 */
static inline uint16_t
nmx_ring_fetch_posted(struct nmx_ring_host *ring, uint32_t want)
{
	struct nmx_ring_host local = *ring; /* in registers: stores to `taken` can't touch it */
	const uint32_t end = local.comp + local.lent + want;
	uint16_t fault = VDPDK_FAULT_NONE;

	while ((int32_t)(end - local.fetch) > 0) {
		struct nmx_ring_slot *slot = &local.taken[local.fetch & local.mask];

		if (!nmx_ring_load_slot(&local, slot))
			break;
		fault = nmx_ring_check_posted(slot);
		if (fault != VDPDK_FAULT_NONE)
			break;
		local.fetch++;
	}
	ring->fetch = local.fetch;
	return fault;
}

/**
 * Fetch whole frames from the guest until at least `want` slots are taken or no more are handed
 * over. All that is taken afterwards are whole frames, the last of which may go beyond `want`.
 *
 * @param want  at most N
 * @return VDPDK_FAULT_*; then `fetch` is back at the start of the faulty frame
 */
static inline uint16_t
nmx_ring_fetch_frames(struct nmx_ring_host *ring, uint32_t want)
{
	struct nmx_ring_host local = *ring; /* as in nmx_ring_fetch_posted() */
	uint32_t n_segments = 0;            /* of the frame that is being fetched */
	uint16_t fault = VDPDK_FAULT_NONE;

	while (n_segments > 0 || nmx_ring_count_taken(&local) < want) {
		struct nmx_ring_slot *slot = &local.taken[local.fetch & local.mask];

		if (!nmx_ring_load_slot(&local, slot)) {
			/* The driver turns a frame's first slot last: the others are there. */
			fault = n_segments > 0 ? VDPDK_FAULT_CHAIN : VDPDK_FAULT_NONE;
			break;
		}
		fault = nmx_ring_check_segment(slot);
		if (fault != VDPDK_FAULT_NONE)
			break;
		local.fetch++;
		n_segments++;
		if (!(slot->flags & VDPDK_FLAG_NEXT)) {
			n_segments = 0;
		} else if (n_segments == VDPDK_TX_SEGMENTS_MAX) {
			fault = VDPDK_FAULT_CHAIN;
			break;
		}
	}
	if (fault != VDPDK_FAULT_NONE)
		local.fetch -= n_segments;
	ring->fetch = local.fetch;
	return fault;
}

/**
 * Answer into the slot that is `ahead` of `comp`, for any buffer taken. A burst calls this from its
 * last slot to its first, then nmx_ring_advance_comp() once.
 *
 * @param ahead  below nmx_ring_count_taken()
 * @param w1     without VDPDK_W1_AVAIL
 */
static inline void
nmx_ring_complete_slot(struct nmx_ring_host *ring, uint32_t ahead, uint64_t w1)
{
	/* Orders w0 and the buffer's bytes before AVAIL; pairs with nmx_ring_peek_slot(). */
	nmx_base_store64_release(&ring->slots[(ring->comp + ahead) & ring->mask].w1, w1);
}

/** As nmx_ring_complete_slot(), with w0. */
static inline void
nmx_ring_complete_slot_w0(struct nmx_ring_host *ring, uint32_t ahead, uint64_t w0, uint64_t w1)
{
	nmx_base_store64(&ring->slots[(ring->comp + ahead) & ring->mask].w0, w0);
	nmx_ring_complete_slot(ring, ahead, w1);
}

/** The n slots after `comp` have been answered. */
static inline void
nmx_ring_advance_comp(struct nmx_ring_host *ring, uint32_t n)
{
	ring->comp += n;
}

/** Answer all that is taken, ids as they came: see nmx_ring_return_slots(). Nothing is lent. */
static inline void
nmx_ring_answer_taken(struct nmx_ring_host *ring, uint16_t low, uint16_t flags)
{
	uint32_t n = nmx_ring_count_taken(ring);

	for (uint32_t i = n; i-- > 0;)
		nmx_ring_complete_slot(
			ring, i, VDPDK_W1(low, nmx_ring_get_taken(ring, i)->id, flags, 0));
	nmx_ring_advance_comp(ring, n);
}

/**
 * Give back what is taken and what is handed over, unchecked, for QUEUE_STOP. Nothing is lent. At
 * most 2 N slots: a guest that goes on submitting ends nothing.
 *
 * @param low    w1's lowest 16 bits: length of an Rx, status of a Tx completion
 * @param flags  w1's flags, without AVAIL
 */
static inline void
nmx_ring_return_slots(struct nmx_ring_host *ring, uint16_t low, uint16_t flags)
{
	nmx_ring_answer_taken(ring, low, flags);
	while (nmx_ring_load_slot(ring, &ring->taken[ring->fetch & ring->mask]))
		ring->fetch++;
	nmx_ring_answer_taken(ring, low, flags);
}

#endif
