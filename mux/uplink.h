/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The NIC that the guests share: any DPDK port, with a queue pair and a pool of mbufs, and perhaps
 * queues that are one guest's each: Rx queues that are mapped (mapped.h), and Tx queues by which
 * its frames leave from its memory.
 */

#ifndef NMX_MUX_UPLINK_H
#define NMX_MUX_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mempool.h>

#include "config.h"
#include "counters.h"
#include "drivers/common/rxmap/tx_queue.h"
#include "lib/base/rate.h"
#include "mapped.h"

struct nmx_mux_uplink {
	struct nmx_mux_uplink_config config;
	uint16_t port_id;
	struct rte_mempool *pool; /* of received mbufs, and of copies that are sent */
	struct nmx_rxmap_recaller *recaller;
	struct nmx_mux_mapped mapped[NMX_MUX_UPLINK_QUEUES_MAX]; /* by queue; the first isn't */
	/* Tx queues, by number: those of guests' own; with config.tx_zc only. */
	struct nmx_rxmap_tx tx[NMX_MUX_UPLINK_QUEUES_MAX];
	bool has_tx; /* they are initialised */

	/* The worker's. */
	uint64_t rearm;               /* lib/dpdk/mbufs.h */
	struct nmx_rate floods;       /* in TSC cycles */
	uint64_t to_frames, to_bytes; /* sent */
	uint64_t from_frames, from_bytes;
	uint64_t from_drops[NMX_MUX_FROM_UPLINK_DROPS];
};

/**
 * True if the device is on the PCI bus, so that EAL must be told of it at its start.
 */
bool nmx_mux_is_pci(const struct nmx_mux_uplink_config *config);

/**
 * Open, configure and start.
 *
 * @param ret_error  written on failure
 * @return 0; -errno
 *
 * Context: EAL is initialised.
 */
int nmx_mux_open_uplink(const struct nmx_mux_uplink_config *config,
	struct nmx_mux_uplink **ret_uplink, struct nmx_mux_error *ret_error);

/** Stop and close. Context: no worker uses it. NULL is nothing. */
void nmx_mux_close_uplink(struct nmx_mux_uplink *uplink);

#endif
