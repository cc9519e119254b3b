/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The other end of a stream, which can send anything. For tests. */

#ifndef NMX_STREAM_PEER_TEST_H
#define NMX_STREAM_PEER_TEST_H

#include <stddef.h>

/** Open descriptors of the process. */
int peer_count_fds(void);

/** A connected pair of non-blocking sockets. */
void peer_connect(int *ret_near, int *ret_far);

/** Send all of it, descriptors with the first byte. */
void peer_send(int socket, const void *bytes, size_t size, const int *fds, unsigned int n_fds);

#endif
