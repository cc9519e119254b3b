/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "uplink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pci.h>

#include "lib/dpdk/mbufs.h"
#include "log.h"

#define POOL_CACHE 256

/** A guest's buffer that DPDK programs post as they come. */
#define GUEST_ROOM 2048

/** The device's name: devargs up to the first comma. */
static void
get_device_name(const struct nmx_mux_uplink_config *config, char name[NMX_MUX_DEVICE_BYTES])
{
	strcpy(name, config->device);
	name[strcspn(name, ",")] = '\0';
}

bool
nmx_mux_is_pci(const struct nmx_mux_uplink_config *config)
{
	struct rte_pci_addr address;
	char name[NMX_MUX_DEVICE_BYTES];

	get_device_name(config, name);
	return rte_pci_addr_parse(name, &address) == 0;
}

/** Find the port; EAL may know it already from its own arguments. */
static int
probe_port(const struct nmx_mux_uplink_config *config, uint16_t *ret_port_id,
	struct nmx_mux_error *error)
{
	char name[NMX_MUX_DEVICE_BYTES];
	int ret = rte_dev_probe(config->device);

	get_device_name(config, name);
	if ((ret != 0 && ret != -EEXIST) || rte_eth_dev_get_port_by_name(name, ret_port_id) != 0) {
		nmx_mux_set_error(error,
			"uplink %s: there is no device \"%s\" (%s); correct its \"device\", "
			"bind it to vfio-pci, or load its driver (-- -d FILE)",
			config->name, config->device,
			ret == 0 ? "no port of that name" : rte_strerror(-ret));
		return -ENODEV;
	}
	return 0;
}

/** Bytes that a received frame may have. */
static uint32_t
get_room(const struct nmx_mux_uplink_config *config)
{
	uint32_t room = config->mtu + (uint32_t)NMX_FRAME_OVERHEAD_BYTES;

	return RTE_ALIGN(RTE_MAX(room, (uint32_t)GUEST_ROOM), 64u);
}

static int
make_maps(struct nmx_mux_uplink *uplink, struct nmx_mux_error *error)
{
	const struct nmx_mux_uplink_config *config = &uplink->config;
	int ret = nmx_rxmap_start_recaller(&uplink->recaller);

	if (ret != 0)
		nmx_mux_set_error(error, "uplink %s: no thread for it (%s)", config->name,
			rte_strerror(-ret));
	for (uint16_t i = 1; ret == 0 && i < config->n_queues; i++)
		ret = nmx_mux_init_mapped(&uplink->mapped[i], uplink->recaller, config->name,
			uplink->port_id, i, config->mapped_ring, (uint16_t)get_room(config), error);
	return ret;
}

/** Tx queues of guests' own. */
static int
make_tx(struct nmx_mux_uplink *uplink, struct nmx_mux_error *error)
{
	const struct nmx_mux_uplink_config *config = &uplink->config;
	const char *reason;

	if (!config->tx_zc)
		return 0;
	reason = nmx_rxmap_refuse_tx(uplink->port_id);
	if (reason != NULL) {
		nmx_mux_set_error(error,
			"uplink %s: this device isn't for \"tx_zc\": %s; mend that, or leave "
			"\"tx_zc\" out",
			config->name, reason);
		return -ENOTSUP;
	}
	for (uint16_t i = 1; i < config->n_queues; i++)
		nmx_rxmap_init_tx(&uplink->tx[i], uplink->recaller, uplink->port_id, i);
	uplink->has_tx = true;
	return 0;
}

static int
make_pool(struct nmx_mux_uplink *uplink, struct nmx_mux_error *error)
{
	const struct nmx_mux_uplink_config *config = &uplink->config;
	uint32_t room = get_room(config);
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "up_%.20s", config->name);
	uplink->pool = rte_pktmbuf_pool_create(name, config->n_buffers, POOL_CACHE, 0,
		(uint16_t)(room + RTE_PKTMBUF_HEADROOM), rte_eth_dev_socket_id(uplink->port_id));
	if (uplink->pool == NULL) {
		nmx_mux_set_error(error,
			"uplink %s: no memory for %u buffers of %u bytes (%s); reserve more huge "
			"pages, or lower \"buffers\"",
			config->name, config->n_buffers, room, rte_strerror(rte_errno));
		return -ENOMEM;
	}
	uplink->rearm = nmx_dpdk_make_rearm(uplink->port_id, RTE_PKTMBUF_HEADROOM);
	return 0;
}

/**
 * Offloads that cost nothing: every mbuf sent is of one pool, one reference, one segment. But what
 * leaves from a guest's memory has two.
 */
static uint64_t
choose_tx_offloads(const struct nmx_mux_uplink_config *config, const struct rte_eth_dev_info *info)
{
	return info->tx_offload_capa &
	       (config->tx_zc ? RTE_ETH_TX_OFFLOAD_MULTI_SEGS : RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
}

/** Rx queues but the first. */
static int
set_up_mapped_queues(struct nmx_mux_uplink *uplink)
{
	const struct nmx_mux_uplink_config *config = &uplink->config;
	uint16_t port_id = uplink->port_id, n_rx = config->mapped_ring;
	int ret = rte_eth_dev_adjust_nb_rx_tx_desc(port_id, &n_rx, NULL);

	for (uint16_t i = 1; ret == 0 && i < config->n_queues; i++)
		ret = rte_eth_rx_queue_setup(port_id, i, n_rx,
			(unsigned int)rte_eth_dev_socket_id(port_id), NULL,
			nmx_rxmap_get_pool(uplink->mapped[i].map));
	return ret;
}

static int
configure_port(struct nmx_mux_uplink *uplink)
{
	const struct nmx_mux_uplink_config *config = &uplink->config;
	uint16_t port_id = uplink->port_id, n_rx = config->ring, n_tx = config->ring;
	const uint16_t n_tx_queues = config->tx_zc ? config->n_queues : 1;
	int socket = rte_eth_dev_socket_id(port_id), ret;
	struct rte_eth_conf conf = { .rxmode.mtu = config->mtu };
	struct rte_eth_dev_info info;

	ret = rte_eth_dev_info_get(port_id, &info);
	if (ret != 0)
		return ret;
	conf.txmode.offloads = choose_tx_offloads(config, &info);
	ret = rte_eth_dev_configure(port_id, config->n_queues, n_tx_queues, &conf);
	if (ret == 0)
		ret = rte_eth_dev_adjust_nb_rx_tx_desc(port_id, &n_rx, &n_tx);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(
			port_id, 0, n_rx, (unsigned int)socket, NULL, uplink->pool);
	if (ret == 0)
		ret = set_up_mapped_queues(uplink);
	info.default_txconf.offloads = conf.txmode.offloads;
	for (uint16_t i = 0; ret == 0 && i < n_tx_queues; i++)
		ret = rte_eth_tx_queue_setup(
			port_id, i, n_tx, (unsigned int)socket, &info.default_txconf);
	return ret;
}

/** Frames for any guest are to come in; a port that knows no addresses lets all in anyway. */
static int
accept_all(uint16_t port_id)
{
	int ret = rte_eth_promiscuous_enable(port_id);

	return ret == -ENOTSUP ? 0 : ret;
}

static void
try_queue(struct nmx_mux_uplink *uplink, uint16_t queue)
{
	enum nmx_rxmap_verdict verdict = nmx_rxmap_try_uplink(uplink->mapped[queue].map);

	if (!nmx_rxmap_is_fit(verdict))
		MUX_LOG(WARNING,
			"uplink %s: queue %u isn't filled with guests' buffers: %s; frames are "
			"copied",
			uplink->config.name, queue, nmx_rxmap_explain_verdict(verdict));
}

static int
start_port(struct nmx_mux_uplink *uplink, struct nmx_mux_error *error)
{
	const char *what = "configured";
	int ret = configure_port(uplink);

	if (ret == 0) {
		what = "started";
		ret = rte_eth_dev_start(uplink->port_id);
	}
	for (uint16_t i = 1; ret == 0 && i < uplink->config.n_queues; i++)
		try_queue(uplink, i);
	if (ret == 0) {
		what = "made promiscuous";
		ret = accept_all(uplink->port_id);
	}
	if (ret != 0)
		nmx_mux_set_error(error,
			"uplink %s: the device can't be %s (%s); the log above says what its "
			"driver wants, --log-level=pmd:debug more",
			uplink->config.name, what, rte_strerror(-ret));
	return ret;
}

int
nmx_mux_open_uplink(const struct nmx_mux_uplink_config *config, struct nmx_mux_uplink **ret_uplink,
	struct nmx_mux_error *ret_error)
{
	struct nmx_mux_uplink *uplink = calloc(1, sizeof(*uplink));
	int ret;

	if (uplink == NULL) {
		nmx_mux_set_error(ret_error, "uplink %s: no memory", config->name);
		return -ENOMEM;
	}
	uplink->config = *config;
	uplink->port_id = RTE_MAX_ETHPORTS;
	nmx_base_init_rate(&uplink->floods, rte_get_tsc_hz() / config->floods_max,
		config->floods_max / NMX_MUX_FLOODS_AT_ONCE);
	ret = probe_port(config, &uplink->port_id, ret_error);
	if (ret == 0)
		ret = make_pool(uplink, ret_error);
	if (ret == 0)
		ret = make_maps(uplink, ret_error);
	if (ret == 0)
		ret = make_tx(uplink, ret_error);
	if (ret == 0)
		ret = start_port(uplink, ret_error);
	if (ret != 0) {
		nmx_mux_close_uplink(uplink);
		return ret;
	}
	*ret_uplink = uplink;
	return 0;
}

void
nmx_mux_close_uplink(struct nmx_mux_uplink *uplink)
{
	bool all_back = true;

	if (uplink == NULL)
		return;
	if (rte_eth_dev_is_valid_port(uplink->port_id)) {
		(void)rte_eth_dev_stop(uplink->port_id);
		(void)rte_eth_dev_close(uplink->port_id);
	}
	rte_mempool_free(uplink->pool);
	for (uint16_t i = 1; uplink->has_tx && i < uplink->config.n_queues; i++)
		nmx_rxmap_fini_tx(&uplink->tx[i]);
	for (uint16_t i = 0; i < NMX_MUX_UPLINK_QUEUES_MAX; i++)
		all_back &= nmx_mux_fini_mapped(&uplink->mapped[i]);
	if (all_back)
		nmx_rxmap_stop_recaller(uplink->recaller);
	free(uplink);
}
