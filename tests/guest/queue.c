/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

/** Segments of a frame that is sent back; 9728 bytes in buffers of 2048 are 5. */
#define SEGMENTS_MAX 16

uint64_t
guest_get_buffer(const struct guest *guest, const struct guest_queue *queue, uint16_t id)
{
	uint64_t index = (uint64_t)(queue - guest->queues) * GUEST_SLOTS + id;

	return GUEST_BASE + guest->maps[GUEST_BUFFERS].offset + index * GUEST_BUFFER_BYTES;
}

static uint8_t *
get_ring_memory(const struct guest *guest, uint16_t queue, uint16_t direction)
{
	uint64_t each = guest->maps[GUEST_RINGS].bytes / (2u * guest->n_queues);

	return guest->memory + guest->maps[GUEST_RINGS].offset + (2u * queue + direction) * each;
}

void
guest_submit_raw(struct nmx_ring_guest *ring, uint64_t w0, uint64_t w1)
{
	nmx_ring_submit_slot(ring, 0, w0, w1);
	nmx_ring_advance_sub(ring, 1);
}

static void
post(const struct guest *guest, struct guest_queue *queue, uint16_t id)
{
	queue->owner[id] = GUEST_POSTED;
	guest_submit_raw(&queue->rx, guest_get_buffer(guest, queue, id),
		VDPDK_W1(GUEST_BUFFER_BYTES, id, VDPDK_FLAG_AVAIL, 0));
}

/* --- Start and stop --- */

static int
start_ring(struct guest *guest, uint16_t index, uint16_t direction, struct nmx_ring_guest *ring)
{
	uint8_t *memory = get_ring_memory(guest, index, direction);
	const struct vdpdk_queue_start start = {
		.direction = direction,
		.index = index,
		.flags = direction == VDPDK_DIRECTION_RX ? VDPDK_QUEUE_SCATTER : 0,
		.ring_address = GUEST_BASE + (uint64_t)(memory - guest->memory),
		.n_slots = GUEST_SLOTS,
	};

	nmx_ring_init_guest(ring, memory, GUEST_SLOTS);
	return guest_request(guest, VDPDK_OP_QUEUE_START, &start, sizeof(start));
}

int
guest_start_queues(struct guest *guest, uint16_t n_posted)
{
	for (uint16_t q = 0; q < guest->n_queues; q++) {
		struct guest_queue *queue = &guest->queues[q];
		int ret = start_ring(guest, q, VDPDK_DIRECTION_TX, &queue->tx);

		if (ret == 0)
			ret = start_ring(guest, q, VDPDK_DIRECTION_RX, &queue->rx);
		if (ret != 0) {
			fprintf(stderr, "nmx-test-guest: QUEUE_START answers %d\n", ret);
			return -EPROTO;
		}
		queue->bell.word = &queue->tx.header->device.event_seq;
		queue->bell.answered = 0;
		for (uint16_t id = 0; id < n_posted; id++)
			post(guest, queue, id);
	}
	return 0;
}

static int
stop_ring(struct guest *guest, uint16_t index, uint16_t direction)
{
	const struct vdpdk_queue_stop stop = { .direction = direction, .index = index };

	return guest_request(guest, VDPDK_OP_QUEUE_STOP, &stop, sizeof(stop));
}

/** Take all completions of a stopped ring; each id must have been with that ring. */
static unsigned int
take_back(struct guest_queue *queue, struct nmx_ring_guest *ring, int owner)
{
	unsigned int n = 0;
	uint64_t w1;

	while (nmx_ring_peek_slot(ring, 0, &w1)) {
		uint16_t id = VDPDK_W1_ID(w1);

		nmx_ring_advance_reap(ring, 1);
		if (id >= GUEST_SLOTS || (int)queue->owner[id] != owner) {
			queue->errors++;
			continue;
		}
		queue->owner[id] = GUEST_FREE;
		n++;
	}
	return n;
}

int
guest_stop_queues(struct guest *guest)
{
	int ret = 0;

	for (uint16_t q = 0; q < guest->n_queues; q++) {
		struct guest_queue *queue = &guest->queues[q];
		unsigned int with_us = 0, n;

		for (uint16_t id = 0; id < GUEST_SLOTS; id++)
			with_us += queue->owner[id] == GUEST_FREE;
		if (stop_ring(guest, q, VDPDK_DIRECTION_RX) != VDPDK_ANSWER_OK ||
			stop_ring(guest, q, VDPDK_DIRECTION_TX) != VDPDK_ANSWER_OK)
			ret = -EPROTO;
		n = take_back(queue, &queue->rx, GUEST_POSTED);
		n += take_back(queue, &queue->tx, GUEST_SENT);
		if (with_us + n != GUEST_SLOTS) {
			fprintf(stderr, "nmx-test-guest: %u of %u buffers came back\n", with_us + n,
				GUEST_SLOTS);
			ret = -EPROTO;
		}
	}
	return ret;
}

/* --- Reflecting --- */

/** Buffers that were sent are posted again. */
static void
recycle(struct guest *guest, struct guest_queue *queue)
{
	uint64_t w1;

	while (nmx_ring_peek_slot(&queue->tx, 0, &w1)) {
		uint16_t id = VDPDK_W1_ID(w1);

		nmx_ring_advance_reap(&queue->tx, 1);
		if (id < GUEST_SLOTS && queue->owner[id] == GUEST_SENT)
			post(guest, queue, id);
		else
			queue->errors++;
	}
}

/** A received frame: its buffers and lengths. */
struct frame {
	uint16_t id[SEGMENTS_MAX], length[SEGMENTS_MAX];
	unsigned int n;
};

/** Take a frame out of the Rx ring. @return false: none there */
static bool
take_frame(struct guest_queue *queue, struct frame *frame)
{
	uint16_t flags;
	uint64_t w1;

	frame->n = 0;
	do {
		uint16_t id;

		if (!nmx_ring_peek_slot(&queue->rx, 0, &w1)) {
			queue->errors += frame->n > 0; /* a frame's slots come together */
			return false;
		}
		nmx_ring_advance_reap(&queue->rx, 1);
		id = VDPDK_W1_ID(w1);
		flags = VDPDK_W1_FLAGS(w1);
		if (id >= GUEST_SLOTS || queue->owner[id] != GUEST_POSTED ||
			VDPDK_W1_LENGTH(w1) == 0 || VDPDK_W1_LENGTH(w1) > GUEST_BUFFER_BYTES ||
			frame->n == SEGMENTS_MAX) {
			queue->errors++;
			return false;
		}
		queue->owner[id] = GUEST_SENT;
		frame->id[frame->n] = id;
		frame->length[frame->n++] = VDPDK_W1_LENGTH(w1);
	} while (flags & VDPDK_FLAG_NEXT);
	return true;
}

static void
send_frame(const struct guest *guest, struct guest_queue *queue, const struct frame *frame)
{
	for (unsigned int i = frame->n; i-- > 0;) {
		uint16_t flags = VDPDK_FLAG_AVAIL | (i + 1 < frame->n ? VDPDK_FLAG_NEXT : 0);

		nmx_ring_submit_slot(&queue->tx, i, guest_get_buffer(guest, queue, frame->id[i]),
			VDPDK_W1(frame->length[i], frame->id[i], flags, 0));
		queue->bytes += frame->length[i];
	}
	nmx_ring_advance_sub(&queue->tx, frame->n);
	queue->frames++;
}

unsigned int
guest_reflect(struct guest *guest, struct guest_queue *queue)
{
	const uint64_t one = 1;
	struct frame frame;
	unsigned int n = 0;

	recycle(guest, queue);
	/* There are as many buffers as slots: the Tx ring always has room. */
	while (n < 32 && take_frame(queue, &frame)) {
		send_frame(guest, queue, &frame);
		n++;
	}
	if (n > 0 && nmx_ring_take_event(&queue->bell) &&
		write(queue->doorbell, &one, sizeof(one)) < 0)
		queue->errors++;
	return n;
}
