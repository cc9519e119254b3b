/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
tnic_init_ring(
	struct tnic_ring *ring, struct rte_mempool *pool, uint32_t n, uint32_t round, bool up)
{
	uint32_t room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;

	tnic_fini_ring(ring);
	ring->slots = calloc(n, sizeof(*ring->slots));
	if (ring->slots == NULL)
		return -ENOMEM;
	ring->pool = pool;
	ring->n = n;
	ring->buffer_bytes = (up ? room + round - 1 : room) / round * round;
	return 0;
}

void
tnic_fini_ring(struct tnic_ring *ring)
{
	free(ring->slots);
	memset(ring, 0, sizeof(*ring));
}

/** Post n more; there is room. */
static int
post(struct tnic_ring *ring, uint32_t n)
{
	void *mbufs[TNIC_RING_REFILL];

	if (rte_mempool_get_bulk(ring->pool, mbufs, n) != 0) {
		ring->failures++;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct tnic_slot *slot = &ring->slots[(ring->oldest + ring->count++) % ring->n];

		slot->mbuf = mbufs[i];
		slot->address = (uint8_t *)slot->mbuf->buf_addr + RTE_PKTMBUF_HEADROOM;
	}
	return 0;
}

int
tnic_fill_ring(struct tnic_ring *ring)
{
	while (ring->count < ring->n) {
		if (post(ring, TNIC_RING_REFILL) != 0) {
			tnic_empty_ring(ring);
			return -ENOMEM;
		}
	}
	return 0;
}

void
tnic_empty_ring(struct tnic_ring *ring)
{
	for (; ring->count > 0; ring->count--) {
		rte_pktmbuf_free_seg(ring->slots[ring->oldest].mbuf);
		ring->oldest = (ring->oldest + 1) % ring->n;
	}
}

/** Post what there is room for. What fails is left for the next burst. */
static void
refill(struct tnic_ring *ring)
{
	while (ring->n - ring->count >= TNIC_RING_REFILL) {
		if (tnic_fails_refill(&ring->faults)) {
			ring->failures++;
			break;
		}
		if (post(ring, TNIC_RING_REFILL) != 0)
			break;
	}
}

bool
tnic_take_slots(struct tnic_ring *ring, struct tnic_slot *ret_slots, uint32_t n)
{
	refill(ring);
	if (ring->count < n)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t early = tnic_draw_slot(&ring->faults, ring->count - i);
		struct tnic_slot *slot = &ring->slots[(ring->oldest + early) % ring->n];

		ret_slots[i] = *slot;
		*slot = ring->slots[ring->oldest];
		ring->oldest = (ring->oldest + 1) % ring->n;
	}
	ring->count -= n;
	return true;
}
