/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Ethdev's operations, and the port's own life. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "lib/base/fd.h"
#include "lib/dpdk/port.h"
#include "vdpdk.h"
#include "vdpdk_transport.h"

/** Bytes that a frame may have beyond its MTU: Ethernet header and two VLAN tags. */
#define OVERHEAD_BYTES 22

static struct vdpdk_port *
get_port(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/* --- Start, stop --- */

static int
configure(struct rte_eth_dev *dev)
{
	struct vdpdk_port *port = get_port(dev);

	pthread_mutex_lock(&port->lock);
	port->mtu = dev->data->mtu;
	pthread_mutex_unlock(&port->lock);
	return 0;
}

static void
set_queue_states(struct rte_eth_dev *dev, uint8_t state)
{
	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		dev->data->rx_queue_state[q] = state;
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		dev->data->tx_queue_state[q] = state;
}

static int
start(struct rte_eth_dev *dev)
{
	struct vdpdk_port *port = get_port(dev);
	int ret = 0;

	pthread_mutex_lock(&port->lock);
	if (!vdpdk_check_mtu(port, port->mtu)) {
		pthread_mutex_unlock(&port->lock);
		return -EINVAL;
	}
	/* Without a session the port starts all the same; its queues run once there is one. */
	if (port->up) {
		ret = vdpdk_apply_settings(port);
		if (ret == 0)
			ret = vdpdk_start_queues(port);
	}
	if (ret == -ENOTCONN)
		ret = 0; /* lost meanwhile; the next session starts the queues */
	port->started = ret == 0;
	pthread_mutex_unlock(&port->lock);
	if (ret != 0) {
		PORT_LOG(port, ERR, "the host refuses to start the port (%s); see its log",
			rte_strerror(-ret));
		vdpdk_lose_session(port);
		return ret;
	}
	set_queue_states(dev, RTE_ETH_QUEUE_STATE_STARTED);
	vdpdk_update_link(dev, 0);
	return 0;
}

static int
stop(struct rte_eth_dev *dev)
{
	struct vdpdk_port *port = get_port(dev);

	pthread_mutex_lock(&port->lock);
	port->started = false;
	vdpdk_stop_queues(port);
	pthread_mutex_unlock(&port->lock);
	set_queue_states(dev, RTE_ETH_QUEUE_STATE_STOPPED);
	vdpdk_update_link(dev, 0);
	return 0;
}

/** End the session, for good; the thread isn't running. */
static void
end_session(struct vdpdk_port *port)
{
	pthread_mutex_lock(&port->lock);
	vdpdk_disconnect(port);
	pthread_mutex_unlock(&port->lock);
	(void)vdpdk_wait_for_end(port);
}

/** Free what the port has; its session has ended, its queues are freed. */
static void
free_port(struct vdpdk_port *port)
{
	port->dev->intr_handle = NULL;
	if (port->transport != NULL)
		port->transport->ops->destroy(port->transport);
	nmx_base_close_fd(&port->control_fd);
	nmx_base_close_fd(&port->wake_fd);
	nmx_base_close_fd(&port->stop_fd);
	nmx_base_close_fds(port->event_fds, VDPDK_QUEUE_PAIRS_MAX);
	if (!port->stuck)
		vdpdk_free_shared(&port->area_memory);
	free(port->quarantine.mbufs);
	free(port->args.path);
	pthread_mutex_destroy(&port->lock);
}

static int
close_port(struct rte_eth_dev *dev)
{
	struct vdpdk_port *port = get_port(dev);

	nmx_dpdk_end_counters(&port->served);
	vdpdk_unwatch_memory(port);
	vdpdk_stop_thread(port);
	end_session(port);
	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		vdpdk_release_rx_queue(dev, q);
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		vdpdk_release_tx_queue(dev, q);
	free_port(port);
	return 0;
}

/** Reset the device to power-on, and take it to where it can be configured. The port is stopped. */
static int
reset(struct rte_eth_dev *dev)
{
	struct vdpdk_port *port = get_port(dev);
	int ret = 0;

	pthread_mutex_lock(&port->lock);
	if (port->up)
		ret = vdpdk_start_device(port);
	pthread_mutex_unlock(&port->lock);
	if (ret != 0) {
		PORT_LOG(port, ERR, "can't reset the device (%s); connecting anew",
			rte_strerror(-ret));
		vdpdk_lose_session(port);
	}
	return ret;
}

/* --- What the port is --- */

/** Without the lock: a number may be of the session before. */
static int
get_view_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct vdpdk_port *port = get_port(dev);
	const struct rte_eth_desc_lim limits = {
		.nb_max = (uint16_t)(1u << port->ring_max_log2),
		.nb_min = VDPDK_RING_SLOTS_MIN,
		.nb_align = VDPDK_RING_SLOTS_MIN,
		.nb_seg_max = VDPDK_TX_SEGMENTS_MAX,
		.nb_mtu_seg_max = VDPDK_TX_SEGMENTS_MAX,
	};

	info->max_rx_queues = info->max_tx_queues = port->n_queue_pairs;
	info->max_mac_addrs = 1;
	info->min_rx_bufsize = RTE_ETHER_MIN_LEN;
	info->max_rx_pktlen = port->info.rx_frame_max;
	info->min_mtu = port->info.mtu_min;
	info->max_mtu = port->info.mtu_max;
	if (port->features & VDPDK_FEATURE_RX_SCATTER)
		info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->rx_queue_offload_capa = info->rx_offload_capa;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	info->tx_queue_offload_capa = info->tx_offload_capa;
	info->rx_desc_lim = info->tx_desc_lim = limits;
	info->default_rxportconf.burst_size = info->default_txportconf.burst_size = BURST_MAX;
	info->default_rxportconf.ring_size = info->default_txportconf.ring_size =
		(uint16_t)(1u << port->ring_recommended_log2);
	info->default_rxportconf.nb_queues = info->default_txportconf.nb_queues = 1;
	info->speed_capa = RTE_ETH_LINK_SPEED_10G;
	return 0;
}

static int
get_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	struct vdpdk_port *port = get_port(dev);
	int ret;

	pthread_mutex_lock(&port->lock);
	ret = get_view_info(dev, info);
	pthread_mutex_unlock(&port->lock);
	return ret;
}

static int
set_mtu(struct rte_eth_dev *dev, uint16_t mtu)
{
	const struct vdpdk_mtu request = { .mtu = mtu };
	struct vdpdk_port *port = get_port(dev);
	int ret = 0;

	pthread_mutex_lock(&port->lock);
	if (port->started && !vdpdk_check_mtu(port, mtu))
		ret = -EINVAL;
	if (ret == 0 && port->up)
		ret = vdpdk_request(port, VDPDK_OP_MTU_SET, &request, sizeof(request), NULL, 0);
	if (ret == -ENOTCONN)
		ret = 0; /* lost meanwhile; the next session is told */
	if (ret == 0)
		port->mtu = port->info.mtu = mtu;
	pthread_mutex_unlock(&port->lock);
	return ret;
}

static int
set_mac(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	struct vdpdk_mac request = { .reserved = { 0, 0 } };
	struct vdpdk_port *port = get_port(dev);
	int ret = 0;

	memcpy(request.address, mac->addr_bytes, sizeof(request.address));
	pthread_mutex_lock(&port->lock);
	if (port->up)
		ret = vdpdk_request(port, VDPDK_OP_MAC_SET, &request, sizeof(request), NULL, 0);
	if (ret == -ENOTCONN)
		ret = 0; /* lost meanwhile; the next session is told */
	if (ret == 0) {
		/* From now on every session is told; ethdev stores the same after this. */
		port->dev->data->mac_addrs[0] = *mac;
		port->mac_set = true;
	}
	pthread_mutex_unlock(&port->lock);
	return ret;
}

/** The device filters nothing: what the host forwards is received, and that can't be changed. */
static int
receive_all(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

static const struct eth_dev_ops operations = {
	.dev_configure = configure,
	.dev_start = start,
	.dev_stop = stop,
	.dev_close = close_port,
	.dev_reset = reset,
	.dev_infos_get = get_info,
	.link_update = vdpdk_update_link,
	.mtu_set = set_mtu,
	.mac_addr_set = set_mac,
	.promiscuous_enable = receive_all,
	.allmulticast_enable = receive_all,
	.rx_queue_setup = vdpdk_set_up_rx_queue,
	.rx_queue_release = vdpdk_release_rx_queue,
	.tx_queue_setup = vdpdk_set_up_tx_queue,
	.tx_queue_release = vdpdk_release_tx_queue,
	.tx_done_cleanup = vdpdk_clean_up_tx,
	.rxq_info_get = vdpdk_get_rx_info,
	.txq_info_get = vdpdk_get_tx_info,
	.rx_burst_mode_get = vdpdk_get_rx_burst_mode,
	.tx_burst_mode_get = vdpdk_get_tx_burst_mode,
	.rx_queue_intr_enable = vdpdk_enable_rx_interrupt,
	.rx_queue_intr_disable = vdpdk_disable_rx_interrupt,
	.stats_get = vdpdk_get_stats,
	.stats_reset = vdpdk_reset_stats,
	.xstats_get = vdpdk_get_xstats,
	.xstats_get_names = vdpdk_get_xstats_names,
	.xstats_reset = vdpdk_reset_stats,
};

/* --- A secondary's view --- */

/** What changes the port, and what needs its lock, is the primary's. */
const struct eth_dev_ops vdpdk_view_operations = {
	.dev_close = nmx_dpdk_close_view,
	.link_update = nmx_dpdk_keep_link,
	.rxq_info_get = vdpdk_get_rx_info,
	.txq_info_get = vdpdk_get_tx_info,
	.rx_burst_mode_get = vdpdk_get_rx_burst_mode,
	.tx_burst_mode_get = vdpdk_get_tx_burst_mode,
	.dev_infos_get = get_view_info,
	.stats_get = vdpdk_get_stats,
	.xstats_get = vdpdk_get_xstats,
	.xstats_get_names = vdpdk_get_xstats_names,
};

/* --- Making the port --- */

static int
allocate(struct vdpdk_port *port, struct rte_eth_dev *dev, vdpdk_make_transport make, void *device)
{
	snprintf(port->name, sizeof(port->name), "%s", dev->data->name);
	port->where = port->args.path != NULL ? port->args.path : port->name;
	port->dev = dev;
	port->mtu = RTE_ETHER_MTU;
	port->link.link_speed = RTE_ETH_SPEED_NUM_UNKNOWN;
	for (uint32_t q = 0; q < VDPDK_QUEUE_PAIRS_MAX; q++)
		port->event_fds[q] = -1;
	pthread_mutex_init(&port->lock, NULL);
	port->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	port->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	port->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	port->transport = make(port, device);
	if (port->transport != NULL)
		(void)vdpdk_allocate_shared(port, sizeof(*port->area), VDPDK_CONTROL_ALIGN,
			(unsigned int)SOCKET_ID_ANY, &port->area_memory);
	port->area = port->area_memory.start;
	dev->data->mac_addrs = rte_zmalloc("vdpdk_mac", sizeof(struct rte_ether_addr), 0);
	if (port->control_fd < 0 || port->wake_fd < 0 || port->stop_fd < 0 || port->area == NULL ||
		port->transport == NULL || dev->data->mac_addrs == NULL) {
		VDPDK_LOG(ERR, "no memory or file descriptors for a port; give EAL more, "
			       "or raise the limit (ulimit -n)");
		return -ENOMEM;
	}
	return vdpdk_find_ranges(port);
}

/** The first session, which tells what the port is. */
static int
meet_host(struct vdpdk_port *port)
{
	const char *reason = "";
	int ret = vdpdk_connect(port, &reason);

	if (ret != 0) {
		VDPDK_LOG(ERR, "no host at %s: %s (%s)", port->where, reason, rte_strerror(-ret));
		return ret;
	}
	memcpy(port->dev->data->mac_addrs, port->info.mac, RTE_ETHER_ADDR_LEN);
	if (port->args.has_mac) {
		port->dev->data->mac_addrs[0] = port->args.mac;
		port->mac_set = true;
	}
	ret = vdpdk_make_interrupts(port, &port->dev->intr_handle);
	if (ret != 0)
		VDPDK_LOG(ERR, "can't make the interrupts of %s (%s); see EAL's messages",
			port->where, rte_strerror(-ret));
	return ret;
}

static int
bring_up(struct vdpdk_port *port, struct rte_eth_dev *dev, vdpdk_make_transport make, void *device)
{
	int ret = allocate(port, dev, make, device);

	if (ret == 0)
		ret = vdpdk_watch_memory(port);
	if (ret != 0)
		return ret;
	ret = meet_host(port);
	if (ret == 0) {
		ret = vdpdk_start_thread(port);
		if (ret != 0)
			VDPDK_LOG(ERR, "no thread could be started (%s)", rte_strerror(-ret));
	}
	if (ret != 0)
		vdpdk_unwatch_memory(port);
	return ret;
}

int
vdpdk_init_port(struct rte_eth_dev *dev, const struct vdpdk_args *args, vdpdk_make_transport make,
	void *device)
{
	struct vdpdk_port *port = get_port(dev);
	int ret;

	port->args = *args;
	ret = bring_up(port, dev, make, device);
	if (ret != 0) {
		end_session(port);
		free_port(port);
		return ret;
	}
	dev->dev_ops = &operations;
	dev->rx_pkt_burst = vdpdk_receive;
	dev->tx_pkt_burst = vdpdk_transmit;
	dev->tx_pkt_prepare = vdpdk_prepare;
	dev->rx_queue_count = vdpdk_count_received;
	dev->rx_descriptor_status = vdpdk_get_rx_status;
	dev->tx_descriptor_status = vdpdk_get_tx_status;
	/* What is so from the beginning, and stays. */
	dev->data->promiscuous = 1;
	dev->data->all_multicast = 1;
	vdpdk_serve_counters(get_port(dev));
	dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	vdpdk_update_link(dev, 0);
	return 0;
}
