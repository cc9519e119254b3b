/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tx_queue.h"

#include <errno.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include "uplink.h"

/** How long between two times that its driver is asked: a part of a second. */
#define TIDY_PARTS 1000
/** How often, after the last burst: what a slow link takes to send a ring. */
#define TIDIES 100

const char *
nmx_rxmap_refuse_tx(uint16_t port)
{
	struct rte_eth_dev_info info;

	switch (nmx_rxmap_judge_device(port)) {
	case NMX_RXMAP_UNKNOWN_DEVICE:
		return "it is a port over others, which nobody knows here";
	case NMX_RXMAP_KNOWS_POOLS:
		return "its driver finds memory by its mempool, which a guest's has none of";
	case NMX_RXMAP_NEEDS_VA:
		return "devices know memory by physical addresses; start with --iova-mode=va";
	default:
		break;
	}
	if (rte_eth_dev_info_get(port, &info) != 0 ||
		(info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) == 0)
		return "it sends no frames of several segments";
	return NULL;
}

void
nmx_rxmap_init_tx(
	struct nmx_rxmap_tx *tx, struct nmx_rxmap_recaller *recaller, uint16_t port, uint16_t queue)
{
	tx->uplink.port = port;
	tx->uplink.number = queue;
	tx->uplink.sends = true;
	nmx_rxmap_add_queue(recaller, &tx->uplink);
}

void
nmx_rxmap_fini_tx(struct nmx_rxmap_tx *tx)
{
	nmx_rxmap_remove_queue(&tx->uplink);
}

uint16_t
nmx_rxmap_transmit(struct nmx_rxmap_tx *tx, struct rte_mbuf **mbufs, uint16_t n, uint64_t now)
{
	n = rte_eth_tx_burst(tx->uplink.port, tx->uplink.number, mbufs, n);
	if (tx->n_tidies == 0)
		tx->tidied_tsc = now;
	tx->n_tidies = TIDIES;
	return n;
}

void
nmx_rxmap_tidy(struct nmx_rxmap_tx *tx, uint64_t now)
{
	if (likely(tx->n_tidies == 0) || now - tx->tidied_tsc < rte_get_tsc_hz() / TIDY_PARTS)
		return;
	tx->tidied_tsc = now;
	tx->n_tidies--;
	if (!nmx_rxmap_enter_queue(&tx->uplink))
		return;
	/* A driver that can't waits for a burst, or for the recaller. */
	if (rte_eth_tx_done_cleanup(tx->uplink.port, tx->uplink.number, 0) < 0)
		tx->n_tidies = 0;
	nmx_rxmap_leave_queue(&tx->uplink);
}
