/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The thread that makes an uplink's queues give back what they hold.
 *
 * A guest may take its memory away while the uplink's NIC holds buffers of it, to receive in or to
 * send, and no frame comes to bring them back. Then this thread stops the queue and starts it
 * again, with bursts kept out; a NIC's driver takes its time for that, which neither the guests'
 * control thread nor the program's own have. It and whoever else starts or stops the port share a
 * lock.
 */

#ifndef NMX_RXMAP_RECALL_H
#define NMX_RXMAP_RECALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <rte_branch_prediction.h>

#include "lib/base/bracket.h"

struct nmx_rxmap_recaller;

/** A queue of a port's that can be recalled: all its bursts are between enter and leave. */
struct nmx_rxmap_queue {
	struct nmx_bracket bracket; /* of its burst */
	_Atomic bool parked;        /* bursts are kept out */
	_Atomic bool recalled;
	_Atomic uint32_t n_recalls; /* that were followed, with whatever result */
	bool sends;                 /* it is a Tx queue */
	uint16_t port, number;
	struct nmx_rxmap_recaller *recaller;
	LIST_ENTRY(nmx_rxmap_queue) siblings; /* of the recaller's */
};

/** Start the thread. @return 0; -errno */
int nmx_rxmap_start_recaller(struct nmx_rxmap_recaller **ret_recaller);

/** End it. Context: no map has it any more. NULL is nothing. */
void nmx_rxmap_stop_recaller(struct nmx_rxmap_recaller *recaller);

/** For calls that start, stop or set up the port or its queues. May take as long as a queue. */
void nmx_rxmap_lock_recaller(struct nmx_rxmap_recaller *recaller);
void nmx_rxmap_unlock_recaller(struct nmx_rxmap_recaller *recaller);

/** A queue begins to be recalled. @param queue  zeroed, but for port, number and `sends` */
void nmx_rxmap_add_queue(struct nmx_rxmap_recaller *recaller, struct nmx_rxmap_queue *queue);

/** It isn't any more. Context: no burst is under way. */
void nmx_rxmap_remove_queue(struct nmx_rxmap_queue *queue);

/** Have a queue give back what it holds, soon and by that thread. Any thread; doesn't wait. */
void nmx_rxmap_recall(struct nmx_rxmap_queue *queue);

/** Begin a burst. @return false: not now; there is nothing to be left. Context: data thread. */
static inline bool
nmx_rxmap_enter_queue(struct nmx_rxmap_queue *queue)
{
	nmx_base_enter_bracket(&queue->bracket);
	if (likely(!atomic_load_explicit(&queue->parked, memory_order_relaxed)))
		return true;
	nmx_base_leave_bracket(&queue->bracket);
	return false;
}

static inline void
nmx_rxmap_leave_queue(struct nmx_rxmap_queue *queue)
{
	nmx_base_leave_bracket(&queue->bracket);
}

#endif
