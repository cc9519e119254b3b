/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Theory of operation
 *
 * O_NONBLOCK belongs to the open file, which a shell and other programs may have as well, so it
 * isn't set there: standard error is opened once more, by /proc/self/fd. A socket (the journal's)
 * can't be opened again, but sent to without blocking. stdio calls put_text() under its own lock.
 */

#include "log_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_log.h>

#include "lib/base/fd.h"

/** The process' one log. */
static struct {
	int fd;
	bool is_socket;
	uint64_t lost; /* lines, since the last one that was taken */
} stream = { .fd = -1 };

/** @return true if all of it was taken */
static bool
put_bytes(const char *text, size_t bytes)
{
	ssize_t n = stream.is_socket ? send(stream.fd, text, bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
				     : write(stream.fd, text, bytes);

	return n == (ssize_t)bytes;
}

static ssize_t
put_text(void *cookie, const char *text, size_t bytes)
{
	char said[64];
	int n;

	(void)cookie;
	if (stream.lost > 0) {
		n = snprintf(said, sizeof(said), "nicmuxd: %llu log lines were lost\n",
			(unsigned long long)stream.lost);
		if (put_bytes(said, (size_t)n))
			stream.lost = 0;
	}
	if (stream.lost > 0 || !put_bytes(text, bytes))
		stream.lost++;
	return (ssize_t)bytes; /* lost or not: stdio must not keep it */
}

static int
open_stderr(void)
{
	struct stat status;

	if (fstat(STDERR_FILENO, &status) != 0)
		return -errno;
	stream.is_socket = S_ISSOCK(status.st_mode);
	stream.fd = stream.is_socket ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
				     : open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK |
								       O_NOCTTY | O_CLOEXEC);
	return stream.fd < 0 ? -errno : 0;
}

int
nmx_mux_open_log_stream(void)
{
	static const cookie_io_functions_t functions = { .write = put_text };
	int ret = open_stderr();
	FILE *file;

	if (ret != 0)
		return ret;
	file = fopencookie(NULL, "w", functions);
	if (file == NULL) {
		nmx_base_close_fd(&stream.fd);
		return -ENOMEM;
	}
	/* A line at a time: what is lost is whole lines. */
	setvbuf(file, NULL, _IOLBF, 0);
	return rte_openlog_stream(file);
}
