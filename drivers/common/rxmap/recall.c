/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "recall.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include <ethdev_driver.h>
#include <rte_log.h>

#include "lib/base/clock.h"
#include "lib/base/grace.h"
#include "lib/dpdk/compat.h"
#include "recaller.h"

RTE_LOG_REGISTER(rxmap_logtype, pmd.common.nicmux.rxmap, NOTICE);

/** How long a burst of the queue is waited for, and between two looks. */
#define PARK_NS       NMX_NS_PER_S
#define PARK_PAUSE_US 50

/** Keep bursts out. @return 0; -EBUSY */
static int
park(struct nmx_rxmap_queue *queue)
{
	const struct nmx_bracket *bracket = &queue->bracket;
	uint64_t deadline_ns = nmx_base_read_clock_ns() + PARK_NS, period;
	struct nmx_grace grace;
	uint32_t seen;

	atomic_store(&queue->parked, true);
	nmx_base_init_grace(&grace, &bracket, &seen, 1);
	period = nmx_base_ask_grace(&grace);
	for (;;) {
		nmx_base_advance_grace(&grace);
		if (nmx_base_is_grace_over(&grace, period))
			return 0;
		if (nmx_base_read_clock_ns() >= deadline_ns)
			return -EBUSY;
		usleep(PARK_PAUSE_US);
	}
}

static int
stop_queue(const struct nmx_rxmap_queue *queue)
{
	return queue->sends ? rte_eth_dev_tx_queue_stop(queue->port, queue->number)
			    : rte_eth_dev_rx_queue_stop(queue->port, queue->number);
}

static int
start_queue(const struct nmx_rxmap_queue *queue)
{
	return queue->sends ? rte_eth_dev_tx_queue_start(queue->port, queue->number)
			    : rte_eth_dev_rx_queue_start(queue->port, queue->number);
}

/** Have the queue give back what it holds. What the NIC receives meanwhile is lost. */
static void
cycle_queue(struct nmx_rxmap_queue *queue)
{
	bool stopped = false;
	int ret;

	/* A port that is stopped has given back what it will. */
	if (!rte_eth_dev_is_valid_port(queue->port) ||
		!rte_eth_devices[queue->port].data->dev_started)
		return;
	atomic_fetch_add_explicit(&queue->n_recalls, 1, memory_order_relaxed);
	ret = park(queue);
	if (ret == 0)
		ret = stop_queue(queue);
	if (ret == 0) {
		ret = start_queue(queue);
		stopped = ret != 0;
	}
	/* An Rx queue that doesn't start gives nothing, without harm; but nobody may send by a Tx
	 * queue that doesn't. The next recall starts it, or tries to. */
	atomic_store(&queue->parked, stopped && queue->sends);
	if (ret != 0)
		rte_log(RTE_LOG_WARNING, rxmap_logtype,
			"a guest waits for buffers that %s queue %u of port %u keeps, and that "
			"queue can't be stopped and started (%s); this port isn't for %s\n",
			queue->sends ? "Tx" : "Rx", queue->number, queue->port, rte_strerror(-ret),
			queue->sends ? "sending in place (tx_zc)" : "mapped queues");
}

static nmx_dpdk_thread_result
run(void *context)
{
	struct nmx_rxmap_recaller *recaller = context;
	struct nmx_rxmap_queue *queue;

	for (;;) {
		while (sem_wait(&recaller->wake) != 0)
			continue;
		if (atomic_load(&recaller->ending))
			return 0;
		nmx_rxmap_lock_recaller(recaller);
		LIST_FOREACH(queue, &recaller->queues, siblings)
		if (atomic_exchange(&queue->recalled, false))
			cycle_queue(queue);
		nmx_rxmap_unlock_recaller(recaller);
	}
}

int
nmx_rxmap_start_recaller(struct nmx_rxmap_recaller **ret_recaller)
{
	struct nmx_rxmap_recaller *recaller = calloc(1, sizeof(*recaller));
	int ret;

	if (recaller == NULL)
		return -ENOMEM;
	pthread_mutex_init(&recaller->lock, NULL);
	sem_init(&recaller->wake, 0, 0);
	LIST_INIT(&recaller->queues);
	ret = nmx_dpdk_start_control_thread(&recaller->thread, "nmx-recall", run, recaller);
	if (ret != 0) {
		sem_destroy(&recaller->wake);
		pthread_mutex_destroy(&recaller->lock);
		free(recaller);
		return ret;
	}
	*ret_recaller = recaller;
	return 0;
}

void
nmx_rxmap_stop_recaller(struct nmx_rxmap_recaller *recaller)
{
	if (recaller == NULL)
		return;
	atomic_store(&recaller->ending, true);
	sem_post(&recaller->wake);
	pthread_join(recaller->thread, NULL);
	sem_destroy(&recaller->wake);
	pthread_mutex_destroy(&recaller->lock);
	free(recaller);
}

void
nmx_rxmap_lock_recaller(struct nmx_rxmap_recaller *recaller)
{
	pthread_mutex_lock(&recaller->lock);
}

void
nmx_rxmap_unlock_recaller(struct nmx_rxmap_recaller *recaller)
{
	pthread_mutex_unlock(&recaller->lock);
}

void
nmx_rxmap_add_queue(struct nmx_rxmap_recaller *recaller, struct nmx_rxmap_queue *queue)
{
	queue->recaller = recaller;
	nmx_base_init_bracket(&queue->bracket);
	nmx_rxmap_lock_recaller(recaller);
	LIST_INSERT_HEAD(&recaller->queues, queue, siblings);
	nmx_rxmap_unlock_recaller(recaller);
}

void
nmx_rxmap_remove_queue(struct nmx_rxmap_queue *queue)
{
	nmx_rxmap_lock_recaller(queue->recaller);
	LIST_REMOVE(queue, siblings);
	nmx_rxmap_unlock_recaller(queue->recaller);
}

void
nmx_rxmap_recall(struct nmx_rxmap_queue *queue)
{
	atomic_store(&queue->recalled, true);
	sem_post(&queue->recaller->wake);
}
