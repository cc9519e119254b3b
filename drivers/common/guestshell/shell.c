/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Ethdev's operations. */

#include <errno.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "lib/dpdk/interrupts.h"
#include "lib/dpdk/port.h"
#include "shell.h"

/** A memory port has no ring of its own; the number that programs ask for means nothing. */
#define DESCRIPTORS_MAX 4096

/** Less isn't worth a chain: the smallest frame fits. */
#define RX_BUFFER_BYTES_MIN 64

static struct nmx_guestshell *
get_port(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

static uint16_t
receive(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	return nmx_guestport_receive(queue, mbufs, n);
}

static uint16_t
transmit(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	return nmx_guestport_send(queue, mbufs, n);
}

/** Of ports that offer offloads. */
static uint16_t
prepare(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		int ret = nmx_guestport_prepare(queue, mbufs[i]);

		if (ret != 0) {
			rte_errno = -ret;
			return i;
		}
	}
	return n;
}

/* --- Link --- */

static int
update_link(struct rte_eth_dev *dev, int wait)
{
	struct nmx_guestshell *port = get_port(dev);
	struct rte_eth_link link = {
		.link_speed = NMX_LINK_SPEED_MBPS,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
		.link_status = RTE_ETH_LINK_DOWN,
	};
	int ret;

	(void)wait;
	rte_spinlock_lock(&port->link_lock);
	if (dev->data->dev_started && nmx_guestport_is_linked(port->guest))
		link.link_status = RTE_ETH_LINK_UP;
	ret = rte_eth_linkstatus_set(dev, &link);
	rte_spinlock_unlock(&port->link_lock);
	return ret;
}

/** Context: the control thread. */
static void
on_link_change(void *context, bool linked)
{
	struct rte_eth_dev *dev = context;

	(void)linked;
	if (update_link(dev, 0) == 0 && dev->data->dev_conf.intr_conf.lsc)
		rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, NULL);
}

/* --- Start, stop --- */

static int
configure(struct rte_eth_dev *dev)
{
	nmx_guestport_set_mtu(get_port(dev)->guest, dev->data->mtu);
	return 0;
}

/** Rx offloads of ethdev's for what a port offers; of the other direction. */
static uint64_t
get_rx_offloads(uint32_t offloads)
{
	uint64_t capabilities = RTE_ETH_RX_OFFLOAD_SCATTER;

	if (offloads & NMX_OFFLOAD_CSUM)
		capabilities |= RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	if (offloads & NMX_OFFLOAD_TSO)
		capabilities |= RTE_ETH_RX_OFFLOAD_TCP_LRO;
	return capabilities;
}

static uint64_t
get_tx_offloads(uint32_t offloads)
{
	uint64_t capabilities = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;

	if (offloads & NMX_OFFLOAD_CSUM)
		capabilities |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
				RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	if (offloads & NMX_OFFLOAD_TSO)
		capabilities |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
	return capabilities;
}

/** What a program does to frames from the guest itself, by a queue's Rx offloads. */
static uint32_t
get_taken(uint64_t rx_offloads)
{
	const uint64_t csum = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	uint32_t taken = 0;

	if ((rx_offloads & csum) == csum)
		taken |= NMX_OFFLOAD_CSUM;
	if (rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_LRO)
		taken |= NMX_OFFLOAD_TSO;
	return taken;
}

static int
start(struct rte_eth_dev *dev)
{
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STARTED;
	dev->data->dev_started = 1;
	nmx_guestport_set_polled(get_port(dev)->guest, true);
	update_link(dev, 0);
	return 0;
}

static int
stop(struct rte_eth_dev *dev)
{
	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		dev->data->rx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		dev->data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	dev->data->dev_started = 0;
	nmx_guestport_set_polled(get_port(dev)->guest, false);
	update_link(dev, 0);
	return 0;
}

static int
close_port(struct rte_eth_dev *dev)
{
	struct nmx_guestshell *port = get_port(dev);

	nmx_dpdk_end_counters(&port->served);
	nmx_guestport_destroy(port->guest);
	port->guest = NULL;
	rte_free(port->to_base);
	rte_free(port->from_base);
	nmx_dpdk_free_rx_interrupts(dev->intr_handle);
	dev->intr_handle = NULL;
	return 0;
}

/* --- What the port is --- */

static int
get_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	info->max_rx_queues = info->max_tx_queues = get_port(dev)->n_queue_pairs;
	info->max_mac_addrs = 1;
	info->min_rx_bufsize = RX_BUFFER_BYTES_MIN;
	info->max_rx_pktlen = NMX_FRAME_BYTES_MAX;
	info->min_mtu = NMX_MTU_MIN;
	info->max_mtu = NMX_MTU_MAX;
	info->rx_offload_capa = info->rx_queue_offload_capa = get_rx_offloads(
		get_port(dev)->offloads);
	info->tx_offload_capa = info->tx_queue_offload_capa = get_tx_offloads(
		get_port(dev)->offloads);
	if (get_port(dev)->offloads & NMX_OFFLOAD_TSO)
		info->max_lro_pkt_size = NMX_LARGE_BYTES_MAX;
	info->rx_desc_lim.nb_max = info->tx_desc_lim.nb_max = DESCRIPTORS_MAX;
	info->default_rxportconf.burst_size = info->default_txportconf.burst_size = 32;
	info->default_rxportconf.ring_size = info->default_txportconf.ring_size = 1024;
	info->speed_capa = RTE_ETH_LINK_SPEED_10G;
	info->dev_capa &= ~RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP;
	return 0;
}

static int
set_mtu(struct rte_eth_dev *dev, uint16_t mtu)
{
	nmx_guestport_set_mtu(get_port(dev)->guest, mtu);
	return 0;
}

static int
set_mac(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	/* The program's own, kept by ethdev; the guest may send to any address. */
	(void)dev;
	(void)mac;
	return 0;
}

/** All that the guest sends is received, whatever its addresses; that can't be switched off. */
static int
receive_all(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

/* --- Queues --- */

/** A queue that is set up: tell if it drops what its guest may send. */
static void
check_large(const struct rte_eth_dev *dev, uint16_t index, uint64_t offloads)
{
	const uint64_t large = RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_SCATTER;
	const struct nmx_guestshell *port = get_port(dev);

	if ((port->offloads & NMX_OFFLOAD_TSO) && (offloads & large) != large)
		SHELL_LOG(port->driver, WARNING,
			"guests may leave it to %s to cut large frames, and the program takes none "
			"in Rx queue %u: they are dropped (from_guest_drop_too_long); switch its "
			"Rx offloads TCP_LRO and SCATTER on, or leave tso=1 out",
			dev->data->name, index);
}

static int
set_up_rx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors,
	unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct nmx_from_guest *queue = nmx_guestport_get_from_guest(get_port(dev)->guest, index);
	uint64_t offloads = conf->offloads | dev->data->dev_conf.rxmode.offloads;

	(void)n_descriptors;
	(void)socket;
	nmx_guestport_set_pool(
		queue, pool, dev->data->port_id, (offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0);
	nmx_guestport_set_attaching(
		queue, get_port(dev)->attaches && (offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0);
	nmx_guestport_set_offloads(queue, get_taken(offloads));
	check_large(dev, index, offloads);
	dev->data->rx_queues[index] = queue;
	return 0;
}

static int
set_up_tx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors,
	unsigned int socket, const struct rte_eth_txconf *conf)
{
	(void)n_descriptors;
	(void)socket;
	(void)conf;
	dev->data->tx_queues[index] = nmx_guestport_get_to_guest(get_port(dev)->guest, index);
	return 0;
}

/** Nothing is kept: what was transmitted was copied, and freed. */
static int
clean_up_tx(void *queue, uint32_t n)
{
	(void)queue;
	(void)n;
	return 0;
}

static int
enable_rx_interrupt(struct rte_eth_dev *dev, uint16_t index)
{
	nmx_guestport_arm(dev->data->rx_queues[index]);
	return 0;
}

static int
disable_rx_interrupt(struct rte_eth_dev *dev, uint16_t index)
{
	nmx_guestport_disarm(dev->data->rx_queues[index]);
	return 0;
}

static const struct eth_dev_ops operations = {
	.dev_configure = configure,
	.dev_start = start,
	.dev_stop = stop,
	.dev_close = close_port,
	.dev_infos_get = get_info,
	.link_update = update_link,
	.mtu_set = set_mtu,
	.mac_addr_set = set_mac,
	.promiscuous_enable = receive_all,
	.allmulticast_enable = receive_all,
	.rx_queue_setup = set_up_rx_queue,
	.tx_queue_setup = set_up_tx_queue,
	.tx_done_cleanup = clean_up_tx,
	.rx_queue_intr_enable = enable_rx_interrupt,
	.rx_queue_intr_disable = disable_rx_interrupt,
	.stats_get = nmx_guestshell_get_stats,
	.stats_reset = nmx_guestshell_reset_stats,
	.xstats_get = nmx_guestshell_get_xstats,
	.xstats_get_names = nmx_guestshell_get_xstats_names,
	.xstats_reset = nmx_guestshell_reset_stats,
};

/* --- A secondary's view --- */

const struct eth_dev_ops nmx_guestshell_view_operations = {
	.dev_close = nmx_dpdk_close_view,
	.dev_infos_get = get_info,
	.link_update = nmx_dpdk_keep_link,
	.stats_get = nmx_guestshell_get_stats,
	.xstats_get = nmx_guestshell_get_xstats,
	.xstats_get_names = nmx_guestshell_get_xstats_names,
};

/* --- Making the port --- */

/** A queue's wake descriptor as its interrupt: an epoll instance, which EAL must not read. */
static int
init_interrupts(struct rte_eth_dev *dev)
{
	struct nmx_guestshell *port = get_port(dev);
	int fds[RTE_MAX_RXTX_INTR_VEC_ID];

	for (uint16_t i = 0; i < port->n_queue_pairs; i++)
		fds[i] = nmx_guestport_get_wake_fd(nmx_guestport_get_from_guest(port->guest, i));
	dev->intr_handle = nmx_dpdk_make_rx_interrupts(fds, port->n_queue_pairs, 0);
	if (dev->intr_handle == NULL) {
		SHELL_LOG(port->driver, ERR, "no memory for interrupts; give EAL more");
		return -ENOMEM;
	}
	return 0;
}

static int
allocate(struct rte_eth_dev *dev, uint16_t n_queue_pairs)
{
	struct nmx_guestshell *port = get_port(dev);

	port->n_queue_pairs = n_queue_pairs;
	rte_spinlock_init(&port->link_lock);
	port->to_base = rte_calloc(NULL, n_queue_pairs, sizeof(*port->to_base), 0);
	port->from_base = rte_calloc(NULL, n_queue_pairs, sizeof(*port->from_base), 0);
	dev->data->mac_addrs = rte_zmalloc(NULL, sizeof(struct rte_ether_addr), 0);
	if (port->to_base == NULL || port->from_base == NULL || dev->data->mac_addrs == NULL) {
		SHELL_LOG(port->driver, ERR, "no memory for a port; give EAL more");
		return -ENOMEM;
	}
	rte_eth_random_addr(dev->data->mac_addrs->addr_bytes);
	return 0;
}

static int
open_guestport(struct rte_eth_dev *dev, const struct nmx_guestport_config *config)
{
	struct nmx_guestshell *port = get_port(dev);
	struct nmx_guestport_config whole = *config;
	const char *reason;
	int ret;

	whole.name = dev->data->name;
	whole.link_changed = on_link_change;
	whole.context = dev;
	ret = nmx_guestport_create(&whole, &port->guest, &reason);
	if (ret != 0)
		SHELL_LOG(port->driver, ERR, "can't listen at %s: %s (%s)", config->path, reason,
			rte_strerror(-ret));
	return ret;
}

int
nmx_guestshell_init_port(struct rte_eth_dev *dev, const struct nmx_guestshell_driver *driver,
	const struct nmx_guestport_config *config, bool attaches)
{
	struct nmx_guestshell *port = get_port(dev);
	int ret;

	port->driver = driver;
	port->attaches = attaches;
	port->offloads = config->offloads;
	ret = allocate(dev, config->n_queue_pairs);
	if (ret == 0)
		ret = open_guestport(dev, config);
	if (ret == 0)
		ret = init_interrupts(dev);
	if (ret != 0) {
		nmx_guestport_destroy(port->guest);
		rte_free(port->to_base);
		rte_free(port->from_base);
		return ret;
	}
	dev->dev_ops = &operations;
	dev->rx_pkt_burst = receive;
	dev->tx_pkt_burst = transmit;
	if (port->offloads != 0)
		dev->tx_pkt_prepare = prepare;
	dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	dev->data->promiscuous = 1;
	dev->data->all_multicast = 1;
	nmx_guestshell_serve_counters(dev);
	update_link(dev, 0);
	return 0;
}
