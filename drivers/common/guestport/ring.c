/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Runs of queues: start, stop, fault. See port.h for their life. */

#include <errno.h>
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

/** Find a ring's parts in memory; false if one isn't wholly in one region. */
static bool
find_parts(const struct nmx_guestport *port, const struct guest_ring *ring,
	NMX_SHARED uint8_t *ret_places[RING_PARTS_MAX])
{
	struct nmx_mem_cache cache = { 0 };

	for (uint32_t i = 0; i < ring->n_parts; i++)
		if (port->mem == NULL || nmx_mem_translate(nmx_mem_get_view(port->mem), &cache,
						 ring->parts[i].start, ring->parts[i].size,
						 NMX_MEM_READ | NMX_MEM_WRITE, &ret_places[i]) != 0)
			return false;
	return true;
}

bool
nmx_guestport_is_mapped(const struct nmx_guestport *port, const struct guest_ring *ring)
{
	NMX_SHARED uint8_t *places[RING_PARTS_MAX];

	return find_parts(port, ring, places) &&
	       memcmp(places, ring->places, ring->n_parts * sizeof(places[0])) == 0;
}

static void
init_vdpdk(struct guest_ring *ring, const struct ring_plan *plan)
{
	NMX_SHARED struct vdpdk_ring_header *header = (NMX_SHARED struct vdpdk_ring_header *)
							      ring->places[0];

	nmx_ring_init_host(&ring->half.vdpdk, header, ring->taken, plan->n_slots);
	ring->bell.word = &header->driver.event_seq;
	ring->arm.word = &header->device.event_seq;
}

static void
init_split(struct guest_ring *ring, const struct ring_plan *plan)
{
	const struct nmx_split_parts parts = {
		.desc = (NMX_SHARED struct nmx_split_desc *)ring->places[0],
		.avail = (NMX_SHARED struct nmx_split_avail *)ring->places[1],
		.used = (NMX_SHARED struct nmx_split_used *)ring->places[2],
	};
	/* A back end that died told nobody how far it had come; what the guest has seen counts. */
	uint16_t base = nmx_base_load16_acquire(&parts.used->idx);

	nmx_ring_init_split(&ring->half.split, &parts, ring->taken, plan->n_slots, base);
	ring->split_bell.answered = base;
	nmx_ring_disarm_kick(&ring->half.split, plan->event_idx);
}

/** @return 0; -EINVAL a base outside of it */
static int
init_packed(struct guest_ring *ring, const struct ring_plan *plan)
{
	const struct nmx_packed_parts parts = {
		.desc = (NMX_SHARED struct nmx_packed_desc *)ring->places[0],
		.driver = (NMX_SHARED struct nmx_packed_event *)ring->places[1],
		.device = (NMX_SHARED struct nmx_packed_event *)ring->places[2],
	};
	int ret = nmx_ring_init_packed(
		&ring->half.packed, &parts, ring->taken, plan->n_slots, plan->base);

	if (ret != 0)
		return ret;
	ring->packed_bell.answered = ring->half.packed.used_seq;
	nmx_ring_disarm_packed_kick(&ring->half.packed);
	return 0;
}

static void
free_ring(struct guest_ring *ring)
{
	free(ring->attach);
	free(ring);
}

static int
init_ring(struct guest_ring *ring, const struct ring_plan *plan)
{
	switch (plan->kind) {
	case RING_VDPDK:
		init_vdpdk(ring, plan);
		return 0;
	case RING_PACKED:
		return init_packed(ring, plan);
	default:
		init_split(ring, plan);
		return 0;
	}
}

static struct guest_ring *
make_ring(struct nmx_guestport *port, const struct ring_plan *plan)
{
	const size_t bytes = sizeof(struct guest_ring) +
			     plan->n_slots * sizeof(struct nmx_ring_slot);
	/* Not from the huge pages: their allocator may wait for another process. */
	struct guest_ring *ring = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(bytes, (size_t)RTE_CACHE_LINE_SIZE));

	if (ring == NULL)
		return NULL;
	memset(ring, 0, bytes);
	ring->mem = port->mem;
	ring->kind = plan->kind;
	ring->scatter = plan->scatter;
	ring->ordered = plan->ordered;
	ring->event_idx = plan->event_idx;
	ring->may = plan->may;
	ring->n_parts = plan->n_parts;
	memcpy(ring->parts, plan->parts, sizeof(ring->parts));
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

static void
publish(struct nmx_guestport *port, struct place place)
{
	/* Orders the ring's contents before the pointer; pairs with the bursts' acquire. */
	atomic_store_explicit(place.active, *place.ring, memory_order_release);
	if (place.direction == VDPDK_DIRECTION_TX)
		wake_sleeper(port, place.index);
}

int
nmx_guestport_start_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index,
	const struct ring_plan *plan)
{
	struct place place = find_place(port, direction, index);
	struct guest_ring *ring;
	int ret;

	if (*place.ring != NULL)
		return -EBUSY;
	ring = make_ring(port, plan);
	if (ring == NULL)
		return -ENOMEM;
	ret = find_parts(port, ring, ring->places) ? init_ring(ring, plan) : -EFAULT;
	if (ret == 0 && direction == VDPDK_DIRECTION_TX &&
		atomic_load(&port->from_guest[index].attaches)) {
		ring->attach = nmx_guestport_create_attach(plan->n_slots);
		ret = ring->attach == NULL ? -ENOMEM : 0;
	}
	if (ret != 0) {
		free_ring(ring);
		return ret;
	}
	*place.ring = ring;
	if (plan->enabled)
		publish(port, place);
	return 0;
}

struct guest_ring *
nmx_guestport_get_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index)
{
	return *find_place(port, direction, index).ring;
}

void
nmx_guestport_enable_ring(
	struct nmx_guestport *port, uint16_t direction, uint16_t index, bool enabled)
{
	struct place place = find_place(port, direction, index);
	const struct guest_ring *ring = *place.ring;

	if (!enabled)
		atomic_store_explicit(place.active, NULL, memory_order_relaxed);
	else if (!ring->draining && atomic_load(&ring->fault) == VDPDK_FAULT_NONE)
		publish(port, place);
}

/** Take a ring away from its data thread. */
static void
withdraw(struct nmx_guestport *port, struct place place)
{
	atomic_store_explicit(place.active, NULL, memory_order_relaxed);
	(*place.ring)->draining = true;
	(*place.ring)->grace = nmx_base_ask_grace(&port->grace);
}

/** End a drained ring. */
static void
end_ring(struct nmx_guestport *port, struct place place)
{
	struct guest_ring *ring = *place.ring;

	*place.ring = NULL;
	port->front->end_ring(
		port, place.direction, place.index, ring, nmx_guestport_is_mapped(port, ring));
	if (!ring->given_up)
		free_ring(ring);
}

void
nmx_guestport_stop_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index)
{
	struct place place = find_place(port, direction, index);

	if (!(*place.ring)->draining)
		withdraw(port, place);
}

void
nmx_guestport_drop_rings(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	while (next_place(port, &i, &place)) {
		/* Whoever waits for the stop is forgotten by the device, too. */
		(*place.ring)->awaited = false;
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

		if (nmx_guestport_is_mapped(port, ring))
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

/** Of each reason: what the ring has of it, and words. */
static const struct {
	uint16_t fault;
	const char *words;
} reasons[NMX_GUEST_FAULTS] = {
	[NMX_GUEST_FAULT_FLAGS] = { VDPDK_FAULT_FLAGS,
		"a descriptor with flags that are reserved" },
	[NMX_GUEST_FAULT_CHAIN] = { VDPDK_FAULT_CHAIN,
		"a frame of too many slots, or not wholly handed over" },
	[NMX_GUEST_FAULT_LENGTH] = { VDPDK_FAULT_LENGTH,
		"an empty segment, or a frame too short or too long" },
	[NMX_GUEST_FAULT_ADDRESS] = { VDPDK_FAULT_ADDRESS,
		"a buffer outside the memory that the guest mapped" },
	[NMX_GUEST_FAULT_RING_GONE] = { VDPDK_FAULT_RING_GONE,
		"the ring's own memory was unmapped" },
	[NMX_GUEST_FAULT_INDEX] = { NMX_SPLIT_FAULT_IDX,
		"an available index that no driver can have reached" },
	[NMX_GUEST_FAULT_ID] = { NMX_SPLIT_FAULT_ID,
		"the number of a descriptor that isn't there" },
};

/** NMX_GUEST_FAULTS: none that is known. */
static enum nmx_guest_fault
find_reason(uint16_t fault)
{
	unsigned int i = 0;

	while (i < NMX_GUEST_FAULTS && reasons[i].fault != fault)
		i++;
	return (enum nmx_guest_fault)i;
}

static void
log_fault(const struct nmx_guestport *port, struct place place, enum nmx_guest_fault reason)
{
	const char *words = reason < NMX_GUEST_FAULTS ? reasons[reason].words : "unknown";
	const struct nmx_range *what = &(*place.ring)->untranslated;
	const char *direction = place.direction == VDPDK_DIRECTION_RX ? "Rx" : "Tx";

	if (reason == NMX_GUEST_FAULT_ADDRESS)
		PORT_LOG(port, WARNING,
			"stopped the guest's %s queue %u: %s: %#" PRIx64 ", %u bytes", direction,
			place.index, words, what->start, (unsigned int)what->size);
	else
		PORT_LOG(port, WARNING, "stopped the guest's %s queue %u: %s", direction,
			place.index, words);
}

static void
report_fault(struct nmx_guestport *port, struct place place)
{
	struct guest_ring *ring = *place.ring;
	uint16_t fault = atomic_load(&ring->fault);
	enum nmx_guest_fault reason = find_reason(fault);

	if (fault == VDPDK_FAULT_NONE || ring->reported)
		return;
	ring->reported = true;
	port->faults++;
	if (reason < NMX_GUEST_FAULTS)
		port->faults_by_reason[reason]++;
	if (nmx_guestport_may_log(port))
		log_fault(port, place, reason);
	port->front->report_fault(port, ring, nmx_guestport_is_mapped(port, ring));
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
nmx_guestport_cut_rings(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	while (next_place(port, &i, &place)) {
		struct guest_ring *ring = *place.ring;

		if (ring->cut_off || nmx_guestport_is_mapped(port, ring))
			continue;
		ring->cut_off = true;
		if (ring->kind == RING_PACKED)
			ring->cut_seq = ring->half.packed.used_seq;
	}
}

void
nmx_guestport_advance_rings(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	while (next_place(port, &i, &place))
		if ((*place.ring)->draining &&
			nmx_base_is_grace_over(&port->grace, (*place.ring)->grace) &&
			!(*place.ring)->is_lent)
			end_ring(port, place);
}

bool
nmx_guestport_has_rings(struct nmx_guestport *port)
{
	struct place place;
	uint32_t i = 0;

	return next_place(port, &i, &place);
}
