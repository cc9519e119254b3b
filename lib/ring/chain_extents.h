/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What the walks of chains share, of split rings and packed ones: judging the pieces and adding
 * them up. Which descriptor is next is each walk's own matter.
 */

#ifndef NMX_RING_CHAIN_EXTENTS_H
#define NMX_RING_CHAIN_EXTENTS_H

#include "lib/ring/split_chain.h"

/** Add a piece behind the header. @return VDPDK_FAULT_* */
static inline uint16_t
nmx_ring_add_extent(struct nmx_split_chain *chain, bool writable, uint64_t address, uint32_t length)
{
	if (chain->n == NMX_SPLIT_EXTENTS_MAX)
		return VDPDK_FAULT_CHAIN;
	if (!writable && length > NMX_SPLIT_FRAME_BYTES_MAX - chain->bytes)
		return VDPDK_FAULT_LENGTH;
	chain->extents[chain->n++] = (struct nmx_split_extent){ address, length, writable };
	chain->bytes += length;
	return VDPDK_FAULT_NONE;
}

/**
 * Begin with the descriptor that has the header; what is behind that may be nothing.
 *
 * @param first  as nmx_ring_check_head() makes it
 * @return VDPDK_FAULT_*
 */
static inline uint16_t
nmx_ring_add_first(struct nmx_split_chain *chain, bool writable, const struct nmx_ring_slot *first,
	uint32_t header_bytes)
{
	chain->header = first->address - header_bytes;
	return first->length == 0
		       ? VDPDK_FAULT_NONE
		       : nmx_ring_add_extent(chain, writable, first->address, first->length);
}

/**
 * Judge and add a descriptor behind the first.
 *
 * @param flags  its NMX_SPLIT_FLAG_*
 * @return VDPDK_FAULT_*
 */
static inline uint16_t
nmx_ring_add_next(struct nmx_split_chain *chain, bool writable, uint64_t address, uint32_t length,
	uint16_t flags)
{
	if ((flags & NMX_SPLIT_FLAG_INDIRECT) || ((flags & NMX_SPLIT_FLAG_WRITE) != 0) != writable)
		return VDPDK_FAULT_FLAGS;
	if (length == 0)
		return VDPDK_FAULT_LENGTH;
	return nmx_ring_add_extent(chain, writable, address, length);
}

#endif
