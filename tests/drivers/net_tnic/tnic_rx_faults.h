/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What may go wrong with an Rx ring that is in order: when it does, and to which buffer.
 *
 * Pools run dry for a moment, and drivers live with it: a refill that gets nothing is counted, its
 * slots stay empty, and the next burst tries again. And not all NICs fill buffers in the order in
 * which they were posted: those that hand them to several engines fill some a little earlier.
 */

#ifndef TNIC_RX_FAULTS_H
#define TNIC_RX_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "tnic_random.h"

/** A buffer is filled at most so many, less one, before its turn. */
#define TNIC_RX_WINDOW 8

/** Zeroed: none. */
struct tnic_rx_faults {
	uint32_t alloc_fail; /* each so many-th refill fails; 0 none */
	bool shuffled;
	uint64_t n_refills;
	struct tnic_random random;
};

/** Count a refill. @return true: it is to find the pool empty */
static inline bool
tnic_fails_refill(struct tnic_rx_faults *faults)
{
	return faults->alloc_fail != 0 && ++faults->n_refills % faults->alloc_fail == 0;
}

/** Which of the posted buffers is filled next: 0 is the oldest one. @param n_posted  1 or more */
static inline uint32_t
tnic_draw_slot(struct tnic_rx_faults *faults, uint32_t n_posted)
{
	uint32_t n = n_posted < TNIC_RX_WINDOW ? n_posted : TNIC_RX_WINDOW;

	if (!faults->shuffled)
		return 0;
	return tnic_draw_from(&faults->random, (struct tnic_range){ 0, n - 1 });
}

#endif
