/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Owned file descriptors. A function that takes one over takes `int *fd` and leaves -1 behind.
 */

#ifndef NMX_BASE_FD_H
#define NMX_BASE_FD_H

#include <stdbool.h>

/** Close *fd if it is one, and leave -1. errno is kept. */
void nmx_base_close_fd(int *fd);

/** Close n descriptors of an array and leave -1 in each. */
void nmx_base_close_fds(int *fds, unsigned int n);

/** Move a descriptor out of its place: returns it and leaves -1. */
static inline int
nmx_base_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/**
 * True if fd, which a peer passed, is a file of memory: of tmpfs (a memfd, /dev/shm) or hugetlbfs.
 * Asks nothing of the file's file system, which may be the peer's own.
 */
bool nmx_base_is_memory(int fd);

/**
 * True if fd, which a peer passed, is an eventfd: writing 8 bytes to anything else of a peer's
 * choice (a pipe, a file, our own socket) is not ours to do.
 */
bool nmx_base_is_eventfd(int fd);

#endif
