/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The driver's half of a vDPDK ring.
 *
 * Theory of operation
 *
 *   reap            sub              reap <= sub <= reap + N, free-running, taken modulo N
 *    |---------------|
 *    handed to the device, in the order of submission; the device turns AVAIL off in ring order
 *
 * Slot `sub` may be filled if sub - reap < N. Slot `reap` is done if reap != sub and its AVAIL is
 * clear. Both numbers are private: what the device writes can't move them, and AVAIL alone permits
 * nothing. A burst is stored back to front: the device sees its first slot last, and then all.
 *
 * One thread at a time uses a ring. docs/device.md, section "Rings".
 */

#ifndef NMX_RING_GUEST_H
#define NMX_RING_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "abi/vdpdk_ring.h"
#include "lib/base/prefetch.h"
#include "lib/base/shared.h"

struct nmx_ring_guest {
	NMX_SHARED struct vdpdk_ring_header *header;
	NMX_SHARED struct vdpdk_slot_words *slots;
	uint32_t mask; /* N - 1 */
	uint32_t sub;  /* next slot to fill */
	uint32_t reap; /* oldest slot not given back */
};

/**
 * Start a ring anew: everything zero, nothing handed over.
 *
 * @param memory   VDPDK_RING_BYTES(n_slots), aligned to VDPDK_RING_ALIGN; no device uses it
 * @param n_slots  2^k
 */
static inline void
nmx_ring_init_guest(struct nmx_ring_guest *ring, void *memory, uint32_t n_slots)
{
	memset(memory, 0, VDPDK_RING_BYTES(n_slots));
	ring->header = (NMX_SHARED struct vdpdk_ring_header *)memory;
	ring->slots = (NMX_SHARED struct vdpdk_slot_words *)((uintptr_t)memory +
							     sizeof(struct vdpdk_ring_header));
	ring->mask = n_slots - 1;
	ring->sub = 0;
	ring->reap = 0;
}

/** Slots that may be filled. */
static inline uint32_t
nmx_ring_count_free(const struct nmx_ring_guest *ring)
{
	return ring->mask + 1 - (ring->sub - ring->reap);
}

/** Slots handed over and not reaped. */
static inline uint32_t
nmx_ring_count_pending(const struct nmx_ring_guest *ring)
{
	return ring->sub - ring->reap;
}

/**
 * Hand over the slot that is `ahead` of `sub`. A burst calls this from its last slot to its first,
 * then nmx_ring_advance_sub() once.
 *
 * @param ahead  below nmx_ring_count_free()
 * @param w1     with VDPDK_W1_AVAIL
 */
static inline void
nmx_ring_submit_slot(struct nmx_ring_guest *ring, uint32_t ahead, uint64_t w0, uint64_t w1)
{
	NMX_SHARED struct vdpdk_slot_words *slot = &ring->slots[(ring->sub + ahead) & ring->mask];

	nmx_base_store64(&slot->w0, w0);
	/* Orders w0, and what the slot points to, before AVAIL; pairs with the device's acquire
	 * in nmx_ring_load_slot(). */
	nmx_base_store64_release(&slot->w1, w1);
}

/** The n slots after `sub` have been handed over. */
static inline void
nmx_ring_advance_sub(struct nmx_ring_guest *ring, uint32_t n)
{
	ring->sub += n;
}

/**
 * Look at the slot that is `ahead` of `reap`.
 *
 * @param ret_w1  the completion word, read once; hostile. Written on success only
 * @return true if the device has given the slot back
 */
static inline bool
nmx_ring_peek_slot(const struct nmx_ring_guest *ring, uint32_t ahead, uint64_t *ret_w1)
{
	uint32_t seq = ring->reap + ahead;
	uint64_t w1;

	if (seq == ring->sub)
		return false;
	/* Orders the load of AVAIL before those of w0 and of the buffer; pairs with the device's
	 * release in nmx_ring_complete_slot(). */
	w1 = nmx_base_load64_acquire(&ring->slots[seq & ring->mask].w1);
	if (w1 & VDPDK_W1_AVAIL)
		return false;
	*ret_w1 = w1;
	return true;
}

/**
 * Look whether the device has given back the n oldest slots. If so, ask for their lines, since they
 * will be reaped and filled again soon: a hint, as what is seen here is all looked at again.
 *
 * @param n  two at least, for it to be true
 */
static inline bool
nmx_ring_claim_done(const struct nmx_ring_guest *ring, uint32_t n)
{
	uint64_t w1;

	/* A line that the device is about to write would have to go back. */
	if (n < 2 || nmx_ring_count_pending(ring) < n || !nmx_ring_peek_slot(ring, 0, &w1) ||
		!nmx_ring_peek_slot(ring, n - 1, &w1))
		return false;
	for (uint32_t i = 0; i < n; i += NMX_CACHE_LINE_BYTES / sizeof(*ring->slots))
		nmx_base_prefetch_to_write(&ring->slots[(ring->reap + i) & ring->mask]);
	return true;
}

/** The n slots after `reap`, all seen given back, are free again. */
static inline void
nmx_ring_advance_reap(struct nmx_ring_guest *ring, uint32_t n)
{
	ring->reap += n;
}

#endif
