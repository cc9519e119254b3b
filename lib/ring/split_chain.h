/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The walk of a chain of descriptors: all buffers that aren't header and data in one descriptor.
 *
 * An indirect table lies in the guest's memory at a place that only the caller can find. So it is
 * two steps: nmx_ring_get_table() says where it is, the caller translates that, and
 * nmx_ring_walk_chain() is given the pointer.
 */

#ifndef NMX_RING_SPLIT_CHAIN_H
#define NMX_RING_SPLIT_CHAIN_H

#include "lib/base/range.h"
#include "lib/ring/split_host.h"

/** Most extents that a walk finds: what Linux and DPDK need for a frame, with room. */
#define NMX_SPLIT_EXTENTS_MAX (VDPDK_TX_SEGMENTS_MAX + 1)

/** Longest frame from the guest: the largest IP packet, an Ethernet header and a VLAN's. */
#define NMX_SPLIT_FRAME_BYTES_MAX (65535 + 18)

/** A piece of a buffer: guest addresses, not translated; `length` isn't 0. */
struct nmx_split_extent {
	uint64_t address;
	uint32_t length;
	bool writable;
};

/** A walk's result. */
struct nmx_split_chain {
	uint32_t n;     /* extents, at least 1 */
	uint64_t bytes; /* their sum: the frame, or the room for one; without the net header */
	/**
	 * Where the net header begins: directly in front of the first extent, or in a descriptor of
	 * its own. A frame that goes on in this chain uses its bytes, then the extents.
	 */
	uint64_t header;
	struct nmx_split_extent extents[NMX_SPLIT_EXTENTS_MAX];
};

/** Where the table of a copy with NMX_SPLIT_FLAG_INDIRECT is: to be translated for reading. */
static inline struct nmx_range
nmx_ring_get_table(const struct nmx_ring_slot *slot)
{
	return (struct nmx_range){ slot->address, slot->length * sizeof(struct nmx_split_desc) };
}

/**
 * Find all of a fetched buffer. Each descriptor is read once, none that was read when it was
 * fetched.
 *
 * @param slot          its copy, of any kind: nmx_ring_is_chain() or not
 * @param table         of a copy with NMX_SPLIT_FLAG_INDIRECT: its table, host address, else unused
 * @param writable      as it was fetched
 * @param header_bytes  as it was fetched
 * @param ret           meaningless after a fault
 * @return VDPDK_FAULT_NONE
 *         VDPDK_FAULT_CHAIN    more extents than NMX_SPLIT_EXTENTS_MAX or than there are
 *                              descriptors: a loop, perhaps
 *         VDPDK_FAULT_FLAGS    another direction; a table within a chain or a table
 *         VDPDK_FAULT_LENGTH   an empty descriptor; no data; a header that isn't in one piece; a
 *                              frame over NMX_SPLIT_FRAME_BYTES_MAX
 *         NMX_SPLIT_FAULT_ID   a `next` outside
 *
 * Context: as the ring's owner, inside the bracket in which the table was translated. No lock, no
 * log, no allocation. Source: virtio 1.1/1.2, 2.6.5.3, 2.6.13
 */
uint16_t nmx_ring_walk_chain(const struct nmx_split_host *ring, const struct nmx_ring_slot *slot,
	const NMX_SHARED struct nmx_split_desc *table, bool writable, uint32_t header_bytes,
	struct nmx_split_chain *ret);

#endif
