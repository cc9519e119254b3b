/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * How many frames a source may make now, at a given rate.
 *
 * A cycle of the TSC earns `rate`, a frame costs the cycles of a second (times the queues that
 * share the rate), so nothing is ever rounded. What a source that wasn't polled would have earned
 * beyond TNIC_PACE_US is forgotten: a program that stood still is not to find a flood. Pure code,
 * one thread's.
 */

#ifndef TNIC_PACE_H
#define TNIC_PACE_H

#include <stdint.h>

#define TNIC_PACE_MAX_RATE 1000000000
/** What may be made up for at once: this long, and this many frames at least. */
#define TNIC_PACE_US     100
#define TNIC_PACE_FRAMES 32

struct tnic_pace {
	uint64_t rate;   /* frames a second of all queues; 0 no limit */
	uint64_t cost;   /* of a frame of this queue */
	uint64_t credit; /* credit_max or less */
	uint64_t credit_max;
	uint64_t seen_tsc; /* until when credit is earned; 0: no clock was seen yet */
};

/**
 * @param rate      TNIC_PACE_MAX_RATE or less
 * @param hz        of the TSC
 * @param n_queues  that share the rate
 */
static inline void
tnic_init_pace(struct tnic_pace *pace, uint64_t rate, uint64_t hz, uint32_t n_queues)
{
	uint64_t cost = hz * n_queues, least = cost * TNIC_PACE_FRAMES;
	uint64_t most = hz / 1000000 * TNIC_PACE_US * rate;

	*pace = (struct tnic_pace){
		.rate = rate, .cost = cost, .credit_max = most > least ? most : least
	};
}

/** Frames that are due. */
static inline uint64_t
tnic_count_due(struct tnic_pace *pace, uint64_t now_tsc)
{
	uint64_t elapsed = pace->seen_tsc != 0 ? now_tsc - pace->seen_tsc : 0, room;

	if (pace->rate == 0)
		return UINT64_MAX;
	pace->seen_tsc = now_tsc;
	room = pace->credit_max - pace->credit;
	/* Divided, not multiplied: a long time must not wrap. */
	pace->credit += elapsed < room / pace->rate ? elapsed * pace->rate : room;
	return pace->credit / pace->cost;
}

/** @param n  frames, no more than were due */
static inline void
tnic_spend_due(struct tnic_pace *pace, uint64_t n)
{
	if (pace->rate != 0)
		pace->credit -= n * pace->cost;
}

#endif
