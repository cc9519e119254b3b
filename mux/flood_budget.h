/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * How many frames a sender may have copied to everybody: so many a second, a tenth of that at once.
 *
 * One number: the time up to which the budget is used. A frame moves it on by the time that it
 * takes of the budget, and is refused once it lies too far ahead.
 */

#ifndef NMX_MUX_FLOOD_BUDGET_H
#define NMX_MUX_FLOOD_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct nmx_mux_flood_budget {
	uint64_t frame_cycles; /* of the budget that a frame takes */
	uint64_t ahead_cycles; /* how far it may be used in advance */
	uint64_t used_until;   /* TSC */
};

/** @param frames_max  a second */
static inline void
nmx_mux_init_flood_budget(
	struct nmx_mux_flood_budget *budget, uint32_t frames_max, uint64_t cycles_per_second)
{
	budget->frame_cycles = cycles_per_second / frames_max;
	budget->ahead_cycles = cycles_per_second / 10;
	budget->used_until = 0;
}

/** Take a frame's share. @return false: there is none left at `now` */
static inline bool
nmx_mux_take_flood(struct nmx_mux_flood_budget *budget, uint64_t now)
{
	uint64_t from = budget->used_until > now ? budget->used_until : now;

	if (from - now > budget->ahead_cycles)
		return false;
	budget->used_until = from + budget->frame_cycles;
	return true;
}

#endif
