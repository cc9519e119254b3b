/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The bracket round a burst: how a control thread knows that a data thread has let go.
 *
 * Theory of operation
 *
 * A data thread calls a queue's burst function, or doesn't, as its program likes; no program can be
 * asked to report quiescent states. So each queue has a bracket: one word, odd while a burst runs.
 *
 *   data thread                          control thread
 *   word := odd          (1)             publish the new state            (3)
 *   read the state       (2)             membarrier                       (4)
 *   work                                 read word: even, or changed since? (5)
 *   word := even
 *
 * (1) and (2) are a store and a load that the processor may swap. (4) makes every running thread of
 * the process execute a full fence at some moment between (3) and (5): a data thread either had its
 * fence after (1), then (5) sees the odd word and waits, or before (2), then (2) sees the new
 * state. So the fast path has no fence. Where the kernel refuses membarrier, (1) is followed by a
 * full fence instead and (4) is one too.
 *
 * A word that was odd at (5) and differs later belongs to a later burst, which saw the new state.
 * 32 bits could only be mistaken if exactly 2^31 bursts passed between two looks.
 */

#ifndef NMX_BASE_BRACKET_H
#define NMX_BASE_BRACKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct nmx_bracket {
	_Atomic uint32_t word; /* written by the data thread */
	bool needs_fence;      /* fixed at init */
};

/** Make a bracket that nobody is inside. Context: before any burst. */
void nmx_base_init_bracket(struct nmx_bracket *bracket);

/** Context: data thread, first statement of a burst; state is to be read after it. */
static inline void
nmx_base_enter_bracket(struct nmx_bracket *bracket)
{
	uint32_t word = atomic_load_explicit(&bracket->word, memory_order_relaxed);

	atomic_store_explicit(&bracket->word, word + 1, memory_order_relaxed);
	/* Orders the store above before the burst's first load of state; see (1), (2). */
	if (bracket->needs_fence)
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
}

/** Context: data thread, last statement of a burst. */
static inline void
nmx_base_leave_bracket(struct nmx_bracket *bracket)
{
	uint32_t word = atomic_load_explicit(&bracket->word, memory_order_relaxed);

	/* Release: all that the burst did comes before; the other side's acquire is in (5). */
	atomic_store_explicit(&bracket->word, word + 1, memory_order_release);
}

/**
 * Step (4), once for any number of brackets and published changes.
 *
 * Context: control thread. One system call.
 * @return false: the kernel refuses now what it granted before (no memory, a filter set later);
 *         nothing may be concluded, try again
 */
bool nmx_base_fence_brackets(void);

/** Step (5): what the word is now. Call after nmx_base_fence_brackets(). */
static inline uint32_t
nmx_base_read_bracket(const struct nmx_bracket *bracket)
{
	return atomic_load_explicit(&bracket->word, memory_order_acquire);
}

/**
 * True once no burst that began before the fence is still running.
 *
 * @param seen  what nmx_base_read_bracket() returned after the fence
 */
static inline bool
nmx_base_is_bracket_quiet(const struct nmx_bracket *bracket, uint32_t seen)
{
	return (seen & 1) == 0 || nmx_base_read_bracket(bracket) != seen;
}

#endif
