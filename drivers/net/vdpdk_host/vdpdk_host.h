/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * net_vdpdk_host: a guestport as an ethdev port. No data-path logic of its own.
 *
 * Ethdev's receive is what comes from the guest, its transmit what goes to the guest; queue i is
 * the guest's queue i.
 */

#ifndef VDPDK_HOST_H
#define VDPDK_HOST_H

#include <ethdev_driver.h>
#include <rte_spinlock.h>

#include "drivers/common/guestport/guestport.h"
#include "lib/dpdk/counters.h"

extern int vdpdk_host_logtype;

#define HOST_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, vdpdk_host_logtype, "net_vdpdk_host: " format "\n", ##__VA_ARGS__)

/** What devargs say. */
struct vdpdk_host_args {
	char *path; /* NULL: missing */
	uint16_t n_queue_pairs;
	struct rte_ether_addr guest_mac;
	uint64_t mem_bytes_max;
	bool without_vectors;
};

/** The port's private data. */
struct vdpdk_host_port {
	struct nmx_guestport *guest;
	uint16_t n_queue_pairs;
	rte_spinlock_t link_lock; /* what the link is and what ethdev is told are one step */
	/* Ethdev's statistics count from here. */
	struct nmx_to_guest_counters *to_base;
	struct nmx_from_guest_counters *from_base;
	struct nmx_dpdk_counters served; /* to secondaries */
};

/* vdpdk_host_args.c */

/** Read devargs. @return 0 and *args, its path to be freed; -EINVAL after one logged sentence */
int vdpdk_host_parse_args(const char *text, struct vdpdk_host_args *args);

/* vdpdk_host_ethdev.c */

/** Fill in an allocated ethdev. @return 0; -errno after one logged sentence */
int vdpdk_host_init_port(struct rte_eth_dev *dev, const struct vdpdk_host_args *args);
/** Of a secondary's view of the port. */
extern const struct eth_dev_ops vdpdk_host_view_operations;

/* vdpdk_host_stats.c: in secondaries, too. */

/** Answer secondaries from now on; nmx_dpdk_end_counters(&port->served) ends that. */
void vdpdk_host_serve_counters(struct rte_eth_dev *dev);
int vdpdk_host_get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats);
int vdpdk_host_reset_stats(struct rte_eth_dev *dev);
int vdpdk_host_get_xstats(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n);
int vdpdk_host_get_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n);

#endif
