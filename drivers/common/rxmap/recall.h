/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The thread that makes an uplink's queues give back what they hold.
 *
 * A guest may take its memory away while the uplink's NIC holds buffers of it, and no frame comes
 * to bring them back. Then this thread stops the queue and starts it again, with bursts kept out;
 * a NIC's driver takes its time for that, which neither the guests' control thread nor the
 * program's own have. It and whoever else starts or stops the port share a lock.
 */

#ifndef NMX_RXMAP_RECALL_H
#define NMX_RXMAP_RECALL_H

struct nmx_rxmap_recaller;

/** Start the thread. @return 0; -errno */
int nmx_rxmap_start_recaller(struct nmx_rxmap_recaller **ret_recaller);

/** End it. Context: no map has it any more. NULL is nothing. */
void nmx_rxmap_stop_recaller(struct nmx_rxmap_recaller *recaller);

/** For calls that start, stop or set up the port or its queues. May take as long as a queue. */
void nmx_rxmap_lock_recaller(struct nmx_rxmap_recaller *recaller);
void nmx_rxmap_unlock_recaller(struct nmx_rxmap_recaller *recaller);

#endif
