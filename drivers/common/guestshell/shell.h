/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A guestport as an ethdev port: what drivers of guests have in common. No data-path logic of its
 * own. Each plugin has a copy.
 *
 * Ethdev's receive is what comes from the guest, its transmit what goes to the guest; queue i is
 * the guest's queue i.
 */

#ifndef NMX_GUESTSHELL_SHELL_H
#define NMX_GUESTSHELL_SHELL_H

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <rte_kvargs.h>
#include <rte_spinlock.h>

#include "drivers/common/guestport/guestport.h"
#include "lib/dpdk/counters.h"

/** Of a driver. */
struct nmx_guestshell_driver {
	const char *name;
	int *logtype;
	/** Devargs; the last is NULL. */
	const char *const *keys;
	/** Those that are the driver's own. @return 0; -EINVAL after one logged sentence */
	int (*parse)(const struct nmx_guestshell_driver *driver, struct rte_kvargs *list,
		struct nmx_guestport_config *config);
	/** The key with the socket's path, which is to be freed if there was one. */
	const char *path_key;
};

#define SHELL_LOG(driver, level, format, ...)                                            \
	rte_log(RTE_LOG_##level, *(driver)->logtype, "%s: " format "\n", (driver)->name, \
		##__VA_ARGS__)

/** The port's private data. */
struct nmx_guestshell {
	const struct nmx_guestshell_driver *driver; /* in the primary */
	struct nmx_guestport *guest;
	uint16_t n_queue_pairs;
	uint32_t offloads;        /* offered to the guest: NMX_OFFLOAD_* */
	bool attaches;            /* frames from the guest: see nmx_guestport_set_attaching() */
	rte_spinlock_t link_lock; /* what the link is and what ethdev is told are one step */
	/* Ethdev's statistics count from here. */
	struct nmx_to_guest_counters *to_base;
	struct nmx_from_guest_counters *from_base;
	struct nmx_dpdk_counters served; /* to secondaries */
};

/* shell_args.c */

/* Devargs that every driver has; a driver lists them among its keys. */
#define NMX_GUESTSHELL_ARG_QUEUES  "queues"
#define NMX_GUESTSHELL_ARG_MEM_MAX "mem_max"
#define NMX_GUESTSHELL_ARG_TX_ZC   "tx_zc"
#define NMX_GUESTSHELL_ARG_MODE    "mode"

/**
 * Read a flag, if it is there.
 *
 * @param ret  0 or 1; as it was if it isn't there
 * @return 0; -EINVAL after one logged sentence
 */
int nmx_guestshell_parse_flag(const struct nmx_guestshell_driver *driver, struct rte_kvargs *list,
	const char *key, bool *ret);

/** A vdev driver's probe and remove. */
int nmx_guestshell_probe(struct rte_vdev_device *vdev, const struct nmx_guestshell_driver *driver);
int nmx_guestshell_remove(struct rte_vdev_device *vdev);

/* shell.c */

/**
 * Fill in an allocated ethdev.
 *
 * @param config    all but what is the port's own: its name and callback
 * @param attaches  large frames from the guest are sent from its memory, in queues with SCATTER
 * @return 0; -errno after one logged sentence
 */
int nmx_guestshell_init_port(struct rte_eth_dev *dev, const struct nmx_guestshell_driver *driver,
	const struct nmx_guestport_config *config, bool attaches);
/** Of a secondary's view of the port. */
extern const struct eth_dev_ops nmx_guestshell_view_operations;

/* shell_stats.c: in secondaries, too. */

/** Answer secondaries from now on; nmx_dpdk_end_counters(&port->served) ends that. */
void nmx_guestshell_serve_counters(struct rte_eth_dev *dev);
int nmx_guestshell_get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats);
int nmx_guestshell_reset_stats(struct rte_eth_dev *dev);
int nmx_guestshell_get_xstats(
	struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n);
int nmx_guestshell_get_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n);

#endif
