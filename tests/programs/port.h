/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The port that a test program has: number 0, one queue pair. */

#ifndef NMX_PROGRAMS_PORT_H
#define NMX_PROGRAMS_PORT_H

#include <stdint.h>

#include <rte_ethdev.h>

struct port_wants {
	struct rte_eth_conf conf;
	uint16_t n_slots; /* of each ring */
	uint32_t n_mbufs;
	uint32_t n_cached; /* of them, by each lcore */
};

/** Start the port, with a pool for it. @return the pool; NULL: no port, no memory, or refused */
struct rte_mempool *start_port(const struct port_wants *wants);

#endif
