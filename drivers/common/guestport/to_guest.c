/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Frames to the guest: the burst.
 *
 * Theory of operation
 *
 * A burst is cut into chunks of BURST_MAX frames. For each chunk:
 *
 *   1. fetch as many posted buffers as there may be frames
 *   2. judge each frame, find its buffer, translate it, prefetch both ends
 *   3. copy, and put the net header in front if there is one
 *   4. answer, so that the guest sees all of a frame or nothing (kinds.h)
 *   5. signal, if the guest waits
 *
 * In 2 and 3 the private copies in front of the ready ones become the answers. A frame that is
 * dropped takes no slot. A frame for which there isn't enough room ends the burst; it stays the
 * caller's.
 *
 * A queue that lends its buffers to a map (lend.c) gets frames that are in one of them already:
 * step 2 finds the loan, and there is nothing to copy. Each chunk is worked off with the map's
 * `busy` held, as lending goes on from the same ring.
 */

#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "kinds.h"
#include "lib/dpdk/mbufs.h"
#include "offload.h"

static_assert(BURST_MAX <= NMX_DPDK_FREE_MAX, "a chunk is freed in one call");

/** Where the frames of a chunk go. */
struct plan {
	NMX_SHARED uint8_t *to[BURST_MAX];
	struct rte_mbuf *mbufs[BURST_MAX]; /* frames that are delivered, one slot each */
	uint16_t n;                        /* of them */
};

/** A burst under way. */
struct burst {
	struct nmx_to_guest *queue;
	struct guest_ring *ring;
	struct nmx_rxmap *map; /* that the queue lends to */
	bool has_loans;        /* of this run: what an earlier one lent was given up */
	const struct nmx_mem_view *view;
	uint32_t bytes_max; /* of a frame, by the guest's MTU */
	uint32_t used;      /* slots that have an answer, from `comp` on */
	/* Frames of so many bytes or more are too long for the buffers from slot `crumbs_at` on. */
	uint32_t crumbs_bytes, crumbs_at;
	uint64_t frames, bytes, mapped;
	uint64_t drops[NMX_TO_GUEST_DROPS];
	uint16_t fault;
};

/**
 * True if the mbuf's lengths agree with each other and with its room: a driver below may have got
 * them wrong, and what is copied to a guest must be the frame and nothing beside it.
 */
static bool
check_segments(const struct rte_mbuf *mbuf)
{
	const struct rte_mbuf *segment = mbuf;
	uint32_t left = mbuf->pkt_len;

	for (uint16_t n = mbuf->nb_segs; n > 0; n--, segment = segment->next) {
		if (segment == NULL || segment->data_len > left ||
			(uint32_t)segment->data_off + segment->data_len > segment->buf_len)
			return false;
		left -= segment->data_len;
	}
	return left == 0 && segment == NULL;
}

/** True if an mbuf asks the guest for something. What vDPDK guests could do, nobody offers. */
static inline __rte_always_inline bool
asks(const struct rte_mbuf *mbuf, const enum ring_kind kind)
{
	return kind != RING_VDPDK && unlikely((mbuf->ol_flags & OFFLOAD_REQUESTS) != 0);
}

/** Judge one that does; as judge_frame(). */
static __rte_noinline enum nmx_to_guest_drop
judge_request(const struct burst *burst, const struct rte_mbuf *mbuf)
{
	const bool is_long = (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0;
	struct nmx_split_net_header header;

	if (!nmx_guestport_make_request(mbuf, burst->ring->may, &header))
		return NMX_TO_GUEST_OFFLOAD;
	return mbuf->pkt_len > (is_long ? OFFLOAD_BYTES_MAX : burst->bytes_max)
		       ? NMX_TO_GUEST_TOO_LONG
		       : NMX_TO_GUEST_DROPS;
}

/** Judge a frame: NMX_TO_GUEST_DROPS if it may pass, else why it is dropped. */
static inline __rte_always_inline enum nmx_to_guest_drop
judge_frame(const struct burst *burst, const struct rte_mbuf *mbuf, const enum ring_kind kind)
{
	bool good = mbuf->nb_segs == 1
			    ? mbuf->data_len == mbuf->pkt_len &&
				      (uint32_t)mbuf->data_off + mbuf->data_len <= mbuf->buf_len
			    : check_segments(mbuf);

	if (unlikely(!good || mbuf->pkt_len < VDPDK_FRAME_BYTES_MIN))
		return NMX_TO_GUEST_MALFORMED;
	if (asks(mbuf, kind))
		return judge_request(burst, mbuf);
	if (unlikely(mbuf->pkt_len > burst->bytes_max))
		return NMX_TO_GUEST_TOO_LONG;
	return NMX_TO_GUEST_DROPS;
}

/** Copy a chain of mbufs to one place. */
static void
copy_chain(NMX_SHARED uint8_t *to, const struct rte_mbuf *mbuf)
{
	for (; mbuf != NULL; mbuf = mbuf->next) {
		nmx_base_copy_to_shared(to, rte_pktmbuf_mtod(mbuf, void *), mbuf->data_len);
		to += mbuf->data_len;
	}
}

/** Out of line: of all kinds. */
static __rte_noinline void
copy_planned(const struct plan *plan)
{
	for (uint16_t i = 0; i < plan->n; i++) {
		const struct rte_mbuf *mbuf = plan->mbufs[i];

		if (likely(mbuf->nb_segs == 1))
			rte_memcpy(NMX_SHARED_PLAIN(void, plan->to[i]),
				rte_pktmbuf_mtod(mbuf, void *), mbuf->data_len);
		else
			copy_chain(plan->to[i], mbuf);
	}
}

/** A header that asks for what the mbuf does. */
static __rte_noinline void
put_request(const struct burst *burst, NMX_SHARED uint8_t *data, const struct rte_mbuf *mbuf,
	uint16_t n_buffers, uint32_t header_bytes)
{
	struct nmx_split_net_header header;

	/* It was found good when it was judged. */
	(void)nmx_guestport_make_request(mbuf, burst->ring->may, &header);
	header.n_buffers = n_buffers;
	nmx_ring_put_net_request(data, &header, header_bytes);
}

/** The net header in front of a frame. */
static inline __rte_always_inline void
put_header(const struct burst *burst, NMX_SHARED uint8_t *data, const struct rte_mbuf *mbuf,
	uint16_t n_buffers, const enum ring_kind kind)
{
	if (kind == RING_VDPDK)
		return;
	if (asks(mbuf, kind))
		put_request(burst, data, mbuf, n_buffers, get_header_bytes(kind));
	else
		nmx_ring_put_net_header(data, n_buffers, get_header_bytes(kind));
}

/** Those of what is planned. */
static inline __rte_always_inline void
put_headers(const struct burst *burst, const struct plan *plan, const enum ring_kind kind)
{
	for (uint16_t i = 0; kind != RING_VDPDK && i < plan->n; i++)
		put_header(burst, plan->to[i], plan->mbufs[i], 1, kind);
}

/**
 * The ready slot that is `ahead` of those used; fetches it if need be.
 *
 * @param lends  constant: some may be lent
 * @return NULL: the guest has posted no more, or the burst has a fault
 */
static inline __rte_always_inline struct nmx_ring_slot *
next_slot(struct burst *burst, uint32_t ahead, const bool lends, const enum ring_kind kind)
{
	const struct nmx_ring_window *window = &burst->ring->half.window;
	uint32_t wanted = burst->used + ahead + 1 + (lends ? window->lent : 0);

	if (unlikely(wanted > nmx_ring_count_taken(window))) {
		burst->fault = fetch_posted(burst->ring, burst->used + ahead + 1, kind);
		if (nmx_ring_count_taken(window) < wanted)
			return NULL;
	}
	return nmx_ring_get_taken(window, wanted - 1);
}

/**
 * Keep an answer until the chunk's end.
 *
 * @param i      how many answers this is behind those kept
 * @param slot   that is answered
 * @param bytes  that are told of it
 * @param lends  constant: without, it is the very one that the answer replaces
 */
static inline __rte_always_inline void
keep_answer(struct burst *burst, uint32_t i, struct nmx_ring_slot *slot, uint16_t bytes,
	uint16_t flags, const bool lends, const enum ring_kind kind)
{
	const struct nmx_ring_window *window = &burst->ring->half.window;
	struct nmx_ring_slot *answer = slot;

	if (lends) {
		answer = nmx_ring_get_taken(window, burst->used + i);
		answer->id = slot->id;
	}
	answer->length = bytes;
	/* A packed ring's have the number of the buffer's descriptors. */
	answer->flags = kind == RING_PACKED ? slot->flags : flags;
}

/** Find a buffer; false: the burst has a fault. */
static inline bool
translate(struct burst *burst, uint64_t address, uint32_t bytes, NMX_SHARED uint8_t **ret)
{
	if (likely(nmx_mem_translate_fresh(burst->ring->mem, &burst->view, &burst->ring->cache,
			   address, bytes, NMX_MEM_WRITE, ret) == 0))
		return true;
	burst->fault = VDPDK_FAULT_ADDRESS;
	burst->ring->untranslated = (struct nmx_range){ address, bytes };
	return false;
}

/* --- Frames over several buffers, or pieces --- */

/**
 * What a frame comes to at most: a chain of Linux' without mergeable buffers has 18. Who posts
 * crumbs would have a thread that serves others, too, look at many for nothing.
 */
#define PIECES_MAX 20u
/** The same of one that the guest is to cut: buffers for a small frame each take it. */
#define LONG_PIECES_MAX 64u

/** Where a frame goes. Nothing is copied or answered before all of it was found good. */
struct layout {
	NMX_SHARED uint8_t *header; /* behind the net header; NULL: none */
	uint32_t n_buffers, n_pieces;
	uint32_t n_buffers_max, n_pieces_max;
	uint32_t answers[LONG_PIECES_MAX]; /* bytes in each buffer, with the net header */
	struct {
		NMX_SHARED uint8_t *to;
		uint32_t bytes;
	} pieces[LONG_PIECES_MAX];
};

/** Add a piece of guest memory; false: a fault, or no room for another one (no fault). */
static bool
add_piece(struct burst *burst, struct layout *layout, uint64_t address, uint32_t bytes)
{
	if (layout->n_pieces == layout->n_pieces_max ||
		!translate(burst, address, bytes, &layout->pieces[layout->n_pieces].to))
		return false;
	layout->pieces[layout->n_pieces++].bytes = bytes;
	layout->answers[layout->n_buffers] += bytes;
	return true;
}

/** Lay up to *left bytes of a frame into a buffer that is a chain; false as in add_piece(). */
static bool
lay_into_chain(struct burst *burst, struct layout *layout, const struct nmx_ring_slot *slot,
	uint32_t *left, const enum ring_kind kind)
{
	const uint32_t header_bytes = get_header_bytes(kind);
	struct nmx_split_chain chain;

	burst->fault = walk_chain(burst->ring, &burst->view, slot, true, kind, &chain);
	if (burst->fault != VDPDK_FAULT_NONE)
		return false;
	if (layout->n_buffers == 0) {
		if (!translate(burst, chain.header, header_bytes, &layout->header))
			return false;
		layout->header += header_bytes;
		layout->answers[0] = header_bytes;
	} else {
		uint32_t n = RTE_MIN(*left, header_bytes);

		if (!add_piece(burst, layout, chain.header, n))
			return false;
		*left -= n;
	}
	for (uint32_t i = 0; i<chain.n && * left> 0; i++) {
		uint32_t n = RTE_MIN(*left, chain.extents[i].length);

		if (!add_piece(burst, layout, chain.extents[i].address, n))
			return false;
		*left -= n;
	}
	return true;
}

/** The same of a buffer in one piece. */
static bool
lay_into_piece(struct burst *burst, struct layout *layout, const struct nmx_ring_slot *slot,
	uint32_t *left, const enum ring_kind kind)
{
	const uint32_t header_bytes = get_header_bytes(kind);
	struct nmx_range room = { slot->address, slot->length };
	uint32_t n;

	if (kind != RING_VDPDK && layout->n_buffers > 0)
		room = nmx_ring_get_continuation(slot, header_bytes);
	n = RTE_MIN(*left, (uint32_t)room.size);
	if (kind != RING_VDPDK && layout->n_buffers == 0) {
		if (!translate(burst, slot->address - header_bytes, header_bytes, &layout->header))
			return false;
		layout->header += header_bytes;
		layout->answers[0] = header_bytes;
	}
	*left -= n;
	return add_piece(burst, layout, room.start, n);
}

/** Where the next byte of a frame is. */
struct cursor {
	const struct rte_mbuf *segment;
	uint32_t offset; /* in it */
};

static void
copy_piece(NMX_SHARED uint8_t *to, struct cursor *from, uint32_t bytes)
{
	while (bytes > 0) {
		uint32_t left = from->segment->data_len - from->offset, n = RTE_MIN(bytes, left);

		nmx_base_copy_to_shared(
			to, rte_pktmbuf_mtod_offset(from->segment, void *, from->offset), n);
		to += n;
		bytes -= n;
		from->offset += n;
		if (n == left) {
			from->segment = from->segment->next;
			from->offset = 0;
		}
	}
}

/** What becomes of a frame. */
enum fate {
	DELIVERED,
	MAPPED, /* delivered, and its mbuf is the map's again */
	DROPPED,
	WAITS, /* for buffers, or for nothing any more: the burst ends before it */
};

/** The next buffers are crumbs to a frame. */
static enum fate
drop_for_crumbs(struct burst *burst, uint32_t bytes)
{
	burst->crumbs_bytes = bytes;
	burst->crumbs_at = burst->ring->half.window.comp + burst->used;
	return DROPPED;
}

/** True if the buffers that come next were found to be crumbs to such a frame. */
static bool
meets_crumbs(const struct burst *burst, uint32_t bytes)
{
	return burst->crumbs_bytes != 0 && bytes >= burst->crumbs_bytes &&
	       burst->crumbs_at == burst->ring->half.window.comp + burst->used;
}

/** Begin; says what a frame may come to. */
static void
init_layout(const struct burst *burst, struct layout *layout, bool is_long)
{
	const struct nmx_ring_window *window = &burst->ring->half.window;

	layout->header = NULL;
	layout->n_buffers = layout->n_pieces = 0;
	layout->n_pieces_max = is_long ? LONG_PIECES_MAX : PIECES_MAX;
	layout->n_buffers_max = 1;
	if (burst->ring->scatter)
		layout->n_buffers_max = VDPDK_RX_SEGMENTS_MAX;
	/* No more than the guest posts at a time, or the frame would wait for ever. */
	if (burst->ring->scatter && is_long)
		layout->n_buffers_max = RTE_MIN(LONG_PIECES_MAX, window->mask / 2 + 1);
}

/** Find room for a frame in posted buffers; DELIVERED if there is. Context: `layout` is begun. */
static enum fate
lay_out(struct burst *burst, struct layout *layout, uint32_t bytes, const enum ring_kind kind)
{
	uint32_t left = bytes;

	if (meets_crumbs(burst, bytes))
		return DROPPED;
	while (left > 0) {
		const struct nmx_ring_slot *slot;
		bool laid;

		if (layout->n_buffers == layout->n_buffers_max)
			return drop_for_crumbs(burst, bytes);
		slot = next_slot(burst, layout->n_buffers, true, kind);
		if (slot == NULL)
			return WAITS;
		layout->answers[layout->n_buffers] = 0;
		laid = is_chain(slot, kind) ? lay_into_chain(burst, layout, slot, &left, kind)
					    : lay_into_piece(burst, layout, slot, &left, kind);
		if (!laid)
			return burst->fault != VDPDK_FAULT_NONE ? WAITS
								: drop_for_crumbs(burst, bytes);
		layout->n_buffers++;
	}
	return DELIVERED;
}

/** Deliver a frame that isn't in one buffer of one piece. Out of line, and of any kind. */
static __rte_noinline enum fate
send_scattered(struct burst *burst, const struct rte_mbuf *mbuf, const enum ring_kind kind)
{
	struct cursor from = { mbuf, 0 };
	struct layout layout;
	enum fate fate;

	init_layout(
		burst, &layout, asks(mbuf, kind) && (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0);
	fate = lay_out(burst, &layout, mbuf->pkt_len, kind);
	if (fate == DROPPED)
		burst->drops[NMX_TO_GUEST_TOO_LONG]++;
	if (fate != DELIVERED)
		return fate;
	for (uint32_t i = 0; i < layout.n_pieces; i++)
		copy_piece(layout.pieces[i].to, &from, layout.pieces[i].bytes);
	put_header(burst, layout.header, mbuf, (uint16_t)layout.n_buffers, kind);
	for (uint32_t i = 0; i < layout.n_buffers; i++)
		keep_answer(burst, i, next_slot(burst, i, true, kind), (uint16_t)layout.answers[i],
			i + 1 < layout.n_buffers ? VDPDK_FLAG_NEXT : 0, true, kind);
	burst->used += layout.n_buffers;
	return DELIVERED;
}

/* --- Chunks --- */

/** In front of a frame that is in a buffer of the guest's; the header's bytes were lent, too. */
static inline __rte_always_inline void
put_header_in_place(
	const struct burst *burst, const struct rte_mbuf *mbuf, const enum ring_kind kind)
{
	put_header(burst, (NMX_SHARED uint8_t *)rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf, 1, kind);
}

/** Answer a frame that is in a buffer of the guest's already, out of turn; false: it isn't. */
static inline __rte_always_inline bool
answer_loan(struct burst *burst, struct rte_mbuf *mbuf, const enum ring_kind kind)
{
	struct nmx_ring_slot slot;
	uint32_t answer;

	if (unlikely(!burst->has_loans) ||
		!nmx_rxmap_is_in_place(
			burst->map, mbuf, VDPDK_FRAME_BYTES_MIN, burst->bytes_max, &answer))
		return false;
	slot.id = VDPDK_W1_ID(answer);
	slot.flags = 1 << NMX_PACKED_COUNT_SHIFT;
	keep_answer(burst, 0, &slot, (uint16_t)(VDPDK_W1_LENGTH(answer) + get_header_bytes(kind)),
		0, true, kind);
	put_header_in_place(burst, mbuf, kind);
	nmx_rxmap_finish_loans(burst->map, &mbuf, 1);
	burst->ring->half.window.lent--;
	burst->used++;
	burst->mapped++;
	return true;
}

/**
 * Plan one frame, or send it if it needs several buffers.
 *
 * @param lends  constant: the queue lends to burst->map
 * @param lent   constant: it may be in a lent buffer
 */
static inline __rte_always_inline enum fate
plan_frame(struct burst *burst, struct plan *plan, struct rte_mbuf *mbuf, const bool lends,
	const bool lent, const enum ring_kind kind)
{
	const uint32_t header_bytes = get_header_bytes(kind);
	enum nmx_to_guest_drop drop = judge_frame(burst, mbuf, kind);
	struct nmx_ring_slot *slot;

	if (unlikely(drop != NMX_TO_GUEST_DROPS)) {
		burst->drops[drop]++;
		return DROPPED;
	}
	if (lent && answer_loan(burst, mbuf, kind))
		return MAPPED;
	slot = next_slot(burst, 0, lends, kind);
	if (unlikely(slot == NULL))
		return WAITS;
	if (unlikely(mbuf->pkt_len > slot->length || is_chain(slot, kind)))
		return send_scattered(burst, mbuf, kind);
	if (unlikely(!translate(burst, slot->address - header_bytes, mbuf->pkt_len + header_bytes,
		    &plan->to[plan->n])))
		return WAITS;
	rte_prefetch0(rte_pktmbuf_mtod(mbuf, void *));
	nmx_base_prefetch_to_write(plan->to[plan->n]);
	plan->to[plan->n] += header_bytes;
	plan->mbufs[plan->n++] = mbuf;
	keep_answer(burst, 0, slot, (uint16_t)(mbuf->pkt_len + header_bytes), 0, lends, kind);
	burst->used++;
	return DELIVERED;
}

/**
 * The frames in front that are in their buffers, in the order in which these were lent: what there
 * is to do if the uplink's frames come from its NIC and go nowhere else.
 *
 * @return how many
 */
static inline __rte_always_inline uint32_t
answer_in_place(struct burst *burst, struct rte_mbuf **mbufs, uint32_t n, const enum ring_kind kind)
{
	uint32_t answers[BURST_MAX];

	if (unlikely(!burst->has_loans))
		return 0;
	/* Those that ask for something are judged first, one by one. */
	n = nmx_rxmap_count_in_place(burst->map, mbufs, n,
		kind == RING_VDPDK ? 0 : OFFLOAD_REQUESTS, VDPDK_FRAME_BYTES_MIN, burst->bytes_max,
		answers);
	for (uint32_t i = 0; i < n; i++) {
		burst->bytes += answers[i] & UINT16_MAX;
		put_header_in_place(burst, mbufs[i], kind);
	}
	answer_lent(burst->ring, answers, n, kind);
	nmx_rxmap_finish_loans(burst->map, mbufs, n);
	burst->frames += n;
	burst->mapped += n;
	return n;
}

/** One frame after the other. @return frames dealt with; `rest` are those to be freed, if lends */
static inline __rte_always_inline uint16_t
send_frames(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, struct rte_mbuf **rest,
	uint16_t *n_rest, bool consume, const bool lends, const enum ring_kind kind)
{
	struct plan plan;
	uint16_t i;

	plan.n = 0;
	claim_ring(burst->ring, n, kind);
	burst->fault = fetch_posted(burst->ring, n, kind);
	claim_used(burst->ring, n, kind);
	for (i = 0; i < n; i++) {
		uint32_t bytes = mbufs[i]->pkt_len;
		enum fate fate = plan_frame(burst, &plan, mbufs[i], lends, lends && consume, kind);

		if (fate == WAITS)
			break;
		if (fate != DROPPED) {
			burst->frames++;
			burst->bytes += bytes;
		}
		if (lends && consume && fate != MAPPED)
			rest[(*n_rest)++] = mbufs[i];
	}
	put_headers(burst, &plan, kind);
	copy_planned(&plan);
	answer_posted(burst->ring, burst->used, kind);
	burst->used = 0;
	return i;
}

/**
 * One chunk.
 *
 * @param consume  free what is dealt with
 * @param lends    constant: the queue lends to burst->map
 * @return frames dealt with; fewer than n: the burst is over
 */
static inline __rte_always_inline uint16_t
send_chunk(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, bool consume, const bool lends,
	const enum ring_kind kind)
{
	struct rte_mbuf *rest[BURST_MAX];
	uint16_t n_rest = 0, done = 0;

	if (!lends) {
		done = send_frames(burst, mbufs, n, rest, &n_rest, consume, false, kind);
		if (consume)
			nmx_dpdk_free_mbufs(mbufs, done, true);
		return done;
	}
	nmx_rxmap_lock(burst->map);
	nmx_rxmap_sweep(burst->map);
	burst->has_loans = burst->queue->lender == burst->ring;
	if (consume)
		done = (uint16_t)answer_in_place(burst, mbufs, n, kind);
	if (unlikely(done < n))
		done += send_frames(
			burst, mbufs + done, n - done, rest, &n_rest, consume, true, kind);
	nmx_guestport_show_loans(burst->ring);
	nmx_rxmap_unlock(burst->map);
	if (consume)
		nmx_dpdk_free_mbufs(rest, n_rest, true);
	return done;
}

static void
signal_guest(struct nmx_to_guest *queue)
{
	if (nmx_guestport_ring_bell(queue->port, &queue->bell))
		queue->counters.signals++;
	else
		queue->counters.late_signals++;
}

static void
add_counters(struct burst *burst)
{
	struct nmx_to_guest_counters *counters = &burst->queue->counters;

	counters->frames += burst->frames;
	counters->bytes += burst->bytes;
	counters->mapped += burst->mapped;
	for (unsigned int i = 0; i < NMX_TO_GUEST_DROPS; i++)
		counters->drops[i] += burst->drops[i];
}

/** As send_chunk(), any number. */
static inline __rte_always_inline uint16_t
send_chunks(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, bool consume,
	const bool lends, const enum ring_kind kind)
{
	uint16_t done = 0;

	while (done < n) {
		uint16_t chunk = RTE_MIN(n - done, BURST_MAX);
		uint16_t sent = send_chunk(burst, mbufs + done, chunk, consume, lends, kind);

		done += sent;
		if (sent < chunk || unlikely(burst->fault != VDPDK_FAULT_NONE))
			break;
	}
	if (burst->frames > 0 && take_event(burst->ring, kind))
		signal_guest(burst->queue);
	return done;
}

/** Defines a burst for one kind. One function each: compilers do better with less in it. */
#define SENDER(function, kind, lends)                                                   \
	static __rte_noinline uint16_t function(                                        \
		struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, bool consume) \
	{                                                                               \
		return send_chunks(burst, mbufs, n, consume, lends, kind);              \
	}

SENDER(send_vdpdk, RING_VDPDK, false)
SENDER(send_vdpdk_lending, RING_VDPDK, true)
SENDER(send_split, RING_SPLIT, false)
SENDER(send_split_lending, RING_SPLIT, true)
SENDER(send_split_legacy, RING_SPLIT_LEGACY, false)
SENDER(send_packed, RING_PACKED, false)
SENDER(send_packed_lending, RING_PACKED, true)

static inline uint16_t
send_by_kind(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, bool consume)
{
	const bool lends = burst->map != NULL;

	switch (burst->ring->kind) {
	case RING_VDPDK:
		return lends ? send_vdpdk_lending(burst, mbufs, n, consume)
			     : send_vdpdk(burst, mbufs, n, consume);
	case RING_SPLIT:
		return lends ? send_split_lending(burst, mbufs, n, consume)
			     : send_split(burst, mbufs, n, consume);
	case RING_PACKED:
		return lends ? send_packed_lending(burst, mbufs, n, consume)
			     : send_packed(burst, mbufs, n, consume);
	default:
		/* Never lent, whatever the queue's map is: it is ordered. */
		return send_split_legacy(burst, mbufs, n, consume);
	}
}

static inline uint16_t
send_burst(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, bool consume)
{
	struct nmx_to_guest *queue = burst->queue;

	burst->view = nmx_mem_get_view(burst->ring->mem);
	burst->bytes_max = atomic_load_explicit(
		&queue->port->to_guest_bytes_max, memory_order_relaxed);
	n = send_by_kind(burst, mbufs, n, consume);
	if (unlikely(burst->fault != VDPDK_FAULT_NONE))
		nmx_guestport_set_fault(queue->port, burst->ring, &queue->active, burst->fault);
	add_counters(burst);
	return n;
}

/** A burst to whatever queue. */
static inline uint16_t
deliver(struct nmx_to_guest *queue, struct rte_mbuf **mbufs, uint16_t n, bool consume)
{
	struct burst burst = { .queue = queue };

	nmx_base_enter_bracket(&queue->bracket);
	burst.ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	burst.map = atomic_load_explicit(&queue->map, memory_order_acquire);
	if (unlikely(burst.ring == NULL)) {
		queue->counters.drops[NMX_TO_GUEST_NO_QUEUE] += n;
		if (consume)
			rte_pktmbuf_free_bulk(mbufs, n);
	} else {
		n = send_burst(&burst, mbufs, n, consume);
	}
	nmx_base_leave_bracket(&queue->bracket);
	return n;
}

uint16_t
nmx_guestport_send(struct nmx_to_guest *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	return deliver(queue, mbufs, n, true);
}

uint16_t
nmx_guestport_relay(struct nmx_to_guest *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	return deliver(queue, mbufs, n, false);
}

bool
nmx_guestport_is_started(const struct nmx_to_guest *queue)
{
	return atomic_load_explicit(&queue->active, memory_order_relaxed) != NULL;
}

struct nmx_to_guest *
nmx_guestport_get_to_guest(struct nmx_guestport *port, uint16_t index)
{
	return &port->to_guest[index];
}

void
nmx_guestport_get_to_counters(
	const struct nmx_to_guest *queue, struct nmx_to_guest_counters *ret_counters)
{
	*ret_counters = queue->counters;
}
