/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A Tx queue of an uplink that is one guest's: its frames leave from where they lie, in its memory.
 *
 * A NIC's driver frees what was sent when it needs the room, which on an idle queue may be never,
 * and the guest waits for its buffers. Nobody else sends by this queue, so it can be looked after:
 * when nothing is to be sent the driver is asked now and then to free what has left, and where a
 * guest waits all the same, the queue is recalled (recall.h).
 */

#ifndef NMX_RXMAP_TX_QUEUE_H
#define NMX_RXMAP_TX_QUEUE_H

#include <rte_mbuf.h>

#include "recall.h"

struct nmx_rxmap_tx {
	struct nmx_rxmap_queue uplink;
	/* Data thread's. */
	uint64_t tidied_tsc; /* when the driver was asked, or there was something again */
	uint32_t n_tidies;   /* how often it is asked yet */
};

/**
 * Whether memory of guests may be sent by a port at all.
 *
 * @return NULL: it may; or why not, and what to do: a constant
 */
const char *nmx_rxmap_refuse_tx(uint16_t port);

/** @param tx  zeroed */
void nmx_rxmap_init_tx(struct nmx_rxmap_tx *tx, struct nmx_rxmap_recaller *recaller, uint16_t port,
	uint16_t queue);

/** Context: nobody sends by it. */
void nmx_rxmap_fini_tx(struct nmx_rxmap_tx *tx);

/**
 * As rte_eth_tx_burst().
 *
 * @param now  TSC, of this moment or shortly before
 *
 * Context: data thread, the queue's only one; after nmx_rxmap_enter_queue().
 */
uint16_t nmx_rxmap_transmit(
	struct nmx_rxmap_tx *tx, struct rte_mbuf **mbufs, uint16_t n, uint64_t now);

/**
 * Have the driver free what was sent, now and then; for a round that has nothing to send. Context:
 * as above, but not entered.
 */
void nmx_rxmap_tidy(struct nmx_rxmap_tx *tx, uint64_t now);

#endif
