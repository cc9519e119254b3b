/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A bound on how often something may happen: once in an interval, and some more at once.
 *
 * One number tells all: the time up to which the bound is used. Each occurrence moves it on by an
 * interval, and is refused while it lies too far ahead of now. Time that isn't used is not saved
 * up. The unit of time is the caller's, one for all calls.
 */

#ifndef NMX_BASE_RATE_H
#define NMX_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct nmx_rate {
	uint64_t interval; /* 0: no bound */
	uint64_t ahead;    /* how far time may be used in advance */
	uint64_t used_until;
};

/** @param at_once  how many may come at the same time, beside the one that is always due */
static inline void
nmx_base_init_rate(struct nmx_rate *rate, uint64_t interval, uint64_t at_once)
{
	rate->interval = interval;
	rate->ahead = at_once * interval;
	rate->used_until = 0;
}

/**
 * Let it happen.
 *
 * @param now  never less than the time before
 * @return false: it is too often
 */
static inline bool
nmx_base_take_rate(struct nmx_rate *rate, uint64_t now)
{
	uint64_t from = rate->used_until > now ? rate->used_until : now;

	if (from - now > rate->ahead)
		return false;
	rate->used_until = from + rate->interval;
	return true;
}

#endif
