/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Theory of operation
 *
 * A chain's descriptors stand one behind the other, in the ring, where they may pass its end, or in
 * a table. How many there are is known before the walk, and nothing in the guest's memory moves it.
 */

#include "lib/ring/packed_chain.h"

#include "lib/ring/chain_extents.h"

struct walk {
	const NMX_SHARED struct nmx_packed_desc *list;
	uint32_t start, mask; /* descriptor i is list[(start + i) & mask] */
	uint32_t n;
	uint16_t known_flags; /* in a table all but WRITE says nothing: 2.7.7 */
	bool writable;
};

/** Descriptor i's second word and address, read once. */
static uint64_t
load_desc(const struct walk *walk, uint32_t i, uint64_t *ret_address)
{
	const NMX_SHARED struct nmx_packed_desc *desc = &walk->list[(walk->start + i) & walk->mask];

	*ret_address = nmx_base_load64(&desc->address);
	return nmx_base_load64(&desc->w1);
}

/** Read the first descriptor of a table. @return VDPDK_FAULT_* */
static uint16_t
read_first(const struct walk *walk, uint32_t header_bytes, struct nmx_ring_slot *ret)
{
	uint64_t address, w1 = load_desc(walk, 0, &address);
	uint16_t flags = NMX_PACKED_W1_FLAGS(w1) & walk->known_flags;

	flags |= walk->n > 1 ? NMX_SPLIT_FLAG_NEXT : 0;
	return nmx_ring_check_head(address, NMX_SPLIT_W1(NMX_PACKED_W1_LENGTH(w1), flags, 0),
		walk->writable, header_bytes, ret);
}

/** Read all behind the first. @return VDPDK_FAULT_* */
static uint16_t
read_others(const struct walk *walk, struct nmx_split_chain *chain)
{
	uint16_t fault = VDPDK_FAULT_NONE;

	for (uint32_t i = 1; i < walk->n && fault == VDPDK_FAULT_NONE; i++) {
		uint64_t address, w1 = load_desc(walk, i, &address);

		fault = nmx_ring_add_next(chain, walk->writable, address, NMX_PACKED_W1_LENGTH(w1),
			NMX_PACKED_W1_FLAGS(w1) & walk->known_flags);
	}
	return fault;
}

uint16_t
nmx_ring_walk_packed_chain(const struct nmx_packed_host *ring, const struct nmx_ring_slot *slot,
	const NMX_SHARED struct nmx_packed_desc *table, bool writable, uint32_t header_bytes,
	struct nmx_split_chain *ret)
{
	struct walk walk = { .list = ring->parts.desc,
		.start = slot->extra,
		.mask = ring->window.mask,
		.n = nmx_ring_get_packed_count(slot),
		.known_flags = NMX_SPLIT_FLAG_WRITE | NMX_SPLIT_FLAG_INDIRECT,
		.writable = writable };
	struct nmx_ring_slot first = *slot;
	uint16_t fault = VDPDK_FAULT_NONE;

	ret->n = 0;
	ret->bytes = 0;
	if (slot->flags & NMX_SPLIT_FLAG_INDIRECT) {
		walk = (struct walk){ .list = table,
			.mask = UINT32_MAX,
			.n = slot->length,
			/* DPDK's driver, 22.11 at least, leaves WRITE in tables to be read. */
			.known_flags = writable ? NMX_SPLIT_FLAG_WRITE : 0,
			.writable = writable };
		fault = read_first(&walk, header_bytes, &first);
	}
	if (fault == VDPDK_FAULT_NONE)
		fault = nmx_ring_add_first(ret, writable, &first, header_bytes);
	if (fault == VDPDK_FAULT_NONE)
		fault = read_others(&walk, ret);
	return fault;
}
