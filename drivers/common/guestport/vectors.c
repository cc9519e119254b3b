/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The guest's eventfds. Control.
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
