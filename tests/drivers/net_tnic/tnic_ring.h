/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * An Rx ring of posted buffers, as NICs have one.
 *
 * Theory of operation
 *
 * What the drivers of i40e, ice, ixgbe and iavf have in common is done here in the same way, since
 * programs and mempools are to meet it: raw mbufs are taken from the pool, many at once, never
 * through rte_pktmbuf_alloc(); a descriptor gets buf_addr + 128 at that moment, and that is where
 * the NIC writes, whatever becomes of the mbuf; all of a buffer's length that the NIC was told,
 * once for the queue, is the NIC's to write; slots stay empty until TNIC_RING_REFILL of them are; a
 * ring that can't be filled doesn't start; a queue that is stopped frees what it holds.
 *
 * The length that the NIC is told is the pool's room, rounded as NICs round it. Behind each frame
 * the rest of the buffer is overwritten, too: a NIC may do so. spoil=0 leaves it, for measurements.
 */

#ifndef TNIC_RING_H
#define TNIC_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "tnic_rx_faults.h"

/** Slots are refilled so many at a time. */
#define TNIC_RING_REFILL 32
#define TNIC_RING_MAX    4096

/** How a ring's stop goes. */
enum tnic_ring_stop {
	TNIC_STOP_RETURNS, /* all buffers */
	TNIC_STOP_REFUSES, /* -EBUSY */
	TNIC_STOP_LIES,    /* says that it has, and goes on writing to them when it is started */
	/* The same after one stop that went well. */
	TNIC_STOP_REFUSES_LATER,
	TNIC_STOP_LIES_LATER,
};

struct tnic_slot {
	struct rte_mbuf *mbuf;
	uint8_t *address; /* as the descriptor has it */
};

/** Zeroed: no ring. */
struct tnic_ring {
	struct rte_mempool *pool;
	struct tnic_slot *slots;
	uint32_t n;             /* slots; 0: frames are written to mbufs taken at that moment */
	uint32_t oldest, count; /* posted ones; `oldest` is below n */
	uint32_t buffer_bytes;
	uint64_t failures; /* refills for which the pool had no mbufs, or seemed to have none */
	struct tnic_rx_faults faults;
};

/**
 * Get a ring ready, empty.
 *
 * @param n      slots, a multiple of TNIC_RING_REFILL
 * @param round  the buffer's length is a multiple of it
 * @param up     rounded up, as a driver once did, beyond the buffer's end
 * @return 0; -ENOMEM
 */
int tnic_init_ring(
	struct tnic_ring *ring, struct rte_mempool *pool, uint32_t n, uint32_t round, bool up);

/** Forget a ring and whatever it holds. */
void tnic_fini_ring(struct tnic_ring *ring);

/** Post all slots. @return 0; -ENOMEM: nothing is posted */
int tnic_fill_ring(struct tnic_ring *ring);

/** Free what is posted. */
void tnic_empty_ring(struct tnic_ring *ring);

/**
 * Take the oldest posted buffers, or those that `faults` says, and refill.
 *
 * @param ret_slots  room for n
 * @return false: there aren't as many, none is taken
 */
bool tnic_take_slots(struct tnic_ring *ring, struct tnic_slot *ret_slots, uint32_t n);

#endif
