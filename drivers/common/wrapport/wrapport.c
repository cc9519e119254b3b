/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "wrapport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_malloc.h>

/** A callback that runs is waited for, a second in all. */
#define UNREGISTER_TRIES    1000
#define UNREGISTER_PAUSE_US 1000

/* --- The lower port --- */

static uint16_t
get_lower(const struct rte_eth_dev *dev)
{
	return ((const struct nmx_wrapport *)dev->data->dev_private)->lower;
}

/** Make a port from "[devargs]". */
static int
make_lower(const char *bracketed, uint16_t *ret_port)
{
	struct rte_devargs args;
	char text[512];
	int ret, n = snprintf(text, sizeof(text), "%s", bracketed + 1);

	if (n < 2 || (size_t)n >= sizeof(text) || text[n - 1] != ']')
		return -EINVAL;
	text[n - 1] = '\0';
	memset(&args, 0, sizeof(args));
	if (rte_devargs_parse(&args, text) != 0)
		return -EINVAL;
	ret = rte_dev_probe(text);
	if (ret == 0)
		ret = rte_eth_dev_get_port_by_name(args.name, ret_port);
	rte_devargs_reset(&args);
	return ret;
}

int
nmx_wrapport_open(
	struct nmx_wrapport *wrap, const char *lower, const char *upper, const char **ret_reason)
{
	int ret;

	memset(wrap, 0, sizeof(*wrap));
	wrap->made = lower[0] == '[';
	if (wrap->made) {
		ret = make_lower(lower, &wrap->lower);
		*ret_reason = "its driver refuses these devargs; see what it says above";
	} else {
		ret = rte_eth_dev_get_port_by_name(lower, &wrap->lower);
		*ret_reason = "there is no such port; name one that was made before, or give "
			      "[devargs] of one to be made";
	}
	if (ret != 0)
		return ret;
	ret = rte_eth_dev_owner_new(&wrap->owner.id);
	snprintf(wrap->owner.name, sizeof(wrap->owner.name), "%s", upper);
	if (ret == 0)
		ret = rte_eth_dev_owner_set(wrap->lower, &wrap->owner);
	if (ret != 0) {
		*ret_reason = "another port owns it; give each its own";
		wrap->owner.id = RTE_ETH_DEV_NO_OWNER;
		nmx_wrapport_close(wrap);
		return -EBUSY;
	}
	return 0;
}

void
nmx_wrapport_close(struct nmx_wrapport *wrap)
{
	struct rte_eth_dev_info info;
	struct rte_device *device = NULL;

	if (wrap->made && rte_eth_dev_info_get(wrap->lower, &info) == 0)
		device = info.device;
	if (wrap->owner.id != RTE_ETH_DEV_NO_OWNER)
		(void)rte_eth_dev_owner_unset(wrap->lower, wrap->owner.id);
	if (device != NULL)
		(void)rte_dev_remove(device);
	wrap->made = false;
	wrap->owner.id = RTE_ETH_DEV_NO_OWNER;
}

/* --- Operations --- */

static int
update_link(struct rte_eth_dev *dev, int wait)
{
	struct rte_eth_link link;
	int ret = wait ? rte_eth_link_get(get_lower(dev), &link)
		       : rte_eth_link_get_nowait(get_lower(dev), &link);

	if (ret != 0)
		return ret;
	if (!dev->data->dev_started)
		link.link_status = RTE_ETH_LINK_DOWN;
	return rte_eth_linkstatus_set(dev, &link);
}

/** The lower port's link changed. */
static int
on_link_change(uint16_t lower, enum rte_eth_event_type event, void *context, void *unused)
{
	struct rte_eth_dev *dev = context;

	(void)lower;
	(void)unused;
	/* It may be closed from a callback: then this one couldn't be taken back. */
	if (dev->state != RTE_ETH_DEV_ATTACHED)
		return 0;
	if (update_link(dev, 0) == 0)
		rte_eth_dev_callback_process(dev, event, NULL);
	return 0;
}

static int
configure(struct rte_eth_dev *dev)
{
	return rte_eth_dev_configure(get_lower(dev), dev->data->nb_rx_queues,
		dev->data->nb_tx_queues, &dev->data->dev_conf);
}

/** Show the lower port's queue states. */
static void
copy_queue_states(struct rte_eth_dev *dev)
{
	const struct rte_eth_dev_data *lower = rte_eth_devices[get_lower(dev)].data;

	for (uint16_t i = 0; i < dev->data->nb_rx_queues; i++)
		dev->data->rx_queue_state[i] = lower->rx_queue_state[i];
	for (uint16_t i = 0; i < dev->data->nb_tx_queues; i++)
		dev->data->tx_queue_state[i] = lower->tx_queue_state[i];
}

static int
start(struct rte_eth_dev *dev)
{
	int ret = rte_eth_dev_start(get_lower(dev));

	if (ret != 0)
		return ret;
	dev->data->dev_started = 1;
	copy_queue_states(dev);
	(void)update_link(dev, 0);
	return 0;
}

static int
stop(struct rte_eth_dev *dev)
{
	int ret = rte_eth_dev_stop(get_lower(dev));

	if (ret != 0)
		return ret;
	dev->data->dev_started = 0;
	copy_queue_states(dev);
	(void)update_link(dev, 0);
	return 0;
}

static int
get_info(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	struct rte_eth_dev_info lower;
	int ret = rte_eth_dev_info_get(get_lower(dev), &lower);

	if (ret != 0)
		return ret;
	lower.device = info->device;
	*info = lower;
	return 0;
}

static int
set_mtu(struct rte_eth_dev *dev, uint16_t mtu)
{
	return rte_eth_dev_set_mtu(get_lower(dev), mtu);
}

static int
set_mac(struct rte_eth_dev *dev, struct rte_ether_addr *mac)
{
	return rte_eth_dev_default_mac_addr_set(get_lower(dev), mac);
}

static int
enable_promiscuous(struct rte_eth_dev *dev)
{
	return rte_eth_promiscuous_enable(get_lower(dev));
}

static int
disable_promiscuous(struct rte_eth_dev *dev)
{
	return rte_eth_promiscuous_disable(get_lower(dev));
}

static int
enable_allmulticast(struct rte_eth_dev *dev)
{
	return rte_eth_allmulticast_enable(get_lower(dev));
}

static int
disable_allmulticast(struct rte_eth_dev *dev)
{
	return rte_eth_allmulticast_disable(get_lower(dev));
}

static int
set_up_rx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors,
	unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	return rte_eth_rx_queue_setup(get_lower(dev), index, n_descriptors, socket, conf, pool);
}

static int
set_up_tx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors,
	unsigned int socket, const struct rte_eth_txconf *conf)
{
	return rte_eth_tx_queue_setup(get_lower(dev), index, n_descriptors, socket, conf);
}

/** Start or stop a queue of the lower port, and show its state. */
static int
switch_queue(struct rte_eth_dev *dev, int (*how)(uint16_t port, uint16_t queue), uint16_t index)
{
	int ret = how(get_lower(dev), index);

	copy_queue_states(dev);
	return ret;
}

static int
start_rx_queue(struct rte_eth_dev *dev, uint16_t index)
{
	return switch_queue(dev, rte_eth_dev_rx_queue_start, index);
}

static int
stop_rx_queue(struct rte_eth_dev *dev, uint16_t index)
{
	return switch_queue(dev, rte_eth_dev_rx_queue_stop, index);
}

static int
start_tx_queue(struct rte_eth_dev *dev, uint16_t index)
{
	return switch_queue(dev, rte_eth_dev_tx_queue_start, index);
}

static int
stop_tx_queue(struct rte_eth_dev *dev, uint16_t index)
{
	return switch_queue(dev, rte_eth_dev_tx_queue_stop, index);
}

static int
get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	return rte_eth_stats_get(get_lower(dev), stats);
}

static int
reset_stats(struct rte_eth_dev *dev)
{
	return rte_eth_stats_reset(get_lower(dev));
}

void
nmx_wrapport_get_operations(struct eth_dev_ops *ret_operations)
{
	*ret_operations = (struct eth_dev_ops){
		.dev_configure = configure,
		.dev_start = start,
		.dev_stop = stop,
		.dev_infos_get = get_info,
		.link_update = update_link,
		.mtu_set = set_mtu,
		.mac_addr_set = set_mac,
		.promiscuous_enable = enable_promiscuous,
		.promiscuous_disable = disable_promiscuous,
		.allmulticast_enable = enable_allmulticast,
		.allmulticast_disable = disable_allmulticast,
		.rx_queue_setup = set_up_rx_queue,
		.tx_queue_setup = set_up_tx_queue,
		.rx_queue_start = start_rx_queue,
		.rx_queue_stop = stop_rx_queue,
		.tx_queue_start = start_tx_queue,
		.tx_queue_stop = stop_tx_queue,
		.stats_get = get_stats,
		.stats_reset = reset_stats,
	};
}

/* --- The upper port --- */

int
nmx_wrapport_init_port(struct rte_eth_dev *dev, const struct eth_dev_ops *operations)
{
	const struct rte_eth_dev_data *lower = rte_eth_devices[get_lower(dev)].data;

	dev->data->mac_addrs = rte_zmalloc(NULL, sizeof(struct rte_ether_addr), 0);
	if (dev->data->mac_addrs == NULL)
		return -ENOMEM;
	(void)rte_eth_macaddr_get(get_lower(dev), &dev->data->mac_addrs[0]);
	dev->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS |
				(lower->dev_flags & RTE_ETH_DEV_INTR_LSC);
	dev->data->mtu = lower->mtu;
	dev->dev_ops = operations;
	return rte_eth_dev_callback_register(
		get_lower(dev), RTE_ETH_EVENT_INTR_LSC, on_link_change, dev);
}

void
nmx_wrapport_fini_port(struct rte_eth_dev *dev)
{
	/* While one runs, it is refused: for as long as a program needs to take notice. */
	for (int i = 0; i < UNREGISTER_TRIES; i++) {
		if (rte_eth_dev_callback_unregister(
			    get_lower(dev), RTE_ETH_EVENT_INTR_LSC, on_link_change, dev) != -EAGAIN)
			return;
		rte_delay_us_sleep(UNREGISTER_PAUSE_US);
	}
}
