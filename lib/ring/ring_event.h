/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Event sequences: asking to be signalled, and finding out whether the peer asked.
 *
 * Theory of operation
 *
 * Each side has a word in its own line of the ring's header. Both rules are a store, a full fence
 * and a load, so that of two threads that do this at once at least one sees the other's store:
 *
 *   to sleep    store a new number in the own word; fence; look at the ring; work there: don't
 * sleep to signal   publish the burst; fence; read the peer's word; not 0 and not answered yet:
 * signal
 *
 * A number is answered once, so there is at most one signal for each arming, and none is lost.
 * docs/device.md, section "Events".
 */

#ifndef NMX_RING_EVENT_H
#define NMX_RING_EVENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/shared.h"

/** The own word, in the line that this side writes. */
struct nmx_ring_arm {
	NMX_SHARED uint32_t *word;
	uint32_t seq; /* last number used, never 0 after the first arming */
};

/** The peer's word. */
struct nmx_ring_bell {
	const NMX_SHARED uint32_t *word;
	uint32_t answered; /* last number signalled for; 0 at first */
};

/** Ask for a signal. The caller looks at the ring afterwards, before it sleeps. */
static inline void
nmx_ring_arm_event(struct nmx_ring_arm *arm)
{
	arm->seq = arm->seq == UINT32_MAX ? 1 : arm->seq + 1;
	nmx_base_store32(arm->word, arm->seq);
	/* Orders the word before the caller's look at the ring; pairs with the peer's fence in
	 * nmx_ring_take_event(), between its slots and its load of this word. */
	atomic_thread_fence(memory_order_seq_cst);
}

/** Ask for no further signal; one may be under way. */
static inline void
nmx_ring_disarm_event(struct nmx_ring_arm *arm)
{
	nmx_base_store32(arm->word, 0);
}

/** True if the peer waits for a signal that it hasn't had. Call after a burst was published. */
static inline bool
nmx_ring_take_event(struct nmx_ring_bell *bell)
{
	uint32_t wanted;

	/* Orders the published slots before the load; pairs with nmx_ring_arm_event(). */
	atomic_thread_fence(memory_order_seq_cst);
	wanted = nmx_base_load32(bell->word);
	if (wanted == 0 || wanted == bell->answered)
		return false;
	bell->answered = wanted;
	return true;
}

#endif
