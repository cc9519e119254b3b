/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** A map's life, and the uplink's queue. The pool's operations are in pool.c. */

#include "rxmap.h"

#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "lib/dpdk/mbufs.h"
#include "pool.h"
#include "telemetry.h"

/** Of a mempool's name, with its end. */
#define NAME_ROOM RTE_MEMPOOL_NAMESIZE

static_assert(sizeof(struct nmx_rxmap_private) % RTE_MBUF_PRIV_ALIGN == 0, "a private area");

/** A shell's first fields as its receiver left them, without the port. */
static uint64_t
make_rearm(bool shown)
{
	return nmx_dpdk_make_rearm(0, shown ? 0 : RTE_PKTMBUF_HEADROOM);
}

static void
free_map(struct nmx_rxmap *map)
{
	rte_mempool_free(map->pool);
	rte_free(map->free);
	rte_free(map->loans);
	rte_free(map->aside);
	rte_free(map);
}

static struct nmx_rxmap *
allocate_map(const struct nmx_rxmap_config *config)
{
	struct nmx_rxmap *map = rte_zmalloc_socket(
		NULL, sizeof(*map), RTE_CACHE_LINE_SIZE, config->socket);
	const uint32_t n = config->n_shells, n_loans = rte_align32pow2(n);

	if (map == NULL)
		return NULL;
	map->free = rte_malloc_socket(NULL, n * sizeof(*map->free), 0, config->socket);
	map->aside = rte_malloc_socket(NULL, n * sizeof(*map->aside), 0, config->socket);
	map->loans = rte_zmalloc_socket(NULL, n_loans * sizeof(*map->loans), 0, config->socket);
	if (map->free == NULL || map->aside == NULL || map->loans == NULL) {
		free_map(map);
		return NULL;
	}
	map->loan_mask = n_loans - 1;
	map->room = config->room;
	map->shown = config->shown;
	map->rearm = make_rearm(config->shown);
	map->lending = true;
	map->uplink.port = config->port;
	map->uplink.number = config->queue;
	rte_spinlock_init(&map->aside_lock);
	return map;
}

static void
on_buffer_back(void *buffer, void *context)
{
	(void)buffer;
	nmx_rxmap_note_buffer_back(context);
}

static void
init_shell(struct rte_mempool *pool, void *context, void *object, unsigned int i)
{
	struct rte_mbuf *shell = object;
	struct nmx_rxmap_private *private = nmx_rxmap_get_private(shell);

	(void)pool;
	(void)context;
	(void)i;
	private->information.free_cb = on_buffer_back;
	private->information.fcb_opaque = shell;
	rte_mbuf_ext_refcnt_set(&private->information, 1);
	atomic_init(&private->shown, NMX_RXMAP_HIDDEN);
	shell->shinfo = &private->information;
}

int
nmx_rxmap_create(
	const struct nmx_rxmap_config *config, struct nmx_rxmap **ret_map, const char **ret_reason)
{
	struct nmx_rxmap *map = allocate_map(config);
	int ret;

	*ret_reason = "no memory; give EAL more";
	if (map == NULL)
		return -ENOMEM;
	ret = nmx_rxmap_make_pool(map, config);
	if (ret != 0) {
		if (ret == -EEXIST || strlen(config->name) >= NAME_ROOM)
			*ret_reason = "its mempool's name is taken, or too long";
		free_map(map);
		return ret;
	}
	rte_mempool_obj_iter(map->pool, init_shell, NULL);
	nmx_rxmap_add_queue(config->recaller, &map->uplink);
	nmx_rxmap_show_in_telemetry(map);
	*ret_map = map;
	return 0;
}

void
nmx_rxmap_destroy(struct nmx_rxmap *map)
{
	if (map == NULL)
		return;
	nmx_rxmap_hide_in_telemetry(map);
	nmx_rxmap_remove_queue(&map->uplink);
	free_map(map);
}

void
nmx_rxmap_set_lending(struct nmx_rxmap *map, bool lending)
{
	atomic_store(&map->lending, lending);
}

struct rte_mempool *
nmx_rxmap_get_pool(const struct nmx_rxmap *map)
{
	return map->pool;
}

void
nmx_rxmap_get_counters(const struct nmx_rxmap *map, struct nmx_rxmap_counters *ret_counters)
{
	*ret_counters = map->counters;
}

/** One segment, in a buffer that is lent. */
static inline void
show_segment(struct rte_mbuf *mbuf)
{
	if (likely(mbuf->data_off >= RTE_PKTMBUF_HEADROOM)) {
		/* What is in front is the guest's, and nobody's to prepend to. */
		mbuf->buf_addr = RTE_PTR_ADD(mbuf->buf_addr, RTE_PKTMBUF_HEADROOM);
		rte_mbuf_iova_set(mbuf, rte_mbuf_iova_get(mbuf) + RTE_PKTMBUF_HEADROOM);
		mbuf->buf_len -= RTE_PKTMBUF_HEADROOM;
		mbuf->data_off -= RTE_PKTMBUF_HEADROOM;
	}
	mbuf->ol_flags |= RTE_MBUF_F_EXTERNAL;
	atomic_store_explicit(
		&nmx_rxmap_get_private(mbuf)->shown, NMX_RXMAP_SHOWN, memory_order_relaxed);
}

static void
show_chain(const struct nmx_rxmap *map, struct rte_mbuf *mbuf)
{
	for (; mbuf != NULL; mbuf = mbuf->next)
		if (mbuf->pool == map->pool && nmx_rxmap_is_away(mbuf))
			show_segment(mbuf);
}

void
nmx_rxmap_show(const struct nmx_rxmap *map, struct rte_mbuf **mbufs, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		if (unlikely(mbufs[i]->nb_segs > 1))
			show_chain(map, mbufs[i]);
		else if (likely(mbufs[i]->pool == map->pool && nmx_rxmap_is_away(mbufs[i])))
			show_segment(mbufs[i]);
	}
}

uint16_t
nmx_rxmap_receive(struct nmx_rxmap *map, struct rte_mbuf **mbufs, uint16_t n)
{
	if (unlikely(!nmx_rxmap_enter_queue(&map->uplink)))
		return 0;
	n = rte_eth_rx_burst(map->uplink.port, map->uplink.number, mbufs, n);
	if (map->shown)
		nmx_rxmap_show(map, mbufs, n);
	nmx_rxmap_leave_queue(&map->uplink);
	return n;
}
