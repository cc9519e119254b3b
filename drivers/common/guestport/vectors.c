/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The guest's eventfds, and signals to them. Control, but for what is said in port.h.
 *
 * Theory of operation
 *
 * A burst takes a vector's descriptor and signals it a moment later; or much later, if it hangs. So
 * the number of a descriptor stays its vector's until a grace period is over: another eventfd takes
 * the place behind the same number, in one step, and a vector that was disconnected keeps its
 * number aside, for the next eventfd or for the end of the period. Whoever holds the number signals
 * what the vector is connected to now, or was last; never anything else.
 *
 * A signal that is on its way into the former eventfd in that very moment is lost to the guest, who
 * waits for the new one. If the guest was answered before the period was over, its vectors are
 * therefore signalled once more at the end.
 */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "control.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "port.h"

void
nmx_guestport_init_vectors(struct nmx_guestport *port)
{
	for (uint32_t i = 0; i < VECTORS_MAX; i++) {
		atomic_init(&port->vectors[i], -1);
		port->old_vectors[i] = -1;
	}
}

static void
set_vector(struct nmx_guestport *port, uint32_t vector, int fd)
{
	/* Release: whoever takes the number finds the eventfd behind it. */
	atomic_store_explicit(&port->vectors[vector], fd, memory_order_release);
}

/** Connect one, or with a NULL fd disconnect it. @return 1: there was one before; 0; -errno */
static int
swap_vector(struct nmx_guestport *port, uint32_t vector, int *fd)
{
	int present = atomic_load(&port->vectors[vector]);
	int number = present >= 0 ? present : port->old_vectors[vector];

	if (fd == NULL) {
		port->old_vectors[vector] = number;
		set_vector(port, vector, -1);
		return present >= 0;
	}
	if (number < 0) {
		set_vector(port, vector, nmx_base_take_fd(fd));
		return 0;
	}
	if (dup3(*fd, number, O_CLOEXEC) < 0)
		return -errno;
	nmx_base_close_fd(fd);
	port->old_vectors[vector] = -1;
	port->replaced_vectors[vector] = true;
	set_vector(port, vector, number);
	return 1;
}

int
nmx_guestport_swap_vectors(struct nmx_guestport *port, uint32_t start, uint32_t count, int *fds)
{
	int ret = 0;

	for (uint32_t i = 0; i < count; i++) {
		int one = swap_vector(port, start + i, fds == NULL ? NULL : &fds[i]);

		if (one < 0)
			return one;
		ret |= one;
	}
	return ret;
}

void
nmx_guestport_settle_vectors(struct nmx_guestport *port)
{
	for (uint16_t i = 0; i < VECTORS_MAX; i++) {
		nmx_base_close_fd(&port->old_vectors[i]);
		if (port->replaced_vectors[i] && port->owes_replaced)
			nmx_guestport_signal_own_vector(port, i);
		port->replaced_vectors[i] = false;
	}
	port->owes_replaced = false;
}

void
nmx_guestport_close_vectors(struct nmx_guestport *port)
{
	port->owes_replaced = false;
	nmx_guestport_settle_vectors(port);
	for (uint32_t i = 0; i < VECTORS_MAX; i++) {
		int fd = atomic_exchange(&port->vectors[i], -1);

		nmx_base_close_fd(&fd);
	}
}

/* --- Signals --- */

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

bool
nmx_guestport_ring_bell(struct nmx_guestport *port, struct guest_bell *bell)
{
	/* Without a bound the time doesn't matter. */
	uint64_t now = bell->budget.interval == 0 ? 0 : rte_rdtsc();

	if (unlikely(!nmx_base_take_rate(&bell->budget, now))) {
		if (!atomic_exchange(&bell->owes, true)) {
			atomic_store(&port->owes_signals, true);
			nmx_control_wake();
		}
		return false;
	}
	nmx_guestport_signal_vector(port, bell->vector);
	return true;
}

/** Late signals are this late. */
#define OWED_NS (NMX_NS_PER_S / 1000)

static void
pay_bell(struct nmx_guestport *port, struct guest_bell *bell)
{
	if (atomic_exchange(&bell->owes, false))
		nmx_guestport_signal_own_vector(port, bell->vector);
}

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
	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		pay_bell(port, &port->to_guest[i].bell);
		pay_bell(port, &port->from_guest[i].bell);
	}
}
