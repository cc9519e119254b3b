/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Taking and giving back a burst's mbufs, for the inner loops of drivers.
 *
 * rte_pktmbuf_alloc_bulk() and rte_pktmbuf_free_bulk() do more than a driver needs: a driver
 * overwrites what the first resets, and the second is a call that treats every mbuf as a chain.
 * What a raw mbuf out of a pool already is (no next, one reference) DPDK documents at
 * rte_mbuf_raw_alloc().
 */

#ifndef NMX_DPDK_MBUFS_H
#define NMX_DPDK_MBUFS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

/** Most mbufs of one nmx_dpdk_free_mbufs(). */
#define NMX_DPDK_FREE_MAX 32

/**
 * An mbuf's first fields as a fresh one has them, in one word.
 *
 * @param port_id   that received it
 * @param headroom  bytes in front of the data, at most the buffer's
 */
static inline uint64_t
nmx_dpdk_make_rearm(uint16_t port_id, uint16_t headroom)
{
	struct rte_mbuf mbuf = { .data_off = headroom, .nb_segs = 1, .port = port_id };
	uint64_t word;

	rte_mbuf_refcnt_set(&mbuf, 1);
	memcpy(&word, &mbuf.rearm_data, sizeof(word));
	return word;
}

/**
 * Make a raw mbuf a received frame of one segment: everything that a driver without offloads owes.
 *
 * @param rearm  of nmx_dpdk_make_rearm()
 */
static inline void
nmx_dpdk_fill_mbuf(struct rte_mbuf *mbuf, uint64_t rearm, uint16_t bytes)
{
	memcpy((uint8_t *)mbuf + offsetof(struct rte_mbuf, rearm_data), &rearm, sizeof(rearm));
	mbuf->ol_flags = 0;
	mbuf->packet_type = 0;
	mbuf->pkt_len = bytes;
	mbuf->data_len = bytes;
}

/**
 * Free mbufs, runs of one pool at once.
 *
 * @param n       at most NMX_DPDK_FREE_MAX
 * @param chains  constant: each is the head of a chain that is freed whole; else only itself
 */
static inline __attribute__((always_inline)) void
nmx_dpdk_free_mbufs(struct rte_mbuf **mbufs, uint32_t n, const bool chains)
{
	void *run[NMX_DPDK_FREE_MAX];
	struct rte_mempool *pool = NULL;
	uint32_t n_run = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		if (chains && unlikely(mbuf->next != NULL)) {
			rte_pktmbuf_free(mbuf);
			continue;
		}
		mbuf = rte_pktmbuf_prefree_seg(mbuf);
		if (unlikely(mbuf == NULL))
			continue; /* somebody else has it, too */
		if (unlikely(mbuf->pool != pool)) {
			if (n_run > 0)
				rte_mempool_put_bulk(pool, run, n_run);
			n_run = 0;
			pool = mbuf->pool;
		}
		run[n_run++] = mbuf;
	}
	if (n_run > 0)
		rte_mempool_put_bulk(pool, run, n_run);
}

#endif
