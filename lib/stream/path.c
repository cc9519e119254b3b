/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"

static int
set_address(struct sockaddr_un *address, const char *path)
{
	size_t length = strlen(path);

	if (length == 0)
		return -ENOENT;
	if (length > NMX_STREAM_PATH_BYTES_MAX)
		return -ENAMETOOLONG;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, length);
	return 0;
}

static int
open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static int
connect_address(int fd, const struct sockaddr_un *address)
{
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	return -errno;
}

/** Lock a folder; whoever has locked it may take a second. */
static int
lock_in_time(int fd)
{
	const struct timespec pause = { .tv_nsec = (long)(10 * NMX_NS_PER_MS) };

	for (unsigned int i = 0; i < 100; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

/** The folder of a path, opened and locked; closing it unlocks. */
static int
lock_folder(const char *path)
{
	char copy[NMX_STREAM_PATH_BYTES_MAX + 1];
	int fd, ret;

	strcpy(copy, path); /* its length was checked */
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = lock_in_time(fd);
	if (ret != 0) {
		nmx_base_close_fd(&fd);
		return ret;
	}
	return fd;
}

/** Make sure that nothing is at the path, or say what is. Context: folder locked. */
static int
clear_path(const struct sockaddr_un *address)
{
	struct stat status;
	int fd, ret;

	if (lstat(address->sun_path, &status) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISLNK(status.st_mode))
		return -ELOOP;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	fd = open_socket();
	if (fd < 0)
		return fd;
	ret = connect_address(fd, address);
	nmx_base_close_fd(&fd);
	/* EAGAIN: its backlog is full, so somebody listens. */
	if (ret != -ECONNREFUSED)
		return ret == 0 || ret == -EAGAIN ? -EADDRINUSE : ret;
	return unlink(address->sun_path) == 0 ? 0 : -errno;
}

static int
bind_and_listen(int fd, const struct sockaddr_un *address, mode_t mode)
{
	/* bind() gives the file the mode of the socket, so there is no moment with another. */
	if (fchmod(fd, mode) != 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		return -errno;
	if (listen(fd, 16) != 0) {
		int error = errno;

		unlink(address->sun_path);
		return -error;
	}
	return 0;
}

/** True if nobody but this process' user and root can put a file into the folder. */
static bool
is_private(int folder)
{
	struct stat status;

	return fstat(folder, &status) == 0 && (status.st_uid == 0 || status.st_uid == geteuid()) &&
	       (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/** Give the file to whom it is meant for. Context: folder locked. */
static int
give_away(int folder, const struct sockaddr_un *address, const struct nmx_stream_permit *permit)
{
	if (permit->user == (uid_t)-1 && permit->group == (gid_t)-1 &&
		(permit->mode & (S_IRWXG | S_IRWXO)) == 0)
		return 0;
	if (!is_private(folder))
		return -EPERM;
	if (lchown(address->sun_path, permit->user, permit->group) != 0)
		return -errno;
	/* bind() has cut it by the umask, which belongs to the whole process. */
	return chmod(address->sun_path, permit->mode) == 0 ? 0 : -errno;
}

int
nmx_stream_open_listener(const char *path, const struct nmx_stream_permit *permit,
	struct nmx_stream_listener *ret_listener)
{
	struct nmx_stream_listener listener = { .fd = -1 };
	struct sockaddr_un address;
	struct stat status;
	int ret = set_address(&address, path), folder = -1;

	if (ret != 0)
		return ret;
	folder = lock_folder(address.sun_path);
	if (folder < 0)
		return folder;
	ret = clear_path(&address);
	if (ret == 0) {
		listener.fd = open_socket();
		ret = listener.fd < 0 ? listener.fd
				      : bind_and_listen(listener.fd, &address, permit->mode);
		if (ret == 0) {
			ret = give_away(folder, &address, permit);
			if (ret != 0)
				unlink(address.sun_path);
		}
	}
	if (ret == 0 && lstat(address.sun_path, &status) != 0)
		ret = -errno;
	nmx_base_close_fd(&folder);
	if (ret != 0) {
		nmx_base_close_fd(&listener.fd);
		return ret;
	}
	listener.device = status.st_dev;
	listener.inode = status.st_ino;
	memcpy(listener.path, address.sun_path, sizeof(listener.path) - 1);
	*ret_listener = listener;
	return 0;
}

int
nmx_stream_end_listener(struct nmx_stream_listener *listener)
{
	struct stat status;

	if (listener->fd < 0)
		return -1;
	if (lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
		status.st_ino == listener->inode)
		unlink(listener->path);
	return nmx_base_take_fd(&listener->fd);
}

int
nmx_stream_accept(const struct nmx_stream_listener *listener)
{
	int fd;

	do {
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return fd;
}

const char *
nmx_stream_explain_listen(int error)
{
	switch (-error) {
	case ENAMETOOLONG:
		return "the path is longer than the 107 bytes of a socket address; take a shorter "
		       "one";
	case ENOENT:
	case ENOTDIR:
		return "its folder does not exist; create it";
	case EADDRINUSE:
		return "another process listens there; stop it or take another path";
	case EBUSY:
		return "another process keeps its folder locked (flock); lslocks tells which";
	case ELOOP:
		return "a symbolic link is there; remove it or take another path";
	case EEXIST:
		return "a file that is no socket is there; remove it or take another path";
	case EACCES:
	case EROFS:
		return "no permission to create a file there; run as a user who may";
	case EMFILE:
	case ENFILE:
		return "no more file descriptors; raise the limit (ulimit -n)";
	case EPERM:
		return "its owner can't be set: that takes the right to (root), and a folder of "
		       "this user's or root's that nobody else may write to";
	default:
		return "the system call failed; see the error number";
	}
}

int
nmx_stream_connect_path(const char *path)
{
	struct sockaddr_un address;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int ret = set_address(&address, path), fd;

	if (ret != 0)
		return ret;
	fd = open_socket();
	if (fd < 0)
		return fd;
	ret = connect_address(fd, &address);
	/* A server in the same process could wait for a lock that its client holds. */
	if (ret == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
		peer.pid == getpid())
		ret = -ELOOP;
	if (ret != 0) {
		nmx_base_close_fd(&fd);
		return ret;
	}
	return fd;
}

const char *
nmx_stream_explain_connect(int error)
{
	switch (-error) {
	case ENAMETOOLONG:
		return "the path is longer than the 107 bytes of a socket address; take a shorter "
		       "one";
	case ENOENT:
	case ENOTDIR:
		return "there is no such socket; start the host first, or correct path=";
	case ECONNREFUSED:
		return "nobody listens there; start the host first";
	case ENOTSOCK:
	case EPROTOTYPE:
		return "it is no stream socket; correct path=";
	case ELOOP:
		return "the host is this very process; guest and host need a process each";
	case EACCES:
	case EPERM:
		return "no permission to write to the socket; see its mode and owner";
	case EAGAIN:
		return "too many connections wait there; try again";
	default:
		return "the system call failed; see the error number";
	}
}
