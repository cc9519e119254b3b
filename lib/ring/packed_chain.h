/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The walk of a packed ring's chain: all buffers that aren't header and data in one descriptor.
 *
 * As in split_chain.h, whose result this has: nmx_ring_get_table() says where an indirect table is,
 * the caller translates that, and the walk is given the pointer.
 */

#ifndef NMX_RING_PACKED_CHAIN_H
#define NMX_RING_PACKED_CHAIN_H

#include "lib/ring/packed_host.h"

/**
 * Find all of a fetched buffer. Each descriptor is read once; what was used of one when it was
 * fetched, isn't.
 *
 * @param slot          its copy, of any kind: nmx_ring_is_chain() or not
 * @param table         of a copy with NMX_SPLIT_FLAG_INDIRECT: its table, host address, else unused
 * @param writable      as it was fetched
 * @param header_bytes  as it was fetched
 * @param ret           meaningless after a fault
 * @return VDPDK_FAULT_NONE
 *         VDPDK_FAULT_CHAIN    more extents than NMX_SPLIT_EXTENTS_MAX
 *         VDPDK_FAULT_FLAGS    another direction, but in a table to be read, where drivers get that
 *                              wrong; a table within a chain
 *         VDPDK_FAULT_LENGTH   an empty descriptor; no data; a header that isn't in one piece; a
 *                              frame over NMX_SPLIT_FRAME_BYTES_MAX
 *
 * Context: as the ring's owner, before this buffer, or one that was fetched after it, is answered;
 * inside the bracket in which the table was translated. No lock, no log, no allocation. Source:
 * virtio 1.1, 2.7.6, 2.7.7
 */
uint16_t nmx_ring_walk_packed_chain(const struct nmx_packed_host *ring,
	const struct nmx_ring_slot *slot, const NMX_SHARED struct nmx_packed_desc *table,
	bool writable, uint32_t header_bytes, struct nmx_split_chain *ret);

#endif
