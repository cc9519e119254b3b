/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A worker: the data thread that owns all queues, and polls them round robin.
 *
 * Theory of operation
 *
 * The control side never touches a queue. It gives the worker a new forwarding database and waits
 * until the worker has begun a round with it; then nothing of the old one is in use, and guests
 * that are only in it can be destroyed (rte_rcu_qsbr: the worker is quiescent between two rounds).
 *
 *   STOPPED --start--> POLLING --stop--> DRAINING --all queues found empty, or time is up-->
 * STOPPED
 *
 * Draining, it takes nothing in from the uplink, and forwards what guests have handed over already.
 */

#ifndef NMX_MUX_WORKER_H
#define NMX_MUX_WORKER_H

#include "error.h"
#include "fdb.h"
#include "uplink.h"

struct nmx_mux_worker;

/** What a worker did with its time. */
struct nmx_mux_worker_counters {
	uint64_t rounds;
	uint64_t idle_rounds; /* that found no frame */
	uint64_t frames;      /* taken from guests and from the uplink */
	uint64_t busy_cycles; /* TSC, of rounds that weren't idle */
};

/**
 * Start one on an EAL lcore.
 *
 * @param fdb        to begin with; stays the caller's
 * @param ret_error  written on failure
 * @return 0; -errno
 */
int nmx_mux_start_worker(unsigned int lcore, struct nmx_mux_uplink *uplink,
	const struct nmx_mux_fdb *fdb, struct nmx_mux_worker **ret_worker,
	struct nmx_mux_error *ret_error);

/**
 * Give it another forwarding database, and wait until it uses nothing of the one before: less than
 * a round. Context: control thread.
 */
void nmx_mux_set_fdb(struct nmx_mux_worker *worker, const struct nmx_mux_fdb *fdb);

/** Drain, stop, and free it. Waits for at most NMX_MUX_DRAIN_MS and a round. NULL is nothing. */
void nmx_mux_stop_worker(struct nmx_mux_worker *worker);
#define NMX_MUX_DRAIN_MS 200

/** Any thread. */
void nmx_mux_get_worker_counters(
	const struct nmx_mux_worker *worker, struct nmx_mux_worker_counters *ret_counters);

#endif
