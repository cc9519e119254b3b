/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device's half of virtio's split ring.
 *
 * Theory of operation
 *
 * What is fetched and not answered is in a window of private copies (window.h). `comp` is what the
 * device last stored to used->idx, `fetch` the next entry of the avail ring; of both the guest sees
 * the lowest 16 bits only. The driver has at most N heads with the device:
 *
 *   comp <= fetch <= avail_seq <= comp + N       avail_seq: avail->idx as it was read last
 *
 * An index that would break this is a fault. Entries below avail_seq are fetched without another
 * look at avail->idx; so a burst reads it once, or not at all.
 *
 * Fetching is the snapshot: of each entry the head's number and its descriptor's two words are read
 * once, checked, and kept in the copy as
 *
 *   address   behind the net header     length   bytes there, 65535 at most
 *   id        the head                  flags    the descriptor's (NMX_SPLIT_FLAG_*)
 *
 * A copy whose flags are neither NEXT nor INDIRECT is all of a buffer: header and data in one
 * descriptor. One with NEXT is the first of a chain, its `extra` the number of the second, and its
 * length may be 0. One with INDIRECT has the table: its address, and as length how many descriptors
 * it holds. Both are walked by split_chain.h. All of a header is in the first descriptor: one that
 * is cut in two is a fault.
 *
 * Answers are used elements that become visible together, by one store of used->idx. They may be in
 * any order; a burst that lends nothing answers in the order of the avail ring. The device reads
 * nothing back that it wrote. A fault is a number (VDPDK_FAULT_*, NMX_SPLIT_FAULT_*): the caller
 * stops the queue. What is faulty isn't fetched.
 *
 * The three parts lie in the guest's memory; that they stay mapped is the caller's matter (the
 * burst's bracket). One thread at a time uses a ring. Functions with `const bool` or `const
 * uint32_t` parameters are to be inlined with constants. Source: virtio 1.1/1.2, 2.6.
 */

#ifndef NMX_RING_SPLIT_HOST_H
#define NMX_RING_SPLIT_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/vdpdk_ring.h"
#include "lib/base/prefetch.h"
#include "lib/base/range.h"
#include "lib/base/shared.h"
#include "lib/ring/split_layout.h"
#include "lib/ring/window.h"

/** Where the parts of a ring are: aligned, and mapped with their event words. */
struct nmx_split_parts {
	const NMX_SHARED struct nmx_split_desc *desc;
	const NMX_SHARED struct nmx_split_avail *avail;
	NMX_SHARED struct nmx_split_used *used;
};

struct nmx_split_host {
	struct nmx_ring_window window; /* first, as in every kind of ring */
	struct nmx_split_parts parts;
	uint32_t avail_seq; /* avail->idx as read last, free-running */
};

/**
 * Start a ring anew.
 *
 * @param parts    where the guest's ring is
 * @param taken    host memory for n_slots copies
 * @param n_slots  2^k, NMX_SPLIT_SLOTS_MAX at most
 * @param base     what both indices begin with: the driver's last used->idx
 */
static inline void
nmx_ring_init_split(struct nmx_split_host *ring, const struct nmx_split_parts *parts,
	struct nmx_ring_slot *taken, uint32_t n_slots, uint16_t base)
{
	ring->parts = *parts;
	nmx_ring_init_window(&ring->window, taken, n_slots, base);
	ring->avail_seq = base;
}

/** True if a copy is not all of its buffer: see split_chain.h. */
static inline bool
nmx_ring_is_chain(const struct nmx_ring_slot *slot)
{
	return (slot->flags & (NMX_SPLIT_FLAG_NEXT | NMX_SPLIT_FLAG_INDIRECT)) != 0;
}

/**
 * All of a buffer in one descriptor, for a frame that goes on in it: only a frame's first buffer
 * begins with a header. Source: 5.1.6.4
 */
static inline struct nmx_range
nmx_ring_get_continuation(const struct nmx_ring_slot *slot, const uint32_t header_bytes)
{
	return (struct nmx_range){ slot->address - header_bytes,
		(uint64_t)slot->length + header_bytes };
}

/* --- Fetching --- */

/**
 * Find out how far the driver is.
 *
 * @return VDPDK_FAULT_NONE; NMX_SPLIT_FAULT_IDX, and avail_seq is as it was
 *
 * Source: 2.6.6, 2.6.13.3
 */
static inline uint16_t
nmx_ring_load_avail_idx(struct nmx_split_host *ring)
{
	const struct nmx_ring_window *window = &ring->window;
	/* Orders the index before heads, descriptors and buffers; pairs with the driver's barrier
	 * in front of its store of it. */
	uint16_t idx = nmx_base_load16_acquire(&ring->parts.avail->idx);
	uint16_t ahead = (uint16_t)(idx - (uint16_t)window->fetch);

	if (nmx_ring_count_taken(window) + ahead > window->mask + 1)
		return NMX_SPLIT_FAULT_IDX;
	ring->avail_seq = window->fetch + ahead;
	return VDPDK_FAULT_NONE;
}

/**
 * True if n, at least 1, can be fetched, or the look at the first will be a fault. With 1, the
 * look of who has armed a kick and is about to sleep.
 */
static inline bool
nmx_ring_has_split(const struct nmx_split_host *ring, uint32_t n)
{
	const uint32_t fetch = ring->window.fetch;

	return ring->avail_seq - fetch >= n ||
	       (uint16_t)(nmx_base_load16_acquire(&ring->parts.avail->idx) - (uint16_t)fetch) >= n;
}

/**
 * Judge a chain's first descriptor and make its copy: VDPDK_FAULT_*. Pure but for *ret.
 *
 * @param writable      the device writes into the queue's buffers (to the guest), or reads them
 * @param header_bytes  of the net header
 */
static inline uint16_t
nmx_ring_check_head(uint64_t address, uint64_t w1, const bool writable, const uint32_t header_bytes,
	struct nmx_ring_slot *ret)
{
	const uint16_t known = NMX_SPLIT_FLAG_NEXT | NMX_SPLIT_FLAG_WRITE | NMX_SPLIT_FLAG_INDIRECT;
	uint32_t bytes = NMX_SPLIT_W1_LENGTH(w1) - header_bytes;

	ret->flags = NMX_SPLIT_W1_FLAGS(w1) & known;
	ret->extra = NMX_SPLIT_W1_NEXT(w1);
	if (__builtin_expect((ret->flags & NMX_SPLIT_FLAG_INDIRECT) != 0, 0)) {
		/* 2.6.5.3.1 forbids NEXT beside it; 2.6.5.3.2: WRITE says nothing here. */
		if (ret->flags & NMX_SPLIT_FLAG_NEXT)
			return VDPDK_FAULT_FLAGS;
		bytes = NMX_SPLIT_W1_LENGTH(w1) / sizeof(struct nmx_split_desc);
		ret->address = address;
		ret->length = (uint16_t)bytes;
		return NMX_SPLIT_W1_LENGTH(w1) % sizeof(struct nmx_split_desc) != 0 || bytes == 0 ||
				       bytes > NMX_SPLIT_SLOTS_MAX
			       ? VDPDK_FAULT_LENGTH
			       : VDPDK_FAULT_NONE;
	}
	if (((ret->flags & NMX_SPLIT_FLAG_WRITE) != 0) != writable)
		return VDPDK_FAULT_FLAGS;
	if (NMX_SPLIT_W1_LENGTH(w1) < header_bytes ||
		(bytes == 0 && !(ret->flags & NMX_SPLIT_FLAG_NEXT)))
		return VDPDK_FAULT_LENGTH;
	if (bytes > VDPDK_SEGMENT_BYTES_MAX) {
		/* No frame is that long: of a buffer the rest stays empty. */
		if (!writable)
			return VDPDK_FAULT_LENGTH;
		bytes = VDPDK_SEGMENT_BYTES_MAX;
	}
	ret->address = address + header_bytes;
	ret->length = (uint16_t)bytes;
	return VDPDK_FAULT_NONE;
}

/**
 * Copy and judge entry `fetch`, which is below avail_seq. Doesn't advance.
 *
 * @param ret  meaningless after a fault
 * @return VDPDK_FAULT_*, NMX_SPLIT_FAULT_ID
 */
static inline uint16_t
nmx_ring_load_head(const struct nmx_split_host *ring, const bool writable,
	const uint32_t header_bytes, struct nmx_ring_slot *ret)
{
	const struct nmx_ring_window *window = &ring->window;
	const NMX_SHARED struct nmx_split_desc *desc;
	uint16_t id = nmx_base_load16(
		&ring->parts.avail->ring[nmx_ring_get_idx(window, window->fetch)]);
	uint64_t address, w1;

	if (id > window->mask)
		return NMX_SPLIT_FAULT_ID;
	desc = &ring->parts.desc[id];
	address = nmx_base_load64(&desc->address);
	w1 = nmx_base_load64(&desc->w1);
	ret->id = id;
	return nmx_ring_check_head(address, w1, writable, header_bytes, ret);
}

/**
 * Fetch buffers until `want` are ready or no more are available.
 *
 * @param want          at most N
 * @param writable      as of nmx_ring_check_head(); constant
 * @param header_bytes  of the net header: NMX_SPLIT_NET_BYTES or NMX_SPLIT_NET_BYTES_LEGACY;
 * constant
 * @return VDPDK_FAULT_*, NMX_SPLIT_FAULT_*
 */
static inline uint16_t
nmx_ring_fetch_split(struct nmx_split_host *ring, uint32_t want, const bool writable,
	const uint32_t header_bytes)
{
	struct nmx_split_host local = *ring; /* in registers: stores to `taken` can't touch it */
	const uint32_t end = local.window.comp + local.window.lent + want;
	uint16_t fault = VDPDK_FAULT_NONE;

	if ((int32_t)(end - local.avail_seq) > 0) {
		fault = nmx_ring_load_avail_idx(&local);
		ring->avail_seq = local.avail_seq;
	}
	while (fault == VDPDK_FAULT_NONE && (int32_t)(end - local.window.fetch) > 0 &&
		local.window.fetch != local.avail_seq) {
		fault = nmx_ring_load_head(
			&local, writable, header_bytes, nmx_ring_get_next(&local.window));
		local.window.fetch += fault == VDPDK_FAULT_NONE;
	}
	ring->window.fetch = local.window.fetch;
	return fault;
}

/**
 * Fetch a buffer to write to that is lent at once. Nothing is ready.
 *
 * @param ret  its copy; nmx_ring_is_chain() tells if it can't be lent, for nmx_ring_take_back()
 * @return false: no more is available, or what is is faulty and isn't fetched
 */
static inline bool
nmx_ring_fetch_split_lent(
	struct nmx_split_host *ring, const uint32_t header_bytes, struct nmx_ring_slot *ret)
{
	if (ring->avail_seq == ring->window.fetch &&
		(nmx_ring_load_avail_idx(ring) != VDPDK_FAULT_NONE ||
			ring->avail_seq == ring->window.fetch))
		return false;
	if (nmx_ring_load_head(ring, true, header_bytes, ret) != VDPDK_FAULT_NONE)
		return false;
	ring->window.fetch++;
	ring->window.lent++;
	return true;
}

/* --- Answering --- */

/** Ask for the lines of the next n answers, which will be written soon. A hint. */
static inline void
nmx_ring_claim_used(const struct nmx_split_host *ring, uint32_t n)
{
	const struct nmx_ring_window *window = &ring->window;

	for (uint32_t i = 0; i < n; i += NMX_CACHE_LINE_BYTES / sizeof(struct nmx_split_used_elem))
		nmx_base_prefetch_to_write(
			&ring->parts.used->ring[nmx_ring_get_idx(window, window->comp + i)]);
}

/**
 * Write the answer that is `ahead` of `comp`, for any buffer taken. The driver sees it by
 * nmx_ring_publish_used().
 *
 * @param ahead  below nmx_ring_count_taken()
 * @param id     of the buffer's copy
 * @param bytes  written to it, the net header included; 0 of buffers that are read, or come back
 *               unused
 *
 * Source: 2.6.8
 */
static inline void
nmx_ring_complete_used(struct nmx_split_host *ring, uint32_t ahead, uint16_t id, uint32_t bytes)
{
	const struct nmx_ring_window *window = &ring->window;
	NMX_SHARED struct nmx_split_used_elem
		*elem = &ring->parts.used->ring[nmx_ring_get_idx(window, window->comp + ahead)];

	nmx_base_store32(&elem->id, id);
	nmx_base_store32(&elem->bytes, bytes);
}

/** The n slots after `comp` have been answered: the driver sees them all at once. */
static inline void
nmx_ring_publish_used(struct nmx_split_host *ring, uint32_t n)
{
	nmx_ring_advance_comp(&ring->window, n);
	/* Orders elements and the buffers' bytes before the index; pairs with the driver's load of
	 * it, 2.6.14. */
	nmx_base_store16_release(&ring->parts.used->idx, (uint16_t)ring->window.comp);
}

/**
 * Give back what is taken, unused, when a ring stops. Nothing is lent. What is available and not
 * fetched stays the device's: a ring that starts again begins there.
 *
 * @return the base to start from again
 */
static inline uint16_t
nmx_ring_return_split(struct nmx_split_host *ring)
{
	uint32_t n = nmx_ring_count_taken(&ring->window);

	for (uint32_t i = 0; i < n; i++)
		nmx_ring_complete_used(ring, i, nmx_ring_get_taken(&ring->window, i)->id, 0);
	if (n > 0)
		nmx_ring_publish_used(ring, n);
	return (uint16_t)ring->window.comp;
}

#endif
