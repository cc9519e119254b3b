/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Counters: the driver's own, and those that only the device has. */

#include <stdio.h>
#include <string.h>

#include "vdpdk.h"

/** The device's counters, summed over queues. */
struct device_counters {
	uint64_t rx_no_buffer, rx_too_long, rx_errors;
	uint64_t tx_too_long, tx_denied, tx_errors;
};

static struct vdpdk_port *
get_port(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

static void
add_device_queue(struct device_counters *sum, const struct vdpdk_queue_stats *queue)
{
	sum->rx_no_buffer += queue->rx_no_buffer;
	sum->rx_too_long += queue->rx_too_long;
	sum->rx_errors += queue->rx_errors;
	sum->tx_too_long += queue->tx_too_long;
	sum->tx_denied += queue->tx_denied;
	sum->tx_errors += queue->tx_errors;
}

/** Ask the device; without one all are 0, as its counters begin anew with each session. */
static void
read_device(struct vdpdk_port *port, struct device_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	pthread_mutex_lock(&port->lock);
	for (uint32_t q = 0; port->up && q < port->n_queue_pairs; q += VDPDK_STATS_QUEUES) {
		const struct vdpdk_stats_get get = { .first_queue = q };
		struct vdpdk_stats stats;

		if (vdpdk_request(port, VDPDK_OP_STATS_GET, &get, sizeof(get), &stats,
			    sizeof(stats)) != 0 ||
			stats.n_queues > VDPDK_STATS_QUEUES)
			break;
		for (uint32_t i = 0; i < stats.n_queues; i++)
			add_device_queue(sum, &stats.queue[i]);
	}
	pthread_mutex_unlock(&port->lock);
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
	struct device_counters device;

	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		if (dev->data->rx_queues[q] != NULL)
			add_rx_queue(dev->data->rx_queues[q], q, stats);
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		if (dev->data->tx_queues[q] != NULL)
			add_tx_queue(dev->data->tx_queues[q], q, stats);
	read_device(get_port(dev), &device);
	stats->imissed = device.rx_no_buffer;
	stats->ierrors = device.rx_too_long + device.rx_errors;
	stats->oerrors += device.tx_too_long + device.tx_denied + device.tx_errors;
	return 0;
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
	struct vdpdk_port *port = get_port(dev);
	struct device_counters device;
	struct vdpdk_tx_counters tx;

	if (xstats == NULL || n < RTE_DIM(names))
		return RTE_DIM(names);
	read_device(port, &device);
	sum_tx(dev, &tx);
	pthread_mutex_lock(&port->lock);
	const uint64_t values[RTE_DIM(names)] = {
		device.rx_no_buffer,
		device.rx_too_long,
		device.rx_errors,
		device.tx_too_long,
		device.tx_denied,
		device.tx_errors,
		tx.drops[VDPDK_TX_ZERO_LENGTH],
		tx.drops[VDPDK_TX_MALFORMED],
		tx.bounced,
		tx.doorbells,
		tx.lost,
		port->sessions,
		port->timeouts,
		port->faults,
		port->kept,
		port->quarantine.n,
	};
	pthread_mutex_unlock(&port->lock);
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
