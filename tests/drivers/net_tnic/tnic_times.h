/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * How long frames were under way: a histogram whose classes grow with the time.
 *
 * Times are cycles of the TSC, which all processors of a machine share. Below 16 each has a class
 * of its own; above, each power of two is cut into 16 classes of equal width:
 *
 *   class 16 * (e - 3) + m     16 + m <= time / 2^(e - 4) < 17 + m,  e the time's highest bit
 *
 * So a class is at most a sixteenth as wide as its times. Times beyond the last class, minutes, are
 * counted in it. The counts lie in the report's file and have one writer.
 */

#ifndef TNIC_TIMES_H
#define TNIC_TIMES_H

#include <stdatomic.h>
#include <stdint.h>

#define TNIC_TIMES_LOG2     4 /* of the classes that a power of two is cut into */
#define TNIC_TIMES_MAX_LOG2 40
#define TNIC_N_TIMES        ((TNIC_TIMES_MAX_LOG2 - TNIC_TIMES_LOG2 + 1) << TNIC_TIMES_LOG2)

struct tnic_times {
	_Atomic uint64_t counts[TNIC_N_TIMES];
};

/** The class of a time. */
static inline uint32_t
tnic_find_time_class(uint64_t cycles)
{
	uint32_t top;

	if (cycles < UINT64_C(1) << TNIC_TIMES_LOG2)
		return (uint32_t)cycles;
	if (cycles >= UINT64_C(1) << TNIC_TIMES_MAX_LOG2)
		return TNIC_N_TIMES - 1;
	top = 63 - (uint32_t)__builtin_clzll(cycles);
	/* The leading bit of what is shifted counts the class's power of two up by one. */
	return ((top - TNIC_TIMES_LOG2) << TNIC_TIMES_LOG2) +
	       (uint32_t)(cycles >> (top - TNIC_TIMES_LOG2));
}

/** Count a frame that was made at one time and came at another. Context: the writer. */
static inline void
tnic_count_time(struct tnic_times *times, uint64_t sent_tsc, uint64_t came_tsc)
{
	/* Processors' clocks may differ by a few cycles. */
	uint64_t cycles = came_tsc > sent_tsc ? came_tsc - sent_tsc : 0;
	_Atomic uint64_t *count = &times->counts[tnic_find_time_class(cycles)];

	atomic_store_explicit(
		count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
}

/** Context: the writer. */
static inline void
tnic_clear_times(struct tnic_times *times)
{
	for (uint32_t i = 0; i < TNIC_N_TIMES; i++)
		atomic_store_explicit(&times->counts[i], 0, memory_order_relaxed);
}

#endif
