/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** What a program may ask about a queue: what it is, and where it stands. */

#include <errno.h>
#include <stdio.h>

#include "vdpdk.h"

/* --- What it is --- */

void
vdpdk_get_rx_info(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_rxq_info *info)
{
	const struct vdpdk_rx_queue *queue = dev->data->rx_queues[index];

	info->mp = queue->pool;
	info->conf.offloads = queue->scatter ? RTE_ETH_RX_OFFLOAD_SCATTER : 0;
	info->scattered_rx = queue->scatter;
	info->nb_desc = (uint16_t)queue->common.n_slots;
	info->rx_buf_size = queue->buffer_bytes;
}

void
vdpdk_get_tx_info(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_txq_info *info)
{
	const struct vdpdk_tx_queue *queue = dev->data->tx_queues[index];

	info->conf.offloads = queue->offloads;
	info->nb_desc = (uint16_t)queue->common.n_slots;
}

static int
describe_burst(struct rte_eth_burst_mode *mode)
{
	snprintf(mode->info, sizeof(mode->info), "Scalar, vDPDK ring");
	return 0;
}

int
vdpdk_get_rx_burst_mode(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_burst_mode *mode)
{
	(void)dev;
	(void)index;
	return describe_burst(mode);
}

int
vdpdk_get_tx_burst_mode(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_burst_mode *mode)
{
	return vdpdk_get_rx_burst_mode(dev, index, mode);
}

/* --- Where it stands --- */

/** Enter the bracket; false: the ring isn't there, and the bracket is left again. */
static bool
enter(struct vdpdk_queue *queue)
{
	nmx_base_enter_bracket(&queue->bracket);
	if (atomic_load_explicit(&queue->running, memory_order_acquire))
		return true;
	nmx_base_leave_bracket(&queue->bracket);
	return false;
}

uint32_t
vdpdk_count_received(void *opaque)
{
	struct vdpdk_queue *queue = &((struct vdpdk_rx_queue *)opaque)->common;
	uint32_t n = 0;
	uint64_t w1;

	if (!enter(queue))
		return 0;
	while (n < queue->n_slots && nmx_ring_peek_slot(&queue->ring, n, &w1))
		n++;
	nmx_base_leave_bracket(&queue->bracket);
	return n;
}

int
vdpdk_get_rx_status(void *opaque, uint16_t offset)
{
	struct vdpdk_queue *queue = &((struct vdpdk_rx_queue *)opaque)->common;
	int status = RTE_ETH_RX_DESC_UNAVAIL;
	uint64_t w1;

	if (offset >= queue->n_slots)
		return -EINVAL;
	if (!enter(queue))
		return status;
	if (offset < nmx_ring_count_pending(&queue->ring))
		status = nmx_ring_peek_slot(&queue->ring, offset, &w1) ? RTE_ETH_RX_DESC_DONE
								       : RTE_ETH_RX_DESC_AVAIL;
	nmx_base_leave_bracket(&queue->bracket);
	return status;
}

int
vdpdk_get_tx_status(void *opaque, uint16_t offset)
{
	struct vdpdk_queue *queue = &((struct vdpdk_tx_queue *)opaque)->common;
	int status = RTE_ETH_TX_DESC_DONE;
	uint32_t n_free;
	uint64_t w1;

	if (offset >= queue->n_slots)
		return -EINVAL;
	if (!enter(queue))
		return RTE_ETH_TX_DESC_UNAVAIL;
	/* The slots behind those that are free are the oldest pending ones. */
	n_free = nmx_ring_count_free(&queue->ring);
	if (offset >= n_free && !nmx_ring_peek_slot(&queue->ring, offset - n_free, &w1))
		status = RTE_ETH_TX_DESC_FULL;
	nmx_base_leave_bracket(&queue->bracket);
	return status;
}
