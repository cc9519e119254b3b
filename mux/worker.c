/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "worker.h"

#include <errno.h>
#include <stdatomic.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_pause.h>
#include <rte_rcu_qsbr.h>

#include "forward.h"

/** This thread's number in rte_rcu_qsbr. */
#define QSBR_ID 0

enum state {
	POLLING,
	DRAINING,
};

struct nmx_mux_worker {
	_Atomic(const struct nmx_mux_fdb *) fdb; /* control writes */
	_Atomic int state;                       /* control writes */
	struct rte_rcu_qsbr *qsbr;
	unsigned int lcore;

	/* The worker's. */
	struct nmx_mux_forwarder forwarder __rte_cache_aligned;
	struct nmx_mux_worker_counters counters;
	bool was_busy; /* the round before: its time ends where the next one begins */
};

/** Poll a guest's queues, one burst each: one that sends without end gets no more. @return frames
 */
static uint32_t
poll_guest(struct nmx_mux_forwarder *forwarder, struct nmx_mux_guest *guest)
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < guest->n_queue_pairs; i++)
		n += nmx_mux_forward_guest(forwarder, guest, i);
	return n;
}

/** One round over all queues. @return frames */
static uint32_t
run_round(struct nmx_mux_worker *worker, bool draining)
{
	struct nmx_mux_forwarder *forwarder = &worker->forwarder;
	const struct nmx_mux_fdb *fdb;
	uint32_t n = 0;
	uint64_t now;

	fdb = atomic_load_explicit(&worker->fdb, memory_order_acquire);
	now = rte_rdtsc();
	if (worker->was_busy)
		worker->counters.busy_cycles += now - forwarder->now;
	nmx_mux_begin_round(forwarder, fdb, now);
	if (!draining) {
		n = nmx_mux_forward_uplink(forwarder);
		for (uint16_t i = 1; i < forwarder->uplink->config.n_queues; i++)
			n += nmx_mux_forward_mapped(forwarder, i);
	}
	for (uint32_t i = 0; i < fdb->n_guests; i++)
		n += poll_guest(forwarder, fdb->guests[i]);
	worker->counters.rounds++;
	worker->counters.idle_rounds += n == 0;
	worker->counters.frames += n;
	worker->was_busy = n > 0;
	return n;
}

static int
run(void *opaque)
{
	struct nmx_mux_worker *worker = opaque;
	uint64_t deadline = 0;
	uint32_t n;

	(void)rte_rcu_qsbr_thread_register(worker->qsbr, QSBR_ID);
	rte_rcu_qsbr_thread_online(worker->qsbr, QSBR_ID);
	for (;;) {
		bool draining = atomic_load_explicit(&worker->state, memory_order_relaxed) ==
				DRAINING;

		n = run_round(worker, draining);
		rte_rcu_qsbr_quiescent(worker->qsbr, QSBR_ID);
		if (unlikely(draining)) {
			uint64_t now = rte_rdtsc();

			if (deadline == 0)
				deadline = now + NMX_MUX_DRAIN_MS * rte_get_tsc_hz() / 1000;
			if (n == 0 || now >= deadline)
				break;
		}
		if (n == 0)
			rte_pause();
	}
	rte_rcu_qsbr_thread_offline(worker->qsbr, QSBR_ID);
	(void)rte_rcu_qsbr_thread_unregister(worker->qsbr, QSBR_ID);
	return 0;
}

static void
free_worker(struct nmx_mux_worker *worker)
{
	nmx_guestport_destroy_peek(worker->forwarder.peek);
	rte_free(worker->qsbr);
	rte_free(worker);
}

/** @return NULL without memory */
static struct nmx_mux_worker *
create_worker(void)
{
	struct nmx_mux_worker *worker = rte_zmalloc(
		"nmx_worker", sizeof(*worker), RTE_CACHE_LINE_SIZE);

	if (worker == NULL)
		return NULL;
	worker->qsbr = rte_zmalloc(
		"nmx_qsbr", rte_rcu_qsbr_get_memsize(QSBR_ID + 1), RTE_CACHE_LINE_SIZE);
	if (worker->qsbr == NULL || rte_rcu_qsbr_init(worker->qsbr, QSBR_ID + 1) != 0 ||
		nmx_guestport_create_peek(&worker->forwarder.peek) != 0) {
		free_worker(worker);
		return NULL;
	}
	return worker;
}

int
nmx_mux_start_worker(unsigned int lcore, struct nmx_mux_uplink *uplink,
	const struct nmx_mux_fdb *fdb, struct nmx_mux_worker **ret_worker,
	struct nmx_mux_error *ret_error)
{
	struct nmx_mux_worker *worker = create_worker();
	int ret;

	if (worker == NULL) {
		nmx_mux_set_error(ret_error, "no memory for a worker; reserve more huge pages");
		return -ENOMEM;
	}
	worker->lcore = lcore;
	worker->forwarder.uplink = uplink;
	atomic_init(&worker->fdb, fdb);
	ret = rte_eal_remote_launch(run, worker, lcore);
	if (ret != 0) {
		nmx_mux_set_error(ret_error, "lcore %u can't be started (%s); give EAL another one",
			lcore, rte_strerror(-ret));
		free_worker(worker);
		return ret;
	}
	*ret_worker = worker;
	return 0;
}

void
nmx_mux_set_fdb(struct nmx_mux_worker *worker, const struct nmx_mux_fdb *fdb)
{
	atomic_store_explicit(&worker->fdb, fdb, memory_order_release);
	rte_rcu_qsbr_synchronize(worker->qsbr, RTE_QSBR_THRID_INVALID);
}

void
nmx_mux_stop_worker(struct nmx_mux_worker *worker)
{
	if (worker == NULL)
		return;
	atomic_store_explicit(&worker->state, DRAINING, memory_order_relaxed);
	(void)rte_eal_wait_lcore(worker->lcore);
	free_worker(worker);
}

void
nmx_mux_get_worker_counters(
	const struct nmx_mux_worker *worker, struct nmx_mux_worker_counters *ret_counters)
{
	*ret_counters = worker->counters;
}
