/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** What the device asks of the port: its requests, signals, resets. Control. */

#include <string.h>

#include "lib/base/clock.h"
#include "port.h"

static void
on_run(void *context)
{
	struct nmx_guestport *port = context;

	atomic_store(&port->linked, true);
}

static uint32_t
on_start_queue(void *context, const struct nmx_vdev_queue *queue)
{
	return nmx_guestport_start_ring(context, queue);
}

static uint32_t
on_stop_queue(void *context, uint16_t direction, uint16_t index, struct nmx_vdev_ticket ticket)
{
	return nmx_guestport_stop_ring(context, direction, index, ticket);
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

static int
get_vector(const struct nmx_guestport *port, uint16_t vector)
{
	return atomic_load_explicit(&port->vectors[vector], memory_order_acquire);
}

void
nmx_guestport_signal_vector(struct nmx_guestport *port, uint16_t vector)
{
	int fd = get_vector(port, vector);

	if (fd >= 0)
		nmx_guestport_send_signal(fd);
}

void
nmx_guestport_signal_own_vector(struct nmx_guestport *port, uint16_t vector)
{
	int fd = get_vector(port, vector);

	if (fd >= 0)
		nmx_guestport_send_own_signal(fd);
}

static void
on_signal(void *context, uint16_t vector)
{
	nmx_guestport_signal_own_vector(context, vector);
}

/** Late signals are this late. */
#define OWED_NS (NMX_NS_PER_S / 1000)

void
nmx_guestport_pay_signals(struct nmx_guestport *port, uint64_t now_ns)
{
	if (!atomic_load(&port->owes_signals))
		return;
	if (port->owed_due_ns == 0)
		port->owed_due_ns = now_ns + OWED_NS;
	if (now_ns < port->owed_due_ns)
		return;
	port->owed_due_ns = 0;
	/* Before the queues' marks: a queue that owes from now on sets it again. */
	atomic_store(&port->owes_signals, false);
	for (uint16_t i = 0; i < port->n_queue_pairs; i++)
		if (atomic_exchange(&port->to_guest[i].owes_signal, false))
			nmx_guestport_signal_own_vector(port, VDPDK_VECTOR_RX(i));
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
