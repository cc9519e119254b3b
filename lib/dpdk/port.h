/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Ports without hardware of their own: their end, and a secondary process' view of them.
 *
 * A view is to look at, not to use: sockets, threads and the guest's memory are the primary's own,
 * so bursts give and take nothing here, and what would change the port isn't supported. See
 * counters.h for statistics.
 */

#ifndef NMX_DPDK_PORT_H
#define NMX_DPDK_PORT_H

#include <ethdev_driver.h>

/**
 * What a driver's probe() begins with: whether the plugin fits this DPDK, and, in a secondary
 * process, the view of the primary's port, which has the device's name. Logs why it fails.
 *
 * @param view     operations: close, link_update and what only reads shared memory
 * @param driver   its name, for the log
 * @return 0: a primary, go on; 1: the view is made, and all is done; -ENOTSUP another release of
 *         DPDK; -ENODEV the primary has no such port
 */
int nmx_dpdk_begin_probe(
	struct rte_device *device, const struct eth_dev_ops *view, int logtype, const char *driver);

/** What fills in an allocated port. @return 0; -errno after one logged sentence */
typedef int nmx_dpdk_init_port(struct rte_eth_dev *dev, void *context);

/**
 * What a driver's probe() ends with: the port is filled in and shown, or released.
 *
 * @param dev      just allocated; NULL: there was no room, which is logged
 * @return 0; -ENOSPC; what `init` returns
 */
int nmx_dpdk_end_probe(struct rte_eth_dev *dev, nmx_dpdk_init_port *init, void *context,
	int logtype, const char *driver);

/** Operations of every view: there is nothing to free, and the primary keeps the link. */
int nmx_dpdk_close_view(struct rte_eth_dev *dev);
int nmx_dpdk_keep_link(struct rte_eth_dev *dev, int wait);

/** A driver's remove(): stop and close the port, if the program hasn't. @return 0; -errno */
int nmx_dpdk_remove_port(const char *name);

#endif
