/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "mapped.h"

#include <stdio.h>

#include <rte_errno.h>
#include <rte_ethdev.h>

#include "guest.h"

/** Mbufs beside those that the queue holds: of bursts under way, and what refills it meanwhile. */
#define SPARE (8 * NMX_MUX_BURST)

int
nmx_mux_init_mapped(struct nmx_mux_mapped *mapped, struct nmx_rxmap_recaller *recaller,
	const char *name, uint16_t port_id, uint16_t queue, uint16_t n_held, uint16_t room,
	struct nmx_mux_error *ret_error)
{
	char pool[RTE_MEMPOOL_NAMESIZE];
	const struct nmx_rxmap_config config = {
		.name = pool,
		.port = port_id,
		.queue = queue,
		.n_shells = n_held + SPARE,
		.room = room,
		.socket = rte_eth_dev_socket_id(port_id),
		.recaller = recaller,
	};
	const char *reason;
	int ret;

	snprintf(pool, sizeof(pool), "map%u_%.16s", queue, name);
	ret = nmx_rxmap_create(&config, &mapped->map, &reason);
	if (ret != 0)
		nmx_mux_set_error(ret_error, "uplink %s: queue %u can't be mapped: %s (%s)", name,
			queue, reason, rte_strerror(-ret));
	return ret;
}

bool
nmx_mux_fini_mapped(struct nmx_mux_mapped *mapped)
{
	if (mapped->map == NULL)
		return true;
	if (!rte_mempool_full(nmx_rxmap_get_pool(mapped->map)))
		return false;
	nmx_rxmap_destroy(mapped->map);
	mapped->map = NULL;
	return true;
}
