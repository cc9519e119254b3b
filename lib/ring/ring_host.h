/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device's half of a vDPDK ring.
 *
 * Theory of operation
 *
 * What is fetched and not answered is in a window of private copies (window.h): comp <= fetch <=
 * comp + N. Each fetched slot is answered by exactly one completed slot.
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
#include "lib/base/prefetch.h"
#include "lib/base/shared.h"
#include "lib/ring/window.h"

struct nmx_ring_host {
	struct nmx_ring_window window; /* first, as in every kind of ring */
	NMX_SHARED struct vdpdk_slot_words *slots;
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
	nmx_ring_init_window(&ring->window, taken, n_slots, 0);
}

/** The slot numbered `seq`. */
static inline NMX_SHARED struct vdpdk_slot_words *
nmx_ring_find_slot(const struct nmx_ring_host *ring, uint32_t seq)
{
	return &ring->slots[nmx_ring_get_idx(&ring->window, seq)];
}

/** Copy slot `fetch`; false if it isn't the device's. Doesn't advance. */
static inline bool
nmx_ring_load_slot(const struct nmx_ring_host *ring, struct nmx_ring_slot *ret)
{
	const NMX_SHARED struct vdpdk_slot_words *slot = nmx_ring_find_slot(
		ring, ring->window.fetch);
	uint64_t w1;

	if (nmx_ring_is_full(&ring->window))
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

/**
 * Ask for the lines of the next n slots, if the guest has handed over all of them: they will be
 * fetched and answered soon. A hint: what is read for it decides nothing, and is read anew and
 * judged when it is fetched.
 */
static inline void
nmx_ring_claim_slots(const struct nmx_ring_host *ring, uint32_t n)
{
	const uint32_t last = ring->window.fetch + n - 1;

	/* A line that the guest is about to write would have to go back. */
	if (n < 2 || last - ring->window.comp > ring->window.mask ||
		!(nmx_base_load64(&nmx_ring_find_slot(ring, ring->window.fetch)->w1) &
			VDPDK_W1_AVAIL) ||
		!(nmx_base_load64(&nmx_ring_find_slot(ring, last)->w1) & VDPDK_W1_AVAIL))
		return;
	for (uint32_t i = 0; i < n; i += NMX_CACHE_LINE_BYTES / sizeof(*ring->slots))
		nmx_base_prefetch_to_write(nmx_ring_find_slot(ring, ring->window.fetch + i));
}

/**
 * True if slot `fetch` and the n - 1 behind it are handed over. A look at the last of them only,
 * whose number n is at least 1: what it says is judged when they are fetched.
 */
static inline bool
nmx_ring_has_posted(const struct nmx_ring_host *ring, uint32_t n)
{
	const uint32_t last = ring->window.fetch + n - 1;

	return last - ring->window.comp <= ring->window.mask &&
	       (nmx_base_load64_acquire(&nmx_ring_find_slot(ring, last)->w1) & VDPDK_W1_AVAIL);
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
	ring->window.fetch++;
	ring->window.lent++;
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
	const uint32_t end = local.window.comp + local.window.lent + want;
	uint16_t fault = VDPDK_FAULT_NONE;

	while ((int32_t)(end - local.window.fetch) > 0) {
		struct nmx_ring_slot *slot = nmx_ring_get_next(&local.window);

		if (!nmx_ring_load_slot(&local, slot))
			break;
		fault = nmx_ring_check_posted(slot);
		if (fault != VDPDK_FAULT_NONE)
			break;
		local.window.fetch++;
	}
	ring->window.fetch = local.window.fetch;
	return fault;
}

/**
 * Fetch whole frames from the guest until at least `want` slots are ready or no more are handed
 * over. All that is ready afterwards are whole frames, the last of which may go beyond `want`.
 *
 * @param want  at most N
 * @return VDPDK_FAULT_*; then `fetch` is back at the start of the faulty frame
 */
static inline uint16_t
nmx_ring_fetch_frames(struct nmx_ring_host *ring, uint32_t want)
{
	struct nmx_ring_host local = *ring; /* as in nmx_ring_fetch_posted() */
	const uint32_t end = local.window.comp + local.window.lent + want;
	uint32_t n_segments = 0; /* of the frame that is being fetched */
	uint16_t fault = VDPDK_FAULT_NONE;

	while (n_segments > 0 || (int32_t)(end - local.window.fetch) > 0) {
		struct nmx_ring_slot *slot = nmx_ring_get_next(&local.window);

		if (!nmx_ring_load_slot(&local, slot)) {
			/* The driver turns a frame's first slot last: the others are there. */
			fault = n_segments > 0 ? VDPDK_FAULT_CHAIN : VDPDK_FAULT_NONE;
			break;
		}
		fault = nmx_ring_check_segment(slot);
		if (fault != VDPDK_FAULT_NONE)
			break;
		local.window.fetch++;
		n_segments++;
		if (!(slot->flags & VDPDK_FLAG_NEXT)) {
			n_segments = 0;
		} else if (n_segments == VDPDK_TX_SEGMENTS_MAX) {
			fault = VDPDK_FAULT_CHAIN;
			break;
		}
	}
	if (fault != VDPDK_FAULT_NONE)
		local.window.fetch -= n_segments;
	ring->window.fetch = local.window.fetch;
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
	nmx_base_store64_release(&nmx_ring_find_slot(ring, ring->window.comp + ahead)->w1, w1);
}

/** As nmx_ring_complete_slot(), with w0. */
static inline void
nmx_ring_complete_slot_w0(struct nmx_ring_host *ring, uint32_t ahead, uint64_t w0, uint64_t w1)
{
	nmx_base_store64(&nmx_ring_find_slot(ring, ring->window.comp + ahead)->w0, w0);
	nmx_ring_complete_slot(ring, ahead, w1);
}

/** Answer all that is taken, ids as they came: see nmx_ring_return_slots(). Nothing is lent. */
static inline void
nmx_ring_answer_taken(struct nmx_ring_host *ring, uint16_t low, uint16_t flags)
{
	uint32_t n = nmx_ring_count_taken(&ring->window);

	for (uint32_t i = n; i-- > 0;)
		nmx_ring_complete_slot(
			ring, i, VDPDK_W1(low, nmx_ring_get_taken(&ring->window, i)->id, flags, 0));
	nmx_ring_advance_comp(&ring->window, n);
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
	while (nmx_ring_load_slot(ring, nmx_ring_get_next(&ring->window)))
		ring->window.fetch++;
	nmx_ring_answer_taken(ring, low, flags);
}

#endif
