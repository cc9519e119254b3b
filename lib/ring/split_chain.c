/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Theory of operation
 *
 * A walk has a list of `n_desc` descriptors, the ring's or a table's, and follows `next` in it. It
 * ends after n_read descriptors, a count that nothing in the guest's memory moves: n_read never
 * passes n_desc, nor what fits into the result. A chain with a loop never ends by itself, so it is
 * found there.
 */

#include "lib/ring/split_chain.h"

#include "lib/ring/chain_extents.h"

struct walk {
	const NMX_SHARED struct nmx_split_desc *list;
	uint32_t n_desc;
	uint32_t n_read;
	bool writable;
	struct nmx_split_chain *chain;
};

/**
 * Read a descriptor behind the first.
 *
 * @param ret_w1  its second word
 * @return VDPDK_FAULT_*, NMX_SPLIT_FAULT_ID
 */
static uint16_t
read_next(struct walk *walk, uint16_t next, uint64_t *ret_w1)
{
	const NMX_SHARED struct nmx_split_desc *desc;
	uint64_t address, w1;

	if (next >= walk->n_desc)
		return NMX_SPLIT_FAULT_ID;
	if (walk->n_read == walk->n_desc)
		return VDPDK_FAULT_CHAIN;
	walk->n_read++;
	desc = &walk->list[next];
	address = nmx_base_load64(&desc->address);
	w1 = nmx_base_load64(&desc->w1);
	*ret_w1 = w1;
	return nmx_ring_add_next(walk->chain, walk->writable, address, NMX_SPLIT_W1_LENGTH(w1),
		NMX_SPLIT_W1_FLAGS(w1));
}

/** Read the first descriptor of a table. @return VDPDK_FAULT_* */
static uint16_t
read_first(struct walk *walk, uint32_t header_bytes, struct nmx_ring_slot *ret)
{
	uint64_t address = nmx_base_load64(&walk->list[0].address);
	uint64_t w1 = nmx_base_load64(&walk->list[0].w1);

	walk->n_read++;
	if (NMX_SPLIT_W1_FLAGS(w1) & NMX_SPLIT_FLAG_INDIRECT)
		return VDPDK_FAULT_FLAGS;
	return nmx_ring_check_head(address, w1, walk->writable, header_bytes, ret);
}

/** Follow a chain behind its first descriptor. @return VDPDK_FAULT_*, NMX_SPLIT_FAULT_ID */
static uint16_t
follow(struct walk *walk, uint16_t flags, uint16_t next)
{
	while (flags & NMX_SPLIT_FLAG_NEXT) {
		uint64_t w1;
		uint16_t fault = read_next(walk, next, &w1);

		if (fault != VDPDK_FAULT_NONE)
			return fault;
		flags = NMX_SPLIT_W1_FLAGS(w1);
		next = NMX_SPLIT_W1_NEXT(w1);
	}
	return VDPDK_FAULT_NONE;
}

uint16_t
nmx_ring_walk_chain(const struct nmx_split_host *ring, const struct nmx_ring_slot *slot,
	const NMX_SHARED struct nmx_split_desc *table, bool writable, uint32_t header_bytes,
	struct nmx_split_chain *ret)
{
	struct walk walk = { .list = ring->parts.desc,
		.n_desc = ring->window.mask + 1,
		.writable = writable,
		.chain = ret };
	struct nmx_ring_slot first = *slot;
	uint16_t fault = VDPDK_FAULT_NONE;

	ret->n = 0;
	ret->bytes = 0;
	if (slot->flags & NMX_SPLIT_FLAG_INDIRECT) {
		walk.list = table;
		walk.n_desc = slot->length;
		fault = read_first(&walk, header_bytes, &first);
	} else {
		walk.n_read = 1;
	}
	if (fault == VDPDK_FAULT_NONE)
		fault = nmx_ring_add_first(ret, writable, &first, header_bytes);
	if (fault == VDPDK_FAULT_NONE)
		fault = follow(&walk, first.flags, first.extra);
	return fault;
}
