/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The window of a ring's device half: private copies of what is fetched and not answered.
 *
 * Theory of operation
 *
 *   comp       comp + lent       fetch      comp <= fetch <= comp + N, free-running, modulo N
 *    |--------------|--------------|
 *    |     lent     |    ready     |
 *    fetched, not answered yet; each that is fetched is answered exactly once
 *
 * A ready buffer is used within a burst, or *lent*: to a NIC that fills it later. Its copy leaves
 * `taken` then, and returns in front of the ready ones, should the buffer come back empty. Buffers
 * are answered in any order, so the entries of the lent part say nothing, but that a burst keeps
 * its answers in the first of them until it stores these.
 *
 * Nothing here is in the guest's memory, and the numbers are the device's own: what the guest
 * writes moves none of them. How descriptors come and answers go is the matter of each kind of
 * ring: ring_host.h, split_host.h. One thread at a time uses a window.
 */

#ifndef NMX_RING_WINDOW_H
#define NMX_RING_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

/** A descriptor's private copy. The kind of ring says what `flags` and `extra` are. */
struct nmx_ring_slot {
	uint64_t address;
	uint16_t length;
	uint16_t id;
	uint16_t flags;
	uint16_t extra;
};

struct nmx_ring_window {
	struct nmx_ring_slot *taken; /* N copies; ready: seq modulo N, comp + lent <= seq < fetch */
	uint32_t mask;               /* N - 1 */
	uint32_t fetch;              /* next to fetch */
	uint32_t comp;               /* next to complete */
	uint32_t lent;               /* buffers fetched and neither ready nor answered */
};

/**
 * Start a window anew: empty.
 *
 * @param taken    host memory for n_slots copies
 * @param n_slots  2^k
 * @param base     what `fetch` and `comp` begin with
 */
static inline void
nmx_ring_init_window(struct nmx_ring_window *window, struct nmx_ring_slot *taken, uint32_t n_slots,
	uint32_t base)
{
	window->taken = taken;
	window->mask = n_slots - 1;
	window->fetch = base;
	window->comp = base;
	window->lent = 0;
}

/** Where the slot numbered `seq` is in an array of N. */
static inline uint32_t
nmx_ring_get_idx(const struct nmx_ring_window *window, uint32_t seq)
{
	return seq & window->mask;
}

/** Slots fetched and not answered. */
static inline uint32_t
nmx_ring_count_taken(const struct nmx_ring_window *window)
{
	return window->fetch - window->comp;
}

/** Slots fetched that can be used. */
static inline uint32_t
nmx_ring_count_ready(const struct nmx_ring_window *window)
{
	return window->fetch - window->comp - window->lent;
}

/** True if a full lap is fetched and not answered. */
static inline bool
nmx_ring_is_full(const struct nmx_ring_window *window)
{
	return nmx_ring_count_taken(window) > window->mask;
}

/** Where the copy of the next slot to fetch goes. */
static inline struct nmx_ring_slot *
nmx_ring_get_next(const struct nmx_ring_window *window)
{
	return &window->taken[window->fetch & window->mask];
}

/**
 * The copy of the ready slot that is `ahead` of the first one, below nmx_ring_count_ready().
 */
static inline struct nmx_ring_slot *
nmx_ring_get_ready(const struct nmx_ring_window *window, uint32_t ahead)
{
	return &window->taken[(window->comp + window->lent + ahead) & window->mask];
}

/** The first n ready buffers are lent; their copies were taken. */
static inline void
nmx_ring_lend(struct nmx_ring_window *window, uint32_t n)
{
	window->lent += n;
}

/** A lent buffer has come back empty: it is the first ready one. */
static inline void
nmx_ring_take_back(struct nmx_ring_window *window, const struct nmx_ring_slot *slot)
{
	window->lent--;
	*nmx_ring_get_ready(window, 0) = *slot;
}

/**
 * The copy of the fetched slot that is `ahead` of `comp`, below nmx_ring_count_taken(); in the lent
 * part it is a place for an answer.
 */
static inline struct nmx_ring_slot *
nmx_ring_get_taken(const struct nmx_ring_window *window, uint32_t ahead)
{
	return &window->taken[(window->comp + ahead) & window->mask];
}

/** The n slots after `comp` have been answered. */
static inline void
nmx_ring_advance_comp(struct nmx_ring_window *window, uint32_t n)
{
	window->comp += n;
}

#endif
