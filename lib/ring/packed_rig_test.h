/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A driver's half of a packed ring, for tests: written from the specification (virtio 1.1, 2.7) and
 * from nothing else here but the layout's types. It has wrap counters, as that has.
 *
 * A word that the device may read meanwhile is stored, and one that it writes is loaded, as 2.7.21
 * and 2.7.22 say: of a buffer's first descriptor the flags last.
 */

#ifndef NMX_RING_PACKED_RIG_TEST_H
#define NMX_RING_PACKED_RIG_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/ring/packed_layout.h"

#define IDS 65536

/** A descriptor of a buffer. */
struct piece {
	uint64_t address;
	uint32_t length;
	uint16_t flags; /* without AVAIL, USED and NEXT */
};

struct packed_used {
	uint32_t bytes;
	uint16_t id, flags;
};

struct packed_driver {
	struct nmx_packed_desc *desc;
	struct nmx_packed_event *asks;   /* the driver's own word */
	struct nmx_packed_event *device; /* the other side's */
	uint32_t n;
	uint32_t avail_idx, used_idx; /* next to write, next to read */
	bool avail_wrap, used_wrap;
	uint16_t *n_desc; /* by id: of the buffer that the device has */
};

/** False if there is no memory. */
static inline bool
init_packed_driver(struct packed_driver *d, uint32_t n, uint32_t idx, bool wrap)
{
	d->n = n;
	d->avail_idx = d->used_idx = idx;
	d->avail_wrap = d->used_wrap = wrap;
	d->desc = calloc(n, sizeof(*d->desc));
	d->asks = calloc(1, sizeof(*d->asks));
	d->device = calloc(1, sizeof(*d->device));
	d->n_desc = calloc(IDS, sizeof(*d->n_desc));
	if (d->desc == NULL || d->asks == NULL || d->device == NULL || d->n_desc == NULL)
		return false;
	/* What the laps before have left: all of it used. */
	for (uint32_t i = 0; i < n; i++)
		d->desc[i].w1 = NMX_PACKED_W1(
			0, 0, (i < idx) == wrap ? NMX_PACKED_FLAG_AVAIL | NMX_PACKED_FLAG_USED : 0);
	return true;
}

static inline void
fini_packed_driver(struct packed_driver *d)
{
	free(d->desc);
	free(d->asks);
	free(d->device);
	free(d->n_desc);
}

/** 2.7.1: the flags that make a descriptor available in a lap. */
static inline uint16_t
get_avail_flags(bool wrap)
{
	return wrap ? NMX_PACKED_FLAG_AVAIL : NMX_PACKED_FLAG_USED;
}

/**
 * 2.7.21.1: write a buffer, all but the word that makes it available.
 *
 * @return that word
 */
static inline uint64_t
write_packed(struct packed_driver *d, uint16_t id, const struct piece *pieces, uint32_t n)
{
	uint64_t first_w1 = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct nmx_packed_desc *desc = &d->desc[d->avail_idx];
		uint16_t flags = pieces[i].flags | get_avail_flags(d->avail_wrap) |
				 (i + 1 < n ? NMX_SPLIT_FLAG_NEXT : 0);
		/* The device is to take the last one's. */
		uint64_t w1 = NMX_PACKED_W1(pieces[i].length, i + 1 < n ? 0xdead : id, flags);

		__atomic_store_n(&desc->address, pieces[i].address, __ATOMIC_RELAXED);
		if (i == 0)
			first_w1 = w1;
		else
			__atomic_store_n(&desc->w1, w1, __ATOMIC_RELAXED);
		if (++d->avail_idx == d->n) {
			d->avail_idx = 0;
			d->avail_wrap = !d->avail_wrap;
		}
	}
	d->n_desc[id] = (uint16_t)n;
	return first_w1;
}

/** Write a buffer of n pieces and make it available. */
static inline void
offer_packed_chain(struct packed_driver *d, uint16_t id, const struct piece *pieces, uint32_t n)
{
	struct nmx_packed_desc *first = &d->desc[d->avail_idx];
	uint64_t w1 = write_packed(d, id, pieces, n);

	__atomic_store_n(&first->w1, w1, __ATOMIC_RELEASE);
}

/** One buffer in one descriptor. */
static inline void
offer_packed(
	struct packed_driver *d, uint16_t id, uint64_t address, uint32_t length, uint16_t flags)
{
	const struct piece piece = { address, length, flags };

	offer_packed_chain(d, id, &piece, 1);
}

/** True if the next answer is there. 2.7.1 */
static inline bool
is_used(const struct packed_driver *d, uint64_t *ret_w1)
{
	uint16_t flags;

	*ret_w1 = __atomic_load_n(&d->desc[d->used_idx].w1, __ATOMIC_ACQUIRE);
	flags = NMX_PACKED_W1_FLAGS(*ret_w1);
	return !(flags & NMX_PACKED_FLAG_USED) != d->used_wrap &&
	       !(flags & NMX_PACKED_FLAG_AVAIL) != d->used_wrap;
}

/** 2.7.22: take a used buffer; false if there is none. */
static inline bool
take_packed_used(struct packed_driver *d, struct packed_used *ret)
{
	uint64_t w1;

	if (!is_used(d, &w1))
		return false;
	*ret = (struct packed_used){ NMX_PACKED_W1_LENGTH(w1), NMX_PACKED_W1_ID(w1),
		NMX_PACKED_W1_FLAGS(w1) };
	d->used_idx += d->n_desc[ret->id];
	d->n_desc[ret->id] = 0;
	if (d->used_idx >= d->n) {
		d->used_idx -= d->n;
		d->used_wrap = !d->used_wrap;
	}
	return true;
}

/** What vhost-user would say of a ring where this driver and its device are, nothing under way. */
static inline uint32_t
get_packed_base(const struct packed_driver *d)
{
	uint16_t position = (uint16_t)(d->avail_idx | (d->avail_wrap ? 0x8000 : 0));

	return NMX_PACKED_BASE(position, position);
}

#endif
