/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "port.h"

#include <errno.h>

#include "compat.h"

static int
attach_view(struct rte_device *device, const struct eth_dev_ops *view)
{
	struct rte_eth_dev *dev = rte_eth_dev_attach_secondary(rte_dev_name(device));

	if (dev == NULL)
		return -ENODEV;
	dev->device = device;
	dev->dev_ops = view;
	dev->rx_pkt_burst = rte_eth_pkt_burst_dummy;
	dev->tx_pkt_burst = rte_eth_pkt_burst_dummy;
	rte_eth_dev_probing_finish(dev);
	return 0;
}

int
nmx_dpdk_begin_probe(
	struct rte_device *device, const struct eth_dev_ops *view, int logtype, const char *driver)
{
	int ret;

	if (!nmx_dpdk_is_built_for()) {
		rte_log(RTE_LOG_ERR, logtype,
			"%s: built for DPDK " NMX_DPDK_BUILT_FOR ", but this is %s; rebuild\n",
			driver, rte_version());
		return -ENOTSUP;
	}
	if (rte_eal_process_type() == RTE_PROC_PRIMARY)
		return 0;
	ret = attach_view(device, view);
	if (ret == 0)
		return 1;
	rte_log(RTE_LOG_ERR, logtype,
		"%s: the primary has no port %s; let it make the port first\n", driver,
		rte_dev_name(device));
	return ret;
}

int
nmx_dpdk_end_probe(struct rte_eth_dev *dev, nmx_dpdk_init_port *init, void *context, int logtype,
	const char *driver)
{
	int ret;

	if (dev == NULL) {
		rte_log(RTE_LOG_ERR, logtype,
			"%s: no room for another port; this DPDK has %u, or no memory for one\n",
			driver, RTE_MAX_ETHPORTS);
		return -ENOSPC;
	}
	ret = init(dev, context);
	if (ret != 0)
		rte_eth_dev_release_port(dev);
	else
		rte_eth_dev_probing_finish(dev);
	return ret;
}

int
nmx_dpdk_close_view(struct rte_eth_dev *dev)
{
	(void)dev;
	return 0;
}

int
nmx_dpdk_keep_link(struct rte_eth_dev *dev, int wait)
{
	(void)dev;
	(void)wait;
	return -1;
}

int
nmx_dpdk_remove_port(const char *name)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(name);
	int ret = 0;

	/* In a secondary the name stays when the port is closed here. */
	if (dev == NULL || dev->state == RTE_ETH_DEV_UNUSED)
		return 0;
	if (rte_eal_process_type() == RTE_PROC_PRIMARY && dev->data->dev_started)
		ret = rte_eth_dev_stop(dev->data->port_id);
	return ret == 0 ? rte_eth_dev_close(dev->data->port_id) : ret;
}
