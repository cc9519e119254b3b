/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Transmitting.
 *
 * Theory of operation
 *
 * Every segment handed over is known by its id until its slot comes back. A burst, in chunks of
 * BURST_MAX frames:
 *
 *   1. free what the device has given back, a burst at a time: their mbufs go into the pool's
 * per-lcore cache and come out for Rx soon. Many at once would overflow it, into the pool's ring,
 * which is a FIFO: each mbuf would come back cold, after all the others
 *   2. judge each frame: one that the device would stop the queue for is dropped and counted; one
 * in memory that the device can't reach is copied
 *   3. store the chunk's slots, last first, so that the device sees the first one last and then all
 *   4. ring the doorbell, if the device waits for it
 */

#include <errno.h>

#include <rte_errno.h>

#include "lib/dpdk/mbufs.h"
#include "vdpdk_loop.h"
#include "vdpdk_transport.h"

/* --- Freeing --- */

static_assert(BURST_MAX <= NMX_DPDK_FREE_MAX, "what is reaped is freed in one call");

/** Take the mbuf of a completion; NULL: the device broke the rules. */
static inline struct rte_mbuf *
take_segment(struct vdpdk_loop *loop, uint64_t w1)
{
	uint16_t id = VDPDK_W1_ID(w1);
	struct rte_mbuf *mbuf = likely(id <= loop->ids.mask) ? loop->mbufs[id] : NULL;

	/* Behind status and id a Tx completion has nothing. */
	if (unlikely(mbuf == NULL || w1 >> 32 != 0))
		return NULL;
	loop->mbufs[id] = NULL;
	vdpdk_return_id(&loop->ids, id);
	return mbuf;
}

/** Free up to BURST_MAX finished slots. @return how many there were */
static inline uint32_t
reap_some(struct vdpdk_tx_queue *queue)
{
	struct vdpdk_queue *common = &queue->common;
	struct vdpdk_loop loop = vdpdk_begin_loop(common);
	struct rte_mbuf *done[BURST_MAX];
	uint32_t n = 0;
	uint64_t w1;

	while (n < BURST_MAX && nmx_ring_peek_slot(&loop.ring, n, &w1)) {
		done[n] = take_segment(&loop, w1);
		if (unlikely(done[n] == NULL)) {
			vdpdk_break_queue(common);
			break;
		}
		n++;
	}
	nmx_ring_advance_reap(&loop.ring, n);
	vdpdk_end_loop(common, &loop);
	if (n == 0)
		return 0;
	if (queue->fast_free)
		rte_mempool_put_bulk(done[0]->pool, (void **)done, n);
	else
		nmx_dpdk_free_mbufs(done, n, false);
	return n;
}

static inline void
reap_all(struct vdpdk_tx_queue *queue)
{
	while (reap_some(queue) == BURST_MAX)
		;
}

/**
 * Free what the device has given back, in whole bursts and a burst behind it: the lines that it
 * writes just now are left alone.
 */
static inline void
reap_bursts(struct vdpdk_tx_queue *queue)
{
	const struct nmx_ring_guest *ring = &queue->common.ring;

	while (nmx_ring_count_pending(ring) >= 2 * BURST_MAX &&
		nmx_ring_claim_done(ring, BURST_MAX) && reap_some(queue) == BURST_MAX)
		;
}

/* --- Judging --- */

/** What becomes of a frame. */
enum fate {
	GOOD,
	ZERO_LENGTH = VDPDK_TX_ZERO_LENGTH + 1, /* dropped */
	MALFORMED = VDPDK_TX_MALFORMED + 1,     /* dropped */
	UNREACHABLE,                            /* copied */
};

static inline bool
is_reachable(struct vdpdk_tx_queue *queue, const struct rte_mbuf *segment)
{
	const uint8_t *start = rte_pktmbuf_mtod(segment, const uint8_t *);
	uintptr_t offset = (uintptr_t)start - queue->reachable_start;

	if (likely(offset < queue->reachable_bytes &&
		    segment->data_len <= queue->reachable_bytes - offset))
		return true;
	return vdpdk_find_range(queue, start, segment->data_len);
}

/** Judge a chain of several segments. */
static enum fate
judge_chain(struct vdpdk_tx_queue *queue, const struct rte_mbuf *mbuf)
{
	const struct rte_mbuf *segment = mbuf;
	enum fate fate = GOOD;
	uint32_t bytes = 0;

	if (mbuf->nb_segs > VDPDK_TX_SEGMENTS_MAX)
		return MALFORMED;
	for (uint16_t i = 0; i < mbuf->nb_segs; i++, segment = segment->next) {
		if (segment == NULL)
			return MALFORMED;
		if (segment->data_len == 0)
			return ZERO_LENGTH;
		bytes += segment->data_len;
		if (!is_reachable(queue, segment))
			fate = UNREACHABLE;
	}
	return bytes == mbuf->pkt_len && segment == NULL ? fate : MALFORMED;
}

static inline enum fate
judge_frame(struct vdpdk_tx_queue *queue, const struct rte_mbuf *mbuf)
{
	if (unlikely(mbuf->nb_segs != 1))
		return mbuf->pkt_len < VDPDK_FRAME_BYTES_MIN ||
				       mbuf->pkt_len > queue->common.port->info.tx_frame_max
			       ? MALFORMED
			       : judge_chain(queue, mbuf);
	if (unlikely(mbuf->data_len == 0))
		return ZERO_LENGTH;
	if (unlikely(mbuf->data_len < VDPDK_FRAME_BYTES_MIN || mbuf->data_len != mbuf->pkt_len ||
		     mbuf->data_len > queue->common.port->info.tx_frame_max))
		return MALFORMED;
	return likely(is_reachable(queue, mbuf)) ? GOOD : UNREACHABLE;
}

uint16_t
vdpdk_prepare(void *opaque, struct rte_mbuf **mbufs, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		enum fate fate = judge_frame(opaque, mbufs[i]);

		if (fate == ZERO_LENGTH || fate == MALFORMED) {
			rte_errno = EINVAL;
			return i;
		}
		if ((mbufs[i]->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK) != 0) {
			rte_errno = ENOTSUP;
			return i;
		}
	}
	return n;
}

/* --- Sending --- */

/** A chunk under way. */
struct chunk {
	struct rte_mbuf *frames[BURST_MAX];
	uint16_t n;
	uint32_t n_slots; /* that the frames take */
	uint64_t bytes;
};

/** Make sure of room for a frame; false: the ring is full. */
static inline bool
make_room(struct vdpdk_tx_queue *queue, uint32_t n_slots)
{
	if (likely(nmx_ring_count_free(&queue->common.ring) >= n_slots))
		return true;
	reap_all(queue);
	return nmx_ring_count_free(&queue->common.ring) >= n_slots;
}

/** Copy a frame that the device can't reach; NULL: not now. */
static struct rte_mbuf *
bounce(struct vdpdk_tx_queue *queue, uint32_t n_slots, struct rte_mbuf *mbuf)
{
	struct rte_mbuf *copy;

	/* Room first: a copy that doesn't fit would be the caller's, and copied again. */
	if (!make_room(queue, n_slots + VDPDK_TX_SEGMENTS_MAX))
		return NULL;
	copy = vdpdk_bounce_frame(queue, mbuf);
	if (copy != NULL)
		return copy;
	/* The device may have given back copies that weren't looked at yet. */
	reap_all(queue);
	return vdpdk_bounce_frame(queue, mbuf);
}

/** Judge up to n frames. @return frames consumed: in the chunk, or dropped */
static inline uint16_t
fill_chunk(struct vdpdk_tx_queue *queue, struct chunk *chunk, struct rte_mbuf **mbufs, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		enum fate fate = judge_frame(queue, mbuf);

		if (unlikely(fate == UNREACHABLE)) {
			mbuf = bounce(queue, chunk->n_slots, mbuf);
			if (mbuf == NULL)
				break;
			queue->fast_free = false; /* there are two pools from now on */
		} else if (unlikely(fate != GOOD)) {
			queue->counters.drops[fate - 1]++;
			rte_pktmbuf_free(mbuf);
			continue;
		}
		if (unlikely(!make_room(queue, chunk->n_slots + mbuf->nb_segs)))
			break;
		chunk->frames[chunk->n++] = mbuf;
		chunk->n_slots += mbuf->nb_segs;
		chunk->bytes += mbuf->pkt_len;
	}
	return i;
}

static inline void
submit_segment(struct vdpdk_loop *loop, uint32_t ahead, struct rte_mbuf *segment, uint16_t flags)
{
	uint16_t id = vdpdk_take_id(&loop->ids);

	loop->mbufs[id] = segment;
	nmx_ring_submit_slot(&loop->ring, ahead,
		vdpdk_get_address(loop->address_offset, segment, segment->data_off),
		VDPDK_W1(segment->data_len, id, flags, 0));
}

/** Store a chain: its first slot last, the others may come in any order before. */
static void
submit_chain(struct vdpdk_loop *loop, uint32_t ahead, struct rte_mbuf *mbuf, bool fast_free)
{
	struct rte_mbuf *segment = mbuf->next, *next;

	for (uint32_t i = 1; segment != NULL; i++) {
		next = segment->next;
		submit_segment(loop, ahead + i, segment,
			VDPDK_FLAG_AVAIL | (next != NULL ? VDPDK_FLAG_NEXT : 0));
		/* Fast free returns mbufs as they are, which programs that use it promise to be
		 * single; testpmd sends chains all the same. */
		if (fast_free)
			segment->next = NULL;
		segment = next;
	}
	submit_segment(loop, ahead, mbuf, VDPDK_FLAG_AVAIL | VDPDK_FLAG_NEXT);
	if (fast_free) {
		mbuf->next = NULL;
		mbuf->nb_segs = 1;
	}
}

/** Hand a chunk over, last slot first. */
static inline void
submit_chunk(struct vdpdk_tx_queue *queue, const struct chunk *chunk)
{
	struct vdpdk_loop loop = vdpdk_begin_loop(&queue->common);
	uint32_t ahead = chunk->n_slots;

	for (uint16_t i = chunk->n; i-- > 0;) {
		struct rte_mbuf *mbuf = chunk->frames[i];

		ahead -= mbuf->nb_segs;
		if (likely(mbuf->nb_segs == 1))
			submit_segment(&loop, ahead, mbuf, VDPDK_FLAG_AVAIL);
		else
			submit_chain(&loop, ahead, mbuf, queue->fast_free);
	}
	nmx_ring_advance_sub(&loop.ring, chunk->n_slots);
	vdpdk_end_loop(&queue->common, &loop);
}

static uint16_t
send_burst(struct vdpdk_tx_queue *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct vdpdk_queue *common = &queue->common;
	uint64_t frames = queue->counters.frames;
	uint16_t done = 0;

	reap_bursts(queue);
	while (done < n) {
		struct chunk chunk = { .n = 0 };
		uint16_t want = RTE_MIN(n - done, BURST_MAX);
		uint16_t taken = fill_chunk(queue, &chunk, mbufs + done, want);

		submit_chunk(queue, &chunk);
		queue->counters.frames += chunk.n;
		queue->counters.bytes += chunk.bytes;
		done += taken;
		if (taken < want)
			break;
	}
	if (queue->counters.frames != frames && nmx_ring_take_event(&queue->bell)) {
		queue->counters.doorbells++;
		common->port->transport->ops->ring_doorbell(common->port->transport, common->index);
	}
	return done;
}

int
vdpdk_clean_up_tx(void *opaque, uint32_t n)
{
	struct vdpdk_tx_queue *queue = opaque;
	uint32_t freed = 0, now = BURST_MAX;

	nmx_base_enter_bracket(&queue->common.bracket);
	if (atomic_load_explicit(&queue->common.running, memory_order_acquire))
		while (now == BURST_MAX && (n == 0 || freed < n)) {
			now = reap_some(queue);
			freed += now;
		}
	nmx_base_leave_bracket(&queue->common.bracket);
	return (int)freed;
}

uint16_t
vdpdk_transmit(void *opaque, struct rte_mbuf **mbufs, uint16_t n)
{
	struct vdpdk_tx_queue *queue = opaque;

	nmx_base_enter_bracket(&queue->common.bracket);
	if (likely(atomic_load_explicit(&queue->common.running, memory_order_acquire)))
		n = send_burst(queue, mbufs, n);
	else
		n = 0;
	nmx_base_leave_bracket(&queue->common.bracket);
	return n;
}
