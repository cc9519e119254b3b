/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Closing descriptors whose kind a peer chose.
 *
 * Theory of operation
 *
 * close() may wait for whoever is behind a descriptor: a file of a FUSE file system for its daemon,
 * a lingering TCP socket for its peer, and a socket of ours for whatever a peer has put in its
 * queue. So each call closes on a short-lived thread of its own; that one may wait for ever, and
 * whoever called it never does. The bin tells whether such threads are left: a caller that takes
 * nothing more from a peer before they are gone bounds them. Threads may outlive the bin's owner.
 *
 * A file of memory never waits, but the last close of one frees its pages, at 40 us a MiB.
 */

#ifndef NMX_BASE_DISCARD_H
#define NMX_BASE_DISCARD_H

#include <stdbool.h>

struct nmx_bin;

/** @return NULL: no memory */
struct nmx_bin *nmx_base_create_bin(void);

/** Let go of a bin; what is in it goes on being closed. NULL is nothing. */
void nmx_base_release_bin(struct nmx_bin *bin);

/**
 * Close n descriptors, -1 among them allowed, and leave -1 in each. Doesn't wait, unless the
 * process can't have another thread: then it closes them itself.
 */
void nmx_base_discard_fds(struct nmx_bin *bin, int *fds, unsigned int n);

/**
 * Close n descriptors that were found to be eventfds or memory, -1 among them allowed, and leave -1
 * in each: those of large files as nmx_base_discard_fds(), the others here.
 *
 * @param bin  NULL: all here
 */
void nmx_base_drop_fds(struct nmx_bin *bin, int *fds, unsigned int n);

/**
 * End a connection, so that its peer reads what it was sent and then end of file; and close it.
 * With something unread in our queue the peer would read ECONNRESET instead, which is the end of
 * some: so that is read and thrown away first, with descriptors of whatever kind, and no more can
 * come.
 *
 * @param fds  n of them: a connected AF_UNIX stream socket of ours, then what else is to be closed;
 *             -1 is left in each
 */
void nmx_base_discard_connection(struct nmx_bin *bin, int *fds, unsigned int n);

/** True if all that was discarded is closed. */
bool nmx_base_is_bin_empty(const struct nmx_bin *bin);

#endif
