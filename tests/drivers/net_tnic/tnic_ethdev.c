/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * net_tnic: a port that makes frames and audits what becomes of them; or, with lower=, what makes
 * any other port a NIC that posts, holds and misbehaves.
 *
 * A test-only driver for any DPDK program (EAL's -d and --vdev). It shares no code with the data
 * path that it is to judge. Reading order: tnic_frame.h, tnic_audit.h, tnic_report.h, tnic_port.h.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ether.h>

#include "tnic_port.h"
#include "tnic_shape.h"

/** What tnic takes for the bytes of a frame around its MTU: the Ethernet header. */
#define OVERHEAD_BYTES RTE_ETHER_HDR_LEN

RTE_LOG_REGISTER_DEFAULT(tnic_logtype, NOTICE);

static const struct rte_eth_link link_up = {
	.link_speed = RTE_ETH_SPEED_NUM_10G,
	.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
	.link_autoneg = RTE_ETH_LINK_FIXED,
	.link_status = RTE_ETH_LINK_UP,
};

static struct tnic_port *
get_port(struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

static int
configure(struct rte_eth_dev *dev)
{
	RTE_SET_USED(dev);
	return 0;
}

static int
get_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	RTE_SET_USED(dev);
	info->max_mac_addrs = 1;
	info->min_mtu = RTE_ETHER_MIN_MTU;
	info->max_mtu = TNIC_FRAME_MAX_BYTES - OVERHEAD_BYTES;
	info->max_rx_pktlen = TNIC_FRAME_MAX_BYTES;
	info->min_rx_bufsize = TNIC_MIN_ROOM_BYTES;
	info->max_rx_queues = TNIC_MAX_QUEUES;
	info->max_tx_queues = TNIC_MAX_QUEUES;
	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->rx_queue_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	info->tx_queue_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	info->speed_capa = RTE_ETH_LINK_SPEED_10G;
	return 0;
}

/** Frames that need more than one mbuf may be given only to an application that asked for them. */
static int
check_scatter(struct rte_eth_dev *dev, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	const struct tnic_config *config = &get_port(dev)->config;
	uint64_t offloads = conf->offloads | dev->data->dev_conf.rxmode.offloads;
	uint32_t room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;

	if (!config->sends || (offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0)
		return 0;
	if (config->segments.high == 1 && config->sizes.high <= room)
		return 0;
	TNIC_LOG(ERR,
		"%s: sizes=%u-%u segments=%u-%u may need several mbufs of %u bytes for a frame, "
		"but Rx scatter is off; turn it on (testpmd: --enable-scatter) or give smaller "
		"ones\n",
		dev->device->name, config->sizes.low, config->sizes.high, config->segments.low,
		config->segments.high, room);
	return -EINVAL;
}

static int
set_up_rx_queue(struct rte_eth_dev *dev, uint16_t queue_idx, uint16_t n_descriptors,
	unsigned int socket_id, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct tnic_port *port = get_port(dev);
	int ret = check_scatter(dev, conf, pool);

	RTE_SET_USED(n_descriptors);
	RTE_SET_USED(socket_id);
	if (ret == 0)
		ret = tnic_set_up_source(port, queue_idx, dev->data->port_id, pool);
	if (ret == 0)
		dev->data->rx_queues[queue_idx] = &port->sources[queue_idx];
	return ret;
}

static int
set_up_tx_queue(struct rte_eth_dev *dev, uint16_t queue_idx, uint16_t n_descriptors,
	unsigned int socket_id, const struct rte_eth_txconf *conf)
{
	struct tnic_port *port = get_port(dev);
	int ret = tnic_set_up_sink(port, queue_idx);

	RTE_SET_USED(n_descriptors);
	RTE_SET_USED(socket_id);
	RTE_SET_USED(conf);
	if (ret == 0)
		dev->data->tx_queues[queue_idx] = &port->sinks[queue_idx];
	return ret;
}

static void
start_stream(struct rte_eth_dev *dev)
{
	struct tnic_port *port = get_port(dev);
	const struct tnic_config *config = &port->config;
	struct tnic_report *report = port->handle.report;
	uint16_t n = dev->data->nb_rx_queues;

	if (config->sizes.high > dev->data->mtu + (uint32_t)OVERHEAD_BYTES)
		TNIC_LOG(NOTICE,
			"%s: sizes= goes up to %u bytes, beyond the MTU of %u; sent nevertheless\n",
			dev->device->name, config->sizes.high, dev->data->mtu);
	if (config->n_flows < n)
		TNIC_LOG(NOTICE, "%s: flows=%u feed %u of %u queues, the others stay empty\n",
			dev->device->name, config->n_flows, config->n_flows, n);
	tnic_rearm_sources(port);
	if (port->run == 0 || port->n_run_queues != n)
		tnic_begin_sources(port, n);
	else
		atomic_store_explicit(
			&report->stream.state, TNIC_SIDE_RUNNING, memory_order_relaxed);
	TNIC_LOG(INFO, "%s: sends run %" PRIx32 "\n", dev->device->name, port->run);
}

static void
start_audit(struct rte_eth_dev *dev)
{
	struct tnic_report_auditor_line *auditor = &get_port(dev)->handle.report->auditor;

	atomic_store_explicit(&auditor->n_queues, dev->data->nb_tx_queues, memory_order_relaxed);
	atomic_store_explicit(&auditor->tsc_hz, rte_get_tsc_hz(), memory_order_relaxed);
	atomic_store_explicit(&auditor->state, TNIC_SIDE_RUNNING, memory_order_relaxed);
}

static int
start(struct rte_eth_dev *dev)
{
	const struct tnic_config *config = &get_port(dev)->config;
	int ret;

	dev->data->dev_link = link_up;
	ret = tnic_start_queues(dev);
	if (ret != 0) {
		dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
		return ret;
	}
	if (config->audits)
		start_audit(dev);
	if (config->sends)
		start_stream(dev);
	return 0;
}

static int
stop(struct rte_eth_dev *dev)
{
	struct tnic_port *port = get_port(dev);
	struct tnic_report *report = port->handle.report;

	tnic_stop_queues(dev);
	if (port->config.sends)
		atomic_store_explicit(
			&report->stream.state, TNIC_SIDE_STOPPED, memory_order_relaxed);
	if (port->config.audits)
		atomic_store_explicit(
			&report->auditor.state, TNIC_SIDE_STOPPED, memory_order_relaxed);
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	return 0;
}

static int
close_port(struct rte_eth_dev *dev)
{
	struct tnic_port *port = get_port(dev);

	tnic_release_sources(port);
	tnic_release_sinks(port);
	tnic_close_report(&port->handle);
	tnic_close_places(port->places);
	dev->data->mac_addrs = NULL; /* lies in dev_private, which ethdev frees */
	return 0;
}

static int
update_link(struct rte_eth_dev *dev, int wait_to_complete)
{
	RTE_SET_USED(dev);
	RTE_SET_USED(wait_to_complete);
	return 0;
}

/** Requests that change nothing: every frame is made and audited, whatever its addresses. */
static int
accept_filter(struct rte_eth_dev *dev)
{
	RTE_SET_USED(dev);
	return 0;
}

static int
accept_mtu(struct rte_eth_dev *dev, uint16_t mtu)
{
	RTE_SET_USED(dev);
	RTE_SET_USED(mtu);
	return 0;
}

static int
accept_mac(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	RTE_SET_USED(dev);
	RTE_SET_USED(mac);
	return 0;
}

static const struct eth_dev_ops ops = {
	.dev_configure = configure,
	.dev_infos_get = get_info,
	.dev_start = start,
	.dev_stop = stop,
	.dev_close = close_port,
	.rx_queue_setup = set_up_rx_queue,
	.tx_queue_setup = set_up_tx_queue,
	.rx_queue_start = tnic_start_rx_queue,
	.rx_queue_stop = tnic_stop_rx_queue,
	.tx_queue_start = tnic_start_tx_queue,
	.tx_queue_stop = tnic_stop_tx_queue,
	.rx_queue_release = tnic_release_queue,
	.tx_queue_release = tnic_release_queue,
	.tx_done_cleanup = tnic_clean_tx_queue,
	.link_update = update_link,
	.promiscuous_enable = accept_filter,
	.promiscuous_disable = accept_filter,
	.allmulticast_enable = accept_filter,
	.allmulticast_disable = accept_filter,
	.mtu_set = accept_mtu,
	.mac_addr_set = accept_mac,
	.stats_get = tnic_get_stats,
	.stats_reset = tnic_reset_stats,
	.xstats_get = tnic_get_xstats,
	.xstats_get_names = tnic_get_xstats_names,
	.xstats_reset = tnic_reset_stats,
};

/** The port's own address is where its frames go, if that is one station. */
static struct rte_ether_addr
choose_mac(const struct tnic_config *config)
{
	struct rte_ether_addr mac;

	memcpy(mac.addr_bytes, config->macs.dst, sizeof(mac.addr_bytes));
	if (!rte_is_valid_assigned_ether_addr(&mac))
		rte_eth_random_addr(mac.addr_bytes);
	return mac;
}

/** Make an ethdev one that makes frames and audits. */
static void
make_own(struct rte_eth_dev *dev)
{
	struct tnic_port *port = get_port(dev);
	const struct tnic_config *config = &port->config;

	port->mac = choose_mac(config);
	dev->data->mac_addrs = &port->mac;
	dev->data->dev_link = link_up;
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	dev->data->promiscuous = 1;
	dev->data->all_multicast = 1;
	dev->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	dev->dev_ops = &ops;
	dev->rx_pkt_burst = config->sends ? tnic_receive_burst : tnic_receive_nothing;
	dev->tx_pkt_burst = tnic_discard_burst;
	if (config->audits)
		dev->tx_pkt_burst = config->tx_ring != 0 ? tnic_post_burst : tnic_audit_burst;
}

/** Make the ethdev. @param handle, places  taken over on success */
static int
create_port(struct rte_vdev_device *device, const struct tnic_config *config,
	const struct tnic_report_handle *handle, struct tnic_place *places)
{
	struct rte_eth_dev *dev = rte_eth_vdev_allocate(device, sizeof(struct tnic_port));
	struct tnic_port *port;
	int ret = 0;

	if (dev == NULL) {
		TNIC_LOG(ERR, "%s: no ethdev or no memory for it; use fewer ports or more memory\n",
			rte_vdev_device_name(device));
		return -ENOMEM;
	}
	port = get_port(dev);
	port->config = *config;
	port->handle = *handle;
	port->places = places;
	port->dma.maps_max = config->dma;
	rte_spinlock_init(&port->dma.lock);
	pthread_mutex_init(&port->device.lock, NULL);
	if (config->flap_ms != 0)
		dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC;
	if (config->lower[0] == '\0')
		make_own(dev);
	else
		ret = tnic_open_lower(dev, &ops);
	if (ret == 0)
		rte_eth_dev_probing_finish(dev);
	else
		(void)rte_eth_dev_release_port(dev);
	return ret;
}

static int
probe(struct rte_vdev_device *device)
{
	const char *name = rte_vdev_device_name(device);
	struct tnic_report_handle handle = { NULL, -1 };
	struct tnic_place *places = NULL;
	struct tnic_reason reason = { "" };
	struct tnic_config config;
	int ret;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		TNIC_LOG(ERR, "%s: works in a primary process only; don't use it in a secondary\n",
			name);
		return -ENOTSUP;
	}
	if (device->device.numa_node == SOCKET_ID_ANY)
		device->device.numa_node = (int)rte_socket_id();
	ret = tnic_parse_args(rte_vdev_device_args(device), &config, &reason);
	if (ret == 0 && config.lower[0] == '\0')
		ret = tnic_open_report(config.file, config.sends, config.audits, &handle, &reason);
	if (ret != 0) {
		TNIC_LOG(ERR, "%s: %s\n", name, reason.text);
		return ret;
	}
	if (config.places[0] != '\0')
		ret = tnic_open_places(config.places, &places, &reason);
	if (ret != 0)
		TNIC_LOG(ERR, "%s: %s\n", name, reason.text);
	else
		ret = create_port(device, &config, &handle, places);
	if (ret != 0) {
		tnic_close_report(&handle);
		tnic_close_places(places);
	}
	return ret;
}

static int
remove_device(struct rte_vdev_device *device)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(device));

	if (dev == NULL)
		return 0; /* the application has closed the port */
	if (dev->data->dev_started)
		dev->dev_ops->dev_stop(dev);
	dev->dev_ops->dev_close(dev);
	return rte_eth_dev_release_port(dev);
}

/** NULL: the program has closed the port. */
static struct tnic_port *
find_port(const struct rte_vdev_device *device)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(device));

	return dev != NULL ? get_port(dev) : NULL;
}

static int
map_dma(struct rte_vdev_device *device, void *start, uint64_t iova, size_t size)
{
	struct tnic_port *port = find_port(device);
	int ret = -EINVAL;

	if (port != NULL && iova == (uintptr_t)start)
		ret = port->dma.maps_max == 0 ? 0 : tnic_map_dma(&port->dma, start, size);
	if (ret == 0)
		return 0;
	rte_errno = -ret;
	return -1;
}

/** Tell of buffers that are posted in what is unmapped. Context: the table's lock held. */
static void
check_posted(struct tnic_port *port, const uint8_t *start, size_t size)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++)
		n += tnic_count_posted_in(&port->sources[i].ring, start, size);
	if (n > 0)
		TNIC_LOG(ERR, "memory is unmapped for the device in which %u buffers are posted\n",
			n);
}

static int
unmap_dma(struct rte_vdev_device *device, void *start, uint64_t iova, size_t size)
{
	struct tnic_port *port = find_port(device);
	int ret;

	(void)iova;
	if (port == NULL || port->dma.maps_max == 0)
		return 0;
	rte_spinlock_lock(&port->dma.lock);
	ret = tnic_unmap_dma(&port->dma, start, size);
	if (ret != 0)
		TNIC_LOG(ERR, "what is unmapped for the device was never mapped\n");
	check_posted(port, start, size);
	rte_spinlock_unlock(&port->dma.lock);
	if (ret == 0)
		return 0;
	rte_errno = -ret;
	return -1;
}

static struct rte_vdev_driver driver = {
	.probe = probe,
	.remove = remove_device,
	.dma_map = map_dma,
	.dma_unmap = unmap_dma,
};

RTE_PMD_REGISTER_VDEV(net_tnic, driver);
RTE_PMD_REGISTER_PARAM_STRING(net_tnic, TNIC_ARGS_HELP);
