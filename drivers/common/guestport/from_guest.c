/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Frames from the guest, received into mbufs; waking who receives them.
 *
 * Theory of operation
 *
 * Of each chunk (from_guest.h) as many mbufs are taken as frames are planned, and filled. Frames
 * that find no mbuf stay fetched for the next burst, and so does what is behind them, faults
 * included.
 */

#include "from_guest_attach.h"
#include "offload.h"

/* --- Frames of several segments, or over several mbufs --- */

/** Add an mbuf to a chain's end; false without one, or if it has no room for data. */
static bool
extend_chain(struct rte_mempool *pool, struct rte_mbuf *head, struct rte_mbuf **last)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	if (mbuf == NULL)
		return false;
	(*last)->next = mbuf;
	*last = mbuf;
	head->nb_segs++;
	return rte_pktmbuf_tailroom(mbuf) > 0;
}

/** Copy one segment to the end of a chain. */
static bool
append_segment(struct rte_mempool *pool, struct rte_mbuf *head, struct rte_mbuf **last,
	const NMX_SHARED uint8_t *from, uint32_t bytes)
{
	while (bytes > 0) {
		uint32_t room = rte_pktmbuf_tailroom(*last), n;

		if (room == 0) {
			if (!extend_chain(pool, head, last))
				return false;
			continue;
		}
		n = RTE_MIN(room, bytes);
		nmx_base_copy_from_shared(
			rte_pktmbuf_mtod_offset(*last, void *, (*last)->data_len), from, n);
		(*last)->data_len = (uint16_t)((*last)->data_len + n);
		from += n;
		bytes -= n;
	}
	return true;
}

/** Gather a frame into a chain that starts with `head`. */
static enum fate
gather_frame(struct burst *burst, const struct frame *frame, struct rte_mbuf *head)
{
	struct rte_mbuf *last = head;

	for (uint32_t i = 0; i < frame->n_segments; i++) {
		NMX_SHARED uint8_t *from;
		uint32_t bytes;

		if (!find_segment(burst, frame, i, &from, &bytes))
			return WAITS;
		if (!append_segment(burst->queue->pool, head, &last, from, bytes)) {
			burst->no_mbuf++;
			/* What is behind it is judged once this one has passed. */
			burst->fault = VDPDK_FAULT_NONE;
			return WAITS;
		}
	}
	head->pkt_len = frame->bytes;
	return RECEIVED;
}

/* --- Chunks --- */

/** Copy a planned frame into its mbuf. */
static inline __rte_always_inline enum fate
copy_frame(struct burst *burst, const struct frame *frame, struct rte_mbuf *mbuf)
{
	const struct nmx_from_guest *queue = burst->queue;

	if (unlikely(frame->n_segments > 1 || frame->bytes > queue->room)) {
		nmx_dpdk_fill_mbuf(mbuf, queue->rearm, 0);
		return gather_frame(burst, frame, mbuf);
	}
	nmx_dpdk_fill_mbuf(mbuf, queue->rearm, (uint16_t)frame->bytes);
	rte_memcpy(
		rte_pktmbuf_mtod(mbuf, void *), NMX_SHARED_PLAIN(void, frame->first), frame->bytes);
	return RECEIVED;
}

/** Frame i waits: it and what is behind it are taken back, with their mbufs. */
static void
put_back(struct burst *burst, struct chunk *chunk, struct rte_mbuf **mbufs, uint16_t i)
{
	rte_pktmbuf_free(mbufs[i]);
	/* Raw ones behind it have never been filled in. */
	rte_mempool_put_bulk(burst->queue->pool, (void **)&mbufs[i + 1], chunk->n - i - 1u);
	cut_chunk(chunk, i);
}

/** Copy what was planned, as far as a frame that waits. Out of line: of all kinds. */
static __rte_noinline void
copy_chunk(struct burst *burst, struct chunk *chunk, struct rte_mbuf **mbufs)
{
	for (uint16_t i = 0; i < chunk->n; i++) {
		const struct frame *frame = &chunk->frames[i];

		if (unlikely(copy_frame(burst, frame, mbufs[i]) != RECEIVED)) {
			put_back(burst, chunk, mbufs, i);
			return;
		}
		burst->bytes += frame->bytes;
	}
}

/* --- Frames that are sent from where they lie: from_guest_attach.h --- */

/** As copy_chunk(), and answer. Frames that are attached take an mbuf more. */
static __rte_noinline void
attach_chunk(struct burst *burst, struct chunk *chunk, struct rte_mbuf **mbufs)
{
	struct attach_entry *entries[BURST_MAX];
	struct rte_mbuf *tails[BURST_MAX];
	uint32_t which = 0, n, next = 0;

	if (may_attach(burst))
		which = choose_frames(burst, chunk, UINT32_MAX, entries, tails);
	n = (uint32_t)__builtin_popcount(which);
	for (uint16_t i = 0; i < chunk->n; i++) {
		const struct frame *frame = &chunk->frames[i];

		if (which >> i & 1) {
			attach_frame(burst, frame, NMX_SHARED_PLAIN(void, frame->first),
				entries[next], mbufs[i], tails[next]);
			next++;
		} else if (copy_frame(burst, frame, mbufs[i]) != RECEIVED) {
			put_back(burst, chunk, mbufs, i);
			break;
		}
		burst->bytes += frame->bytes;
	}
	/* Of frames behind one that waits. */
	rte_mempool_put_bulk(burst->queue->pool, (void **)&tails[next], n - next);
	burst->attached += next;
	while (n > next)
		nmx_guestport_put_entry(burst->ring->attach, entries[--n]);
	answer_chunk(burst->ring, chunk, which);
}

/* --- What headers ask for --- */

/** Do it, and free the frames to which it can't be done. @return frames left */
static __rte_noinline uint16_t
fulfil_chunk(struct burst *burst, const struct chunk *chunk, struct rte_mbuf **mbufs)
{
	uint16_t n = 0;

	for (uint16_t i = 0; i < chunk->n; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		if (!(chunk->asks >> i & 1) ||
			nmx_guestport_fulfil(&chunk->frames[i].header, burst->queue->offloads,
				burst->bytes_max, mbuf)) {
			mbufs[n++] = mbuf;
			continue;
		}
		burst->drops[NMX_FROM_GUEST_OFFLOAD]++;
		burst->bytes -= chunk->frames[i].bytes;
		rte_pktmbuf_free(mbuf);
	}
	return n;
}

/* --- Bursts --- */

/** One chunk. @return frames in mbufs; *ret_more: there may be further ones */
static inline __rte_always_inline uint16_t
receive_chunk(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, bool *ret_more,
	const enum ring_kind kind)
{
	struct chunk chunk;
	uint16_t got;

	*ret_more = false;
	claim_ring(burst->ring, n, kind);
	burst->fault = fetch_frames(burst->ring, n, kind);
	claim_used(burst->ring, n, kind);
	plan_chunk(burst, &chunk, n, kind);
	check_headers(burst, &chunk, kind);
	if (chunk.n_slots == 0)
		return 0;
	if (chunk.n > 0 &&
		unlikely(rte_mempool_get_bulk(burst->queue->pool, (void **)mbufs, chunk.n) != 0)) {
		burst->no_mbuf++;
		burst->fault = VDPDK_FAULT_NONE; /* judged anew, behind these */
		return 0;
	}
	if (likely(burst->ring->attach == NULL)) {
		copy_chunk(burst, &chunk, mbufs);
		answer_read(burst->ring, chunk.n_slots, kind);
	} else {
		attach_chunk(burst, &chunk, mbufs);
	}
	burst->drops[NMX_FROM_GUEST_TOO_LONG] += chunk.n_drops;
	got = likely(chunk.asks == 0) ? chunk.n : fulfil_chunk(burst, &chunk, mbufs);
	burst->frames += got;
	*ret_more = chunk.n == n;
	return got;
}

static inline __rte_always_inline uint16_t
receive_burst(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n, const enum ring_kind kind)
{
	const struct nmx_from_guest *queue = burst->queue;
	uint16_t done = 0;
	bool more = true;

	begin_burst(burst);
	if (unlikely(burst->ring->attach != NULL))
		nmx_guestport_answer_attached(burst->ring);
	if (!queue->scatter)
		burst->bytes_max = RTE_MIN(burst->bytes_max, queue->room);
	else if (queue->offloads & NMX_OFFLOAD_TSO)
		burst->long_max = NMX_LARGE_BYTES_MAX;
	while (done < n && more && burst->fault == VDPDK_FAULT_NONE)
		done += receive_chunk(
			burst, mbufs + done, RTE_MIN(n - done, BURST_MAX), &more, kind);
	end_burst(burst, kind);
	return done;
}

static inline uint16_t
receive_by_kind(struct burst *burst, struct rte_mbuf **mbufs, uint16_t n)
{
	switch (burst->ring->kind) {
	case RING_VDPDK:
		return receive_burst(burst, mbufs, n, RING_VDPDK);
	case RING_SPLIT:
		return receive_burst(burst, mbufs, n, RING_SPLIT);
	case RING_PACKED:
		return receive_burst(burst, mbufs, n, RING_PACKED);
	default:
		return receive_burst(burst, mbufs, n, RING_SPLIT_LEGACY);
	}
}

void
nmx_guestport_set_offloads(struct nmx_from_guest *queue, uint32_t offloads)
{
	queue->offloads = offloads;
}

uint16_t
nmx_guestport_receive(struct nmx_from_guest *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct burst burst = { .queue = queue };

	nmx_base_enter_bracket(&queue->bracket);
	burst.ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	n = likely(burst.ring != NULL) ? receive_by_kind(&burst, mbufs, n) : 0;
	nmx_base_leave_bracket(&queue->bracket);
	return n;
}

/* --- Waking --- */

/** True if a burst would find something. */
static bool
has_work(const struct guest_ring *ring)
{
	return nmx_ring_count_ready(&ring->half.window) > 0 || has_more(ring, 1, ring->kind) ||
	       (ring->attach != NULL && nmx_guestport_has_back(ring->attach));
}

static void
arm_ring(struct guest_ring *ring)
{
	switch (ring->kind) {
	case RING_VDPDK:
		nmx_ring_arm_event(&ring->arm);
		break;
	case RING_PACKED:
		nmx_ring_arm_packed_kick(&ring->half.packed, ring->event_idx);
		break;
	default:
		nmx_ring_arm_kick(&ring->half.split, ring->event_idx);
	}
}

static void
disarm_ring(struct guest_ring *ring)
{
	switch (ring->kind) {
	case RING_VDPDK:
		nmx_ring_disarm_event(&ring->arm);
		break;
	case RING_PACKED:
		nmx_ring_disarm_packed_kick(&ring->half.packed);
		break;
	default:
		nmx_ring_disarm_kick(&ring->half.split, ring->event_idx);
	}
}

void
nmx_guestport_arm(struct nmx_from_guest *queue)
{
	struct guest_ring *ring;

	queue->sleeps = true;
	/* A ring that is published after this look finds the mark and wakes the program: either
	 * this load of `active` sees the ring or its maker's load sees the mark. */
	atomic_store_explicit(&queue->armed, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	nmx_base_enter_bracket(&queue->bracket);
	ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	if (ring != NULL) {
		arm_ring(ring);
		if (has_work(ring))
			nmx_guestport_send_signal(queue->doorbell);
	}
	nmx_base_leave_bracket(&queue->bracket);
}

void
nmx_guestport_disarm(struct nmx_from_guest *queue)
{
	struct guest_ring *ring;

	atomic_store_explicit(&queue->armed, false, memory_order_relaxed);
	nmx_base_enter_bracket(&queue->bracket);
	ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	if (ring != NULL)
		disarm_ring(ring);
	nmx_base_leave_bracket(&queue->bracket);
}

void
nmx_guestport_set_attaching(struct nmx_from_guest *queue, bool attaches)
{
	atomic_store(&queue->attaches, attaches);
}

int
nmx_guestport_get_wake_fd(const struct nmx_from_guest *queue)
{
	return queue->wake_fd;
}

struct nmx_from_guest *
nmx_guestport_get_from_guest(struct nmx_guestport *port, uint16_t index)
{
	return &port->from_guest[index];
}

void
nmx_guestport_set_pool(
	struct nmx_from_guest *queue, struct rte_mempool *pool, uint16_t port_id, bool scatter)
{
	uint16_t bytes = rte_pktmbuf_data_room_size(pool);
	uint16_t headroom = RTE_MIN(bytes, RTE_PKTMBUF_HEADROOM);

	queue->pool = pool;
	queue->rearm = nmx_dpdk_make_rearm(port_id, headroom);
	queue->room = (uint16_t)(bytes - headroom);
	queue->scatter = scatter;
}

void
nmx_guestport_get_from_counters(
	const struct nmx_from_guest *queue, struct nmx_from_guest_counters *ret_counters)
{
	*ret_counters = queue->counters;
}
