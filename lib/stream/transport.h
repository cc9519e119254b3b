/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What carries the bytes and descriptors of a connection: a socket, or memory for fuzzing.
 */

#ifndef NMX_STREAM_TRANSPORT_H
#define NMX_STREAM_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

/** Descriptors that Linux sends with one message at most (SCM_MAX_FD). */
#define NMX_STREAM_SCM_FDS_MAX 253

struct nmx_bin;

struct nmx_stream_transport {
	/** For descriptors that came and nobody took; not owned. NULL: they are closed at once. */
	struct nmx_bin *bin;
	/**
	 * Receive bytes, and with a non-NULL `fds` descriptors that came with them.
	 *
	 * @param fds        room for NMX_STREAM_SCM_FDS_MAX; without, the kernel discards
	 * descriptors
	 * @param ret_n_fds  how many came; they are the caller's, also if the call fails
	 * @return bytes; 0 end of stream; -EAGAIN nothing now; -EPROTO ancillary data of another
	 *         kind, or not all of it; -errno
	 */
	ssize_t (*receive)(struct nmx_stream_transport *transport, void *buffer, size_t size,
		int *fds, unsigned int *ret_n_fds);
	/**
	 * Send bytes, descriptors with the first of them.
	 *
	 * @return bytes, perhaps fewer; -EAGAIN; -errno
	 */
	ssize_t (*send)(struct nmx_stream_transport *transport, const void *buffer, size_t size,
		const int *fds, unsigned int n_fds);
};

/** Over a connected, non-blocking AF_UNIX stream socket. */
struct nmx_stream_socket {
	struct nmx_stream_transport transport;
	int fd; /* not owned */
};

/** Make the transport of a socket, in the caller's storage. */
void nmx_stream_init_socket(struct nmx_stream_socket *socket, int fd);

#endif
