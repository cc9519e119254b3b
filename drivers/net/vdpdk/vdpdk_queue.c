/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Queues on the control side: making, starting, stopping, abandoning. See vdpdk.h for their life.
 */

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "lib/dpdk/compat.h"
#include "lib/dpdk/mbufs.h"
#include "vdpdk.h"
#include "vdpdk_transport.h"

static struct vdpdk_port *
get_port(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/* --- Making --- */

/** Number of slots that a queue gets for the number that the program asks for. */
static uint32_t
choose_slots(const struct vdpdk_port *port, uint16_t wanted)
{
	uint32_t n = rte_align32pow2(RTE_MAX((uint32_t)wanted, (uint32_t)VDPDK_RING_SLOTS_MIN));

	return RTE_MIN(n, UINT32_C(1) << port->ring_max_log2);
}

static int
init_common(struct vdpdk_queue *queue, struct vdpdk_port *port, uint16_t index, uint16_t wanted,
	unsigned int socket)
{
	uint32_t n = choose_slots(port, wanted);

	queue->port = port;
	queue->index = index;
	queue->n_slots = n;
	queue->ids.mask = n - 1;
	queue->address_offset = (uint16_t)(port->transport->uses_iova
						   ? NMX_DPDK_MBUF_IOVA_OFFSET
						   : offsetof(struct rte_mbuf, buf_addr));
	nmx_base_init_bracket(&queue->bracket);
	queue->mbufs = rte_zmalloc_socket(
		"vdpdk_mbufs", n * sizeof(*queue->mbufs), RTE_CACHE_LINE_SIZE, (int)socket);
	queue->ids.fifo = rte_zmalloc_socket(
		"vdpdk_ids", n * sizeof(*queue->ids.fifo), RTE_CACHE_LINE_SIZE, (int)socket);
	if (vdpdk_allocate_shared(
		    port, VDPDK_RING_BYTES(n), VDPDK_RING_ALIGN, socket, &queue->memory) != 0 ||
		queue->mbufs == NULL || queue->ids.fifo == NULL) {
		PORT_LOG(port, ERR, "no memory for a queue of %u slots; give EAL more", n);
		return -ENOMEM;
	}
	return 0;
}

static void
free_common(struct vdpdk_queue *queue)
{
	if (!queue->port->stuck)
		vdpdk_free_shared(&queue->memory);
	rte_free(queue->mbufs);
	rte_free(queue->ids.fifo);
}

/** What posted buffers hold; 0: the pool's are too small. */
static uint16_t
get_buffer_bytes(struct rte_mempool *pool)
{
	uint16_t room = rte_pktmbuf_data_room_size(pool);

	return room < RTE_PKTMBUF_HEADROOM + RTE_ETHER_MIN_LEN ? 0 : room - RTE_PKTMBUF_HEADROOM;
}

static int
check_rx_queue(
	const struct rte_eth_dev *dev, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct vdpdk_port *port = get_port(dev);

	if (conf->rx_deferred_start) {
		PORT_LOG(port, ERR, "deferred start isn't supported; start queues with the port");
		return -ENOTSUP;
	}
	if (get_buffer_bytes(pool) == 0) {
		PORT_LOG(port, ERR, "buffers of pool %s are too small; give them %u bytes or more",
			pool->name, RTE_PKTMBUF_HEADROOM + RTE_ETHER_MIN_LEN);
		return -EINVAL;
	}
	return vdpdk_check_pool(port, pool) ? 0 : -ENOTSUP;
}

int
vdpdk_set_up_rx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_slots,
	unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	uint64_t offloads = conf->offloads | dev->data->dev_conf.rxmode.offloads;
	struct vdpdk_rx_queue *queue;
	int ret = check_rx_queue(dev, conf, pool);

	if (ret != 0)
		return ret;
	queue = rte_zmalloc_socket("vdpdk_rx", sizeof(*queue), RTE_CACHE_LINE_SIZE, (int)socket);
	if (queue == NULL)
		return -ENOMEM;
	ret = init_common(&queue->common, get_port(dev), index, n_slots, socket);
	if (ret != 0) {
		free_common(&queue->common);
		rte_free(queue);
		return ret;
	}
	queue->pool = pool;
	queue->rearm = nmx_dpdk_make_rearm(dev->data->port_id, RTE_PKTMBUF_HEADROOM);
	queue->buffer_bytes = get_buffer_bytes(pool);
	queue->scatter = (offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0;
	queue->event_fd = get_port(dev)->event_fds[index];
	dev->data->rx_queues[index] = queue;
	pthread_mutex_lock(&get_port(dev)->lock);
	get_port(dev)->rx_queues[index] = queue;
	pthread_mutex_unlock(&get_port(dev)->lock);
	return 0;
}

int
vdpdk_set_up_tx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_slots,
	unsigned int socket, const struct rte_eth_txconf *conf)
{
	uint64_t offloads = conf->offloads | dev->data->dev_conf.txmode.offloads;
	struct vdpdk_port *port = get_port(dev);
	struct vdpdk_tx_queue *queue;
	int ret;

	if (conf->tx_deferred_start) {
		PORT_LOG(port, ERR, "deferred start isn't supported; start queues with the port");
		return -ENOTSUP;
	}
	queue = rte_zmalloc_socket("vdpdk_tx", sizeof(*queue), RTE_CACHE_LINE_SIZE, (int)socket);
	if (queue == NULL)
		return -ENOMEM;
	ret = init_common(&queue->common, port, index, n_slots, socket);
	if (ret == 0 && vdpdk_make_bounce_pool(queue, socket) != 0) {
		PORT_LOG(port, ERR, "no memory for bounce buffers; give EAL more");
		ret = -ENOMEM;
	}
	if (ret != 0) {
		free_common(&queue->common);
		rte_free(queue);
		return ret;
	}
	queue->offloads = offloads;
	queue->fast_free = (offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0;
	dev->data->tx_queues[index] = queue;
	pthread_mutex_lock(&port->lock);
	port->tx_queues[index] = queue;
	pthread_mutex_unlock(&port->lock);
	return 0;
}

void
vdpdk_release_rx_queue(struct rte_eth_dev *dev, uint16_t index)
{
	struct vdpdk_rx_queue *queue = dev->data->rx_queues[index];
	struct vdpdk_port *port = get_port(dev);

	if (queue == NULL)
		return;
	/* The program may free the pool next. */
	(void)vdpdk_wait_for_end(port);
	pthread_mutex_lock(&port->lock);
	port->rx_queues[index] = NULL;
	pthread_mutex_unlock(&port->lock);
	dev->data->rx_queues[index] = NULL;
	free_common(&queue->common);
	rte_free(queue);
}

void
vdpdk_release_tx_queue(struct rte_eth_dev *dev, uint16_t index)
{
	struct vdpdk_tx_queue *queue = dev->data->tx_queues[index];
	struct vdpdk_port *port = get_port(dev);

	if (queue == NULL)
		return;
	(void)vdpdk_wait_for_end(port);
	pthread_mutex_lock(&port->lock);
	port->tx_queues[index] = NULL;
	pthread_mutex_unlock(&port->lock);
	dev->data->tx_queues[index] = NULL;
	vdpdk_free_bounce_pool(queue);
	free_common(&queue->common);
	rte_free(queue);
}

/* --- All queues of a port, one after the other --- */

struct place {
	uint16_t direction;
	struct vdpdk_queue *queue;
};

/** Go through the queues that are set up; false at the end. */
static bool
next_place(const struct vdpdk_port *port, uint32_t *i, struct place *ret_place)
{
	for (; *i < 2u * port->n_queue_pairs; (*i)++) {
		uint32_t q = *i / 2;

		ret_place->direction = *i % 2 == 0 ? VDPDK_DIRECTION_RX : VDPDK_DIRECTION_TX;
		if (ret_place->direction == VDPDK_DIRECTION_RX)
			ret_place->queue = (struct vdpdk_queue *)port->rx_queues[q];
		else
			ret_place->queue = (struct vdpdk_queue *)port->tx_queues[q];
		if (ret_place->queue != NULL) {
			(*i)++;
			return true;
		}
	}
	return false;
}

/** Take all queues away from their bursts, and wait for those that run. */
static void
quiet_queues(struct vdpdk_port *port)
{
	struct place place;
	uint32_t i = 0;

	while (next_place(port, &i, &place))
		atomic_store_explicit(&place.queue->running, false, memory_order_relaxed);
	while (!nmx_base_fence_brackets())
		sched_yield();
	for (i = 0; next_place(port, &i, &place);) {
		uint32_t seen = nmx_base_read_bracket(&place.queue->bracket);

		while (!nmx_base_is_bracket_quiet(&place.queue->bracket, seen))
			sched_yield();
	}
}

/* --- Quarantine --- */

/** Put mbufs away. Without memory for that they are kept for ever. */
static void
quarantine(struct vdpdk_port *port, struct rte_mbuf *mbuf)
{
	struct vdpdk_quarantine *q = &port->quarantine;

	if (q->n == q->room) {
		uint32_t room = q->room == 0 ? 1024 : 2 * q->room;
		void *mbufs = reallocarray(q->mbufs, room, sizeof(*q->mbufs));

		if (mbufs == NULL) {
			port->kept++;
			return;
		}
		q->mbufs = mbufs;
		q->room = room;
	}
	q->mbufs[q->n++] = mbuf;
}

void
vdpdk_release_quarantine(struct vdpdk_port *port)
{
	struct vdpdk_quarantine *q = &port->quarantine;

	/* Raw ones of Rx queues look as fresh ones, so one way of freeing does for all. */
	while (q->n > 0)
		rte_pktmbuf_free_seg(q->mbufs[--q->n]);
}

/** What becomes of the mbufs that a queue's device had. */
enum end {
	ALL_BACK, /* the device said so: free them */
	LOST,     /* quarantine */
	KEPT,     /* hardware has some and won't give them back: not to be freed, ever */
};

static void
end_mbufs(struct vdpdk_queue *queue, enum end end, uint64_t *n_lost)
{
	for (uint32_t id = 0; id < queue->n_slots; id++) {
		struct rte_mbuf *mbuf = queue->mbufs[id];

		if (mbuf == NULL)
			continue;
		queue->mbufs[id] = NULL;
		if (end == ALL_BACK)
			rte_pktmbuf_free_seg(mbuf);
		else if (end == LOST)
			quarantine(queue->port, mbuf);
		else
			queue->port->kept++;
		(*n_lost)++;
	}
}

/* --- Starting --- */

static void
renew_ring(struct place *place)
{
	struct vdpdk_queue *queue = place->queue;

	nmx_ring_init_guest(&queue->ring, queue->memory.start, queue->n_slots);
	queue->ids.head = 0;
	queue->ids.tail = queue->n_slots;
	for (uint32_t id = 0; id < queue->n_slots; id++)
		queue->ids.fifo[id] = (uint16_t)id;
	atomic_store(&queue->broken, false);
	queue->reported = false;
	if (place->direction == VDPDK_DIRECTION_RX) {
		struct vdpdk_rx_queue *rx = (struct vdpdk_rx_queue *)queue;

		rx->arm.word = &queue->ring.header->driver.event_seq;
		rx->arm.seq = 0;
	} else {
		struct vdpdk_tx_queue *tx = (struct vdpdk_tx_queue *)queue;

		tx->bell.word = &queue->ring.header->device.event_seq;
		tx->bell.answered = 0;
	}
}

bool
vdpdk_check_mtu(const struct vdpdk_port *port, uint16_t mtu)
{
	uint32_t bytes = mtu + RTE_ETHER_HDR_LEN;

	for (uint16_t q = 0; q < port->n_queue_pairs; q++) {
		const struct vdpdk_rx_queue *queue = port->rx_queues[q];
		uint32_t buffers = queue != NULL && queue->scatter ? VDPDK_RX_SEGMENTS_MAX : 1;

		if (queue == NULL || bytes <= buffers * queue->buffer_bytes)
			continue;
		PORT_LOG(port, ERR,
			"an MTU of %u doesn't fit into buffers of %u bytes, %u a frame; "
			"give larger ones or enable the scatter offload",
			mtu, queue->buffer_bytes, buffers);
		return false;
	}
	return true;
}

static int
start_queue(struct place *place)
{
	struct vdpdk_queue *queue = place->queue;
	const struct vdpdk_rx_queue *rx = (struct vdpdk_rx_queue *)queue;
	bool is_rx = place->direction == VDPDK_DIRECTION_RX;
	const struct vdpdk_queue_start request = {
		.direction = place->direction,
		.index = queue->index,
		.flags = is_rx && rx->scatter ? VDPDK_QUEUE_SCATTER : 0,
		.ring_address = queue->memory.address,
		.n_slots = queue->n_slots,
	};

	renew_ring(place);
	return vdpdk_request(queue->port, VDPDK_OP_QUEUE_START, &request, sizeof(request), NULL, 0);
}

/** Let bursts use a started queue. */
static void
run_queue(struct place *place)
{
	struct vdpdk_queue *queue = place->queue;
	struct vdpdk_rx_queue *rx = (struct vdpdk_rx_queue *)queue;

	if (place->direction == VDPDK_DIRECTION_RX)
		vdpdk_refill(rx);
	/* Orders the ring's state before the mark; pairs with the bursts' acquire. */
	atomic_store_explicit(&queue->running, true, memory_order_release);
	if (place->direction != VDPDK_DIRECTION_RX)
		return;
	/* Orders `running` before the mark; pairs with vdpdk_enable_rx_interrupt(). Who went to
	 * sleep on no ring polls once, and arms this one. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&rx->armed, memory_order_relaxed))
		vdpdk_wake_program(rx);
}

int
vdpdk_start_queues(struct vdpdk_port *port)
{
	struct place place;
	uint32_t i = 0;
	int ret = 0;

	while (ret == 0 && next_place(port, &i, &place))
		ret = start_queue(&place);
	if (ret != 0)
		return ret; /* nothing was posted yet */
	for (i = 0; next_place(port, &i, &place);)
		run_queue(&place);
	return 0;
}

/* --- Stopping --- */

static uint64_t *
get_lost_counter(struct place *place, uint64_t *nowhere)
{
	if (place->direction == VDPDK_DIRECTION_TX)
		return &((struct vdpdk_tx_queue *)place->queue)->counters.lost;
	return nowhere;
}

/** Stop a queue with the device, and take back what it had. */
static void
stop_queue(struct place *place)
{
	struct vdpdk_queue *queue = place->queue;
	const struct vdpdk_queue_stop request = {
		.direction = place->direction,
		.index = queue->index,
	};
	uint64_t nowhere = 0;
	int ret = vdpdk_request(
		queue->port, VDPDK_OP_QUEUE_STOP, &request, sizeof(request), NULL, 0);

	if (ret == 0) {
		end_mbufs(queue, ALL_BACK, &nowhere);
		return;
	}
	/* Any other refusal is a breach; what the device has is safe once the session has ended. */
	if (ret != -EBUSY)
		vdpdk_lose_session(queue->port);
	end_mbufs(queue, ret == -EBUSY ? KEPT : LOST, get_lost_counter(place, &nowhere));
}

void
vdpdk_stop_queues(struct vdpdk_port *port)
{
	struct place place;
	uint32_t i = 0;

	quiet_queues(port);
	while (port->up && next_place(port, &i, &place))
		stop_queue(&place);
}

void
vdpdk_abandon_queues(struct vdpdk_port *port)
{
	struct place place;
	uint64_t nowhere = 0;
	uint32_t i = 0;

	quiet_queues(port);
	while (next_place(port, &i, &place))
		end_mbufs(place.queue, LOST, get_lost_counter(&place, &nowhere));
}
