/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What an uplink's Tx queue does with mbufs: tried, with a few frames in the map's shells.
 *
 * NICs give back what they have sent when they are asked for room, not when it is sent; some only
 * when their queue is stopped, some not then. A guest's buffer that was attached to such an mbuf
 * would be missed for as long.
 */

#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>

#include "loans.h"

/** What a NIC may take to send and report. */
#define IDLE_BURSTS   64
#define IDLE_PAUSE_US 150

#define FRAME_BYTES 60

/** IEEE 802, "local experimental EtherType 1". */
#define TRIAL_TYPE 0x88b5

const char *
nmx_rxmap_explain_tx_verdict(enum nmx_rxmap_tx_verdict verdict)
{
	switch (verdict) {
	case NMX_RXMAP_TX_UNTRIED:
		return "untried: that takes frames, and nobody asked for it";
	case NMX_RXMAP_TX_TAKES_NOTHING:
		return "it took no frame";
	case NMX_RXMAP_TX_HOLDS_NOTHING:
		return "it holds no buffers";
	case NMX_RXMAP_TX_GIVES_BACK:
		return "it holds buffers, and gives them back when it is stopped";
	case NMX_RXMAP_TX_KEEPS:
		return "it holds buffers, and keeps them when it is stopped";
	}
	return "unknown";
}

/** @return 0; -errno */
static int
make_frames(const struct nmx_rxmap *map, struct rte_mbuf **mbufs, unsigned int n)
{
	struct rte_ether_hdr header = { .ether_type = RTE_BE16(TRIAL_TYPE) };
	int ret = rte_eth_macaddr_get(map->uplink.port, &header.dst_addr);

	if (ret == 0 && map->room < FRAME_BYTES)
		ret = -EMSGSIZE;
	if (ret == 0)
		ret = rte_pktmbuf_alloc_bulk(map->pool, mbufs, n);
	if (ret != 0)
		return ret;
	header.src_addr = header.dst_addr;
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *frame = rte_pktmbuf_mtod(mbufs[i], uint8_t *);

		memset(frame, 0, FRAME_BYTES);
		memcpy(frame, &header, sizeof(header));
		mbufs[i]->data_len = FRAME_BYTES;
		mbufs[i]->pkt_len = FRAME_BYTES;
	}
	return 0;
}

/** @return frames that the queue took */
static uint16_t
send_frames(const struct nmx_rxmap *map, uint16_t tx_queue)
{
	struct rte_mbuf *mbufs[NMX_RXMAP_TX_TRIAL_FRAMES];
	uint16_t n;

	if (make_frames(map, mbufs, RTE_DIM(mbufs)) != 0)
		return 0;
	n = rte_eth_tx_burst(map->uplink.port, tx_queue, mbufs, RTE_DIM(mbufs));
	rte_pktmbuf_free_bulk(mbufs + n, RTE_DIM(mbufs) - n);
	return n;
}

/** Bursts without frames are when some drivers look at what was sent. */
static void
wait_idly(uint16_t port, uint16_t tx_queue)
{
	struct rte_mbuf *none[1] = { NULL };

	for (int i = 0; i < IDLE_BURSTS; i++) {
		(void)rte_eth_tx_burst(port, tx_queue, none, 0);
		rte_delay_us_sleep(IDLE_PAUSE_US);
	}
}

static enum nmx_rxmap_tx_verdict
try_queue(struct nmx_rxmap *map, uint16_t tx_queue)
{
	/* Those that the Rx queue holds since it was started stay with it: nobody polls. */
	unsigned int n_before = rte_mempool_in_use_count(map->pool);
	enum nmx_rxmap_tx_verdict verdict = NMX_RXMAP_TX_KEEPS;

	if (send_frames(map, tx_queue) == 0)
		return NMX_RXMAP_TX_TAKES_NOTHING;
	wait_idly(map->uplink.port, tx_queue);
	if (rte_mempool_in_use_count(map->pool) <= n_before)
		return NMX_RXMAP_TX_HOLDS_NOTHING;
	if (rte_eth_dev_tx_queue_stop(map->uplink.port, tx_queue) == 0) {
		if (rte_mempool_in_use_count(map->pool) <= n_before)
			verdict = NMX_RXMAP_TX_GIVES_BACK;
		if (rte_eth_dev_tx_queue_start(map->uplink.port, tx_queue) != 0)
			verdict = NMX_RXMAP_TX_KEEPS;
	}
	map->n_in_tx = rte_mempool_in_use_count(map->pool) - n_before;
	return verdict;
}

enum nmx_rxmap_tx_verdict
nmx_rxmap_try_tx(struct nmx_rxmap *map, uint16_t tx_queue)
{
	enum nmx_rxmap_tx_verdict verdict = atomic_load(&map->tx_verdict);

	if (nmx_rxmap_get_verdict(map) != NMX_RXMAP_UNTRIED)
		return verdict;
	verdict = try_queue(map, tx_queue);
	atomic_store(&map->tx_verdict, verdict);
	return verdict;
}
