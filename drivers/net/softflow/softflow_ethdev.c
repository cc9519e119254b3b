/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Ethdev's operations and the bursts. */

#include <errno.h>

#include <rte_ethdev.h>

#include "softflow.h"

static struct softflow_port *
get_port(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/** The base's operations, and every port's: these, and what is done otherwise. Set at load. */
static struct eth_dev_ops base, operations;

/* --- Bursts --- */

static uint16_t
receive(void *context, struct rte_mbuf **mbufs, uint16_t n)
{
	const struct softflow_rx_queue *queue = context;

	if (queue->map != NULL)
		n = nmx_rxmap_receive(queue->map, mbufs, n);
	else
		n = rte_eth_rx_burst(queue->lower, queue->index, mbufs, n);
	for (uint16_t i = 0; i < n; i++)
		mbufs[i]->port = queue->port_id;
	return n;
}

static uint16_t
transmit(void *context, struct rte_mbuf **mbufs, uint16_t n)
{
	const struct softflow_tx_queue *queue = context;

	return rte_eth_tx_burst(queue->lower, queue->index, mbufs, n);
}

/* --- Queues --- */

static int
set_up_rx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors,
	unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct softflow_port *port = get_port(dev);
	struct softflow_rx_queue *queue = &port->rx[index];
	int ret;

	if (port->targets[index].port[0] != '\0') {
		ret = softflow_make_map(dev, index, n_descriptors, (int)socket, pool);
		if (ret != 0)
			return ret;
		pool = nmx_rxmap_get_pool(queue->map);
	}
	queue->lower = port->wrap.lower;
	queue->index = index;
	queue->port_id = dev->data->port_id;
	dev->data->rx_queues[index] = queue;
	return rte_eth_rx_queue_setup(port->wrap.lower, index, n_descriptors, socket, conf, pool);
}

static int
set_up_tx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors,
	unsigned int socket, const struct rte_eth_txconf *conf)
{
	struct softflow_port *port = get_port(dev);
	struct softflow_tx_queue *queue = &port->tx[index];

	queue->lower = port->wrap.lower;
	queue->index = index;
	dev->data->tx_queues[index] = queue;
	return rte_eth_tx_queue_setup(port->wrap.lower, index, n_descriptors, socket, conf);
}

/* --- Start and stop: not while the recaller does the same --- */

static int
start(struct rte_eth_dev *dev)
{
	struct softflow_port *port = get_port(dev);
	int ret;

	nmx_rxmap_lock_recaller(port->recaller);
	ret = base.dev_start(dev);
	if (ret == 0) {
		ret = softflow_try_maps(port, dev->data->nb_tx_queues);
		if (ret != 0)
			(void)base.dev_stop(dev);
	}
	nmx_rxmap_unlock_recaller(port->recaller);
	return ret;
}

static int
stop(struct rte_eth_dev *dev)
{
	struct softflow_port *port = get_port(dev);
	int ret;

	nmx_rxmap_lock_recaller(port->recaller);
	ret = base.dev_stop(dev);
	nmx_rxmap_unlock_recaller(port->recaller);
	return ret;
}

static int
switch_rx_queue(struct rte_eth_dev *dev, uint16_t index, eth_queue_start_t how)
{
	struct softflow_port *port = get_port(dev);
	int ret;

	nmx_rxmap_lock_recaller(port->recaller);
	ret = how(dev, index);
	nmx_rxmap_unlock_recaller(port->recaller);
	return ret;
}

static int
start_rx_queue(struct rte_eth_dev *dev, uint16_t index)
{
	return switch_rx_queue(dev, index, base.rx_queue_start);
}

static int
stop_rx_queue(struct rte_eth_dev *dev, uint16_t index)
{
	return switch_rx_queue(dev, index, base.rx_queue_stop);
}

/* --- The port --- */

static int
get_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	int ret = base.dev_infos_get(dev, info);

	info->max_rx_queues = RTE_MIN(info->max_rx_queues, SOFTFLOW_QUEUES_MAX);
	info->max_tx_queues = RTE_MIN(info->max_tx_queues, SOFTFLOW_QUEUES_MAX);
	/* What the lower queue gives may be in external buffers, of several pools. */
	info->tx_offload_capa &= ~RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	info->tx_queue_offload_capa &= ~RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	return ret;
}

static int
close_port(struct rte_eth_dev *dev)
{
	struct softflow_port *port = get_port(dev);

	nmx_wrapport_fini_port(dev);
	nmx_wrapport_close(&port->wrap);
	for (uint16_t i = 0; i < SOFTFLOW_QUEUES_MAX; i++)
		softflow_end_map(port, i);
	/* A map that is kept has it for ever. */
	if (!port->leaks)
		nmx_rxmap_stop_recaller(port->recaller);
	return 0;
}

RTE_INIT(init_operations)
{
	nmx_wrapport_get_operations(&base);
	operations = base;
	operations.dev_infos_get = get_info;
	operations.dev_start = start;
	operations.dev_stop = stop;
	operations.dev_close = close_port;
	operations.rx_queue_start = start_rx_queue;
	operations.rx_queue_stop = stop_rx_queue;
	operations.rx_queue_setup = set_up_rx_queue;
	operations.tx_queue_setup = set_up_tx_queue;
}

int
softflow_init_port(struct rte_eth_dev *dev, const struct softflow_args *args)
{
	struct softflow_port *port = get_port(dev);
	const char *reason;
	int ret = nmx_wrapport_open(&port->wrap, args->lower, dev->data->name, &reason);

	if (ret != 0) {
		SOFTFLOW_LOG(ERR, "can't take %s as the port below: %s (%s)", args->lower, reason,
			rte_strerror(-ret));
		return ret;
	}
	memcpy(port->targets, args->targets, sizeof(port->targets));
	port->mode = args->mode;
	port->tries_tx = args->tries_tx;
	ret = nmx_rxmap_start_recaller(&port->recaller);
	if (ret == 0)
		ret = nmx_wrapport_init_port(dev, &operations);
	if (ret != 0) {
		SOFTFLOW_LOG(ERR, "no memory, or no thread, for a port (%s)", rte_strerror(-ret));
		nmx_rxmap_stop_recaller(port->recaller);
		nmx_wrapport_close(&port->wrap);
		return ret;
	}
	dev->rx_pkt_burst = receive;
	dev->tx_pkt_burst = transmit;
	return 0;
}
