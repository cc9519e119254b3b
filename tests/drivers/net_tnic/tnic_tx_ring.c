/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_tx_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
tnic_init_tx_ring(struct tnic_tx_ring *ring, uint32_t n, bool shuffled, enum tnic_tx_keep keep)
{
	memset(ring, 0, sizeof(*ring));
	ring->slots = calloc(n, sizeof(*ring->slots));
	if (ring->slots == NULL)
		return -ENOMEM;
	ring->n = n;
	ring->shuffled = shuffled;
	ring->keep = keep;
	return 0;
}

static struct tnic_tx_slot *
get_slot(const struct tnic_tx_ring *ring, uint32_t seq)
{
	return &ring->slots[seq & (ring->n - 1)];
}

void
tnic_fini_tx_ring(struct tnic_tx_ring *ring)
{
	for (uint32_t i = 0; i < ring->n; i++)
		rte_pktmbuf_free(ring->slots[i].mbuf);
	free(ring->slots);
	memset(ring, 0, sizeof(*ring));
}

/** Let another mbuf of those that may go, up to `end`, be this slot's. */
static void
shuffle_slot(struct tnic_tx_ring *ring, uint32_t seq, uint32_t end)
{
	uint32_t ahead = tnic_draw_from(&ring->random, (struct tnic_range){ 0, end - seq - 1 });
	struct tnic_tx_slot *slot = get_slot(ring, seq), *other = get_slot(ring, seq + ahead);
	struct rte_mbuf *mbuf = slot->mbuf;

	slot->mbuf = other->mbuf;
	other->mbuf = mbuf;
}

/** Give back what n slots hold; they are read. */
static void
give_back(struct tnic_tx_ring *ring, uint32_t n)
{
	uint32_t end = atomic_load_explicit(&ring->read, memory_order_relaxed);

	for (; n > 0; n--, ring->freed++) {
		if (ring->shuffled)
			shuffle_slot(ring, ring->freed, end);
		rte_pktmbuf_free(get_slot(ring, ring->freed)->mbuf);
		get_slot(ring, ring->freed)->mbuf = NULL;
	}
}

static uint32_t
count_free(const struct tnic_tx_ring *ring)
{
	return ring->n - (atomic_load_explicit(&ring->posted, memory_order_relaxed) - ring->freed);
}

/** What a burst does first, and a frame for which there isn't room. @return false: nothing */
static bool
reclaim(struct tnic_tx_ring *ring)
{
	/* Acquire: pairs with tnic_finish_posted(); the NIC reads those slots no more. */
	uint32_t read = atomic_load_explicit(&ring->read, memory_order_acquire);

	if (ring->keep > TNIC_TX_KEEP_UNTIL_ASKED || read - ring->freed < TNIC_TX_FREE)
		return false;
	give_back(ring, TNIC_TX_FREE);
	return true;
}

/** @return false: there is no room */
static bool
post_frame(struct tnic_tx_ring *ring, struct rte_mbuf *mbuf)
{
	uint32_t posted = atomic_load_explicit(&ring->posted, memory_order_relaxed), n;
	struct tnic_span spans[TNIC_MAX_CHAIN];

	n = tnic_collect_spans(mbuf, spans);
	if (n == 0 || n > ring->n) {
		spans[0] = (struct tnic_span){ NULL, mbuf->pkt_len };
		n = 1;
	}
	while (n > count_free(ring))
		if (!reclaim(ring))
			return false;
	for (uint32_t i = 0; i < n; i++)
		*get_slot(ring, posted + i) = (struct tnic_tx_slot){ .span = spans[i] };
	get_slot(ring, posted)->n_slots = n;
	get_slot(ring, posted)->mbuf = mbuf;
	/* Release: the slots and the frame before the NIC's look. */
	atomic_store_explicit(&ring->posted, posted + n, memory_order_release);
	return true;
}

uint16_t
tnic_post_frames(struct tnic_tx_ring *ring, struct rte_mbuf **mbufs, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		if (i % TNIC_TX_FREE == 0 && count_free(ring) < TNIC_TX_FREE)
			(void)reclaim(ring);
		if (!post_frame(ring, mbufs[i]))
			return i;
	}
	return n;
}

int
tnic_clean_tx_ring(struct tnic_tx_ring *ring)
{
	uint32_t n = atomic_load_explicit(&ring->read, memory_order_acquire) - ring->freed;

	if (ring->keep != TNIC_TX_KEEP_UNTIL_ASKED)
		return -ENOTSUP;
	give_back(ring, n);
	return (int)n;
}

void
tnic_look_at_tx(struct tnic_tx_ring *ring)
{
	ring->seen = atomic_load_explicit(&ring->posted, memory_order_acquire);
}

uint32_t
tnic_get_posted(const struct tnic_tx_ring *ring, struct tnic_span *spans)
{
	uint32_t read = atomic_load_explicit(&ring->read, memory_order_relaxed), n;

	if (read == ring->seen)
		return 0;
	n = get_slot(ring, read)->n_slots;
	for (uint32_t i = 0; i < n; i++)
		spans[i] = get_slot(ring, read + i)->span;
	return n;
}

void
tnic_finish_posted(struct tnic_tx_ring *ring, uint32_t n_spans)
{
	uint32_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);

	atomic_store_explicit(&ring->read, read + n_spans, memory_order_release);
}

void
tnic_stop_tx_ring(struct tnic_tx_ring *ring)
{
	if (ring->keep != TNIC_TX_KEEP_UNTIL_CLOSE)
		give_back(ring,
			atomic_load_explicit(&ring->read, memory_order_acquire) - ring->freed);
}
