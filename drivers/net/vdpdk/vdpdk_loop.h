/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** What bursts of both directions do with a queue's ring and ids. */

#ifndef VDPDK_LOOP_H
#define VDPDK_LOOP_H

#include <string.h>

#include "vdpdk.h"

/** A segment's or, with `offset` RTE_PKTMBUF_HEADROOM, a fresh buffer's address for the device. */
static inline uint64_t
vdpdk_get_address(uint16_t address_offset, const struct rte_mbuf *mbuf, uint16_t offset)
{
	uint64_t address;

	memcpy(&address, (const uint8_t *)mbuf + address_offset, sizeof(address));
	return address + offset;
}

/** What the loop of a burst needs, copied: no store in it can touch that, so it is in registers. */
struct vdpdk_loop {
	struct nmx_ring_guest ring;
	struct rte_mbuf **mbufs;
	struct vdpdk_ids ids;
	uint16_t address_offset;
};

static inline struct vdpdk_loop
vdpdk_begin_loop(const struct vdpdk_queue *queue)
{
	return (struct vdpdk_loop){ queue->ring, queue->mbufs, queue->ids, queue->address_offset };
}

static inline void
vdpdk_end_loop(struct vdpdk_queue *queue, const struct vdpdk_loop *loop)
{
	queue->ring.sub = loop->ring.sub;
	queue->ring.reap = loop->ring.reap;
	queue->ids.head = loop->ids.head;
	queue->ids.tail = loop->ids.tail;
}

#endif
