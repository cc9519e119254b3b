/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Receiving.
 *
 * Theory of operation
 *
 * Every posted buffer is an mbuf, known by its id. A burst:
 *
 *   1. look at the slots from `reap` on, as long as the device has given them back
 *   2. of each: take id and length from the one word read; trust neither
 *   3. chain the slots of a frame; the device has turned its first slot last, so all are there
 *   4. give the ids back, post fresh buffers in bulk, last slot first
 */

#include <errno.h>
#include <unistd.h>

#include "lib/base/prefetch.h"
#include "lib/dpdk/mbufs.h"
#include "vdpdk_loop.h"
#include "vdpdk_transport.h"

/** Buffers are posted this many at a time. */
#define REFILL_BURST 32

void
vdpdk_break_queue(struct vdpdk_queue *queue)
{
	atomic_store_explicit(&queue->running, false, memory_order_relaxed);
	if (!atomic_exchange(&queue->broken, true))
		vdpdk_wake_thread(queue->port);
}

/** Post n buffers, n free slots at least. False: the pool is empty. */
static inline bool
post_buffers(struct vdpdk_rx_queue *queue, uint32_t n)
{
	struct vdpdk_loop loop = vdpdk_begin_loop(&queue->common);
	const uint16_t buffer_bytes = queue->buffer_bytes;
	struct rte_mbuf *fresh[REFILL_BURST];

	if (unlikely(rte_mempool_get_bulk(queue->pool, (void **)fresh, n) != 0)) {
		queue->counters.no_mbuf++;
		return false;
	}
	for (uint32_t i = n; i-- > 0;) {
		struct rte_mbuf *mbuf = fresh[i];
		uint16_t id = vdpdk_take_id(&loop.ids);

		loop.mbufs[id] = mbuf;
		nmx_ring_submit_slot(&loop.ring, i,
			vdpdk_get_address(loop.address_offset, mbuf, RTE_PKTMBUF_HEADROOM),
			VDPDK_W1(buffer_bytes, id, VDPDK_FLAG_AVAIL, 0));
	}
	nmx_ring_advance_sub(&loop.ring, n);
	vdpdk_end_loop(&queue->common, &loop);
	return true;
}

void
vdpdk_refill(struct vdpdk_rx_queue *queue)
{
	uint32_t free_slots = nmx_ring_count_free(&queue->common.ring);

	while (free_slots >= REFILL_BURST && post_buffers(queue, REFILL_BURST))
		free_slots -= REFILL_BURST;
}

/**
 * Take the buffer of a completion.
 *
 * @param w1  hostile
 * @return NULL: the device broke the rules
 */
static inline struct rte_mbuf *
take_buffer(const struct vdpdk_rx_queue *queue, struct vdpdk_loop *loop, uint64_t w1)
{
	uint16_t id = VDPDK_W1_ID(w1), length = VDPDK_W1_LENGTH(w1);
	struct rte_mbuf *mbuf;

	if (unlikely(id > loop->ids.mask || length > queue->buffer_bytes))
		return NULL;
	mbuf = loop->mbufs[id];
	if (unlikely(mbuf == NULL))
		return NULL;
	loop->mbufs[id] = NULL;
	vdpdk_return_id(&loop->ids, id);
	nmx_dpdk_fill_mbuf(mbuf, queue->rearm, length);
	return mbuf;
}

/**
 * Chain the further slots of a frame to its first mbuf.
 *
 * @param ahead  of `reap`: the slot behind the first
 * @return slots chained; -1: the device broke the rules, and the frame is freed
 */
static int
chain_slots(const struct vdpdk_rx_queue *queue, struct vdpdk_loop *loop, struct rte_mbuf *head,
	uint32_t ahead)
{
	struct rte_mbuf *last = head;
	uint32_t n = 0;
	uint64_t w1;

	do {
		struct rte_mbuf *mbuf = NULL;

		/* The ring's size bounds this: behind `sub` no slot is given back. */
		if (nmx_ring_peek_slot(&loop->ring, ahead + n, &w1))
			mbuf = take_buffer(queue, loop, w1);
		if (mbuf == NULL || mbuf->data_len == 0 || head->nb_segs == UINT16_MAX) {
			rte_pktmbuf_free(mbuf);
			rte_pktmbuf_free(head);
			return -1;
		}
		last->next = mbuf;
		last = mbuf;
		head->nb_segs++;
		head->pkt_len += mbuf->data_len;
		n++;
	} while (VDPDK_W1_FLAGS(w1) & VDPDK_FLAG_NEXT);
	return (int)n;
}

/** What may be set in a completion; nothing else was negotiated. */
#define FLAGS_KNOWN (VDPDK_FLAG_NEXT | VDPDK_FLAG_RX_UNUSED)

/**
 * Reap up to n frames.
 *
 * @return frames in mbufs
 */
static inline uint16_t
reap_frames(struct vdpdk_rx_queue *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct vdpdk_loop loop = vdpdk_begin_loop(&queue->common);
	uint64_t bytes = 0, w1;
	uint32_t ahead = 0;
	uint16_t got = 0;

	while (got < n && nmx_ring_peek_slot(&loop.ring, ahead, &w1)) {
		struct rte_mbuf *mbuf = take_buffer(queue, &loop, w1);
		uint16_t flags = VDPDK_W1_FLAGS(w1);
		int chained = 0;

		ahead++;
		if (unlikely(mbuf == NULL || (flags & ~FLAGS_KNOWN) != 0)) {
			rte_pktmbuf_free(mbuf);
			vdpdk_break_queue(&queue->common);
			break;
		}
		if (unlikely(flags & VDPDK_FLAG_RX_UNUSED || mbuf->data_len == 0)) {
			rte_pktmbuf_free(mbuf);
			continue;
		}
		if (unlikely(flags & VDPDK_FLAG_NEXT))
			chained = chain_slots(queue, &loop, mbuf, ahead);
		if (unlikely(chained < 0)) {
			vdpdk_break_queue(&queue->common);
			break;
		}
		ahead += (uint32_t)chained;
		/* Most programs write to a frame they forward. */
		nmx_base_prefetch_to_write(rte_pktmbuf_mtod(mbuf, void *));
		bytes += mbuf->pkt_len;
		mbufs[got++] = mbuf;
	}
	nmx_ring_advance_reap(&loop.ring, ahead);
	vdpdk_end_loop(&queue->common, &loop);
	queue->counters.bytes += bytes;
	return got;
}

uint16_t
vdpdk_receive(void *opaque, struct rte_mbuf **mbufs, uint16_t n)
{
	struct vdpdk_rx_queue *queue = opaque;
	uint16_t got = 0;

	nmx_base_enter_bracket(&queue->common.bracket);
	if (likely(atomic_load_explicit(&queue->common.running, memory_order_acquire))) {
		(void)nmx_ring_claim_done(&queue->common.ring, RTE_MIN(n, REFILL_BURST));
		got = reap_frames(queue, mbufs, n);
		queue->counters.frames += got;
		/* Unless a breach has just stopped it: no more of our buffers then. */
		if (likely(atomic_load_explicit(&queue->common.running, memory_order_relaxed)))
			vdpdk_refill(queue);
	}
	nmx_base_leave_bracket(&queue->common.bracket);
	return got;
}

/* --- Interrupts --- */

void
vdpdk_wake_program(struct vdpdk_rx_queue *queue)
{
	const uint64_t one = 1;

	/* Ours and non-blocking; full means that there is an event already. */
	if (write(queue->event_fd, &one, sizeof(one)) < 0)
		return;
}

int
vdpdk_enable_rx_interrupt(struct rte_eth_dev *dev, uint16_t index)
{
	struct vdpdk_rx_queue *queue = dev->data->rx_queues[index];
	uint64_t w1;

	if (!queue->common.port->transport->has_interrupts)
		return -ENOTSUP;
	/* A ring that begins to run after this look finds the mark: either this load of `running`
	 * sees it, or its starter's load sees the mark and wakes the program. */
	atomic_store_explicit(&queue->armed, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	nmx_base_enter_bracket(&queue->common.bracket);
	if (atomic_load_explicit(&queue->common.running, memory_order_acquire)) {
		nmx_ring_arm_event(&queue->arm);
		/* Programs go to sleep without another poll: what is there already must wake. */
		if (nmx_ring_peek_slot(&queue->common.ring, 0, &w1))
			vdpdk_wake_program(queue);
	}
	nmx_base_leave_bracket(&queue->common.bracket);
	return 0;
}

int
vdpdk_disable_rx_interrupt(struct rte_eth_dev *dev, uint16_t index)
{
	struct vdpdk_rx_queue *queue = dev->data->rx_queues[index];

	atomic_store_explicit(&queue->armed, false, memory_order_relaxed);
	nmx_base_enter_bracket(&queue->common.bracket);
	if (atomic_load_explicit(&queue->common.running, memory_order_acquire))
		nmx_ring_disarm_event(&queue->arm);
	nmx_base_leave_bracket(&queue->common.bracket);
	return 0;
}
