/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The kinds of ring, as bursts use them.
 *
 * Theory of operation
 *
 * A burst looks once at what kind its ring is, and goes on in code that was made for that kind: in
 * every function here `kind` is a constant of the caller's, so nothing is decided for each frame.
 * What kinds have in common, the window of private copies, they have in the same place
 * (union ring_half), and bursts use it without asking.
 *
 *                       vDPDK                       virtio, split and packed
 *   a frame takes       one slot or more            to the guest: one buffer or more
 *                                                   from the guest: one
 *   a buffer is         a slot                      a chain of descriptors, mostly of one
 *   in front of it      nothing                     a net header, in the buffer
 *   answers are seen    each by itself, last first  all by one store
 */

#ifndef NMX_GUESTPORT_KINDS_H
#define NMX_GUESTPORT_KINDS_H

#include "lib/ring/packed_chain.h"
#include "lib/ring/split_chain.h"
#include "lib/ring/split_header.h"
#include "port.h"

/** Call a function whose last argument is the kind, a constant in it, for the kind that a ring has.
 */
#define CALL_BY_KIND(ring, function, ...)                         \
	do {                                                      \
		switch ((ring)->kind) {                           \
		case RING_VDPDK:                                  \
			function(__VA_ARGS__, RING_VDPDK);        \
			break;                                    \
		case RING_SPLIT:                                  \
			function(__VA_ARGS__, RING_SPLIT);        \
			break;                                    \
		case RING_PACKED:                                 \
			function(__VA_ARGS__, RING_PACKED);       \
			break;                                    \
		default:                                          \
			function(__VA_ARGS__, RING_SPLIT_LEGACY); \
		}                                                 \
	} while (0)

/** Bytes of the net header in front of a frame. */
static inline __rte_always_inline uint32_t
get_header_bytes(const enum ring_kind kind)
{
	switch (kind) {
	case RING_SPLIT:
	case RING_PACKED:
		return NMX_SPLIT_NET_BYTES;
	case RING_SPLIT_LEGACY:
		return NMX_SPLIT_NET_BYTES_LEGACY;
	default:
		return 0;
	}
}

/** True if a buffer is more than its copy tells: a chain, to be walked by nmx_ring_walk_chain(). */
static inline __rte_always_inline bool
is_chain(const struct nmx_ring_slot *slot, const enum ring_kind kind)
{
	return kind != RING_VDPDK && unlikely(nmx_ring_is_chain(slot));
}

/**
 * Before n buffers are fetched and answered in a burst: ask for the lines that are read first and
 * written then, if the guest has handed over as many. A poll that finds nothing takes no line away.
 */
static inline __rte_always_inline void
claim_ring(const struct guest_ring *ring, uint32_t n, const enum ring_kind kind)
{
	if (kind == RING_VDPDK)
		nmx_ring_claim_slots(&ring->half.vdpdk, n);
	else if (kind == RING_PACKED && n > 1 && nmx_ring_has_packed(&ring->half.packed, n))
		nmx_ring_claim_packed(&ring->half.packed, n);
}

/** After that: a split ring's answers go elsewhere. */
static inline __rte_always_inline void
claim_used(const struct guest_ring *ring, uint32_t n, const enum ring_kind kind)
{
	if (kind == RING_SPLIT || kind == RING_SPLIT_LEGACY)
		nmx_ring_claim_used(
			&ring->half.split, RTE_MIN(n, nmx_ring_count_ready(&ring->half.window)));
}

/** Fetch what guests post in virtio's rings. @return a fault */
static inline __rte_always_inline uint16_t
fetch_virtio(struct guest_ring *ring, uint32_t want, const bool writable, const enum ring_kind kind)
{
	return kind == RING_PACKED ? nmx_ring_fetch_packed(&ring->half.packed, want, writable,
					     get_header_bytes(kind))
				   : nmx_ring_fetch_split(&ring->half.split, want, writable,
					     get_header_bytes(kind));
}

/** Fetch posted buffers until `want` are ready or no more are there. @return a fault */
static inline __rte_always_inline uint16_t
fetch_posted(struct guest_ring *ring, uint32_t want, const enum ring_kind kind)
{
	return kind == RING_VDPDK ? nmx_ring_fetch_posted(&ring->half.vdpdk, want)
				  : fetch_virtio(ring, want, true, kind);
}

/** Fetch whole frames from the guest, of about `want` slots. @return a fault */
static inline __rte_always_inline uint16_t
fetch_frames(struct guest_ring *ring, uint32_t want, const enum ring_kind kind)
{
	return kind == RING_VDPDK ? nmx_ring_fetch_frames(&ring->half.vdpdk, want)
				  : fetch_virtio(ring, want, false, kind);
}

/** True if the guest has handed over n more than were fetched, n at least 1. A hint. */
static inline __rte_always_inline bool
has_more(const struct guest_ring *ring, uint32_t n, const enum ring_kind kind)
{
	switch (kind) {
	case RING_VDPDK:
		return nmx_ring_has_posted(&ring->half.vdpdk, n);
	case RING_PACKED:
		return nmx_ring_has_packed(&ring->half.packed, n);
	default:
		return nmx_ring_has_split(&ring->half.split, n);
	}
}

/** Fetch posted buffers that are lent at once, n at most. Nothing is ready. @return how many */
static inline __rte_always_inline uint32_t
fetch_lent(struct guest_ring *ring, struct nmx_rxmap_loan *ret_loans, uint32_t n,
	const enum ring_kind kind)
{
	uint32_t i = 0;

	if (kind == RING_VDPDK) {
		struct nmx_ring_host half = ring->half.vdpdk;

		nmx_ring_claim_slots(&half, n);
		while (i < n && nmx_ring_fetch_lent(&half, &ret_loans[i].slot))
			i++;
		ring->half.vdpdk = half;
	} else if (kind == RING_PACKED) {
		struct nmx_packed_host half = ring->half.packed;

		while (i < n && nmx_ring_fetch_packed_lent(
					&half, get_header_bytes(kind), &ret_loans[i].slot))
			i++;
		ring->half.packed = half;
	} else {
		struct nmx_split_host half = ring->half.split;

		while (i < n && nmx_ring_fetch_split_lent(
					&half, get_header_bytes(kind), &ret_loans[i].slot))
			i++;
		ring->half.split = half;
	}
	return i;
}

/** The first n answers, kept in the window's copies, go to the guest: of buffers it had posted. */
static inline __rte_always_inline void
answer_posted(struct guest_ring *ring, uint32_t n, const enum ring_kind kind)
{
	if (kind == RING_VDPDK) {
		struct nmx_ring_host half = ring->half.vdpdk;

		for (uint32_t i = n; i-- > 0;) {
			const struct nmx_ring_slot *slot = nmx_ring_get_taken(&half.window, i);

			nmx_ring_complete_slot_w0(
				&half, i, 0, VDPDK_W1(slot->length, slot->id, slot->flags, 0));
		}
		nmx_ring_advance_comp(&ring->half.window, n);
	} else if (kind == RING_PACKED) {
		struct nmx_packed_host half = ring->half.packed;

		for (uint32_t i = 0; i < n; i++) {
			const struct nmx_ring_slot *slot = nmx_ring_get_taken(&half.window, i);

			nmx_ring_complete_packed(
				&half, slot->id, slot->length, nmx_ring_get_packed_count(slot));
		}
		nmx_ring_publish_packed(&half, n);
		ring->half.packed = half;
	} else if (n > 0) {
		struct nmx_split_host half = ring->half.split;

		for (uint32_t i = 0; i < n; i++) {
			const struct nmx_ring_slot *slot = nmx_ring_get_taken(&half.window, i);

			nmx_ring_complete_used(&half, i, slot->id, slot->length);
		}
		nmx_ring_publish_used(&ring->half.split, n);
	}
}

/** The same of n lent buffers. @param answers  length and id of each, as rxmap gives them */
static inline __rte_always_inline void
answer_lent(struct guest_ring *ring, const uint32_t *answers, uint32_t n, const enum ring_kind kind)
{
	const uint32_t header_bytes = get_header_bytes(kind);

	if (kind == RING_VDPDK) {
		struct nmx_ring_host half = ring->half.vdpdk;

		for (uint32_t i = n; i-- > 0;)
			nmx_ring_complete_slot_w0(&half, i, 0, answers[i]);
		nmx_ring_advance_comp(&ring->half.window, n);
	} else if (kind == RING_PACKED) {
		struct nmx_packed_host half = ring->half.packed;

		for (uint32_t i = 0; i < n; i++)
			nmx_ring_complete_packed(&half, VDPDK_W1_ID(answers[i]),
				VDPDK_W1_LENGTH(answers[i]) + header_bytes, 1);
		nmx_ring_publish_packed(&half, n);
		ring->half.packed = half;
	} else if (n > 0) {
		struct nmx_split_host half = ring->half.split;

		for (uint32_t i = 0; i < n; i++)
			nmx_ring_complete_used(&half, i, VDPDK_W1_ID(answers[i]),
				VDPDK_W1_LENGTH(answers[i]) + header_bytes);
		nmx_ring_publish_used(&ring->half.split, n);
	}
	ring->half.window.lent -= n;
}

/** The first n slots of frames from the guest are read. Nothing is lent. */
static inline __rte_always_inline void
answer_read(struct guest_ring *ring, uint32_t n, const enum ring_kind kind)
{
	if (kind == RING_VDPDK) {
		struct nmx_ring_host half = ring->half.vdpdk;

		for (uint32_t i = n; i-- > 0;)
			nmx_ring_complete_slot(&half, i,
				VDPDK_W1(VDPDK_TX_DONE, nmx_ring_get_taken(&half.window, i)->id, 0,
					0));
		nmx_ring_advance_comp(&ring->half.window, n);
	} else if (kind == RING_PACKED) {
		struct nmx_packed_host half = ring->half.packed;

		for (uint32_t i = 0; i < n; i++) {
			const struct nmx_ring_slot *slot = nmx_ring_get_taken(&half.window, i);

			nmx_ring_complete_packed(
				&half, slot->id, 0, nmx_ring_get_packed_count(slot));
		}
		nmx_ring_publish_packed(&half, n);
		ring->half.packed = half;
	} else if (n > 0) {
		struct nmx_split_host half = ring->half.split;

		for (uint32_t i = 0; i < n; i++)
			nmx_ring_complete_used(
				&half, i, nmx_ring_get_taken(&half.window, i)->id, 0);
		nmx_ring_publish_used(&ring->half.split, n);
	}
}

/** True if the guest waits for a signal after what was answered. */
static inline __rte_always_inline bool
take_event(struct guest_ring *ring, const enum ring_kind kind)
{
	switch (kind) {
	case RING_VDPDK:
		return nmx_ring_take_event(&ring->bell);
	case RING_PACKED:
		return nmx_ring_take_packed_event(
			&ring->half.packed, &ring->packed_bell, ring->event_idx);
	default:
		return nmx_ring_take_split_event(
			&ring->half.split, &ring->split_bell, ring->event_idx);
	}
}

/**
 * Walk a buffer that is a chain. Slow.
 *
 * @param view  of the burst, as in nmx_mem_translate_fresh()
 * @return a fault; of kind ADDRESS with ring->untranslated
 */
static inline uint16_t
walk_chain(struct guest_ring *ring, const struct nmx_mem_view **view,
	const struct nmx_ring_slot *slot, bool writable, const enum ring_kind kind,
	struct nmx_split_chain *ret)
{
	NMX_SHARED uint8_t *table = NULL;

	if (slot->flags & NMX_SPLIT_FLAG_INDIRECT) {
		struct nmx_range range = nmx_ring_get_table(slot);

		if (nmx_mem_translate_fresh(ring->mem, view, &ring->cache, range.start, range.size,
			    NMX_MEM_READ, &table) != 0) {
			ring->untranslated = range;
			return VDPDK_FAULT_ADDRESS;
		}
	}
	return kind == RING_PACKED ? nmx_ring_walk_packed_chain(&ring->half.packed, slot,
					     (const NMX_SHARED struct nmx_packed_desc *)table,
					     writable, get_header_bytes(kind), ret)
				   : nmx_ring_walk_chain(&ring->half.split, slot,
					     (const NMX_SHARED struct nmx_split_desc *)table,
					     writable, get_header_bytes(kind), ret);
}

#endif
