/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What an uplink's queue does with its buffers: tried, not believed.
 *
 * A driver's word is worth little here. One says that it has stopped its queue, and keeps all
 * buffers (tap); one has no such call, and keeps none (null, pcap, af_packet). So before any
 * guest's buffer is lent, the queue runs on the shells' own room, and these are counted: after some
 * idle bursts, and once more after a stop.
 */

#include <rte_ethdev.h>

#include "loans.h"
#include "uplink.h"

/** More than what any driver waits for before it refills. */
#define IDLE_BURSTS 64
#define BURST       32

const char *
nmx_rxmap_explain_verdict(enum nmx_rxmap_verdict verdict)
{
	switch (verdict) {
	case NMX_RXMAP_UNTRIED:
		return "untried: its port hasn't been started";
	case NMX_RXMAP_HOLDS_NOTHING:
		return "it holds no buffers";
	case NMX_RXMAP_GIVES_BACK:
		return "it holds buffers, and gives them back when it is stopped";
	case NMX_RXMAP_KEEPS:
		return "it holds buffers, and keeps them when it is stopped";
	case NMX_RXMAP_NEEDS_VA:
		return "its device goes by physical addresses; start EAL with --iova-mode=va";
	case NMX_RXMAP_KNOWS_POOLS:
		return "its device goes by pools of buffers, not by their addresses";
	case NMX_RXMAP_INSERTS_TAGS:
		return "it puts VLAN tags in front of frames; have it strip them";
	case NMX_RXMAP_UNKNOWN_DEVICE:
		return "it is a port over others, whose devices aren't known; name one of those";
	}
	return "unknown";
}

/** True if no shells are out, but those that may be in a Tx queue yet. */
static bool
holds_nothing(const struct nmx_rxmap *map)
{
	return rte_mempool_in_use_count(map->pool) <= map->n_in_tx;
}

/** Poll; what comes is lost. */
static void
poll_idly(struct nmx_rxmap *map)
{
	struct rte_mbuf *mbufs[BURST];

	for (int i = 0; i < IDLE_BURSTS; i++) {
		uint16_t n = rte_eth_rx_burst(map->uplink.port, map->uplink.number, mbufs, BURST);

		rte_pktmbuf_free_bulk(mbufs, n);
	}
}

static enum nmx_rxmap_verdict
try_queue(struct nmx_rxmap *map)
{
	enum nmx_rxmap_verdict verdict = nmx_rxmap_judge_device(map->uplink.port);
	bool gives_back;

	if (verdict != NMX_RXMAP_UNTRIED)
		return verdict;
	poll_idly(map);
	if (holds_nothing(map))
		return NMX_RXMAP_HOLDS_NOTHING;
	if (rte_eth_dev_rx_queue_stop(map->uplink.port, map->uplink.number) != 0)
		return NMX_RXMAP_KEEPS;
	gives_back = holds_nothing(map);
	if (rte_eth_dev_rx_queue_start(map->uplink.port, map->uplink.number) != 0)
		return NMX_RXMAP_KEEPS;
	return gives_back ? NMX_RXMAP_GIVES_BACK : NMX_RXMAP_KEEPS;
}

enum nmx_rxmap_verdict
nmx_rxmap_try_uplink(struct nmx_rxmap *map)
{
	enum nmx_rxmap_verdict verdict = nmx_rxmap_get_verdict(map), judged;

	/* Later, mbufs may be out that a program has. */
	if (verdict == NMX_RXMAP_UNTRIED)
		verdict = try_queue(map);
	else if (nmx_rxmap_is_fit(verdict)) {
		judged = nmx_rxmap_judge_device(map->uplink.port);
		if (judged != NMX_RXMAP_UNTRIED)
			verdict = judged;
	}
	atomic_store(&map->verdict, verdict);
	return verdict;
}

enum nmx_rxmap_verdict
nmx_rxmap_get_verdict(const struct nmx_rxmap *map)
{
	return atomic_load(&map->verdict);
}
