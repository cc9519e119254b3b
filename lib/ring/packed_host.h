/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device's half of virtio's packed ring.
 *
 * Theory of operation
 *
 * One list of N descriptors is both: the driver makes them available in its order, and the device
 * writes its answers over them, from the same place on, in any order. Whose a descriptor is, two
 * flags in it say, against the lap that a side is in.
 *
 * What is fetched and not answered is in a window of private copies (window.h), which counts
 * buffers. Places in the list count descriptors, of which a buffer has one or, as a chain, several:
 *
 *   used_seq       answer_seq      avail_seq     <= used_seq + N, free-running, modulo 2^32
 *      |---------------|---------------|
 *      written, all     fetched and not
 *      but the first    answered
 *
 * The lowest bits of such a number are a descriptor's place, and the bit above them is the lap: a
 * wrap counter is never kept. Descriptor avail_seq is fetched if its flags say so and a lap isn't
 * full. A legal driver never goes further, and of another one nothing is read there: no fault. An
 * answer takes one descriptor and moves on by as many as its buffer took (2.7.6): only that keeps
 * both sides' places the same, so the number is in the copy, which has
 *
 *   address   behind the net header     length   bytes there, 65535 at most
 *   id        the buffer's, any number  flags    NMX_SPLIT_FLAG_*; above them, how many descriptors
 *   extra     the first one's place
 *
 * as split_host.h says it: nmx_ring_is_chain(), nmx_ring_get_continuation() and
 * nmx_ring_get_table() are for these copies as well. nmx_ring_get_packed_count() says how many
 * descriptors.
 *
 * Fetching is the snapshot: of the first descriptor both words are read once. Of a chain's others
 * (NEXT) w1 is read, and of that the flags NEXT, AVAIL and USED, and the last one's id, are used:
 * how many there are, and the id, are known from then on. nmx_ring_walk_packed_chain() reads them
 * again, and of that it uses addresses, lengths, WRITE and INDIRECT: no bit is used of two loads,
 * so a driver that writes in between disorders its own frame and nothing else.
 *
 * Answers are written over what was fetched first. So a chain is to be walked before it, or
 * anything that was fetched after it, is answered; what was fetched before it may be. Else the walk
 * finds answers in its place: a legal driver's frame is a fault then, and nothing worse. Who walks
 * a burst's chains before its first answer, and lends from the front of the window, keeps to that.
 *
 * All answers since the last publishing become visible together: the driver looks at the first of
 * them, whose word is stored last. The device reads nothing back that it wrote: it is of another
 * lap by its flags. A fault is a number (VDPDK_FAULT_*): the caller stops the queue. What is faulty
 * isn't fetched.
 *
 * The three parts lie in the guest's memory; that they stay mapped is the caller's matter (the
 * burst's bracket). One thread at a time uses a ring. Functions with `const bool` or `const
 * uint32_t` parameters are to be inlined with constants. Source: virtio 1.1, 2.7.
 */

#ifndef NMX_RING_PACKED_HOST_H
#define NMX_RING_PACKED_HOST_H

#include <errno.h>

#include "lib/ring/packed_layout.h"
#include "lib/ring/split_chain.h"

/** Most descriptors of a chain in the ring: a header of its own, and what a walk finds. */
#define NMX_PACKED_CHAIN_MAX (NMX_SPLIT_EXTENTS_MAX + 1)

/** In a copy's flags: where the number of descriptors is. */
#define NMX_PACKED_COUNT_SHIFT 8

static_assert(NMX_PACKED_CHAIN_MAX < 1 << (16 - NMX_PACKED_COUNT_SHIFT), "a chain fits");

/** Where the parts of a ring are: aligned, and mapped. */
struct nmx_packed_parts {
	NMX_SHARED struct nmx_packed_desc *desc;
	const NMX_SHARED struct nmx_packed_event *driver; /* what the driver asks for */
	NMX_SHARED struct nmx_packed_event *device;       /* what the device asks for */
};

struct nmx_packed_host {
	struct nmx_ring_window window; /* first: of buffers */
	struct nmx_packed_parts parts;
	uint32_t avail_seq;  /* descriptors: next to fetch */
	uint32_t answer_seq; /* where the next answer goes */
	uint32_t used_seq;   /* where the first answer is that isn't published */
	uint64_t first_w1;   /* that answer, unless answer_seq == used_seq */
};

/* --- Places --- */

/** A descriptor. */
static inline NMX_SHARED struct nmx_packed_desc *
nmx_ring_find_packed_desc(const struct nmx_packed_host *ring, uint32_t seq)
{
	return &ring->parts.desc[nmx_ring_get_idx(&ring->window, seq)];
}

/** True in laps whose wrap counter is 0. 2.7.1 */
static inline bool
nmx_ring_is_second_lap(const struct nmx_packed_host *ring, uint32_t seq)
{
	return (seq & (ring->window.mask + 1)) != 0;
}

/** A place as a position, for the other side. */
static inline uint16_t
nmx_ring_get_packed_position(const struct nmx_packed_host *ring, uint32_t seq)
{
	return (uint16_t)(nmx_ring_get_idx(&ring->window, seq) |
			  (nmx_ring_is_second_lap(ring, seq) ? 0 : NMX_PACKED_POSITION_WRAP));
}

/** A position as the other side says it, any number, as a place of the first two laps. */
static inline uint32_t
nmx_ring_find_packed_seq(uint16_t position, uint32_t n_slots)
{
	return (position & (n_slots - 1)) | (position & NMX_PACKED_POSITION_WRAP ? 0 : n_slots);
}

/** True if a base, a peer's, is inside a ring. */
static inline bool
nmx_ring_check_packed_base(uint32_t base, uint32_t n_slots)
{
	return ((base | base >> 16) & NMX_PACKED_POSITION_IDX) < n_slots;
}

/**
 * Start a ring anew, of n_slots: 2^k, NMX_PACKED_SLOTS_MAX at most.
 *
 * @param parts  where the guest's ring is
 * @param taken  host memory for n_slots copies
 * @param base   NMX_PACKED_BASE_NEW, or where another device was when it stopped; a peer's. What
 *               that one fetched and didn't answer stays so. Of a front-end that
 *               knows one position the upper half is 0: a used one a lap behind, or more, is none
 * @return 0; -EINVAL nmx_ring_check_packed_base()
 *
 * Source: vhost-user, "Vring descriptor indices for packed virtqueues"
 */
static inline int
nmx_ring_init_packed(struct nmx_packed_host *ring, const struct nmx_packed_parts *parts,
	struct nmx_ring_slot *taken, uint32_t n_slots, uint32_t base)
{
	const uint16_t avail = (uint16_t)base, used = (uint16_t)(base >> 16);
	uint32_t ahead;

	if (!nmx_ring_check_packed_base(base, n_slots))
		return -EINVAL;
	ahead = (nmx_ring_find_packed_seq(avail, n_slots) -
			nmx_ring_find_packed_seq(used, n_slots)) &
		(2 * n_slots - 1);
	ring->parts = *parts;
	nmx_ring_init_window(&ring->window, taken, n_slots, 0);
	ring->avail_seq = nmx_ring_find_packed_seq(avail, n_slots);
	ring->used_seq = ring->avail_seq - (ahead < n_slots ? ahead : 0);
	ring->answer_seq = ring->used_seq;
	ring->first_w1 = 0;
	return 0;
}

/** The descriptors that a copy's buffer took: what its answer moves on by. */
static inline uint32_t
nmx_ring_get_packed_count(const struct nmx_ring_slot *slot)
{
	return slot->flags >> NMX_PACKED_COUNT_SHIFT;
}

/* --- Fetching --- */

/** True if a descriptor's second word says that it is the device's. Pure. 2.7.1 */
static inline bool
nmx_ring_is_packed_avail(const struct nmx_packed_host *ring, uint32_t seq, uint64_t w1)
{
	const uint16_t both = NMX_PACKED_FLAG_AVAIL | NMX_PACKED_FLAG_USED;

	return (NMX_PACKED_W1_FLAGS(w1) & both) ==
	       (nmx_ring_is_second_lap(ring, seq) ? NMX_PACKED_FLAG_USED : NMX_PACKED_FLAG_AVAIL);
}

/**
 * Read descriptor avail_seq's second word.
 *
 * @return false: it isn't available, or a lap is full
 */
static inline bool
nmx_ring_load_packed_avail(const struct nmx_packed_host *ring, uint64_t *ret_w1)
{
	if (ring->avail_seq - ring->used_seq > ring->window.mask)
		return false;
	/* Orders the flags before the address, a chain's other descriptors and the buffers; pairs
	 * with the driver's barrier in front of its store of them. One load has the length and the
	 * id too, which were stored before the flags. */
	*ret_w1 = nmx_base_load64_acquire(&nmx_ring_find_packed_desc(ring, ring->avail_seq)->w1);
	return nmx_ring_is_packed_avail(ring, ring->avail_seq, *ret_w1);
}

/**
 * True if n descriptors, at least 1, are available. A look at the last of them only; with 1, the
 * look of who has armed a kick and is about to sleep.
 */
static inline bool
nmx_ring_has_packed(const struct nmx_packed_host *ring, uint32_t n)
{
	const uint32_t last = ring->avail_seq + n - 1;

	return last - ring->used_seq <= ring->window.mask &&
	       nmx_ring_is_packed_avail(ring, last,
		       nmx_base_load64_acquire(&nmx_ring_find_packed_desc(ring, last)->w1));
}

/**
 * Count the descriptors of the chain that begins at avail_seq. The driver made its first one
 * available last, and the flags of all are to be right (2.7.6): so all of it is there.
 *
 * @param ret_n   how many, the first included
 * @param ret_id  the last one's
 * @return VDPDK_FAULT_NONE; VDPDK_FAULT_CHAIN: more than NMX_PACKED_CHAIN_MAX, or than is available
 */
static inline uint16_t
nmx_ring_load_packed_chain(const struct nmx_packed_host *ring, uint32_t *ret_n, uint16_t *ret_id)
{
	const uint32_t room = ring->window.mask + 1 - (ring->avail_seq - ring->used_seq);
	const uint32_t n_max = room < NMX_PACKED_CHAIN_MAX ? room : NMX_PACKED_CHAIN_MAX;
	uint32_t n = 1;
	uint64_t w1;

	do {
		const uint32_t seq = ring->avail_seq + n;

		if (n == n_max)
			return VDPDK_FAULT_CHAIN;
		w1 = nmx_base_load64(&nmx_ring_find_packed_desc(ring, seq)->w1);
		if (!nmx_ring_is_packed_avail(ring, seq, w1))
			return VDPDK_FAULT_CHAIN;
		n++;
	} while (NMX_PACKED_W1_FLAGS(w1) & NMX_SPLIT_FLAG_NEXT);
	*ret_n = n;
	*ret_id = NMX_PACKED_W1_ID(w1);
	return VDPDK_FAULT_NONE;
}

/**
 * Copy and judge the buffer at avail_seq. Doesn't advance.
 *
 * @param w1     its first descriptor's second word, as it was loaded
 * @param ret    its copy; meaningless after a fault
 * @param ret_n  the descriptors that it took
 * @return VDPDK_FAULT_*
 */
static inline uint16_t
nmx_ring_load_packed_buffer(const struct nmx_packed_host *ring, uint64_t w1, const bool writable,
	const uint32_t header_bytes, struct nmx_ring_slot *ret, uint32_t *ret_n)
{
	const uint64_t address = nmx_base_load64(
		&nmx_ring_find_packed_desc(ring, ring->avail_seq)->address);
	/* The same word, but for the place of what isn't the id there. */
	const uint64_t split_w1 = NMX_SPLIT_W1(
		NMX_PACKED_W1_LENGTH(w1), NMX_PACKED_W1_FLAGS(w1), 0);
	uint16_t fault = nmx_ring_check_head(address, split_w1, writable, header_bytes, ret);

	ret->id = NMX_PACKED_W1_ID(w1);
	*ret_n = 1;
	if (__builtin_expect((ret->flags & NMX_SPLIT_FLAG_NEXT) != 0, 0) &&
		fault == VDPDK_FAULT_NONE)
		fault = nmx_ring_load_packed_chain(ring, ret_n, &ret->id);
	ret->flags |= (uint16_t)(*ret_n << NMX_PACKED_COUNT_SHIFT);
	ret->extra = (uint16_t)nmx_ring_get_idx(&ring->window, ring->avail_seq);
	return fault;
}

/**
 * Fetch buffers until `want` are ready or no more are available.
 *
 * @param want          at most N
 * @param writable      the device writes into the queue's buffers (to the guest), or reads them;
 *                      constant
 * @param header_bytes  of the net header: NMX_SPLIT_NET_BYTES or NMX_SPLIT_NET_BYTES_LEGACY;
 *                      constant
 * @return VDPDK_FAULT_*
 */
static inline uint16_t
nmx_ring_fetch_packed(struct nmx_packed_host *ring, uint32_t want, const bool writable,
	const uint32_t header_bytes)
{
	struct nmx_packed_host local = *ring; /* in registers: stores to `taken` can't touch it */
	const uint32_t end = local.window.comp + local.window.lent + want;
	uint16_t fault = VDPDK_FAULT_NONE;
	uint64_t w1;
	uint32_t n;

	while ((int32_t)(end - local.window.fetch) > 0 && nmx_ring_load_packed_avail(&local, &w1)) {
		fault = nmx_ring_load_packed_buffer(
			&local, w1, writable, header_bytes, nmx_ring_get_next(&local.window), &n);
		if (fault != VDPDK_FAULT_NONE)
			break;
		local.avail_seq += n;
		local.window.fetch++;
	}
	ring->avail_seq = local.avail_seq;
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
nmx_ring_fetch_packed_lent(
	struct nmx_packed_host *ring, const uint32_t header_bytes, struct nmx_ring_slot *ret)
{
	uint64_t w1;
	uint32_t n;

	if (!nmx_ring_load_packed_avail(ring, &w1) ||
		nmx_ring_load_packed_buffer(ring, w1, true, header_bytes, ret, &n) !=
			VDPDK_FAULT_NONE)
		return false;
	ring->avail_seq += n;
	ring->window.fetch++;
	ring->window.lent++;
	return true;
}

/* --- Answering --- */

/**
 * Ask for the lines of the next n answers, of a descriptor each, that will be written soon. A hint.
 * If nothing is lent, they are the lines of the next n descriptors to fetch.
 */
static inline void
nmx_ring_claim_packed(const struct nmx_packed_host *ring, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += NMX_CACHE_LINE_BYTES / sizeof(struct nmx_packed_desc))
		nmx_base_prefetch_to_write(nmx_ring_find_packed_desc(ring, ring->answer_seq + i));
}

/**
 * Write the next answer, for any buffer taken. The driver sees it by nmx_ring_publish_packed().
 *
 * @param id      of the buffer's copy
 * @param bytes   written to it, the net header included; 0 of buffers that are read, or come back
 *                unused
 * @param n_desc  nmx_ring_get_packed_count() of the buffer's copy; 1 of one that was lent
 *
 * Source: 2.7.3, 2.7.4, 2.7.6
 */
static inline void
nmx_ring_complete_packed(struct nmx_packed_host *ring, uint16_t id, uint32_t bytes, uint32_t n_desc)
{
	const uint32_t seq = ring->answer_seq;
	const uint16_t lap = nmx_ring_is_second_lap(ring, seq)
				     ? 0
				     : NMX_PACKED_FLAG_AVAIL | NMX_PACKED_FLAG_USED;
	const uint64_t w1 = NMX_PACKED_W1(bytes, id, lap | (bytes != 0 ? NMX_SPLIT_FLAG_WRITE : 0));

	if (seq == ring->used_seq)
		ring->first_w1 = w1;
	else
		nmx_base_store64(&nmx_ring_find_packed_desc(ring, seq)->w1, w1);
	ring->answer_seq = seq + n_desc;
}

/** The n buffers that have been answered since the last time: the driver sees them all at once. */
static inline void
nmx_ring_publish_packed(struct nmx_packed_host *ring, uint32_t n)
{
	if (n == 0)
		return;
	nmx_ring_advance_comp(&ring->window, n);
	/* Orders the other answers and the buffers' bytes before the flags that the driver looks
	 * at; pairs with its load of them, 2.7.9 and 2.7.22. */
	nmx_base_store64_release(
		&nmx_ring_find_packed_desc(ring, ring->used_seq)->w1, ring->first_w1);
	ring->used_seq = ring->answer_seq;
}

/**
 * Give back what is taken, unused, when a ring stops. Nothing is lent. What is available and not
 * fetched stays the device's: a ring that starts again begins there.
 *
 * @return the base to start from again
 */
static inline uint32_t
nmx_ring_return_packed(struct nmx_packed_host *ring)
{
	uint32_t n = nmx_ring_count_taken(&ring->window);

	for (uint32_t i = 0; i < n; i++) {
		const struct nmx_ring_slot *slot = nmx_ring_get_taken(&ring->window, i);

		nmx_ring_complete_packed(ring, slot->id, 0, nmx_ring_get_packed_count(slot));
	}
	nmx_ring_publish_packed(ring, n);
	return NMX_PACKED_BASE(nmx_ring_get_packed_position(ring, ring->avail_seq),
		nmx_ring_get_packed_position(ring, ring->used_seq));
}

#endif
