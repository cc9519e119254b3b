/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/fd.h"
#include "transport.h"
#include "wire.h"

/** Room for one SCM_RIGHTS block of as many descriptors as anybody of us accepts. */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(NMX_VFU_REPLY_FDS_MAX * sizeof(int))];
};

/**
 * Take the descriptors out of a message. What the kernel has delivered is ours, whatever is wrong
 * with the rest, so it is kept or closed here on every path.
 */
static int
take_fds(struct msghdr *message, int *fds, unsigned int *n_fds)
{
	int result = (message->msg_flags & MSG_CTRUNC) ? -EPROTO : 0;
	unsigned int n = 0, room = *n_fds;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);
		int got[NMX_VFU_REPLY_FDS_MAX];
		unsigned int n_got = 0;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			result = -EPROTO;
			continue;
		}
		n_got = (unsigned int)(bytes / sizeof(int));
		memcpy(got, CMSG_DATA(c), n_got * sizeof(int));
		if (result != 0 || n_got > room - n) {
			nmx_base_close_fds(got, n_got);
			result = -EPROTO;
			continue;
		}
		memcpy(fds + n, got, n_got * sizeof(int));
		n += n_got;
	}
	if (result != 0) {
		nmx_base_close_fds(fds, n);
		n = 0;
	}
	*n_fds = n;
	return result;
}

static ssize_t
receive(struct nmx_vfu_transport *transport, void *buffer, size_t size, int *fds,
	unsigned int *n_fds)
{
	struct nmx_vfu_socket *socket = (struct nmx_vfu_socket *)transport;
	union control control;
	struct iovec part = { .iov_base = buffer, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;

	if (fds != NULL) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	do {
		n = recvmsg(socket->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (fds != NULL) {
		int result = take_fds(&message, fds, n_fds);

		if (result != 0)
			return result;
	}
	return n;
}

static ssize_t
send_bytes(struct nmx_vfu_transport *transport, const void *buffer, size_t size, const int *fds,
	unsigned int n_fds)
{
	struct nmx_vfu_socket *socket = (struct nmx_vfu_socket *)transport;
	union control control;
	struct iovec part = { .iov_base = (void *)(uintptr_t)buffer, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do {
		n = sendmsg(socket->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return n;
}

void
nmx_vfu_init_socket(struct nmx_vfu_socket *socket, int fd)
{
	socket->transport.receive = receive;
	socket->transport.send = send_bytes;
	socket->fd = fd;
}
