/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Socket files: listening at a path, connecting to one.
 *
 * Theory of operation
 *
 * A socket file that a dead server left is replaced, and nothing else is ever touched: not a live
 * server's socket, no symbolic link, no other file. Two servers that start at once for one path are
 * kept apart by a lock on its folder. The file's mode is set before it exists under its name.
 */

#ifndef NMX_STREAM_PATH_H
#define NMX_STREAM_PATH_H

#include <sys/stat.h>

/** The longest path that a socket address holds. */
#define NMX_STREAM_PATH_BYTES_MAX 107

/** Who may connect to a socket file. */
struct nmx_stream_permit {
	mode_t mode; /* permissions of the file */
	uid_t user;  /* its owner; (uid_t)-1: this process' */
	gid_t group; /* (gid_t)-1: this process' */
};

/** A socket file of ours. */
struct nmx_stream_listener {
	int fd; /* non-blocking; -1: none */
	char path[NMX_STREAM_PATH_BYTES_MAX + 1];
	dev_t device; /* of the file, to know it again */
	ino_t inode;
};

/**
 * Listen at a path.
 *
 * Others can't put another file in the place of the one that is opened to them: with a user, a
 * group or a mode that lets others in, the folder must belong to this process' user or root, and
 * nobody else may write to it.
 *
 * @return 0; -ENAMETOOLONG; -ENOENT no such folder; -EADDRINUSE a live server; -ELOOP a symbolic
 *         link is there; -EEXIST another file is there; -EBUSY its folder is locked; -EPERM its
 *         folder is open to others, or the owner can't be changed; -errno
 */
int nmx_stream_open_listener(const char *path, const struct nmx_stream_permit *permit,
	struct nmx_stream_listener *ret_listener);

/**
 * Stop listening; removes the file if it is still the one that was made.
 *
 * @return the socket, now the caller's to close, which may wait for what clients put in its queue
 *         (lib/base/discard.h); -1 if there is none
 */
int nmx_stream_end_listener(struct nmx_stream_listener *listener);

/**
 * Accept one connection.
 *
 * @return a non-blocking socket; -EAGAIN; -errno
 */
int nmx_stream_accept(const struct nmx_stream_listener *listener);

/** One sentence for an error of nmx_stream_open_listener(): why, and what to do. */
const char *nmx_stream_explain_listen(int error);

/**
 * Connect to a server.
 *
 * @return a non-blocking socket; -ENAMETOOLONG; -ENOENT; -ECONNREFUSED nobody listens; -ELOOP the
 *         server is this very process; -errno
 */
int nmx_stream_connect_path(const char *path);

/** One sentence for an error of nmx_stream_connect_path(): why, and what to do. */
const char *nmx_stream_explain_connect(int error);

#endif
