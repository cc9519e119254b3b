/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "attach.h"

#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "kinds.h"

/** How long something may be out before nothing more is attached, as a part of a second. */
#define STUCK_PARTS 1000

/** How long it may be out before it is asked for, as another part. */
#define OLD_PARTS 10

/** Something comes back, or nothing was out. */
static void
note_move(struct nmx_attach *attach)
{
	attach->moved_tsc = attach->asked_tsc = rte_rdtsc();
	attach->patience = rte_get_tsc_hz() / OLD_PARTS;
}

/** Whoever frees the mbuf calls it. */
static void
give_back(void *start, void *opaque)
{
	struct attach_entry *entry = opaque;
	struct nmx_attach *attach = entry->owner;
	uint32_t number = (uint32_t)(entry - attach->entries) + 1;
	uint32_t first = atomic_load_explicit(&attach->back, memory_order_relaxed);

	(void)start;
	do {
		entry->next = first;
	} while (!atomic_compare_exchange_weak_explicit(
		&attach->back, &first, number, memory_order_release, memory_order_relaxed));
	/* Orders all use of guest memory before; with this one the table may be gone. */
	atomic_fetch_add_explicit(&attach->n_back, 1, memory_order_release);
}

struct nmx_attach *
nmx_guestport_create_attach(uint32_t n_slots)
{
	const uint32_t n = RTE_MIN(n_slots / 2, (uint32_t)ATTACHED_MAX);
	struct nmx_attach *attach = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*attach));

	if (attach == NULL)
		return NULL;
	memset(attach, 0, sizeof(*attach));
	for (uint32_t i = n; i-- > 0;) {
		attach->entries[i].owner = attach;
		attach->entries[i].shared.free_cb = give_back;
		attach->entries[i].shared.fcb_opaque = &attach->entries[i];
		nmx_guestport_put_entry(attach, &attach->entries[i]);
	}
	return attach;
}

struct attach_entry *
nmx_guestport_take_entry(struct nmx_attach *attach)
{
	struct attach_entry *entry;

	if (attach->free == 0)
		return NULL;
	entry = &attach->entries[attach->free - 1];
	attach->free = entry->next;
	return entry;
}

void
nmx_guestport_put_entry(struct nmx_attach *attach, struct attach_entry *entry)
{
	entry->next = attach->free;
	attach->free = (uint32_t)(entry - attach->entries) + 1;
}

void
nmx_guestport_attach(struct attach_entry *entry, struct rte_mbuf *mbuf, void *start, uint16_t bytes,
	struct attach_answer answer)
{
	struct nmx_attach *attach = entry->owner;
	uint32_t n_given = atomic_load_explicit(&attach->n_given, memory_order_relaxed);

	if (n_given == atomic_load_explicit(&attach->n_back, memory_order_relaxed))
		note_move(attach);
	atomic_store_explicit(&attach->n_given, n_given + 1, memory_order_relaxed);
	entry->answer = answer;
	rte_mbuf_ext_refcnt_set(&entry->shared, 1);
	/* Devices know it by the address: see nmx_guestport_set_attaching(). */
	rte_pktmbuf_attach_extbuf(mbuf, start, (rte_iova_t)(uintptr_t)start, bytes, &entry->shared);
	mbuf->data_len = bytes;
}

uint32_t
nmx_guestport_collect(struct nmx_attach *attach, struct nmx_ring_window *window)
{
	struct nmx_ring_slot *answer;
	uint32_t next, n = 0;

	if (!nmx_guestport_has_back(attach))
		return 0;
	/* Pairs with give_back(): `next` of each. */
	next = atomic_exchange_explicit(&attach->back, 0, memory_order_acquire);
	while (next != 0) {
		struct attach_entry *entry = &attach->entries[next - 1];

		next = entry->next;
		answer = nmx_ring_get_taken(window, n++);
		answer->id = entry->answer.id;
		answer->flags = entry->answer.flags;
		nmx_guestport_put_entry(attach, entry);
	}
	note_move(attach);
	return n;
}

void
nmx_guestport_answer_lent(struct guest_ring *ring, uint32_t n)
{
	CALL_BY_KIND(ring, answer_read, ring, n);
	ring->half.window.lent -= n;
}

void
nmx_guestport_answer_attached(struct guest_ring *ring)
{
	uint32_t n = nmx_guestport_collect(ring->attach, &ring->half.window);

	if (n > 0)
		nmx_guestport_answer_lent(ring, n);
}

bool
nmx_guestport_is_attach_stuck(const struct nmx_attach *attach)
{
	return nmx_guestport_is_attached(attach) &&
	       rte_rdtsc() - attach->moved_tsc > rte_get_tsc_hz() / STUCK_PARTS;
}

bool
nmx_guestport_is_attach_old(struct nmx_attach *attach)
{
	uint64_t now;

	if (!nmx_guestport_is_attached(attach))
		return false;
	now = rte_rdtsc();
	if (now - attach->asked_tsc < attach->patience)
		return false;
	attach->asked_tsc = now;
	attach->patience *= 2;
	return true;
}
