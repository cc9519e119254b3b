/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A Tx ring that holds what it is given, as NICs have one.
 *
 * Theory of operation
 *
 *       freed                    read                     posted
 *         |   sent, mbufs held     |   to be sent, still     |   free slots
 *         +------------------------+-------------------------+--------------- ... n in all
 *
 * A burst puts each segment's address and length into a slot and returns; the frames' bytes are
 * read later, by the NIC. Their mbufs are given back later still: as i40e, ice, ixgbe and iavf do,
 * only by a burst that finds fewer than TNIC_TX_FREE free slots, TNIC_TX_FREE slots at a time. So a
 * queue that is idle holds nearly a ring of mbufs whose frames were sent long ago, and nobody but a
 * stop of the queue gets them back. Who writes to a buffer before it is given back is found out:
 * what is read then isn't the frame.
 *
 * The NIC reads what was posted before its last look: each frame waits for one look at least.
 *
 * `posted` and `freed` are the data thread's, `read` and `seen` the NIC's, all free-running.
 */

#ifndef TNIC_TX_RING_H
#define TNIC_TX_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "tnic_chain.h"
#include "tnic_random.h"

/** Fewer free slots make a burst give mbufs back, those of so many slots. */
#define TNIC_TX_FREE     32
#define TNIC_TX_RING_MAX 4096

/** How long mbufs of sent frames are kept. */
enum tnic_tx_keep {
	TNIC_TX_KEEP_NO,
	TNIC_TX_KEEP_UNTIL_ASKED, /* the same, but that the program can ask for them */
	TNIC_TX_KEEP_UNTIL_STOP,  /* of the queue: a ring that is full takes nothing any more */
	TNIC_TX_KEEP_UNTIL_CLOSE, /* of the port */
};

struct tnic_tx_slot {
	struct tnic_span span; /* what the descriptor says; a malformed frame has no data */
	uint32_t n_slots;      /* of the frame that begins here; 0: it began before */
	struct rte_mbuf *mbuf; /* to be given back; NULL: none */
};

/** Zeroed: no ring. */
struct tnic_tx_ring {
	struct tnic_tx_slot *slots;
	uint32_t n; /* 2^k; 0: frames are read and freed at once */
	enum tnic_tx_keep keep;
	bool shuffled; /* given back in any order */
	_Atomic uint32_t posted, read;
	uint32_t freed, seen;
	struct tnic_random random;
};

/**
 * Get a ring ready, empty.
 *
 * @param n  slots, 2^k
 * @return 0; -ENOMEM
 */
int tnic_init_tx_ring(struct tnic_tx_ring *ring, uint32_t n, bool shuffled, enum tnic_tx_keep keep);

/** Forget a ring; what it holds is freed. */
void tnic_fini_tx_ring(struct tnic_tx_ring *ring);

/** Give mbufs back if it is time, and post n frames. @return how many found room */
uint16_t tnic_post_frames(struct tnic_tx_ring *ring, struct rte_mbuf **mbufs, uint16_t n);

/**
 * Give all back that was read.
 *
 * @return slots; -ENOTSUP the ring doesn't do that. Context: as a burst
 */
int tnic_clean_tx_ring(struct tnic_tx_ring *ring);

/** Note what is posted: the NIC may read it from now on. */
void tnic_look_at_tx(struct tnic_tx_ring *ring);

/**
 * The oldest frame that may be read.
 *
 * @param spans  room for TNIC_MAX_CHAIN; the first one of a malformed frame has no data, and the
 *               size that it claims
 * @return number of spans; 0 there is none
 */
uint32_t tnic_get_posted(const struct tnic_tx_ring *ring, struct tnic_span *spans);

/** It is read. @param n_spans  what tnic_get_posted() returned */
void tnic_finish_posted(struct tnic_tx_ring *ring, uint32_t n_spans);

/** A stop: give back what is held and read, as `keep` says. Context: no other thread has it. */
void tnic_stop_tx_ring(struct tnic_tx_ring *ring);

#endif
