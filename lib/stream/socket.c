/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "transport.h"

/** Room for one SCM_RIGHTS block of as many descriptors as there can be. */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(NMX_STREAM_SCM_FDS_MAX * sizeof(int))];
};

/** Take the descriptors out of a message: what the kernel has delivered is ours, come what may. */
static int
take_fds(struct msghdr *message, int *fds, unsigned int *ret_n_fds)
{
	int result = (message->msg_flags & MSG_CTRUNC) ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
			result = -EPROTO;
			continue;
		}
		/* However many blocks: together they are no larger than the room for one. */
		memcpy(fds + *ret_n_fds, CMSG_DATA(c), bytes);
		*ret_n_fds += (unsigned int)(bytes / sizeof(int));
	}
	return result;
}

static ssize_t
receive(struct nmx_stream_transport *transport, void *buffer, size_t size, int *fds,
	unsigned int *ret_n_fds)
{
	struct nmx_stream_socket *socket = (struct nmx_stream_socket *)transport;
	union control control;
	struct iovec part = { .iov_base = buffer, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;

	*ret_n_fds = 0;
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
		int result = take_fds(&message, fds, ret_n_fds);

		if (result != 0)
			return result;
	}
	return n;
}

static ssize_t
send_bytes(struct nmx_stream_transport *transport, const void *buffer, size_t size, const int *fds,
	unsigned int n_fds)
{
	struct nmx_stream_socket *socket = (struct nmx_stream_socket *)transport;
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
nmx_stream_init_socket(struct nmx_stream_socket *socket, int fd)
{
	socket->transport.bin = NULL;
	socket->transport.receive = receive;
	socket->transport.send = send_bytes;
	socket->fd = fd;
}
