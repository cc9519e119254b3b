/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Ranges of 64-bit numbers that someone else chose: addresses, offsets, indices.
 *
 * The sum `start + size` is never formed on unchecked numbers: every function here is right for any
 * input, wrapping ones too.
 */

#ifndef NMX_BASE_RANGE_H
#define NMX_BASE_RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct nmx_range {
	uint64_t start;
	uint64_t size;
};

/** True if `size` numbers from `offset` on lie within [0, limit). An empty range may end there. */
static inline bool
nmx_base_check_slice(uint64_t offset, uint64_t size, uint64_t limit)
{
	return size <= limit && offset <= limit - size;
}

/** True if the range isn't empty and its last number is representable. */
static inline bool
nmx_base_check_range(struct nmx_range range)
{
	return range.size != 0 && range.start <= UINT64_MAX - (range.size - 1);
}

/** True if `inner` lies wholly within `outer`; false if either fails nmx_base_check_range(). */
static inline bool
nmx_base_contains_range(struct nmx_range outer, struct nmx_range inner)
{
	return nmx_base_check_range(outer) && nmx_base_check_range(inner) &&
	       inner.start >= outer.start &&
	       nmx_base_check_slice(inner.start - outer.start, inner.size, outer.size);
}

/** True if the two share a number; both have passed nmx_base_check_range(). */
static inline bool
nmx_base_overlaps_range(struct nmx_range a, struct nmx_range b)
{
	return a.start <= b.start ? b.start - a.start < a.size : a.start - b.start < b.size;
}

/** True if n is 2^k, k >= 0. */
static inline bool
nmx_base_is_power_of_two(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

/** True if n is a multiple of `alignment`, a power of two. */
static inline bool
nmx_base_is_aligned(uint64_t n, uint64_t alignment)
{
	return (n & (alignment - 1)) == 0;
}

#endif
