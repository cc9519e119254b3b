/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Starts and stops: of all queues with the port, and of each by itself. */

#include "tnic_port.h"

#include <string.h>

static struct tnic_port *
get_port(struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

static void
set_queue_states(struct rte_eth_dev *dev, uint8_t state)
{
	memset(dev->data->rx_queue_state, state, dev->data->nb_rx_queues);
	memset(dev->data->tx_queue_state, state, dev->data->nb_tx_queues);
}

static int
start_sources(struct tnic_port *port, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		int ret = tnic_start_source(&port->sources[i]);

		if (ret != 0) {
			TNIC_LOG(ERR, "the pool of Rx queue %u can't fill a ring of %u\n", i,
				port->config.ring);
			return ret;
		}
	}
	return 0;
}

int
tnic_start_queues(struct rte_eth_dev *dev)
{
	struct tnic_port *port = get_port(dev);
	int ret = port->config.ring == 0 ? 0 : start_sources(port, dev->data->nb_rx_queues);

	if (ret != 0)
		return ret;
	set_queue_states(dev, RTE_ETH_QUEUE_STATE_STARTED);
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		tnic_start_sink(&port->sinks[i]);
	return tnic_start_device(&port->device, dev);
}

void
tnic_stop_queues(struct rte_eth_dev *dev)
{
	struct tnic_port *port = get_port(dev);

	tnic_stop_device(&port->device);
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		tnic_stop_sink(&port->sinks[i]);
	for (uint16_t i = 0; port->config.ring != 0 && i < dev->data->nb_rx_queues; i++)
		(void)tnic_stop_source(&port->sources[i]);
	set_queue_states(dev, RTE_ETH_QUEUE_STATE_STOPPED);
}

int
tnic_start_rx_queue(struct rte_eth_dev *dev, uint16_t queue_idx)
{
	int ret = tnic_start_source(&get_port(dev)->sources[queue_idx]);

	if (ret == 0)
		dev->data->rx_queue_state[queue_idx] = RTE_ETH_QUEUE_STATE_STARTED;
	return ret;
}

int
tnic_stop_rx_queue(struct rte_eth_dev *dev, uint16_t queue_idx)
{
	int ret = tnic_stop_source(&get_port(dev)->sources[queue_idx]);

	if (ret == 0)
		dev->data->rx_queue_state[queue_idx] = RTE_ETH_QUEUE_STATE_STOPPED;
	return ret;
}

int
tnic_start_tx_queue(struct rte_eth_dev *dev, uint16_t queue_idx)
{
	tnic_start_sink(&get_port(dev)->sinks[queue_idx]);
	dev->data->tx_queue_state[queue_idx] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

int
tnic_stop_tx_queue(struct rte_eth_dev *dev, uint16_t queue_idx)
{
	struct tnic_port *port = get_port(dev);

	pthread_mutex_lock(&port->device.lock);
	tnic_stop_sink(&port->sinks[queue_idx]);
	pthread_mutex_unlock(&port->device.lock);
	dev->data->tx_queue_state[queue_idx] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

int
tnic_clean_tx_queue(void *queue, uint32_t n)
{
	struct tnic_sink *sink = queue;

	RTE_SET_USED(n);
	return tnic_clean_tx_ring(&sink->ring);
}

void
tnic_release_queue(struct rte_eth_dev *dev, uint16_t queue_idx)
{
	RTE_SET_USED(dev);
	RTE_SET_USED(queue_idx);
}
