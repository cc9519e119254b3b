/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Rx queue mapping: the mempool of one Rx queue of an uplink, whose buffers are those that a guest
 * has posted.
 *
 * A NIC's driver takes mbufs from the pool of its Rx queue and has the NIC write into them. This
 * pool's mbufs, *shells*, are pointed at the posted buffers of one guest queue, the *lender*; so
 * what the NIC receives is in the guest's memory already, and giving it to that guest's queue
 * (nmx_guestport_send()) is no more than answering its descriptor. Where the guest has posted
 * nothing, or nothing that fits, a shell has its own room, and the frame is copied later. Without a
 * lender it is an ordinary pool.
 *
 * The pool exists with the uplink's queue; lenders come and go: nmx_guestport_lend_to().
 *
 * Threads. Taking and freeing mbufs: any. Where nothing else is said: one at a time, no burst
 * running. Only the primary process.
 */

#ifndef NMX_RXMAP_H
#define NMX_RXMAP_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "recall.h"

/** Sent by nmx_rxmap_try_tx(). */
#define NMX_RXMAP_TX_TRIAL_FRAMES 8

struct nmx_rxmap;

struct nmx_rxmap_config {
	const char *name;     /* of the mempool, unique in the process; kept as a copy */
	uint16_t port, queue; /* of the uplink */
	uint32_t n_shells;    /* what the uplink's queue holds, and what its program does */
	uint16_t room;        /* bytes that the NIC may write into a buffer, without headroom */
	int socket;           /* NUMA */
	/**
	 * A program that knows nothing of this gets the mbufs. A frame in a lent buffer is then
	 * given to it as one in an external buffer without headroom, so that whoever clones,
	 * prepends or frees does no harm. Else mbufs go from nmx_rxmap_receive() to
	 * nmx_guestport_send(), or are freed, and nothing else is done with them.
	 */
	bool shown;
	struct nmx_rxmap_recaller *recaller; /* the port's; outlives the map */
};

/** What a trial of the uplink's queue found. Buffers are lent after the two in the middle. */
enum nmx_rxmap_verdict {
	NMX_RXMAP_UNTRIED,
	NMX_RXMAP_HOLDS_NOTHING, /* but within a burst */
	NMX_RXMAP_GIVES_BACK,    /* what it holds, when it is stopped */
	NMX_RXMAP_KEEPS,         /* it holds, and can't be made to give back */
	NMX_RXMAP_NEEDS_VA,      /* its device uses physical addresses */
	NMX_RXMAP_KNOWS_POOLS,   /* its device doesn't go by an mbuf's address */
	NMX_RXMAP_UNKNOWN_DEVICE,
	NMX_RXMAP_INSERTS_TAGS, /* in front of a frame, where the memory isn't its buffer's */
};

/** What a trial of a Tx queue found: what a guest's buffer that is sent from there would see. */
enum nmx_rxmap_tx_verdict {
	NMX_RXMAP_TX_UNTRIED,
	NMX_RXMAP_TX_TAKES_NOTHING,
	NMX_RXMAP_TX_HOLDS_NOTHING, /* of what was sent a moment ago */
	NMX_RXMAP_TX_GIVES_BACK,    /* what it holds, when it is stopped */
	NMX_RXMAP_TX_KEEPS,
};

/** Why an mbuf got its own room, and its frame will be copied. */
enum nmx_rxmap_reason {
	NMX_RXMAP_UNWANTED, /* nmx_rxmap_set_lending(), or the guest's port is to copy */
	NMX_RXMAP_UNFIT,    /* by the uplink's trial */
	NMX_RXMAP_NO_GUEST, /* none lends: it hasn't started its queue, or memory is being taken */
	NMX_RXMAP_NOT_POSTED,  /* the guest has posted nothing more */
	NMX_RXMAP_ALL_OUT,     /* most of its ring is in the uplink's, which is too large for it */
	NMX_RXMAP_TOO_SHORT,   /* the buffer, for what the NIC was told */
	NMX_RXMAP_UNREACHABLE, /* not in memory that can be written to, with headroom in front */
	NMX_RXMAP_NO_DMA,      /* there, but not mapped for the uplink's device */
	NMX_RXMAP_IN_PIECES,   /* the buffer is a chain of descriptors */
	NMX_RXMAP_ORDER,       /* the guest takes answers in the order of its posting only */
	NMX_RXMAP_REASONS
};

/** Since creation; written by the data threads. */
struct nmx_rxmap_counters {
	uint64_t lent;                   /* mbufs with a buffer of the guest's */
	uint64_t own[NMX_RXMAP_REASONS]; /* mbufs with their own room */
	uint64_t came_back;              /* buffers that came back without a frame */
	uint64_t disordered;             /* frames whose loan wasn't the oldest */
};

/**
 * Make a pool.
 *
 * @param ret_reason  on failure: one sentence, why and what to do; constant
 * @return 0; -errno
 */
int nmx_rxmap_create(
	const struct nmx_rxmap_config *config, struct nmx_rxmap **ret_map, const char **ret_reason);

/**
 * Context: it has no lender, and all mbufs are back. One for which that doesn't come is left alone,
 * with its recaller. NULL is nothing.
 */
void nmx_rxmap_destroy(struct nmx_rxmap *map);

/**
 * Try what the uplink's queue does with its buffers; nothing is lent before that. Frames that come
 * meanwhile are lost. Once tried, the verdict stands, but that a port may be configured anew so
 * that it isn't fit any more.
 *
 * Context: the port has just been started, no burst runs, and none of the map's mbufs was given to
 * a program yet.
 */
enum nmx_rxmap_verdict nmx_rxmap_try_uplink(struct nmx_rxmap *map);
enum nmx_rxmap_verdict nmx_rxmap_get_verdict(const struct nmx_rxmap *map);
/** True if buffers are lent after that. */
static inline bool
nmx_rxmap_is_fit(enum nmx_rxmap_verdict verdict)
{
	return verdict == NMX_RXMAP_HOLDS_NOTHING || verdict == NMX_RXMAP_GIVES_BACK;
}

/**
 * Try what a Tx queue of the uplink does with mbufs: NMX_RXMAP_TX_TRIAL_FRAMES frames are sent, of
 * type 0x88b5 (IEEE 802, "local experimental") and from the port's address to the same, so that a
 * switch leaves them. So it is done for those only who want it.
 *
 * Context: the port has just been started, no burst runs, and nmx_rxmap_try_uplink() comes next.
 * Once that was called, this does nothing. May take 10 ms.
 */
enum nmx_rxmap_tx_verdict nmx_rxmap_try_tx(struct nmx_rxmap *map, uint16_t tx_queue);

/**
 * Lend, where that can be (as from the start), or let all frames be copied. What is lent comes back
 * by and by; no frame is lost. Any thread, at any time.
 */
void nmx_rxmap_set_lending(struct nmx_rxmap *map, bool lending);

/** In a few words; a constant. */
const char *nmx_rxmap_explain_verdict(enum nmx_rxmap_verdict verdict);
const char *nmx_rxmap_explain_tx_verdict(enum nmx_rxmap_tx_verdict verdict);

/** For rte_eth_rx_queue_setup(). */
struct rte_mempool *nmx_rxmap_get_pool(const struct nmx_rxmap *map);

/**
 * Receive from the uplink's queue.
 *
 * @param mbufs  room for n; of this pool, or of whatever the uplink's driver gives
 *
 * Context: data thread, the queue's only one.
 */
uint16_t nmx_rxmap_receive(struct nmx_rxmap *map, struct rte_mbuf **mbufs, uint16_t n);

/** Any thread; numbers may be a burst old. */
void nmx_rxmap_get_counters(const struct nmx_rxmap *map, struct nmx_rxmap_counters *ret_counters);

#endif
