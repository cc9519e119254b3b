/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Frames of the guest's own, as fast as they are taken, and their forging.
 *
 * Theory of operation
 *
 * Queue 0's buffers that aren't posted are filled with one and the same frame and sent round and
 * round. A second thread may write the source address of all of them meanwhile, now the one, now
 * the other: what a host sees depends on when it looks.
 */

#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define MAC_BYTES 6

static uint8_t *
get_frame(const struct guest *guest, uint16_t id)
{
	uint64_t address = guest_get_buffer(guest, &guest->queues[0], id);

	return guest->memory + (address - GUEST_BASE);
}

static void
send_one(struct guest *guest, uint16_t id)
{
	struct guest_queue *queue = &guest->queues[0];

	queue->owner[id] = GUEST_SENT;
	guest_submit_raw(&queue->tx, guest_get_buffer(guest, queue, id),
		VDPDK_W1(guest->order.bytes, id, VDPDK_FLAG_AVAIL, 0));
	queue->frames++;
	queue->bytes += guest->order.bytes;
}

static void
fill_frame(const struct guest *guest, uint16_t id)
{
	const struct guest_order *order = &guest->order;
	uint8_t *frame = get_frame(guest, id);

	memset(frame, order->fill, order->bytes);
	memcpy(frame, order->to, MAC_BYTES);
	memcpy(frame + MAC_BYTES, order->from, MAC_BYTES);
	/* 0x88b6, for local experiments: the stations' own frames have the number before. */
	frame[12] = 0x88;
	frame[13] = 0xb6;
}

/** Send all that came back again. @return frames */
static unsigned int
send_again(struct guest *guest)
{
	struct guest_queue *queue = &guest->queues[0];
	unsigned int n = 0;
	uint64_t w1;

	while (nmx_ring_peek_slot(&queue->tx, 0, &w1)) {
		nmx_ring_advance_reap(&queue->tx, 1);
		send_one(guest, VDPDK_W1_ID(w1) % GUEST_SLOTS);
		n++;
	}
	return n;
}

/** Wait until all frames have come back: whoever sends next begins with none. */
static void
take_all_back(struct guest_queue *queue)
{
	while (nmx_ring_count_free(&queue->tx) < GUEST_SLOTS) {
		uint64_t w1;

		if (!nmx_ring_peek_slot(&queue->tx, 0, &w1)) {
			sched_yield();
			continue;
		}
		nmx_ring_advance_reap(&queue->tx, 1);
		queue->owner[VDPDK_W1_ID(w1) % GUEST_SLOTS] = GUEST_FREE;
	}
}

void *
guest_run_sender(void *opaque)
{
	struct guest *guest = opaque;
	struct guest_queue *queue = &guest->queues[0];
	const uint64_t one = 1;

	for (uint16_t id = 0; id < GUEST_SLOTS; id++)
		if (queue->owner[id] == GUEST_FREE) {
			fill_frame(guest, id);
			send_one(guest, id);
		}
	while (atomic_load_explicit(&guest->sending, memory_order_relaxed)) {
		if (nmx_ring_take_event(&queue->bell) &&
			write(queue->doorbell, &one, sizeof(one)) < 0)
			queue->errors++;
		if (send_again(guest) == 0)
			sched_yield();
	}
	take_all_back(queue);
	return NULL;
}

void *
guest_run_forger(void *opaque)
{
	struct guest *guest = opaque;

	for (unsigned int round = 0; atomic_load_explicit(&guest->forging, memory_order_relaxed);
		round++)
		for (uint16_t id = 0; id < GUEST_SLOTS; id++)
			if (guest->queues[0].owner[id] == GUEST_SENT)
				memcpy(get_frame(guest, id) + MAC_BYTES,
					round % 2 == 0 ? guest->order.forged : guest->order.from,
					MAC_BYTES);
	return NULL;
}
