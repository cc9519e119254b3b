/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The test NIC over a real port: lower=.
 *
 * Theory of operation
 *
 *   lower port  ->  its own pool  ->  waiting  --copy-->  posted buffers  ->  program
 *   lower port  <-  its own pool  <----------  --copy--   Tx ring         <-  program
 *
 * The lower port never sees an mbuf of the program's. What it receives waits, as in a NIC's own
 * memory, until there is a posted buffer, and is then written there; what the program transmits is
 * copied when the NIC reads it, which with a Tx ring is late. So all that the NIC does to the
 * program's buffers it does over any port, with frames that somebody else has made. Frames that no
 * buffer holds are dropped and counted as errors. There is no report: nobody audits.
 *
 * Control goes to the lower port (drivers/common/wrapport), but for queues' starts and stops, which
 * are the rings'. Checksums and the like are left to the lower port on receipt, never on sending.
 */

#ifndef TNIC_LOWER_H
#define TNIC_LOWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ethdev_driver.h>
#include <rte_mbuf.h>

struct tnic_sink;

/** Frames that are received at once. */
#define TNIC_LOWER_BURST 32

/** A queue of the lower port. Zeroed: none. Used by who uses the source or the sink. */
struct tnic_lower_queue {
	struct rte_mempool *pool; /* ours, one for each queue; NULL: there is no lower port */
	uint32_t pool_size;
	uint16_t port, index;
	/* Received ones that wait are waiting[first] to waiting[end - 1]. */
	uint16_t first, end;
	struct rte_mbuf *waiting[TNIC_LOWER_BURST];
	_Atomic uint64_t n_errors;  /* frames dropped */
	_Atomic uint64_t n_no_mbuf; /* bursts that found no buffer for a frame */
};

/* tnic_lower.c */

/**
 * Take hold of the lower port, and make an allocated ethdev one over it.
 *
 * @param own  operations of a port without a lower one
 * @return 0; -errno after one logged sentence
 */
int tnic_open_lower(struct rte_eth_dev *dev, const struct eth_dev_ops *own);

/* tnic_lower_frames.c */

/** Free what waits. Context: control thread, port stopped. */
void tnic_drop_waiting(struct tnic_lower_queue *queue);

/** eth_rx_burst. Context: the queue's data thread. */
uint16_t tnic_receive_lower(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/** eth_tx_burst without a Tx ring: copy, send and free. Context: the queue's data thread. */
uint16_t tnic_transmit_lower(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/**
 * Send what a Tx ring has that may be read.
 *
 * @param is_last  what the lower port doesn't take is dropped, not left for the next time
 *
 * Context: as tnic_send_posted()
 */
void tnic_read_to_lower(struct tnic_sink *sink, bool is_last);

#endif
