/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Frames in memory without a file (external heaps, buffers of other origin): copied before they are
 * sent. The slow path of transmitting; each Tx queue has a pool for it.
 */

#include <stdio.h>

#include "vdpdk.h"

#define BOUNCE_MBUFS      512
#define BOUNCE_ROOM_BYTES (2048 + RTE_PKTMBUF_HEADROOM)

int
vdpdk_make_bounce_pool(struct vdpdk_tx_queue *queue, unsigned int socket)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "vdpdk_bounce_%u_%u", queue->common.port->dev->data->port_id,
		queue->common.index);
	queue->bounce_pool = rte_pktmbuf_pool_create(
		name, BOUNCE_MBUFS, 0, 0, BOUNCE_ROOM_BYTES, (int)socket);
	return queue->bounce_pool == NULL ? -ENOMEM : 0;
}

void
vdpdk_free_bounce_pool(struct vdpdk_tx_queue *queue)
{
	if (queue->bounce_pool != NULL && rte_mempool_full(queue->bounce_pool))
		rte_mempool_free(queue->bounce_pool);
}

bool
vdpdk_find_range(struct vdpdk_tx_queue *queue, const void *start, size_t bytes)
{
	const struct vdpdk_port *port = queue->common.port;

	for (uint32_t i = 0; i < port->n_ranges; i++) {
		const struct vdpdk_range *range = &port->ranges[i];
		uintptr_t offset = (uintptr_t)start - range->start;

		if (offset >= range->bytes || bytes > range->bytes - offset)
			continue;
		queue->reachable_start = range->start;
		queue->reachable_bytes = range->bytes;
		return true;
	}
	return false;
}

struct rte_mbuf *
vdpdk_bounce_frame(struct vdpdk_tx_queue *queue, struct rte_mbuf *mbuf)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(mbuf, queue->bounce_pool, 0, UINT32_MAX);

	if (copy == NULL)
		return NULL;
	queue->counters.bounced++;
	rte_pktmbuf_free(mbuf);
	return copy;
}
