/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A map's inner state, and the fast path of its lender. Private to drivers/common.
 *
 * Theory of operation
 *
 *             dequeue: lend, or own room           rx_burst
 *   free ------------------------------> out ---------------> a program's
 *    ^                                    |                       |
 *    |            enqueue (freed)         v                       v
 *    +<-----------------------------------+<----------------------+
 *    |                                                            |
 *    +<------- nmx_rxmap_finish_loans(): its frame is answered ---+
 *
 * Each shell that is out with a lender's buffer has a *loan* {shell, copy of the descriptor}. Loans
 * stand in a FIFO: NICs give back in the order in which they took, so a frame's loan is the oldest
 * one, found by one comparison with the shell's address. That is the fast path, which reads nothing
 * of an mbuf but its first cache line. Whoever comes out of order is searched for, from both ends.
 * A shell that is freed with its loan gives the buffer back to the front of the lender's.
 *
 * `busy` guards shells, loans and the lender's ring: a data thread of the uplink's queue and one of
 * the guest's queue are the same thread in nicmuxd, but needn't be in other programs. Dequeue and
 * nmx_guestport_send() spin for it, for less than a burst. Enqueue, which may run inside either,
 * doesn't: what it can't put away at once it puts aside, and who has `busy` next takes it from
 * there.
 *
 * Shown frames (rxmap.h) are external buffers whose information is in the shell's private area. The
 * last reference to the buffer may go before the shell does, or behind it: `shown` says what has
 * come so far, and who comes second ends the loan.
 */

#ifndef NMX_RXMAP_LOANS_H
#define NMX_RXMAP_LOANS_H

#include <stdatomic.h>
#include <sys/queue.h>

#include <rte_common.h>
#include <rte_pause.h>
#include <rte_spinlock.h>

#include "lib/ring/window.h"
#include "rxmap.h"

/** Buffers lent in one call. */
#define NMX_RXMAP_LEND_MAX 64

struct nmx_rxmap_loan {
	struct rte_mbuf *shell;
	struct nmx_ring_slot slot;
};

/** Where buffers come from. All with `busy` held. */
struct nmx_rxmap_lender {
	/**
	 * Lend at most n buffers, at most NMX_RXMAP_LEND_MAX.
	 *
	 * @param room        bytes that each must have
	 * @param ret_starts  where the NIC may write; RTE_PKTMBUF_HEADROOM in front are the
	 *                    guest's, too
	 * @param ret_loans   get the descriptors
	 * @param ret_why     if there are less than n: what the next one failed for
	 */
	uint32_t (*lend)(void *context, uint32_t room, uint8_t **ret_starts,
		struct nmx_rxmap_loan *ret_loans, uint32_t n, enum nmx_rxmap_reason *ret_why);
	/** A lent buffer comes back empty. */
	void (*take_back)(void *context, const struct nmx_ring_slot *slot);
};

struct nmx_rxmap {
	_Atomic bool busy;
	bool shown;
	bool populated;      /* what is put into the pool are mbufs */
	_Atomic int verdict; /* enum nmx_rxmap_verdict */
	_Atomic int tx_verdict;
	uint32_t n_in_tx;     /* shells that its trial left there */
	_Atomic bool lending; /* it is wanted */
	uint16_t room;
	uint32_t n_free;
	struct rte_mbuf **free; /* a stack */
	struct nmx_rxmap_loan *loans;
	uint32_t loan_mask, oldest, next; /* free-running */
	uint64_t rearm;                   /* of a frame that nobody changed, without its port */
	struct rte_mempool *pool;
	const struct nmx_rxmap_lender *lender; /* NULL: none */
	void *lender_context;
	struct nmx_rxmap_counters counters;

	struct nmx_rxmap_queue uplink __rte_cache_aligned; /* its queue */
	LIST_ENTRY(nmx_rxmap) in_telemetry;

	/* Put aside. */
	rte_spinlock_t aside_lock;
	_Atomic uint32_t n_aside;
	struct rte_mbuf **aside;
} __rte_cache_aligned;

/** True if it is wanted, and the uplink's queue is known to give back. */
static inline bool
nmx_rxmap_may_lend(const struct nmx_rxmap *map)
{
	return atomic_load_explicit(&map->lending, memory_order_relaxed) &&
	       nmx_rxmap_is_fit((enum nmx_rxmap_verdict)atomic_load_explicit(
		       &map->verdict, memory_order_relaxed));
}

/** What has happened to a shell that is shown. */
enum {
	NMX_RXMAP_HIDDEN = 0, /* it isn't shown */
	NMX_RXMAP_SHOWN = 1,
	NMX_RXMAP_SHELL_BACK = 2,  /* and is in the pool again */
	NMX_RXMAP_BUFFER_BACK = 4, /* and nobody refers to the buffer */
};

/** A shell's private area. */
struct nmx_rxmap_private {
	struct rte_mbuf_ext_shared_info information;
	_Atomic uint32_t shown;
};

static inline struct nmx_rxmap_private *
nmx_rxmap_get_private(struct rte_mbuf *shell)
{
	return rte_mbuf_to_priv(shell);
}

static inline void
nmx_rxmap_lock(struct nmx_rxmap *map)
{
	while (atomic_exchange_explicit(&map->busy, true, memory_order_acquire))
		rte_pause();
}

static inline bool
nmx_rxmap_try_lock(struct nmx_rxmap *map)
{
	return !atomic_exchange_explicit(&map->busy, true, memory_order_acquire);
}

static inline void
nmx_rxmap_unlock(struct nmx_rxmap *map)
{
	atomic_store_explicit(&map->busy, false, memory_order_release);
}

/** Make received frames in lent buffers fit for any program. */
void nmx_rxmap_show(const struct nmx_rxmap *map, struct rte_mbuf **mbufs, uint16_t n);

/** Put away what was put aside. Context: `busy` held. */
void nmx_rxmap_sweep(struct nmx_rxmap *map);

/** Bring a shell's loan to the oldest place, wherever it is. @return false: it has none */
bool nmx_rxmap_find_loan(struct nmx_rxmap *map, const struct rte_mbuf *shell);

/** A shell's own room. */
static inline uint8_t *
nmx_rxmap_get_home(struct rte_mbuf *shell)
{
	return (uint8_t *)nmx_rxmap_get_private(shell) + sizeof(struct nmx_rxmap_private);
}

/** True if a shell points at something other than its own room. */
static inline bool
nmx_rxmap_is_away(struct rte_mbuf *shell)
{
	return shell->buf_addr != nmx_rxmap_get_home(shell);
}

/**
 * How many of these frames are to be answered where they lie, in the order in which their buffers
 * were lent: those in front of the first that has another loan than is its turn, or none, that
 * isn't as the NIC left it, or that somebody else refers to. Context: `busy` held.
 *
 * @param flags                 of an mbuf that isn't, either; constant
 * @param bytes_min, bytes_max  of a frame; a driver may have claimed more than there is room for
 * @param ret_answers           n words: the low half of each descriptor's answer, length and id
 */
static inline uint32_t
nmx_rxmap_count_in_place(const struct nmx_rxmap *map, struct rte_mbuf *const *mbufs, uint32_t n,
	const uint64_t flags, uint32_t bytes_min, uint32_t bytes_max, uint32_t *ret_answers)
{
	const uint64_t rearm = map->rearm;
	uint32_t i;

	bytes_max = RTE_MIN(bytes_max, (uint32_t)map->room);
	if (unlikely(bytes_max < bytes_min))
		return 0;
	n = RTE_MIN(n, map->next - map->oldest);
	for (i = 0; i < n; i++) {
		const struct nmx_rxmap_loan *loan = &map->loans[(map->oldest + i) & map->loan_mask];
		struct rte_mbuf *mbuf = mbufs[i];
		uint64_t found;

		memcpy(&found, &mbuf->rearm_data, sizeof(found));
		if (unlikely(loan->shell != mbuf || (found & RTE_LEN2MASK(48, uint64_t)) != rearm ||
			     (flags != 0 && (mbuf->ol_flags & flags) != 0) ||
			     mbuf->pkt_len != mbuf->data_len ||
			     mbuf->pkt_len - bytes_min > bytes_max - bytes_min))
			break;
		if (map->shown &&
			rte_mbuf_ext_refcnt_read(&nmx_rxmap_get_private(mbuf)->information) != 1)
			break;
		ret_answers[i] = mbuf->data_len | (uint32_t)loan->slot.id << 16;
	}
	return i;
}

/**
 * The same of one frame, whose turn it needn't be: true, and its loan is the oldest one. Context:
 * `busy` held.
 */
static inline bool
nmx_rxmap_is_in_place(struct nmx_rxmap *map, struct rte_mbuf *mbuf, uint32_t bytes_min,
	uint32_t bytes_max, uint32_t *ret_answer)
{
	return mbuf->pool == map->pool && nmx_rxmap_is_away(mbuf) &&
	       nmx_rxmap_find_loan(map, mbuf) &&
	       nmx_rxmap_count_in_place(map, &mbuf, 1, 0, bytes_min, bytes_max, ret_answer) == 1;
}

/** The frames of the n oldest loans are answered: their shells are free. Context: `busy` held. */
static inline void
nmx_rxmap_finish_loans(struct nmx_rxmap *map, struct rte_mbuf *const *shells, uint32_t n)
{
	struct rte_mbuf **free = map->free + map->n_free;

	for (uint32_t i = 0; i < n; i++) {
		if (map->shown)
			atomic_store_explicit(&nmx_rxmap_get_private(shells[i])->shown,
				NMX_RXMAP_HIDDEN, memory_order_relaxed);
		free[i] = shells[i];
	}
	map->n_free += n;
	map->oldest += n;
}

/** Loans that aren't finished. Context: `busy` held. */
static inline uint32_t
nmx_rxmap_count_loans(const struct nmx_rxmap *map)
{
	return map->next - map->oldest;
}

#endif
