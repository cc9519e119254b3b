/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
nmx_base_close_fd(int *fd)
{
	int kept = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = kept;
}

void
nmx_base_close_fds(int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		nmx_base_close_fd(&fds[i]);
}

bool
nmx_base_is_memory(int fd)
{
	/* Only these two kinds of files have seals, also where sealing is forbidden. */
	return fcntl(fd, F_GET_SEALS) >= 0;
}

bool
nmx_base_is_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd]";
	char path[sizeof("/proc/self/fd/-2147483648")];
	char target[sizeof(name)];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target));
	return length == (ssize_t)(sizeof(name) - 1) && memcmp(target, name, sizeof(name) - 1) == 0;
}
