/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A driver's half of a split ring, for tests: written from the specification (virtio 1.1/1.2, 2.6)
 * and from nothing else here but the layout's types.
 *
 * A word that the device may read meanwhile is stored, and one that it writes is loaded, as 2.6.13
 * and 2.6.14 say: what a head needs first, the index last.
 */

#ifndef NMX_RING_SPLIT_RIG_TEST_H
#define NMX_RING_SPLIT_RIG_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ring/split_layout.h"

struct split_driver {
	struct nmx_split_desc *desc;
	struct nmx_split_avail *avail;
	struct nmx_split_used *used;
	uint32_t n;
	uint16_t avail_idx, used_idx; /* next to write, next to read */
};

/** False if there is no memory. */
static inline bool
init_driver(struct split_driver *d, uint32_t n, uint16_t base)
{
	const size_t page = 4096;

	d->n = n;
	d->avail_idx = d->used_idx = base;
	d->desc = calloc(1, NMX_SPLIT_DESC_BYTES(n));
	d->avail = calloc(1, NMX_SPLIT_AVAIL_BYTES(n));
	d->used = aligned_alloc(page, (NMX_SPLIT_USED_BYTES(n) + page - 1) / page * page);
	if (d->desc == NULL || d->avail == NULL || d->used == NULL)
		return false;
	memset(d->used, 0, NMX_SPLIT_USED_BYTES(n));
	d->avail->idx = d->used->idx = base;
	return true;
}

static inline void
fini_driver(struct split_driver *d)
{
	free(d->desc);
	free(d->avail);
	free(d->used);
}

static inline void
write_desc(struct nmx_split_desc *desc, uint64_t address, uint32_t length, uint16_t flags,
	uint16_t next)
{
	__atomic_store_n(&desc->address, address, __ATOMIC_RELAXED);
	__atomic_store_n(&desc->w1, NMX_SPLIT_W1(length, flags, next), __ATOMIC_RELAXED);
}

/** 2.6.13.2: put a head into the ring, `ahead` of the index. */
static inline void
offer_head(struct split_driver *d, uint16_t ahead, uint16_t head)
{
	__atomic_store_n(
		&d->avail->ring[(uint16_t)(d->avail_idx + ahead) % d->n], head, __ATOMIC_RELAXED);
}

/** 2.6.13.3: n more are available. */
static inline void
publish_avail(struct split_driver *d, uint16_t n)
{
	d->avail_idx += n;
	__atomic_store_n(&d->avail->idx, d->avail_idx, __ATOMIC_RELEASE);
}

/** One buffer in one descriptor. */
static inline void
offer_buffer(struct split_driver *d, uint16_t id, uint64_t address, uint32_t length, uint16_t flags)
{
	write_desc(&d->desc[id], address, length, flags, 0);
	offer_head(d, 0, id);
	publish_avail(d, 1);
}

/** 2.6.14: take a used buffer; false if there is none. */
static inline bool
take_used(struct split_driver *d, struct nmx_split_used_elem *ret)
{
	const struct nmx_split_used_elem *elem = &d->used->ring[d->used_idx % d->n];

	if (__atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) == d->used_idx)
		return false;
	ret->id = __atomic_load_n(&elem->id, __ATOMIC_RELAXED);
	ret->bytes = __atomic_load_n(&elem->bytes, __ATOMIC_RELAXED);
	d->used_idx++;
	return true;
}

static inline uint16_t *
find_used_event(struct split_driver *d)
{
	return &d->avail->ring[d->n];
}

static inline uint16_t *
find_avail_event(struct split_driver *d)
{
	return (uint16_t *)&d->used->ring[d->n];
}

#endif
