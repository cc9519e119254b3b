/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The mempool's operations: where a NIC's driver, and whoever frees an mbuf, meets the map.
 *
 * Dequeue never fails for want of the guest's buffers: a driver that gets no mbuf may stop
 * delivering what it has, and a guest that waits for frames posts none. Enqueue keeps to what
 * loans.h says.
 */

#include "pool.h"

#include <errno.h>

#include <rte_errno.h>

#define OPERATIONS "nmx_rxmap"

/* --- Loans out of order --- */

static inline struct nmx_rxmap_loan *
get_place(const struct nmx_rxmap *map, uint32_t seq)
{
	return &map->loans[seq & map->loan_mask];
}

/** Where a shell's loan is; `next` if it has none. Looks at both ends first. */
static uint32_t
find_place(const struct nmx_rxmap *map, const struct rte_mbuf *shell)
{
	uint32_t low = map->oldest, high = map->next;

	while (low != high) {
		if (get_place(map, low)->shell == shell)
			return low;
		low++;
		if (low == high)
			break;
		high--;
		if (get_place(map, high)->shell == shell)
			return high;
	}
	return map->next;
}

/** Make a loan the oldest one, all others in their order. */
static void
pull_loan(struct nmx_rxmap *map, uint32_t seq)
{
	const struct nmx_rxmap_loan loan = *get_place(map, seq);

	for (; seq != map->oldest; seq--)
		*get_place(map, seq) = *get_place(map, seq - 1);
	*get_place(map, seq) = loan;
}

/** Take a loan out. */
static void
remove_loan(struct nmx_rxmap *map, uint32_t seq)
{
	if (seq - map->oldest <= map->next - seq) {
		pull_loan(map, seq);
		map->oldest++;
		return;
	}
	for (; seq + 1 != map->next; seq++)
		*get_place(map, seq) = *get_place(map, seq + 1);
	map->next--;
}

bool
nmx_rxmap_find_loan(struct nmx_rxmap *map, const struct rte_mbuf *shell)
{
	uint32_t seq = find_place(map, shell);

	if (seq == map->next)
		return false;
	map->counters.disordered += seq != map->oldest;
	pull_loan(map, seq);
	return true;
}

/* --- Shells that come back --- */

static void
hide(struct rte_mbuf *shell)
{
	struct nmx_rxmap_private *private = nmx_rxmap_get_private(shell);

	rte_mbuf_ext_refcnt_set(&private->information, 1);
	atomic_store_explicit(&private->shown, NMX_RXMAP_HIDDEN, memory_order_relaxed);
}

/** True if a shell that is freed may have a loan. */
static inline bool
may_have_loan(const struct nmx_rxmap *map, struct rte_mbuf *shell)
{
	return nmx_rxmap_is_away(shell) ||
	       (map->shown && atomic_load_explicit(&nmx_rxmap_get_private(shell)->shown,
				      memory_order_relaxed) != NMX_RXMAP_HIDDEN);
}

/** End a shell's loan, if it has one; it is free. Context: `busy` held. */
static void
put_away(struct nmx_rxmap *map, struct rte_mbuf *shell)
{
	if (unlikely(may_have_loan(map, shell))) {
		uint32_t seq = find_place(map, shell);

		if (seq != map->next) {
			map->lender->take_back(map->lender_context, &get_place(map, seq)->slot);
			remove_loan(map, seq);
			map->counters.came_back++;
		}
		hide(shell);
	}
	map->free[map->n_free++] = shell;
}

/** Context: `busy` not held. */
static void
put_aside(struct nmx_rxmap *map, struct rte_mbuf *shell)
{
	uint32_t n;

	rte_spinlock_lock(&map->aside_lock);
	n = atomic_load_explicit(&map->n_aside, memory_order_relaxed);
	map->aside[n] = shell;
	atomic_store_explicit(&map->n_aside, n + 1, memory_order_relaxed);
	rte_spinlock_unlock(&map->aside_lock);
}

/** Context: `busy` held. */
static void
clear_aside(struct nmx_rxmap *map)
{
	uint32_t n;

	rte_spinlock_lock(&map->aside_lock);
	n = atomic_load_explicit(&map->n_aside, memory_order_relaxed);
	while (n > 0)
		put_away(map, map->aside[--n]);
	atomic_store_explicit(&map->n_aside, 0, memory_order_relaxed);
	rte_spinlock_unlock(&map->aside_lock);
}

void
nmx_rxmap_sweep(struct nmx_rxmap *map)
{
	if (unlikely(atomic_load_explicit(&map->n_aside, memory_order_relaxed) > 0))
		clear_aside(map);
}

/** Note that half of a shown frame has come back. @return true: so has the other half */
static inline bool
note_half(struct rte_mbuf *shell, uint32_t half)
{
	/* The first one's accesses come before the second one's: acquire and release. */
	uint32_t before = atomic_fetch_or(&nmx_rxmap_get_private(shell)->shown, half);

	return (before & (NMX_RXMAP_SHELL_BACK | NMX_RXMAP_BUFFER_BACK)) != 0;
}

void
nmx_rxmap_note_buffer_back(struct rte_mbuf *shell)
{
	struct nmx_rxmap *map = shell->pool->pool_config;

	if (!note_half(shell, NMX_RXMAP_BUFFER_BACK))
		return;
	if (!nmx_rxmap_try_lock(map)) {
		put_aside(map, shell);
		return;
	}
	put_away(map, shell);
	nmx_rxmap_unlock(map);
}

/** True if the buffer of a shell that is freed has references yet; that is noted. */
static inline bool
is_referred_to(const struct nmx_rxmap *map, struct rte_mbuf *shell)
{
	return map->shown &&
	       atomic_load_explicit(&nmx_rxmap_get_private(shell)->shown, memory_order_relaxed) !=
		       NMX_RXMAP_HIDDEN &&
	       !note_half(shell, NMX_RXMAP_SHELL_BACK);
}

/* --- Shells that go out --- */

/** Point a shell at its own room. */
static void
send_home(const struct nmx_rxmap *map, struct rte_mbuf *shell)
{
	uint8_t *home = nmx_rxmap_get_home(shell);

	shell->buf_addr = home;
	rte_mbuf_iova_set(shell, rte_mempool_virt2iova(shell) + RTE_PTR_DIFF(home, shell));
	shell->buf_len = map->room + RTE_PKTMBUF_HEADROOM;
	shell->ol_flags = 0;
}

/** Point a shell at a buffer of the lender's. */
static inline void
send_away(struct rte_mbuf *shell, uint8_t *start)
{
	shell->buf_addr = start - RTE_PKTMBUF_HEADROOM;
	rte_mbuf_iova_set(shell, (uintptr_t)shell->buf_addr);
}

/** What nmx_rxmap_show() changed. */
static inline void
undo_show(const struct nmx_rxmap *map, struct rte_mbuf *shell)
{
	shell->buf_len = map->room + RTE_PKTMBUF_HEADROOM;
	shell->ol_flags = 0;
}

/** @param shown  constant: map->shown */
static inline __rte_always_inline void
send_all_away(struct nmx_rxmap *map, struct rte_mbuf **shells, uint8_t *const *starts, uint32_t n,
	const bool shown)
{
	struct nmx_rxmap_loan *loans = get_place(map, map->next);
	struct rte_mbuf **free = map->free + map->n_free;

	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *shell = *--free;

		send_away(shell, starts[i]);
		if (shown)
			undo_show(map, shell);
		loans[i].shell = shell;
		shells[i] = shell;
	}
	map->n_free -= n;
	map->next += n;
}

/**
 * Take shells with buffers of the lender's.
 *
 * @param n  at most NMX_RXMAP_LEND_MAX; there are as many shells
 * @return how many there were buffers for
 */
static inline uint32_t
take_lent(
	struct nmx_rxmap *map, struct rte_mbuf **shells, uint32_t n, enum nmx_rxmap_reason *ret_why)
{
	uint8_t *starts[NMX_RXMAP_LEND_MAX];
	/* In one piece, up to the end of the FIFO. */
	uint32_t whole = map->loan_mask + 1 - (map->next & map->loan_mask);

	n = map->lender->lend(map->lender_context, map->room, starts, get_place(map, map->next),
		RTE_MIN(n, whole), ret_why);
	if (map->shown)
		send_all_away(map, shells, starts, n, true);
	else
		send_all_away(map, shells, starts, n, false);
	return n;
}

/** Take n shells, at most NMX_RXMAP_LEND_MAX; there are as many. */
static inline void
take_shells(struct nmx_rxmap *map, struct rte_mbuf **shells, uint32_t n)
{
	enum nmx_rxmap_reason why = NMX_RXMAP_NO_GUEST;
	uint32_t n_lent = 0;

	if (map->lender != NULL && nmx_rxmap_may_lend(map)) {
		n_lent = take_lent(map, shells, n, &why);
		/* Perhaps it was only the end of the FIFO. */
		if (unlikely(n_lent < n && (map->next & map->loan_mask) == 0))
			n_lent += take_lent(map, shells + n_lent, n - n_lent, &why);
	} else if (map->lender != NULL) {
		why = atomic_load_explicit(&map->lending, memory_order_relaxed)
			      ? NMX_RXMAP_UNFIT
			      : NMX_RXMAP_UNWANTED;
	}
	map->counters.lent += n_lent;
	if (n_lent == n)
		return;
	map->counters.own[why] += n - n_lent;
	for (uint32_t i = n_lent; i < n; i++) {
		shells[i] = map->free[--map->n_free];
		if (nmx_rxmap_is_away(shells[i]))
			send_home(map, shells[i]);
	}
}

/* --- Operations --- */

static int
alloc(struct rte_mempool *pool)
{
	pool->pool_data = pool->pool_config;
	return 0;
}

static void
free_nothing(struct rte_mempool *pool)
{
	(void)pool;
}

static int
enqueue(struct rte_mempool *pool, void *const *objects, unsigned int n)
{
	struct nmx_rxmap *map = pool->pool_data;
	bool locked = nmx_rxmap_try_lock(map);

	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *shell = objects[i];

		if (unlikely(!map->populated))
			map->free[map->n_free++] = shell;
		else if (unlikely(is_referred_to(map, shell)))
			continue;
		else if (likely(locked))
			put_away(map, shell);
		else
			put_aside(map, shell);
	}
	if (locked)
		nmx_rxmap_unlock(map);
	return 0;
}

static int
dequeue(struct rte_mempool *pool, void **objects, unsigned int n)
{
	struct nmx_rxmap *map = pool->pool_data;

	nmx_rxmap_lock(map);
	nmx_rxmap_sweep(map);
	if (unlikely(n > map->n_free)) {
		nmx_rxmap_unlock(map);
		return -ENOBUFS;
	}
	while (n > 0) {
		uint32_t chunk = RTE_MIN(n, (uint32_t)NMX_RXMAP_LEND_MAX);

		take_shells(map, (struct rte_mbuf **)objects, chunk);
		objects += chunk;
		n -= chunk;
	}
	nmx_rxmap_unlock(map);
	return 0;
}

/** Any thread: a burst old, perhaps. */
static unsigned int
get_count(const struct rte_mempool *pool)
{
	const struct nmx_rxmap *map = pool->pool_data;

	return map->n_free + atomic_load_explicit(&map->n_aside, memory_order_relaxed);
}

static const struct rte_mempool_ops operations = {
	.name = OPERATIONS,
	.alloc = alloc,
	.free = free_nothing,
	.enqueue = enqueue,
	.dequeue = dequeue,
	.get_count = get_count,
};

RTE_MEMPOOL_REGISTER_OPS(operations);

/* --- Making the pool --- */

int
nmx_rxmap_make_pool(struct nmx_rxmap *map, const struct nmx_rxmap_config *config)
{
	struct rte_pktmbuf_pool_private private = {
		.mbuf_data_room_size = config->room + RTE_PKTMBUF_HEADROOM,
		.mbuf_priv_size = sizeof(struct nmx_rxmap_private),
	};
	int ret;

	map->pool = rte_mempool_create_empty(config->name, config->n_shells,
		sizeof(struct rte_mbuf) + private.mbuf_priv_size + private.mbuf_data_room_size, 0,
		sizeof(private), config->socket, 0);
	if (map->pool == NULL)
		return -rte_errno;
	ret = rte_mempool_set_ops_byname(map->pool, OPERATIONS, map);
	if (ret != 0)
		return ret;
	rte_pktmbuf_pool_init(map->pool, &private);
	ret = rte_mempool_populate_default(map->pool);
	if (ret < 0)
		return ret;
	rte_mempool_obj_iter(map->pool, rte_pktmbuf_init, NULL);
	map->populated = true;
	return 0;
}
