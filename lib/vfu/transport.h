/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What carries the bytes and descriptors of a connection: a socket, or memory for fuzzing.
 */

#ifndef NMX_VFU_TRANSPORT_H
#define NMX_VFU_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

struct nmx_vfu_transport {
	/**
	 * Receive bytes, and with a non-NULL `fds` descriptors that came with them.
	 *
	 * @param fds    room for *n_fds; without, descriptors are discarded by the kernel
	 * @param n_fds  in: room; out: descriptors, the caller's from now on
	 * @return bytes; 0 end of stream; -EAGAIN nothing now; -EPROTO ancillary data that breaks
	 *         the rules (too many descriptors, none kept); -errno
	 */
	ssize_t (*receive)(struct nmx_vfu_transport *transport, void *buffer, size_t size, int *fds,
		unsigned int *n_fds);
	/**
	 * Send bytes, descriptors with the first of them.
	 *
	 * @return bytes, perhaps fewer; -EAGAIN; -errno
	 */
	ssize_t (*send)(struct nmx_vfu_transport *transport, const void *buffer, size_t size,
		const int *fds, unsigned int n_fds);
};

/** Over a connected, non-blocking AF_UNIX stream socket. */
struct nmx_vfu_socket {
	struct nmx_vfu_transport transport;
	int fd; /* not owned */
};

/** Make the transport of a socket, in the caller's storage. */
void nmx_vfu_init_socket(struct nmx_vfu_socket *socket, int fd);

#endif
