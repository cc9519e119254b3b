/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** What the device asks of the port: its requests, signals, resets. Control. */

#include <errno.h>
#include <string.h>

#include "vdpdk_front.h"

static void
on_run(void *context)
{
	struct nmx_guestport *port = context;

	atomic_store(&port->linked, true);
}

/** Store what the guest sees of a queue's state. */
static void
show_state(const struct guest_ring *ring, uint16_t state, uint16_t fault)
{
	NMX_SHARED struct vdpdk_ring_header *header = (NMX_SHARED struct vdpdk_ring_header *)
							      ring->places[0];

	nmx_base_store32(&header->device.state, VDPDK_QUEUE_STATE_WORD(state, fault));
}

static uint32_t
on_start_queue(void *context, const struct nmx_vdev_queue *queue)
{
	const struct ring_plan plan = {
		.kind = RING_VDPDK,
		.n_slots = queue->n_slots,
		.n_parts = 1,
		.parts = { { queue->ring_address, VDPDK_RING_BYTES((uint64_t)queue->n_slots) } },
		.scatter = queue->scatter,
		.enabled = true,
	};

	switch (nmx_guestport_start_ring(context, queue->direction, queue->index, &plan)) {
	case 0:
		break;
	case -EBUSY:
		return VDPDK_ANSWER_STATE;
	case -EFAULT:
		return VDPDK_ANSWER_ADDRESS;
	default:
		return VDPDK_ANSWER_NO_MEMORY;
	}
	show_state(nmx_guestport_get_ring(context, queue->direction, queue->index),
		VDPDK_QUEUE_STATE_RUNNING, VDPDK_FAULT_NONE);
	return VDPDK_ANSWER_OK;
}

static uint32_t
on_stop_queue(void *context, uint16_t direction, uint16_t index, struct nmx_vdev_ticket ticket)
{
	struct guest_ring *ring = nmx_guestport_get_ring(context, direction, index);

	if (ring == NULL || ring->awaited)
		return VDPDK_ANSWER_STATE;
	ring->awaited = true;
	ring->ticket = ticket;
	nmx_guestport_stop_ring(context, direction, index);
	return NMX_VDEV_LATER;
}

/** The port filters by no address: without a list its one guest may have any. */
static uint32_t
on_set_mac(void *context, const uint8_t mac[6])
{
	const struct nmx_guestport *port = context;

	for (uint16_t i = 0; i < port->n_macs; i++)
		if (memcmp(port->macs[i].addr_bytes, mac, sizeof(port->macs[i])) == 0)
			return VDPDK_ANSWER_OK;
	return port->n_macs == 0 ? VDPDK_ANSWER_OK : VDPDK_ANSWER_DENIED;
}

static uint32_t
on_set_mtu(void *context, uint16_t mtu)
{
	struct nmx_guestport *port = context;

	atomic_store_explicit(
		&port->to_guest_bytes_max, mtu + NMX_FRAME_OVERHEAD_BYTES, memory_order_relaxed);
	return VDPDK_ANSWER_OK;
}

static void
on_get_stats(void *context, uint16_t index, struct vdpdk_queue_stats *ret_stats)
{
	const struct nmx_guestport *port = context;
	const struct nmx_to_guest *to = &port->to_guest[index];
	const struct nmx_from_guest *from = &port->from_guest[index];
	struct nmx_to_guest_counters rx;
	struct nmx_from_guest_counters tx;

#define SINCE(counters, base, field) ((counters).field - (base).field)
	nmx_guestport_get_to_counters(to, &rx);
	ret_stats->rx_frames = SINCE(rx, to->guest_base, frames);
	ret_stats->rx_bytes = SINCE(rx, to->guest_base, bytes);
	ret_stats->rx_too_long = SINCE(rx, to->guest_base, drops[NMX_TO_GUEST_TOO_LONG]);
	ret_stats->rx_errors = SINCE(rx, to->guest_base, drops[NMX_TO_GUEST_MALFORMED]);
	nmx_guestport_get_from_counters(from, &tx);
	ret_stats->tx_frames = SINCE(tx, from->guest_base, frames);
	ret_stats->tx_bytes = SINCE(tx, from->guest_base, bytes);
	ret_stats->tx_too_long = SINCE(tx, from->guest_base, drops[NMX_FROM_GUEST_TOO_LONG]);
#undef SINCE
}

static void
on_reset_stats(void *context)
{
	struct nmx_guestport *port = context;

	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		nmx_guestport_get_to_counters(&port->to_guest[i], &port->to_guest[i].guest_base);
		nmx_guestport_get_from_counters(
			&port->from_guest[i], &port->from_guest[i].guest_base);
	}
}

static void
on_ring_doorbell(void *context, uint16_t index)
{
	struct nmx_guestport *port = context;

	/* Not by write(): the guest has a duplicate of this eventfd. */
	nmx_guestport_send_own_signal(port->from_guest[index].doorbell);
}

static void
on_signal(void *context, uint16_t vector)
{
	nmx_guestport_signal_own_vector(context, vector);
}

static void
on_halt(void *context)
{
	struct nmx_guestport *port = context;

	atomic_store(&port->linked, false);
	nmx_guestport_drop_rings(port);
}

static bool
on_reset(void *context)
{
	struct nmx_guestport *port = context;

	on_halt(port);
	(void)on_set_mtu(port, NMX_MTU_DEFAULT);
	on_reset_stats(port);
	/* Vectors that were replaced, or views of memory, may be in use even without rings. */
	if (!nmx_guestport_has_rings(port) && nmx_base_is_grace_idle(&port->grace))
		return true;
	port->reset_grace = nmx_base_ask_grace(&port->grace);
	return false;
}

/* --- The ends of rings --- */

/** A drained ring's slots go back to the guest, if its memory is and was there. */
static void
return_slots(struct guest_ring *ring, uint16_t direction)
{
	if (atomic_load(&ring->fault) == VDPDK_FAULT_RING_GONE || ring->given_up)
		return;
	/* What was sent from the guest's memory has been sent. */
	if (ring->attach != NULL)
		nmx_guestport_answer_attached(ring);
	if (direction == VDPDK_DIRECTION_RX)
		nmx_ring_return_slots(&ring->half.vdpdk, 0, VDPDK_FLAG_RX_UNUSED);
	else
		nmx_ring_return_slots(&ring->half.vdpdk, VDPDK_TX_ABORTED, 0);
	show_state(ring, VDPDK_QUEUE_STATE_STOPPED, VDPDK_FAULT_NONE);
}

void
nmx_guestport_end_vdpdk_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index,
	struct guest_ring *ring, bool is_mapped)
{
	(void)index;
	if (!ring->awaited)
		return;
	if (is_mapped)
		return_slots(ring, direction);
	nmx_vdev_answer(port->vdev, ring->ticket, VDPDK_ANSWER_OK);
}

void
nmx_guestport_report_vdpdk_fault(
	struct nmx_guestport *port, struct guest_ring *ring, bool is_mapped)
{
	if (is_mapped)
		show_state(ring, VDPDK_QUEUE_STATE_ERROR, atomic_load(&ring->fault));
	nmx_vdev_report_fault(port->vdev);
}

const struct nmx_vdev_backend nmx_guestport_backend = {
	.run = on_run,
	.start_queue = on_start_queue,
	.stop_queue = on_stop_queue,
	.set_mac = on_set_mac,
	.set_mtu = on_set_mtu,
	.get_stats = on_get_stats,
	.reset_stats = on_reset_stats,
	.ring_doorbell = on_ring_doorbell,
	.signal = on_signal,
	.halt = on_halt,
	.reset = on_reset,
};
