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
 *   3. copy
 *   4. answer the slots, last first, so that the guest sees the first one last and then all
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

#include <rte_cycles.h>
#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "control.h"
#include "lib/dpdk/mbufs.h"
#include "port.h"

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

/** Judge a frame: NMX_TO_GUEST_DROPS if it may pass, else why it is dropped. */
static inline enum nmx_to_guest_drop
judge_frame(const struct burst *burst, const struct rte_mbuf *mbuf)
{
	bool good = mbuf->nb_segs == 1
			    ? mbuf->data_len == mbuf->pkt_len &&
				      (uint32_t)mbuf->data_off + mbuf->data_len <= mbuf->buf_len
			    : check_segments(mbuf);

	if (unlikely(!good || mbuf->pkt_len < VDPDK_FRAME_BYTES_MIN))
		return NMX_TO_GUEST_MALFORMED;
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

static void
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

/**
 * The ready slot that is `ahead` of those used; fetches it if need be.
 *
 * @param lends  constant: some may be lent
 * @return NULL: the guest has posted no more, or the burst has a fault
 */
static inline __rte_always_inline struct nmx_ring_slot *
next_slot(struct burst *burst, uint32_t ahead, const bool lends)
{
	struct nmx_ring_host *slots = &burst->ring->slots;
	uint32_t wanted = burst->used + ahead + 1 + (lends ? slots->window.lent : 0);

	if (unlikely(wanted > nmx_ring_count_taken(&slots->window))) {
		burst->fault = nmx_ring_fetch_posted(slots, burst->used + ahead + 1);
		if (nmx_ring_count_taken(&slots->window) < wanted)
			return NULL;
	}
	return nmx_ring_get_taken(&slots->window, wanted - 1);
}

/**
 * Keep an answer until the chunk's end.
 *
 * @param i      how many answers this is behind those kept
 * @param slot   that is answered
 * @param lends  constant: without, it is the very one that the answer replaces
 */
static inline __rte_always_inline void
keep_answer(struct burst *burst, uint32_t i, struct nmx_ring_slot *slot, uint16_t bytes,
	uint16_t flags, const bool lends)
{
	const struct nmx_ring_window *window = &burst->ring->slots.window;
	struct nmx_ring_slot *answer = slot;

	if (lends) {
		answer = nmx_ring_get_taken(window, burst->used + i);
		answer->id = slot->id;
	}
	answer->length = bytes;
	answer->flags = flags;
}

/** Find a buffer; false: the burst has a fault. */
static inline bool
translate(struct burst *burst, const struct nmx_ring_slot *slot, uint32_t bytes,
	NMX_SHARED uint8_t **ret)
{
	if (likely(nmx_mem_translate_fresh(burst->ring->mem, &burst->view, &burst->ring->cache,
			   slot->address, bytes, NMX_MEM_WRITE, ret) == 0))
		return true;
	burst->fault = VDPDK_FAULT_ADDRESS;
	burst->ring->untranslated = (struct nmx_range){ slot->address, bytes };
	return false;
}

/* --- Frames over several buffers --- */

/**
 * The number of buffers that a frame needs; 0: the guest hasn't posted enough. With more than
 * VDPDK_RX_SEGMENTS_MAX, which a guest can make each burst look at, it is too many.
 */
static uint32_t
count_buffers(struct burst *burst, uint32_t bytes)
{
	uint32_t n = 0;

	while (bytes > 0 && n <= VDPDK_RX_SEGMENTS_MAX) {
		const struct nmx_ring_slot *slot = next_slot(burst, n, true);

		if (slot == NULL)
			return 0;
		bytes -= RTE_MIN(bytes, slot->length);
		n++;
	}
	return n;
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

/** Copy a frame over n buffers and answer them in their private copies; false: a fault. */
static bool
scatter_frame(struct burst *burst, const struct rte_mbuf *mbuf, uint32_t n)
{
	struct cursor from = { mbuf, 0 };
	uint32_t left = mbuf->pkt_len;

	/* Nothing is answered before every buffer was found good: first look, then copy. */
	for (uint32_t pass = 0; pass < 2; pass++) {
		left = mbuf->pkt_len;
		for (uint32_t i = 0; i < n; i++) {
			struct nmx_ring_slot *slot = next_slot(burst, i, true);
			uint32_t bytes = RTE_MIN(left, slot->length);
			NMX_SHARED uint8_t *to;

			if (!translate(burst, slot, bytes, &to))
				return false;
			left -= bytes;
			if (pass == 0)
				continue;
			copy_piece(to, &from, bytes);
			keep_answer(burst, i, slot, (uint16_t)bytes,
				i + 1 < n ? VDPDK_FLAG_NEXT : 0, true);
		}
	}
	burst->used += n;
	return true;
}

/** What becomes of a frame. */
enum fate {
	DELIVERED,
	MAPPED, /* delivered, and its mbuf is the map's again */
	DROPPED,
	WAITS, /* for buffers, or for nothing any more: the burst ends before it */
};

static enum fate
send_scattered(struct burst *burst, const struct rte_mbuf *mbuf)
{
	uint32_t n;

	if (!burst->ring->scatter) {
		burst->drops[NMX_TO_GUEST_TOO_LONG]++;
		return DROPPED;
	}
	n = count_buffers(burst, mbuf->pkt_len);
	if (n > VDPDK_RX_SEGMENTS_MAX) {
		burst->drops[NMX_TO_GUEST_TOO_LONG]++;
		return DROPPED;
	}
	return n > 0 && scatter_frame(burst, mbuf, n) ? DELIVERED : WAITS;
}

/* --- Chunks --- */

/** Answer a frame that is in a buffer of the guest's already, out of turn; false: it isn't. */
static inline bool
answer_loan(struct burst *burst, struct rte_mbuf *mbuf)
{
	struct nmx_ring_slot slot;
	uint32_t answer;

	if (unlikely(!burst->has_loans) ||
		!nmx_rxmap_is_in_place(
			burst->map, mbuf, VDPDK_FRAME_BYTES_MIN, burst->bytes_max, &answer))
		return false;
	slot.id = VDPDK_W1_ID(answer);
	keep_answer(burst, 0, &slot, VDPDK_W1_LENGTH(answer), 0, true);
	nmx_rxmap_finish_loans(burst->map, &mbuf, 1);
	burst->ring->slots.window.lent--;
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
	const bool lent)
{
	enum nmx_to_guest_drop drop = judge_frame(burst, mbuf);
	struct nmx_ring_slot *slot;

	if (unlikely(drop != NMX_TO_GUEST_DROPS)) {
		burst->drops[drop]++;
		return DROPPED;
	}
	if (lent && answer_loan(burst, mbuf))
		return MAPPED;
	slot = next_slot(burst, 0, lends);
	if (unlikely(slot == NULL))
		return WAITS;
	if (unlikely(mbuf->pkt_len > slot->length))
		return send_scattered(burst, mbuf);
	if (unlikely(!translate(burst, slot, mbuf->pkt_len, &plan->to[plan->n])))
		return WAITS;
	rte_prefetch0(rte_pktmbuf_mtod(mbuf, void *));
	nmx_base_prefetch_to_write(plan->to[plan->n]);
	plan->mbufs[plan->n++] = mbuf;
	keep_answer(burst, 0, slot, (uint16_t)mbuf->pkt_len, 0, lends);
	burst->used++;
	return DELIVERED;
}

/** Answer the slots of a chunk, last first. */
static inline void
answer_slots(struct burst *burst)
{
	struct nmx_ring_host slots = burst->ring->slots;

	for (uint32_t i = burst->used; i-- > 0;) {
		const struct nmx_ring_slot *slot = nmx_ring_get_taken(&slots.window, i);

		nmx_ring_complete_slot_w0(
			&slots, i, 0, VDPDK_W1(slot->length, slot->id, slot->flags, 0));
	}
	nmx_ring_advance_comp(&burst->ring->slots.window, burst->used);
	burst->used = 0;
}

/**
 * The frames in front that are in their buffers, in the order in which these were lent: what there
 * is to do if the uplink's frames come from its NIC and go nowhere else.
 *
 * @return how many
 */
static inline uint32_t
answer_in_place(struct burst *burst, struct rte_mbuf **mbufs, uint32_t n)
{
	struct nmx_ring_host slots = burst->ring->slots;
	uint32_t answers[BURST_MAX];

	if (unlikely(!burst->has_loans))
		return 0;
	n = nmx_rxmap_count_in_place(
		burst->map, mbufs, n, VDPDK_FRAME_BYTES_MIN, burst->bytes_max, answers);
	for (uint32_t i = n; i-- > 0;) {
		burst->bytes += answers[i] & UINT16_MAX;
		nmx_ring_complete_slot_w0(&slots, i, 0, answers[i]);
	}
	nmx_rxmap_finish_loans(burst->map, mbufs, n);
	nmx_ring_advance_comp(&burst->ring->slots.window, n);
	burst->ring->slots.window.lent -= n;
	burst->frames += n;
	burst->mapped += n;
	return n;
}

/** One frame after the other. @return frames dealt with; `rest` are those to be freed, if lends */
static inline __rte_always_inline uint16_t
send_frames(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, struct rte_mbuf **rest,
	uint16_t *n_rest, const bool consume, const bool lends)
{
	struct plan plan;
	uint16_t i;

	plan.n = 0;
	nmx_ring_claim_slots(&burst->ring->slots, n);
	burst->fault = nmx_ring_fetch_posted(&burst->ring->slots, n);
	for (i = 0; i < n; i++) {
		uint32_t bytes = mbufs[i]->pkt_len;
		enum fate fate = plan_frame(burst, &plan, mbufs[i], lends, lends && consume);

		if (fate == WAITS)
			break;
		if (fate != DROPPED) {
			burst->frames++;
			burst->bytes += bytes;
		}
		if (lends && consume && fate != MAPPED)
			rest[(*n_rest)++] = mbufs[i];
	}
	copy_planned(&plan);
	answer_slots(burst);
	return i;
}

/**
 * One chunk.
 *
 * @param consume  constant: free what is dealt with
 * @param lends    constant: the queue lends to burst->map
 * @return frames dealt with; fewer than n: the burst is over
 */
static inline __rte_always_inline uint16_t
send_chunk(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, const bool consume,
	const bool lends)
{
	struct rte_mbuf *rest[BURST_MAX];
	uint16_t n_rest = 0, done = 0;

	if (!lends) {
		done = send_frames(burst, mbufs, n, rest, &n_rest, consume, false);
		if (consume)
			nmx_dpdk_free_mbufs(mbufs, done, true);
		return done;
	}
	nmx_rxmap_lock(burst->map);
	nmx_rxmap_sweep(burst->map);
	burst->has_loans = burst->queue->lender == burst->ring;
	if (consume)
		done = (uint16_t)answer_in_place(burst, mbufs, n);
	if (unlikely(done < n))
		done += send_frames(burst, mbufs + done, n - done, rest, &n_rest, consume, true);
	nmx_guestport_show_loans(burst->ring);
	nmx_rxmap_unlock(burst->map);
	if (consume)
		nmx_dpdk_free_mbufs(rest, n_rest, true);
	return done;
}

/** Signal the guest, or leave it to the control thread if its budget is used. */
static void
signal_guest(struct nmx_to_guest *queue)
{
	/* Without a bound the time doesn't matter. */
	uint64_t now = queue->signals.interval == 0 ? 0 : rte_rdtsc();

	if (unlikely(!nmx_base_take_rate(&queue->signals, now))) {
		queue->counters.late_signals++;
		if (!atomic_exchange(&queue->owes_signal, true)) {
			atomic_store(&queue->port->owes_signals, true);
			nmx_control_wake();
		}
		return;
	}
	queue->counters.signals++;
	nmx_guestport_signal_vector(queue->port, VDPDK_VECTOR_RX(queue->index));
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
send_burst(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, const bool consume,
	const bool lends)
{
	struct nmx_to_guest *queue = burst->queue;
	uint16_t done = 0;

	burst->view = nmx_mem_get_view(burst->ring->mem);
	burst->bytes_max = atomic_load_explicit(
		&queue->port->to_guest_bytes_max, memory_order_relaxed);
	while (done < n) {
		uint16_t chunk = RTE_MIN(n - done, BURST_MAX);
		uint16_t sent = send_chunk(burst, mbufs + done, chunk, consume, lends);

		done += sent;
		if (sent < chunk || unlikely(burst->fault != VDPDK_FAULT_NONE))
			break;
	}
	if (burst->frames > 0 && nmx_ring_take_event(&burst->ring->bell))
		signal_guest(queue);
	if (unlikely(burst->fault != VDPDK_FAULT_NONE))
		nmx_guestport_set_fault(queue->port, burst->ring, &queue->active, burst->fault);
	add_counters(burst);
	return done;
}

/** A burst to whatever queue. @param consume  constant */
static inline __rte_always_inline uint16_t
deliver(struct nmx_to_guest *queue, struct rte_mbuf **mbufs, uint16_t n, const bool consume)
{
	struct burst burst = { .queue = queue };

	nmx_base_enter_bracket(&queue->bracket);
	burst.ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	burst.map = atomic_load_explicit(&queue->map, memory_order_acquire);
	if (unlikely(burst.ring == NULL)) {
		queue->counters.drops[NMX_TO_GUEST_NO_QUEUE] += n;
		if (consume)
			rte_pktmbuf_free_bulk(mbufs, n);
	} else if (burst.map == NULL) {
		n = send_burst(&burst, mbufs, n, consume, false);
	} else {
		n = send_burst(&burst, mbufs, n, consume, true);
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
