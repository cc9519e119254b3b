/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The control side of a port over another. */

#include "tnic_lower.h"

#include <errno.h>

#include <rte_errno.h>
#include <rte_ethdev.h>

#include "tnic_port.h"

/** What the lower port may do with a frame that it receives: it is in the mbuf, and handed on. */
#define RX_OFFLOADS \
	(RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_RSS_HASH)

/** The base's operations, and every such port's. Set with the first port. */
static struct eth_dev_ops base, operations;

static struct tnic_port *
get_port(struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

static int
get_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	int ret = base.dev_infos_get(dev, info);

	info->max_rx_queues = RTE_MIN(info->max_rx_queues, TNIC_MAX_QUEUES);
	info->max_tx_queues = RTE_MIN(info->max_tx_queues, TNIC_MAX_QUEUES);
	info->rx_offload_capa &= RX_OFFLOADS;
	info->rx_queue_offload_capa &= RX_OFFLOADS;
	info->default_rxconf.offloads &= RX_OFFLOADS;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	info->tx_queue_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	info->default_txconf.offloads = 0;
	return ret;
}

/** What the program asks for, less what is ours. */
static int
configure(struct rte_eth_dev *dev)
{
	const struct tnic_port *port = get_port(dev);
	const struct rte_eth_dev_data *lower = rte_eth_devices[port->wrap.lower].data;
	struct rte_eth_conf conf = dev->data->dev_conf;

	conf.txmode.offloads = 0;
	if ((lower->dev_flags & RTE_ETH_DEV_INTR_LSC) == 0)
		conf.intr_conf.lsc = 0;
	return rte_eth_dev_configure(
		port->wrap.lower, dev->data->nb_rx_queues, dev->data->nb_tx_queues, &conf);
}

/** A link that we have taken down is down. */
static int
update_link(struct rte_eth_dev *dev, int wait)
{
	return atomic_load(&get_port(dev)->device.link_is_down) ? 0 : base.link_update(dev, wait);
}

/* --- Queues --- */

/** Make a queue's pool, which is kept as long as the port unless it is too small. */
static int
make_pool(struct rte_eth_dev *dev, struct tnic_lower_queue *queue, const char *side, uint16_t index,
	uint16_t n_descriptors, unsigned int socket_id)
{
	const uint32_t n = n_descriptors + 2 * TNIC_LOWER_BURST;
	char name[RTE_MEMPOOL_NAMESIZE];

	queue->port = get_port(dev)->wrap.lower;
	queue->index = index;
	if (queue->pool != NULL && queue->pool_size >= n)
		return 0;
	/* A smaller one that it had stays with the lower port until that has a new one. */
	snprintf(name, sizeof(name), "tnic_%u_%s%u_%u", dev->data->port_id, side, index, n);
	queue->pool = rte_pktmbuf_pool_create(
		name, n, 0, 0, RTE_PKTMBUF_HEADROOM + TNIC_FRAME_MAX_BYTES, (int)socket_id);
	queue->pool_size = n;
	if (queue->pool != NULL)
		return 0;
	TNIC_LOG(ERR,
		"%s: no memory for the %u mbufs of a lower queue; give fewer descriptors, or more "
		"memory (%s)\n",
		dev->device->name, n, rte_strerror(rte_errno));
	return -ENOMEM;
}

static int
set_up_rx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors,
	unsigned int socket_id, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct tnic_port *port = get_port(dev);
	struct tnic_source *source = &port->sources[index];
	int ret = make_pool(dev, &source->lower, "rx", index, n_descriptors, socket_id);

	if (ret == 0)
		ret = rte_eth_rx_queue_setup(port->wrap.lower, index, n_descriptors, socket_id,
			conf, source->lower.pool);
	if (ret != 0)
		return ret;
	source->config = &port->config;
	source->pool = pool;
	source->dma = &port->dma;
	source->device = &port->device;
	source->places = port->places;
	source->room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
	source->queue_idx = index;
	source->port_id = dev->data->port_id;
	dev->data->rx_queues[index] = source;
	return tnic_set_up_posted(source, pool);
}

static int
set_up_tx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors,
	unsigned int socket_id, const struct rte_eth_txconf *conf)
{
	struct tnic_port *port = get_port(dev);
	struct tnic_sink *sink = &port->sinks[index];
	int ret = make_pool(dev, &sink->lower, "tx", index, n_descriptors, socket_id);

	RTE_SET_USED(conf);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(
			port->wrap.lower, index, n_descriptors, socket_id, NULL);
	if (ret != 0)
		return ret;
	sink->device = &port->device;
	sink->queue_idx = index;
	dev->data->tx_queues[index] = sink;
	return tnic_set_up_tx_ring(sink, &port->config);
}

static int
start(struct rte_eth_dev *dev)
{
	int ret = base.dev_start(dev);

	if (ret != 0)
		return ret;
	ret = tnic_start_queues(dev);
	if (ret != 0)
		(void)base.dev_stop(dev);
	return ret;
}

static int
stop(struct rte_eth_dev *dev)
{
	tnic_stop_queues(dev);
	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++)
		tnic_drop_waiting(&get_port(dev)->sources[i].lower);
	return base.dev_stop(dev);
}

/** Free a queue's pool, unless the lower port, which may go on without us, has mbufs of it. */
static void
release_pool(struct tnic_lower_queue *queue)
{
	if (queue->pool != NULL && rte_mempool_full(queue->pool))
		rte_mempool_free(queue->pool);
	queue->pool = NULL;
}

static int
close_port(struct rte_eth_dev *dev)
{
	struct tnic_port *port = get_port(dev);

	nmx_wrapport_fini_port(dev);
	nmx_wrapport_close(&port->wrap);
	tnic_release_sources(port);
	tnic_release_sinks(port);
	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++) {
		release_pool(&port->sources[i].lower);
		release_pool(&port->sinks[i].lower);
	}
	tnic_close_places(port->places);
	return 0;
}

/* --- Statistics: the lower port's, less what has gone no further --- */

static int
get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	struct tnic_port *port = get_port(dev);
	int ret = base.stats_get(dev, stats);

	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++) {
		uint64_t n = atomic_load(&port->sources[i].lower.n_errors);

		stats->ipackets -= RTE_MIN(n, stats->ipackets);
		stats->ierrors += n;
		stats->rx_nombuf += atomic_load(&port->sources[i].lower.n_no_mbuf);
		stats->oerrors += atomic_load(&port->sinks[i].lower.n_errors);
	}
	return ret;
}

static int
reset_stats(struct rte_eth_dev *dev)
{
	struct tnic_port *port = get_port(dev);

	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++) {
		atomic_store(&port->sources[i].lower.n_errors, 0);
		atomic_store(&port->sources[i].lower.n_no_mbuf, 0);
		atomic_store(&port->sinks[i].lower.n_errors, 0);
	}
	return base.stats_reset(dev);
}

/* --- The port --- */

static void
init_operations(const struct eth_dev_ops *own)
{
	nmx_wrapport_get_operations(&base);
	operations = base;
	operations.dev_configure = configure;
	operations.dev_infos_get = get_info;
	operations.dev_start = start;
	operations.dev_stop = stop;
	operations.dev_close = close_port;
	operations.link_update = update_link;
	operations.rx_queue_setup = set_up_rx_queue;
	operations.tx_queue_setup = set_up_tx_queue;
	operations.rx_queue_start = own->rx_queue_start;
	operations.rx_queue_stop = own->rx_queue_stop;
	operations.tx_queue_start = own->tx_queue_start;
	operations.tx_queue_stop = own->tx_queue_stop;
	operations.rx_queue_release = own->rx_queue_release;
	operations.tx_queue_release = own->tx_queue_release;
	operations.stats_get = get_stats;
	operations.stats_reset = reset_stats;
}

int
tnic_open_lower(struct rte_eth_dev *dev, const struct eth_dev_ops *own)
{
	struct tnic_port *port = get_port(dev);
	const char *reason = "no memory for its address; give more memory";
	int ret = nmx_wrapport_open(&port->wrap, port->config.lower, dev->data->name, &reason);

	init_operations(own);
	if (ret == 0) {
		ret = nmx_wrapport_init_port(dev, &operations);
		if (ret != 0)
			nmx_wrapport_close(&port->wrap);
	}
	if (ret != 0) {
		TNIC_LOG(ERR, "%s: lower=%s can't be taken: %s (%s)\n", dev->data->name,
			port->config.lower, reason, rte_strerror(-ret));
		return ret;
	}
	dev->rx_pkt_burst = tnic_receive_lower;
	dev->tx_pkt_burst = port->config.tx_ring != 0 ? tnic_post_burst : tnic_transmit_lower;
	return 0;
}
