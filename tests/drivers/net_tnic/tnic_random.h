/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Random numbers by splitmix64: fast, repeatable from a seed, of no use against an adversary. */

#ifndef TNIC_RANDOM_H
#define TNIC_RANDOM_H

#include <stdint.h>

#define TNIC_RANDOM_STEP UINT64_C(0x9e3779b97f4a7c15)

struct tnic_random {
	uint64_t state;
};

/** Both ends belong to it. */
struct tnic_range {
	uint32_t low;
	uint32_t high;
};

/** A bijection that spreads each bit of n over all bits. */
static inline uint64_t
tnic_mix(uint64_t n)
{
	n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
	return n ^ (n >> 31);
}

static inline uint64_t
tnic_draw(struct tnic_random *random)
{
	random->state += TNIC_RANDOM_STEP;
	return tnic_mix(random->state);
}

/** A number from the range, each as likely as any other. */
static inline uint32_t
tnic_draw_from(struct tnic_random *random, struct tnic_range range)
{
	uint64_t n = (uint64_t)range.high - range.low + 1;

	return range.low + (uint32_t)(((tnic_draw(random) >> 32) * n) >> 32);
}

#endif
