/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Counters: the driver's own, and those that only the device has. */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "vdpdk.h"

/** Name of the messages by which secondaries ask. */
#define COUNTERS "net_vdpdk_counters"

/** What only the primary can tell: sums over the device's queues, and the port's own numbers. */
enum number {
	RX_NO_BUFFER,
	RX_TOO_LONG,
	RX_ERRORS,
	TX_TOO_LONG,
	TX_DENIED,
	TX_ERRORS,
	SESSIONS,
	TIMEOUTS,
	FAULTS,
	KEPT,
	IN_QUARANTINE,
	N_NUMBERS
};

static_assert(N_NUMBERS <= NMX_DPDK_COUNTERS_MAX, "secondaries ask for all at once");

static struct vdpdk_port *
get_port(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

static void
add_device_queue(uint64_t *numbers, const struct vdpdk_queue_stats *queue)
{
	numbers[RX_NO_BUFFER] += queue->rx_no_buffer;
	numbers[RX_TOO_LONG] += queue->rx_too_long;
	numbers[RX_ERRORS] += queue->rx_errors;
	numbers[TX_TOO_LONG] += queue->tx_too_long;
	numbers[TX_DENIED] += queue->tx_denied;
	numbers[TX_ERRORS] += queue->tx_errors;
}

/** Ask the device; without one nothing is added, as its counters begin anew with each session. */
static void
add_device(struct vdpdk_port *port, uint64_t *numbers)
{
	for (uint32_t q = 0; port->up && q < port->n_queue_pairs; q += VDPDK_STATS_QUEUES) {
		const struct vdpdk_stats_get get = { .first_queue = q };
		struct vdpdk_stats stats;

		if (vdpdk_request(port, VDPDK_OP_STATS_GET, &get, sizeof(get), &stats,
			    sizeof(stats)) != 0 ||
			stats.n_queues > VDPDK_STATS_QUEUES)
			break;
		for (uint32_t i = 0; i < stats.n_queues; i++)
			add_device_queue(numbers, &stats.queue[i]);
	}
}

/** Fill in N_NUMBERS. Primary, any thread. */
static void
read_port(void *context, uint64_t *numbers)
{
	struct vdpdk_port *port = context;

	memset(numbers, 0, N_NUMBERS * sizeof(*numbers));
	pthread_mutex_lock(&port->lock);
	add_device(port, numbers);
	numbers[SESSIONS] = port->sessions;
	numbers[TIMEOUTS] = port->timeouts;
	numbers[FAULTS] = port->faults;
	numbers[KEPT] = port->kept;
	numbers[IN_QUARANTINE] = port->quarantine.n;
	pthread_mutex_unlock(&port->lock);
}

/** Fill in N_NUMBERS, in whatever process. @return 0; -errno: the primary doesn't answer */
static int
get_numbers(const struct rte_eth_dev *dev, uint64_t *numbers)
{
	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return nmx_dpdk_ask_counters(COUNTERS, dev->data->name, numbers, N_NUMBERS);
	read_port(get_port(dev), numbers);
	return 0;
}

void
vdpdk_serve_counters(struct vdpdk_port *port)
{
	port->served.port = port->name;
	port->served.n = N_NUMBERS;
	port->served.read = read_port;
	port->served.context = port;
	nmx_dpdk_serve_counters(COUNTERS, &port->served);
}

static void
add_rx_queue(const struct vdpdk_rx_queue *queue, uint16_t q, struct rte_eth_stats *stats)
{
	uint64_t frames = queue->counters.frames - queue->base.frames;
	uint64_t bytes = queue->counters.bytes - queue->base.bytes;

	stats->ipackets += frames;
	stats->ibytes += bytes;
	stats->rx_nombuf += queue->counters.no_mbuf - queue->base.no_mbuf;
	if (q >= RTE_ETHDEV_QUEUE_STAT_CNTRS)
		return;
	stats->q_ipackets[q] = frames;
	stats->q_ibytes[q] = bytes;
}

static void
add_tx_queue(const struct vdpdk_tx_queue *queue, uint16_t q, struct rte_eth_stats *stats)
{
	uint64_t frames = queue->counters.frames - queue->base.frames;
	uint64_t bytes = queue->counters.bytes - queue->base.bytes;

	stats->opackets += frames;
	stats->obytes += bytes;
	for (unsigned int i = 0; i < VDPDK_TX_DROPS; i++)
		stats->oerrors += queue->counters.drops[i] - queue->base.drops[i];
	if (q >= RTE_ETHDEV_QUEUE_STAT_CNTRS)
		return;
	stats->q_opackets[q] = frames;
	stats->q_obytes[q] = bytes;
}

int
vdpdk_get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	uint64_t numbers[N_NUMBERS];
	int ret;

	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		if (dev->data->rx_queues[q] != NULL)
			add_rx_queue(dev->data->rx_queues[q], q, stats);
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		if (dev->data->tx_queues[q] != NULL)
			add_tx_queue(dev->data->tx_queues[q], q, stats);
	ret = get_numbers(dev, numbers);
	stats->imissed = numbers[RX_NO_BUFFER];
	stats->ierrors = numbers[RX_TOO_LONG] + numbers[RX_ERRORS];
	stats->oerrors += numbers[TX_TOO_LONG] + numbers[TX_DENIED] + numbers[TX_ERRORS];
	return ret;
}

int
vdpdk_reset_stats(struct rte_eth_dev *dev)
{
	struct vdpdk_port *port = get_port(dev);
	int ret = 0;

	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++) {
		struct vdpdk_rx_queue *queue = dev->data->rx_queues[q];

		if (queue != NULL)
			queue->base = queue->counters;
	}
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++) {
		struct vdpdk_tx_queue *queue = dev->data->tx_queues[q];

		if (queue != NULL)
			queue->base = queue->counters;
	}
	pthread_mutex_lock(&port->lock);
	if (port->up)
		ret = vdpdk_request(port, VDPDK_OP_STATS_RESET, NULL, 0, NULL, 0);
	pthread_mutex_unlock(&port->lock);
	return ret;
}

/* --- Extended statistics --- */

static const char *const names[] = {
	"device_rx_no_buffer",
	"device_rx_too_long",
	"device_rx_errors",
	"device_tx_too_long",
	"device_tx_denied",
	"device_tx_errors",
	"tx_drop_zero_length",
	"tx_drop_malformed",
	"tx_bounced",
	"tx_doorbells",
	"tx_lost_with_device",
	"sessions",
	"request_timeouts",
	"queue_faults",
	"mbufs_kept",
	"mbufs_in_quarantine",
};

/** Sums over Tx queues since the last reset. */
static void
sum_tx(const struct rte_eth_dev *dev, struct vdpdk_tx_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++) {
		const struct vdpdk_tx_queue *queue = dev->data->tx_queues[q];

		if (queue == NULL)
			continue;
		for (unsigned int i = 0; i < VDPDK_TX_DROPS; i++)
			sum->drops[i] += queue->counters.drops[i] - queue->base.drops[i];
		sum->bounced += queue->counters.bounced - queue->base.bounced;
		sum->doorbells += queue->counters.doorbells - queue->base.doorbells;
		sum->lost += queue->counters.lost - queue->base.lost;
	}
}

int
vdpdk_get_xstats(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n)
{
	uint64_t numbers[N_NUMBERS];
	struct vdpdk_tx_counters tx;
	int ret;

	if (xstats == NULL || n < RTE_DIM(names))
		return RTE_DIM(names);
	ret = get_numbers(dev, numbers);
	if (ret != 0)
		return ret;
	sum_tx(dev, &tx);
	const uint64_t values[RTE_DIM(names)] = {
		numbers[RX_NO_BUFFER],
		numbers[RX_TOO_LONG],
		numbers[RX_ERRORS],
		numbers[TX_TOO_LONG],
		numbers[TX_DENIED],
		numbers[TX_ERRORS],
		tx.drops[VDPDK_TX_ZERO_LENGTH],
		tx.drops[VDPDK_TX_MALFORMED],
		tx.bounced,
		tx.doorbells,
		tx.lost,
		numbers[SESSIONS],
		numbers[TIMEOUTS],
		numbers[FAULTS],
		numbers[KEPT],
		numbers[IN_QUARANTINE],
	};
	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		xstats[i].id = i;
		xstats[i].value = values[i];
	}
	return RTE_DIM(names);
}

int
vdpdk_get_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *ret_names, unsigned int n)
{
	(void)dev;
	if (ret_names == NULL || n < RTE_DIM(names))
		return RTE_DIM(names);
	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		snprintf(ret_names[i].name, sizeof(ret_names[i].name), "%s", names[i]);
	return RTE_DIM(names);
}
