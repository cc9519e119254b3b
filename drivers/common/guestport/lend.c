/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Lending a guest's posted buffers to a map (drivers/common/rxmap).
 *
 * Theory of operation
 *
 * The map takes buffers from the queue's ring while an uplink's burst fills it, and the frames that
 * come in them are answered by nmx_guestport_send(). Both use the same ring, so both hold the map's
 * `busy`; and so that all bursts do, the queue knows its map a grace period before the map knows
 * its lender, and as long behind that.
 *
 * A lent buffer is written to from outside of any bracket: by a NIC, and read by whatever program
 * holds the frame. So what takes memory away from a guest's queue waits for a grace period, in
 * which lending ends, and then for the loans: the ring counts them (`out`). A NIC gives back what
 * it holds when frames come, or when its queue is stopped; if a moment passes without that, the
 * map's recaller stops it. A guest can make that happen, to a queue of its own; not often, since
 * the NIC is everybody's.
 *
 * Some never give back: a driver whose queue can't be stopped, or says that it is. Then the loans
 * are given up: all the guest's memory is revoked and zeroes stay in its former place for ever
 * (lib/mem/revoke.c), as does the ring, which the loans are to be returned to. The queue lends
 * nothing any more, and goes on by copying.
 *
 * A loan is answered when its frame comes, and frames that are copied meanwhile overtake it. A
 * guest that doesn't go by the number in an answer (ring->ordered) gets copies.
 *
 * Loans come back at any time, and what a turn of the control thread does hangs together: a ring is
 * ended before its memory goes, and who waits is known as long as something does. So a turn looks
 * once at what is out, behind its look at grace periods, and all that it decides goes by that.
 * Nothing out then, in a period that began after lending had ended, is nothing out for good.
 *
 * What is attached of frames from the guest (attach.h) is out in the same way. Where they leave by
 * a Tx queue of their own, that is recalled, too. Else nobody can be asked for it: whose queue it
 * is in, the port isn't told.
 *
 * Lending makes a guest's fault no worse: what can't be lent stays for the copying burst to judge.
 */

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "control.h"
#include "drivers/common/rxmap/tx_queue.h"
#include "kinds.h"
#include "lib/base/clock.h"

/** How long loans are waited for before the uplink is asked for them. */
#define RECALL_AFTER_NS (5 * NMX_NS_PER_MS)
/** How long the uplink is let alone after that. */
#define RECALL_PAUSE_NS (100 * NMX_NS_PER_MS)
/** How long they are missed before they are given up. */
#define GIVE_UP_NS (3 * NMX_NS_PER_S)
/** The same of what is attached and nobody can be asked for, if a queue waits: so does a client. */
#define ATTACHED_GIVE_UP_NS (500 * NMX_NS_PER_MS)
/** How long nmx_guestport_lend_to() and its opposite wait for bursts and loans. */
#define PATIENCE_NS (4 * NMX_NS_PER_S)
#define PAUSE_US    200

/* --- Data threads --- */

/** Where a buffer with its headroom is; NULL: it is too short, or not in such memory. */
static inline uint8_t *
find_room(struct guest_ring *ring, const struct nmx_mem_view **view,
	const struct nmx_ring_slot *slot, uint32_t room, const uint32_t protection,
	const enum ring_kind kind)
{
	NMX_SHARED uint8_t *head;

	/* The headroom is part of it: no driver that writes there leaves the guest's memory. */
	if (is_chain(slot, kind) || slot->length < room ||
		nmx_mem_translate_fresh(ring->mem, view, &ring->cache,
			slot->address - RTE_PKTMBUF_HEADROOM, room + RTE_PKTMBUF_HEADROOM,
			protection, &head) != 0)
		return NULL;
	return NMX_SHARED_PLAIN(uint8_t, head) + RTE_PKTMBUF_HEADROOM;
}

/** Why a buffer is for the copying burst. */
static __rte_noinline enum nmx_rxmap_reason
explain(struct guest_ring *ring, const struct nmx_ring_slot *slot, uint32_t room)
{
	const struct nmx_mem_view *view = nmx_mem_get_view(ring->mem);

	if (is_chain(slot, ring->kind))
		return NMX_RXMAP_IN_PIECES;
	if (slot->length < room)
		return NMX_RXMAP_TOO_SHORT;
	return find_room(ring, &view, slot, room, NMX_MEM_WRITE, ring->kind) != NULL
		       ? NMX_RXMAP_NO_DMA
		       : NMX_RXMAP_UNREACHABLE;
}

/** Buffers that were fetched before. */
static inline uint32_t
lend_ready(struct guest_ring *ring, const struct nmx_mem_view **view, uint32_t room,
	uint8_t **ret_starts, struct nmx_rxmap_loan *ret_loans, uint32_t n,
	enum nmx_rxmap_reason *ret_why, const enum ring_kind kind)
{
	const struct nmx_ring_window window = ring->half.window;
	uint32_t i;

	n = RTE_MIN(n, nmx_ring_count_ready(&window));
	for (i = 0; i < n; i++) {
		ret_loans[i].slot = *nmx_ring_get_ready(&window, i);
		ret_starts[i] = find_room(ring, view, &ret_loans[i].slot, room, NMX_MEM_DMA, kind);
		if (unlikely(ret_starts[i] == NULL)) {
			*ret_why = explain(ring, &ret_loans[i].slot, room);
			break;
		}
	}
	nmx_ring_lend(&ring->half.window, i);
	return i;
}

/**
 * Buffers that are fetched for it: first all, in a loop that does no more than load, since what the
 * guest has just written comes from another CPU's cache, and so the CPU asks for several lines at a
 * time. A fault shows again in the burst that gives frames.
 */
static inline __rte_always_inline uint32_t
lend_fresh(struct guest_ring *ring, const struct nmx_mem_view **view, uint32_t room,
	uint8_t **ret_starts, struct nmx_rxmap_loan *ret_loans, uint32_t n,
	enum nmx_rxmap_reason *ret_why, const enum ring_kind kind)
{
	uint32_t n_fetched = fetch_lent(ring, ret_loans, n, kind), i;

	if (n_fetched < n)
		*ret_why = NMX_RXMAP_NOT_POSTED;
	for (i = 0; i < n_fetched; i++) {
		ret_starts[i] = find_room(ring, view, &ret_loans[i].slot, room, NMX_MEM_DMA, kind);
		if (unlikely(ret_starts[i] == NULL)) {
			*ret_why = explain(ring, &ret_loans[i].slot, room);
			break;
		}
	}
	while (unlikely(n_fetched > i))
		nmx_ring_take_back(&ring->half.window, &ret_loans[--n_fetched].slot);
	return i;
}

/** Frames that come otherwise need buffers, too: a quarter of the ring stays for them. */
static inline uint32_t
limit(const struct nmx_ring_window *window, uint32_t n, enum nmx_rxmap_reason *ret_why)
{
	const uint32_t lent_max = window->mask - window->mask / 4;

	if (likely(window->lent + n <= lent_max))
		return n;
	*ret_why = NMX_RXMAP_ALL_OUT;
	return window->lent >= lent_max ? 0 : lent_max - window->lent;
}

/** What is to be left of what the guest has posted, be that less than its ring holds: a quarter. */
static inline uint32_t
get_reserve(const struct nmx_ring_window *window)
{
	/* One at least: a guest may post a single buffer, and frames too large for a NIC's come. */
	return (window->lent + 2) / 3;
}

/** True if enough is left for frames that come otherwise. */
static inline __rte_always_inline bool
has_reserve(const struct guest_ring *ring, const enum ring_kind kind)
{
	const struct nmx_ring_window *window = &ring->half.window;
	const uint32_t wanted = get_reserve(window), ready = nmx_ring_count_ready(window);

	return ready >= wanted || has_more(ring, wanted - ready, kind);
}

/** Take some of n loans back at once, for a reserve. @return how many remain */
static __rte_noinline uint32_t
keep_some(struct guest_ring *ring, struct nmx_rxmap_loan *loans, uint32_t n)
{
	struct nmx_ring_window *window = &ring->half.window;

	while (n > 0 && nmx_ring_count_ready(window) < get_reserve(window))
		nmx_ring_take_back(window, &loans[--n].slot);
	return n;
}

static inline __rte_always_inline uint32_t
lend_some(struct guest_ring *ring, uint32_t room, uint8_t **ret_starts,
	struct nmx_rxmap_loan *ret_loans, uint32_t n, enum nmx_rxmap_reason *ret_why,
	const enum ring_kind kind)
{
	const struct nmx_mem_view *view = nmx_mem_get_view(ring->mem);
	uint32_t i = 0;

	if (nmx_ring_count_ready(&ring->half.window) > 0)
		i = lend_ready(ring, &view, room, ret_starts, ret_loans, n, ret_why, kind);
	if (likely(i < n && nmx_ring_count_ready(&ring->half.window) == 0))
		i += lend_fresh(
			ring, &view, room, ret_starts + i, ret_loans + i, n - i, ret_why, kind);
	return likely(has_reserve(ring, kind)) ? i : keep_some(ring, ret_loans, i);
}

/** Lend from a ring of whatever kind. */
static inline uint32_t
lend_from(struct guest_ring *ring, uint32_t room, uint8_t **ret_starts,
	struct nmx_rxmap_loan *ret_loans, uint32_t n, enum nmx_rxmap_reason *ret_why)
{
	if (unlikely(ring->ordered)) {
		*ret_why = NMX_RXMAP_ORDER;
		return 0;
	}
	n = limit(&ring->half.window, n, ret_why);
	switch (ring->kind) {
	case RING_VDPDK:
		return lend_some(ring, room, ret_starts, ret_loans, n, ret_why, RING_VDPDK);
	case RING_SPLIT:
		return lend_some(ring, room, ret_starts, ret_loans, n, ret_why, RING_SPLIT);
	case RING_PACKED:
		return lend_some(ring, room, ret_starts, ret_loans, n, ret_why, RING_PACKED);
	default:
		return 0; /* it is ordered */
	}
}

static uint32_t
lend(void *context, uint32_t room, uint8_t **ret_starts, struct nmx_rxmap_loan *ret_loans,
	uint32_t n, enum nmx_rxmap_reason *ret_why)
{
	struct nmx_to_guest *queue = context;
	struct guest_ring *ring;
	uint32_t n_lent = 0;

	nmx_base_enter_bracket(&queue->lend_bracket);
	ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	if (likely(ring != NULL && atomic_load_explicit(&queue->lends, memory_order_relaxed) &&
		    !atomic_load_explicit(&queue->port->lends_nothing, memory_order_relaxed))) {
		n_lent = lend_from(ring, room, ret_starts, ret_loans, n, ret_why);
		queue->lender = ring;
		nmx_guestport_show_loans(ring);
	} else {
		*ret_why = queue->port->lending == NMX_GUEST_COPY ? NMX_RXMAP_UNWANTED
								  : NMX_RXMAP_NO_GUEST;
	}
	nmx_base_leave_bracket(&queue->lend_bracket);
	return n_lent;
}

static void
take_back(void *context, const struct nmx_ring_slot *slot)
{
	struct nmx_to_guest *queue = context;

	/* It isn't freed before the last loan is back. */
	nmx_ring_take_back(&queue->lender->half.window, slot);
	nmx_guestport_show_loans(queue->lender);
}

static const struct nmx_rxmap_lender lender = {
	.lend = lend,
	.take_back = take_back,
};

/* --- Control --- */

static bool
is_lent(const struct guest_ring *ring)
{
	if (ring->given_up)
		return false;
	return atomic_load_explicit(&ring->out, memory_order_acquire) != 0 ||
	       (ring->attach != NULL && nmx_guestport_is_attached(ring->attach));
}

void
nmx_guestport_look_at_loans(struct nmx_guestport *port)
{
	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		struct guest_ring *to = port->to_guest[i].ring, *from = port->from_guest[i].ring;

		if (to != NULL)
			to->is_lent = is_lent(to);
		if (from != NULL)
			from->is_lent = is_lent(from);
	}
}

bool
nmx_guestport_has_loans(const struct nmx_guestport *port)
{
	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		const struct guest_ring *to = port->to_guest[i].ring,
					*from = port->from_guest[i].ring;

		if ((to != NULL && to->is_lent) || (from != NULL && from->is_lent))
			return true;
	}
	return false;
}

void
nmx_guestport_hold_loans(struct nmx_guestport *port)
{
	atomic_store(&port->lends_nothing, true);
}

void
nmx_guestport_resume_loans(struct nmx_guestport *port)
{
	atomic_store(&port->lends_nothing, false);
}

/** True if somebody waits for what a queue has lent. */
static bool
is_missed(const struct nmx_to_guest *queue)
{
	return queue->ring != NULL && queue->ring->is_lent &&
	       (queue->ring->draining || queue->port->lends_nothing || !queue->lends);
}

static void
give_up_attached(struct nmx_from_guest *queue, uint16_t index)
{
	if (queue->ring == NULL || !is_lent(queue->ring))
		return;
	PORT_LOG(queue->port, ERR,
		"frames of the guest's Tx queue %u that were sent from its memory aren't freed: "
		"that "
		"was taken away, and the queue's frames are copied from now on; see which port "
		"holds them, and leave tx_zc out for it",
		index);
	queue->ring->given_up = true;
	atomic_store(&queue->attaches, false);
	nmx_guestport_leave_tx_domain(queue);
}

/** What is out may stay out. */
static void
give_up_loans(struct nmx_guestport *port)
{
	/* It fails for want of mappings or memory: then later. */
	if (nmx_guestport_revoke_memory(port) != 0)
		return;
	nmx_mem_keep_zeroes(port->mem);
	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		struct nmx_to_guest *queue = &port->to_guest[i];

		if (queue->ring == NULL || !is_lent(queue->ring))
			continue;
		PORT_LOG(port, ERR,
			"the uplink below the guest's Rx queue %u keeps %u buffers for ever: their "
			"memory was taken away, and the queue gets copies from now on",
			i, (unsigned int)atomic_load(&queue->ring->out));
		queue->ring->given_up = true;
		atomic_store(&queue->lends, false);
		nmx_guestport_leave_domain(queue);
	}
	for (uint16_t i = 0; i < port->n_queue_pairs; i++)
		give_up_attached(&port->from_guest[i], i);
}

/**
 * See whether something waits for what is attached of a queue's, and ask for it if that is possible
 * and it is time. @return true: for too long
 */
static bool
is_attach_hopeless(struct nmx_from_guest *queue, uint64_t now_ns, bool *missed)
{
	struct guest_ring *ring = queue->ring;

	if (ring == NULL)
		return false;
	if (!ring->is_lent || !(ring->draining || queue->port->lends_nothing)) {
		ring->missed_ns = 0;
		return false;
	}
	*missed = true;
	if (ring->missed_ns == 0) {
		ring->missed_ns = now_ns;
		queue->recall_ns = RTE_MAX(queue->recall_ns, now_ns + RECALL_AFTER_NS);
	}
	if (queue->tx == NULL)
		return now_ns - ring->missed_ns >=
		       (ring->draining ? ATTACHED_GIVE_UP_NS : GIVE_UP_NS);
	if (now_ns >= queue->recall_ns) {
		queue->recall_ns = now_ns + RECALL_PAUSE_NS;
		nmx_rxmap_recall(&queue->tx->uplink);
	}
	return now_ns - ring->missed_ns >= GIVE_UP_NS;
}

/** Ask for one queue's, if it is time. */
static void
recall_queue(struct nmx_to_guest *queue, uint64_t now_ns)
{
	struct nmx_rxmap *map = atomic_load(&queue->map);

	/* What was put aside may be all that is missed, and the program poll no more. */
	if (nmx_rxmap_try_lock(map)) {
		nmx_rxmap_sweep(map);
		nmx_rxmap_unlock(map);
	}
	if (queue->missed_ns == 0) {
		queue->missed_ns = now_ns;
		queue->recall_ns = RTE_MAX(queue->recall_ns, now_ns + RECALL_AFTER_NS);
	}
	if (now_ns < queue->recall_ns)
		return;
	queue->recall_ns = now_ns + RECALL_PAUSE_NS;
	nmx_rxmap_recall(&map->uplink);
}

bool
nmx_guestport_recall_loans(struct nmx_guestport *port, uint64_t now_ns)
{
	bool missed = false, hopeless = false;

	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		struct nmx_to_guest *queue = &port->to_guest[i];

		if (!is_missed(queue)) {
			queue->missed_ns = 0;
			continue;
		}
		missed = true;
		recall_queue(queue, now_ns);
		hopeless |= now_ns - queue->missed_ns >= GIVE_UP_NS;
	}
	for (uint16_t i = 0; i < port->n_queue_pairs; i++)
		hopeless |= is_attach_hopeless(&port->from_guest[i], now_ns, &missed);
	if (hopeless)
		give_up_loans(port);
	return missed;
}

/* --- The program's threads --- */

/** Let time pass until all bursts have seen what was published, and, if asked, loans are back. */
static int
wait_for(struct nmx_guestport *port, const struct nmx_to_guest *without_loans)
{
	uint64_t deadline_ns = nmx_base_read_clock_ns() + PATIENCE_NS, grace;
	bool quiet;

	nmx_control_lock();
	grace = nmx_base_ask_grace(&port->grace);
	for (;;) {
		(void)nmx_guestport_advance(port, nmx_base_read_clock_ns());
		quiet = nmx_base_is_grace_over(&port->grace, grace) &&
			(without_loans == NULL || without_loans->ring == NULL ||
				!is_lent(without_loans->ring));
		nmx_control_unlock();
		if (quiet || nmx_base_read_clock_ns() >= deadline_ns)
			return quiet ? 0 : -EBUSY;
		usleep(PAUSE_US);
		nmx_control_lock();
	}
}

/** @return 0; -EBUSY what was given up is out yet, and may come back to its lender */
static int
set_lender(struct nmx_rxmap *map, const struct nmx_rxmap_lender *its, struct nmx_to_guest *queue)
{
	int ret = -EBUSY;

	nmx_rxmap_lock(map);
	nmx_rxmap_sweep(map);
	if (nmx_rxmap_count_loans(map) == 0) {
		map->lender = its;
		map->lender_context = queue;
		ret = 0;
	}
	nmx_rxmap_unlock(map);
	return ret;
}

/** Of who makes or ends a relation between a queue and a map; either may be about to go. */
static pthread_mutex_t relation_lock = PTHREAD_MUTEX_INITIALIZER;

/** Context: relation_lock held. */
static int
begin_relation(struct nmx_to_guest *queue, struct nmx_rxmap *map)
{
	int ret;

	if (map->lender_context != NULL || atomic_load(&queue->map) != NULL)
		return map->lender_context == queue ? 0 : -EEXIST;
	/* From now on the map mustn't go without end_relation(), whatever becomes of the rest. */
	map->lender_context = queue;
	atomic_store(&queue->map, map);
	nmx_control_lock();
	ret = nmx_guestport_enter_domain(queue, map);
	nmx_control_unlock();
	if (ret == 0)
		ret = wait_for(queue->port, NULL);
	if (ret != 0)
		return ret;
	ret = set_lender(map, &lender, queue);
	atomic_store(&queue->lends, ret == 0 && queue->port->lending != NMX_GUEST_COPY);
	return ret;
}

/** Context: relation_lock held. */
static int
end_relation(struct nmx_to_guest *queue)
{
	struct nmx_rxmap *map = atomic_load(&queue->map);
	int ret;

	if (map == NULL)
		return 0;
	atomic_store(&queue->lends, false);
	ret = wait_for(queue->port, queue);
	if (ret == 0)
		ret = set_lender(map, NULL, NULL);
	if (ret != 0)
		return ret;
	nmx_control_lock();
	nmx_guestport_leave_domain(queue);
	nmx_control_unlock();
	atomic_store(&queue->map, NULL);
	return wait_for(queue->port, NULL);
}

int
nmx_guestport_lend_to(struct nmx_to_guest *queue, struct nmx_rxmap *map)
{
	int ret;

	pthread_mutex_lock(&relation_lock);
	ret = begin_relation(queue, map);
	pthread_mutex_unlock(&relation_lock);
	return ret;
}

int
nmx_guestport_stop_lending_to(struct nmx_rxmap *map)
{
	int ret = 0;

	pthread_mutex_lock(&relation_lock);
	if (map->lender_context != NULL)
		ret = end_relation(map->lender_context);
	pthread_mutex_unlock(&relation_lock);
	return ret;
}

int
nmx_guestport_stop_lending(struct nmx_guestport *port)
{
	int ret = 0;

	pthread_mutex_lock(&relation_lock);
	for (uint16_t i = 0; i < port->n_queue_pairs; i++)
		if (end_relation(&port->to_guest[i]) != 0)
			ret = -EBUSY;
	pthread_mutex_unlock(&relation_lock);
	return ret;
}
