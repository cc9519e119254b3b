/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Frames from the guest that are sent from where they lie.
 *
 * Theory of operation
 *
 * A frame's first bytes, all its headers, are copied into an mbuf; on the rest, in the guest's
 * memory, a second mbuf is put as on an external buffer. The guest's buffer is answered when that
 * mbuf is freed: by whoever does it, on whatever thread, whenever. So the buffer is *lent*
 * (lib/ring/window.h) as those in which frames come are, and what waits for loans waits for these,
 * too (lend.c).
 *
 *   burst                        anybody
 *     take from `free`
 *     attach ------------------> free the mbuf: give_back()
 *     answer, put into `free` <-- list `back`
 *
 * Whoever frees knows nothing but the entry, which is in host memory; the list is taken whole, so
 * that it needs no protection but its first word. The last thing that is touched is the number of
 * those that came back: when all have, and no burst is under way, the table may go.
 *
 * The ring can't lock. At most half of it is out, and less than a fixed number; and when nothing
 * comes back for a moment, everything is copied. But a guest may have no more buffers than those
 * that are out, and wait for them before it sends again. Where somebody can be asked for them (a Tx
 * queue of its own, rxmap/tx_queue.h), he is.
 *
 * What was judged is the copy: the guest may write to the rest until it has left, and changes its
 * own frame's payload by that.
 */

#ifndef NMX_GUESTPORT_ATTACH_H
#define NMX_GUESTPORT_ATTACH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "lib/ring/window.h"

struct guest_ring;

/** Frames up to this are copied: that costs no more. */
#define ATTACH_BREAK_BYTES 768
/** Of those above it so much is copied. */
#define ATTACH_HEAD_BYTES 128
/** Frames that are out at most; of a small ring half of it. */
#define ATTACHED_MAX 128

/** An answer to be: what a ring's own copy of a buffer tells of it. */
struct attach_answer {
	uint16_t id, flags;
};

/** One that is out. */
struct attach_entry {
	struct rte_mbuf_ext_shared_info shared;
	struct nmx_attach *owner;
	struct attach_answer answer;
	uint32_t next; /* number + 1 of the next in the list it is in; 0: none */
} __rte_cache_aligned;

struct nmx_attach {
	/* Data thread's. */
	uint32_t free;            /* as `next` */
	uint64_t moved_tsc;       /* when some came back last, or none was out */
	uint64_t asked_tsc;       /* when nmx_guestport_is_attach_old() was true, or `moved_tsc` */
	uint64_t patience;        /* from then on, in TSC cycles */
	_Atomic uint32_t n_given; /* ever */

	/* Anybody's. */
	_Atomic uint32_t back __rte_cache_aligned; /* as `next` */
	_Atomic uint32_t n_back;                   /* ever */

	struct attach_entry entries[ATTACHED_MAX];
};

/** @return NULL: no memory */
struct nmx_attach *nmx_guestport_create_attach(uint32_t n_slots);

/** Something is out. Any thread; final once no burst attaches any more. */
static inline bool
nmx_guestport_is_attached(const struct nmx_attach *attach)
{
	return atomic_load_explicit(&attach->n_back, memory_order_acquire) !=
	       atomic_load_explicit(&attach->n_given, memory_order_relaxed);
}

/**
 * Take an entry. Data thread.
 *
 * @return NULL: as many are out as may be
 */
struct attach_entry *nmx_guestport_take_entry(struct nmx_attach *attach);

/** The frame isn't attached after all. */
void nmx_guestport_put_entry(struct nmx_attach *attach, struct attach_entry *entry);

/**
 * Put an mbuf on a guest's bytes; it is the caller's, raw and of one pool with its head.
 *
 * @param answer  to be given when it is freed
 */
void nmx_guestport_attach(struct attach_entry *entry, struct rte_mbuf *mbuf, void *start,
	uint16_t bytes, struct attach_answer answer);

/**
 * Take what has come back. Data thread, or control when no burst can be under way.
 *
 * @param window  of the ring; its first copies become the answers
 * @return how many
 */
uint32_t nmx_guestport_collect(struct nmx_attach *attach, struct nmx_ring_window *window);

/** True if something is to be collected. Data thread. */
static inline bool
nmx_guestport_has_back(const struct nmx_attach *attach)
{
	return atomic_load_explicit(&attach->back, memory_order_relaxed) != 0;
}

/** True if nothing comes back for now: copy. Data thread. */
bool nmx_guestport_is_attach_stuck(const struct nmx_attach *attach);

/**
 * True if nothing has come back for a tenth of a second: it is to be asked for. Twice as long
 * without an effect, and so on. Data thread.
 */
bool nmx_guestport_is_attach_old(struct nmx_attach *attach);

/**
 * Answer n lent buffers that were read; the window's first copies are their answers. Data thread.
 */
void nmx_guestport_answer_lent(struct guest_ring *ring, uint32_t n);

/** Answer what has come back. As nmx_guestport_collect(). */
void nmx_guestport_answer_attached(struct guest_ring *ring);

#endif
