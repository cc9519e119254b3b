/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "port.h"

struct rte_mempool *
start_port(const struct port_wants *wants)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"port", wants->n_mbufs, wants->n_cached, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	int ret;

	if (pool == NULL || rte_eth_dev_count_avail() == 0)
		return NULL;
	ret = rte_eth_dev_configure(0, 1, 1, &wants->conf);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(0, 0, wants->n_slots, 0, NULL, pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(0, 0, wants->n_slots, 0, NULL);
	if (ret == 0)
		ret = rte_eth_dev_start(0);
	return ret == 0 ? pool : NULL;
}
