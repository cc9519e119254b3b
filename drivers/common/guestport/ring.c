/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Runs of queues: start, stop, fault. See port.h for their life. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "port.h"

/** A queue of either direction, as far as a run of it is concerned. */
struct place {
	uint16_t direction, index;
	struct guest_ring **ring;
	_Atomic(struct guest_ring *) *active;
};

static struct place
find_place(struct nmx_guestport *port, uint16_t direction, uint16_t index)
{
	struct place place = { .direction = direction, .index = index };

	if (direction == VDPDK_DIRECTION_RX) {
		place.ring = &port->to_guest[index].ring;
		place.active = &port->to_guest[index].active;
	} else {
		place.ring = &port->from_guest[index].ring;
		place.active = &port->from_guest[index].active;
	}
	return place;
}

/** Go through the queues that have a ring; false at the end. */
static bool
next_place(struct nmx_guestport *port, uint32_t *i, struct place *ret_place)
{
	for (; *i < 2u * port->n_queue_pairs; (*i)++) {
		*ret_place = find_place(port, (uint16_t)(*i & 1), (uint16_t)(*i >> 1));
		if (*ret_place->ring != NULL) {
			(*i)++;
			return true;
		}
	}
	return false;
}

/** Where a ring is in memory now; NULL if it isn't wholly in one region. */
static NMX_SHARED struct vdpdk_ring_header *
find_header(const struct nmx_guestport *port, struct nmx_range range)
{
	struct nmx_mem_cache cache = { 0 };
	NMX_SHARED uint8_t *at;

	if (port->mem == NULL || nmx_mem_translate(nmx_mem_get_view(port->mem), &cache, range.start,
					 range.size, NMX_MEM_READ | NMX_MEM_WRITE, &at) != 0)
		return NULL;
	return (NMX_SHARED struct vdpdk_ring_header *)at;
}

/** Store what the guest sees of a queue's state. */
static void
show_state(const struct guest_ring *ring, uint16_t state, uint16_t fault)
{
	nmx_base_store32(&ring->header->device.state, VDPDK_QUEUE_STATE_WORD(state, fault));
}

static struct guest_ring *
make_ring(struct nmx_guestport *port, const struct nmx_vdev_queue *queue)
{
	const size_t bytes = sizeof(struct guest_ring) +
			     queue->n_slots * sizeof(struct nmx_ring_slot);
	/* Not from the huge pages: their allocator may wait for another process. */
	struct guest_ring *ring = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(bytes, (size_t)RTE_CACHE_LINE_SIZE));

	if (ring == NULL)
		return NULL;
	memset(ring, 0, bytes);
	ring->mem = port->mem;
	ring->scatter = queue->scatter;
	ring->range.start = queue->ring_address;
	ring->range.size = VDPDK_RING_BYTES((uint64_t)queue->n_slots);
	ring->header = find_header(port, ring->range);
	if (ring->header != NULL) {
		nmx_ring_init_host(&ring->slots, ring->header, ring->taken, queue->n_slots);
		ring->bell.word = &ring->header->driver.event_seq;
		ring->arm.word = &ring->header->device.event_seq;
	}
	return ring;
}

/**
 * Wake a program that went to sleep while there was no ring to arm: it polls, finds the ring, and
 * arms that.
 */
static void
wake_sleeper(struct nmx_guestport *port, uint16_t index)
{
	struct nmx_from_guest *queue = &port->from_guest[index];

	/* Orders `active` before the mark; pairs with nmx_guestport_arm(). */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&queue->armed, memory_order_relaxed))
		nmx_guestport_send_own_signal(queue->doorbell);
}

uint32_t
nmx_guestport_start_ring(struct nmx_guestport *port, const struct nmx_vdev_queue *queue)
{
	struct place place = find_place(port, queue->direction, queue->index);
	struct guest_ring *ring;

	if (*place.ring != NULL)
		return VDPDK_ANSWER_STATE;
	ring = make_ring(port, queue);
	if (ring == NULL)
		return VDPDK_ANSWER_NO_MEMORY;
	if (ring->header == NULL) {
		free(ring);
		return VDPDK_ANSWER_ADDRESS;
	}
	show_state(ring, VDPDK_QUEUE_STATE_RUNNING, VDPDK_FAULT_NONE);
	*place.ring = ring;
	/* Orders the ring's contents before the pointer; pairs with the bursts' acquire. */
	atomic_store_explicit(place.active, ring, memory_order_release);
	if (queue->direction == VDPDK_DIRECTION_TX)
		wake_sleeper(port, queue->index);
	return VDPDK_ANSWER_OK;
}

/** Take a ring away from its data thread. */
static void
withdraw(struct nmx_guestport *port, struct place place)
{
	atomic_store_explicit(place.active, NULL, memory_order_relaxed);
	(*place.ring)->draining = true;
	(*place.ring)->grace = nmx_base_ask_grace(&port->grace);
}

/** A drained ring's slots go back to the guest, if its memory is and was there. */
static void
return_slots(struct nmx_guestport *port, struct guest_ring *ring, uint16_t direction)
{
	if (atomic_load(&ring->fault) == VDPDK_FAULT_RING_GONE || ring->given_up ||
		find_header(port, ring->range) != ring->header)
		return;
	if (direction == VDPDK_DIRECTION_RX)
		nmx_ring_return_slots(&ring->slots, 0, VDPDK_FLAG_RX_UNUSED);
	else
		nmx_ring_return_slots(&ring->slots, VDPDK_TX_ABORTED, 0);
	show_state(ring, VDPDK_QUEUE_STATE_STOPPED, VDPDK_FAULT_NONE);
}

/** End a drained ring. */
static void
end_ring(struct nmx_guestport *port, struct place place)
{
	struct guest_ring *ring = *place.ring;

	*place.ring = NULL;
	if (ring->has_ticket) {
		return_slots(port, ring, place.direction);
		nmx_vdev_answer(port->vdev, ring->ticket, VDPDK_ANSWER_OK);
	}
	if (!ring->given_up)
		free(ring);
}

uint32_t
nmx_guestport_stop_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index,
	struct nmx_vdev_ticket ticket)
{
	struct place place = find_place(port, direction, index);
	struct guest_ring *ring = *place.ring;

	if (ring == NULL || ring->has_ticket)
		return VDPDK_ANSWER_STATE;
	ring->has_ticket = true;
	ring->ticket = ticket;
	if (!ring->draining)
		withdraw(port, place);
	return NMX_VDEV_LATER;
}

void
nmx_guestport_drop_rings(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	while (next_place(port, &i, &place)) {
		/* Whoever waits for the stop is forgotten by the device, too. */
		(*place.ring)->has_ticket = false;
		if (!(*place.ring)->draining)
			withdraw(port, place);
	}
}

void
nmx_guestport_check_rings(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	while (next_place(port, &i, &place)) {
		struct guest_ring *ring = *place.ring;
		uint16_t none = VDPDK_FAULT_NONE;

		if (find_header(port, ring->range) == ring->header)
			continue;
		if (!ring->draining)
			atomic_store_explicit(place.active, NULL, memory_order_relaxed);
		if (atomic_compare_exchange_strong(&ring->fault, &none, VDPDK_FAULT_RING_GONE))
			atomic_store(&port->has_fault, true);
	}
}

void
nmx_guestport_set_fault(struct nmx_guestport *port, struct guest_ring *ring,
	_Atomic(struct guest_ring *) *active, uint16_t fault)
{
	uint16_t none = VDPDK_FAULT_NONE;

	/* No race with the control side: until this burst's bracket closes it may take `active`
	 * away, too, but not publish another ring in it. Nor is its reason overwritten. */
	atomic_store_explicit(active, NULL, memory_order_relaxed);
	if (!atomic_compare_exchange_strong(&ring->fault, &none, fault))
		return;
	atomic_store(&port->has_fault, true);
	nmx_control_wake();
}

static const char *
explain_fault(uint16_t fault)
{
	static const char *const words[] = {
		[VDPDK_FAULT_FLAGS] = "a descriptor with flags that are reserved",
		[VDPDK_FAULT_CHAIN] = "a frame of too many slots, or not wholly handed over",
		[VDPDK_FAULT_LENGTH] = "an empty segment, or a frame too short or too long",
		[VDPDK_FAULT_ADDRESS] = "a buffer outside the memory that the guest mapped",
		[VDPDK_FAULT_RING_GONE] = "the ring's own memory was unmapped",
	};

	return fault < RTE_DIM(words) && words[fault] != NULL ? words[fault] : "unknown";
}

static void
log_fault(const struct nmx_guestport *port, struct place place, uint16_t fault)
{
	const struct nmx_range *what = &(*place.ring)->untranslated;
	const char *direction = place.direction == VDPDK_DIRECTION_RX ? "Rx" : "Tx";

	if (fault == VDPDK_FAULT_ADDRESS)
		PORT_LOG(port, WARNING,
			"stopped the guest's %s queue %u: %s: %#" PRIx64 ", %u bytes", direction,
			place.index, explain_fault(fault), what->start, (unsigned int)what->size);
	else
		PORT_LOG(port, WARNING, "stopped the guest's %s queue %u: %s", direction,
			place.index, explain_fault(fault));
}

static void
report_fault(struct nmx_guestport *port, struct place place)
{
	struct guest_ring *ring = *place.ring;
	uint16_t fault = atomic_load(&ring->fault);

	if (fault == VDPDK_FAULT_NONE || ring->reported)
		return;
	ring->reported = true;
	port->faults++;
	if (find_header(port, ring->range) == ring->header)
		show_state(ring, VDPDK_QUEUE_STATE_ERROR, fault);
	if (nmx_guestport_may_log(port))
		log_fault(port, place, fault);
	nmx_vdev_report_fault(port->vdev);
}

void
nmx_guestport_report_faults(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	if (!atomic_exchange(&port->has_fault, false))
		return;
	while (next_place(port, &i, &place))
		report_fault(port, place);
}

void
nmx_guestport_advance_rings(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	while (next_place(port, &i, &place))
		if ((*place.ring)->draining &&
			nmx_base_is_grace_over(&port->grace, (*place.ring)->grace) &&
			!nmx_guestport_is_lent(*place.ring))
			end_ring(port, place);
}

bool
nmx_guestport_has_rings(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	return next_place(port, &i, &place);
}
