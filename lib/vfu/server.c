/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "request.h"

/* What a client may take its time for. */
#define VERSION_NS (5 * NMX_NS_PER_S) /* from connecting to a whole VERSION */
#define MESSAGE_NS (2 * NMX_NS_PER_S) /* from a message's first byte to its last */
#define REPLY_NS   (5 * NMX_NS_PER_S) /* to make room for a reply */

int
nmx_vfu_create_server(struct nmx_vfu_transport *transport, const struct nmx_vfu_device *device,
	const struct nmx_vfu_handlers *handlers, void *context, uint64_t now_ns,
	struct nmx_vfu_server **ret_server)
{
	struct nmx_vfu_server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return -ENOMEM;
	server->transport = transport;
	server->device = device;
	server->handlers = handlers;
	server->context = context;
	server->deadline_ns = now_ns + VERSION_NS;
	*ret_server = server;
	return 0;
}

unsigned int
nmx_vfu_destroy_server(struct nmx_vfu_server *server, int *ret_fds)
{
	unsigned int n = 0;

	if (server == NULL)
		return 0;
	for (unsigned int i = 0; i < server->n_fds; i++)
		if (server->fds[i] >= 0)
			ret_fds[n++] = server->fds[i];
	free(server);
	return n;
}

/** End the connection: remember the first reason. */
static int
fail(struct nmx_vfu_server *server, int error, const char *reason)
{
	if (server->reason == NULL)
		server->reason = reason;
	server->over = error;
	return error;
}

/* --- Sending --- */

static int
flush(struct nmx_vfu_server *server)
{
	while (server->out_sent < server->out_size) {
		bool first = server->out_sent == 0;
		ssize_t n = server->transport->send(server->transport,
			server->out + server->out_sent, server->out_size - server->out_sent,
			server->out_fds, first ? server->n_out_fds : 0);

		if (n == -EAGAIN)
			return -EAGAIN;
		if (n <= 0)
			return fail(server, n == 0 ? -EPIPE : (int)n, "the client went away");
		server->out_sent += (size_t)n;
	}
	server->out_size = server->out_sent = 0;
	server->n_out_fds = 0;
	return 0;
}

/** As flush(); a client that makes no room has a deadline. */
static int
flush_in_time(struct nmx_vfu_server *server, uint64_t now_ns)
{
	int ret = flush(server);

	if (ret == -EAGAIN && server->deadline_ns == NMX_NEVER_NS)
		server->deadline_ns = now_ns + REPLY_NS;
	return ret;
}

void
nmx_vfu_reply(struct nmx_vfu_server *server, int result, size_t body_size)
{
	struct nmx_vfu_header reply = {
		.id = server->header.id,
		.command = server->header.command,
		.size = (uint32_t)(sizeof(reply) + (result == 0 ? body_size : 0)),
		.flags = NMX_VFU_REPLY | (result == 0 ? 0 : NMX_VFU_ERROR),
		.error = (uint32_t)-result,
	};

	if (server->header.flags & NMX_VFU_NO_REPLY) {
		server->n_out_fds = 0;
		return;
	}
	if (result != 0)
		server->n_out_fds = 0;
	memcpy(server->out, &reply, sizeof(reply));
	server->out_size = reply.size;
	server->out_sent = 0;
}

/* --- Receiving --- */

/** Get the bytes of a header or body that are missing. 0: complete. */
static int
fill(struct nmx_vfu_server *server, uint8_t *buffer, size_t size, uint64_t now_ns)
{
	while (server->got < size) {
		unsigned int n_fds;
		ssize_t n = server->transport->receive(server->transport, buffer + server->got,
			size - server->got, server->fds + server->n_fds, &n_fds);

		if (n == -EAGAIN)
			return -EAGAIN;
		server->n_fds += n_fds;
		if (n == -EPROTO || server->n_fds > NMX_VFU_MSG_FDS_MAX)
			return fail(server, -EPROTO,
				"too many file descriptors, or other ancillary data");
		if (n_fds > 0 && server->state == NMX_VFU_IN_BODY)
			return fail(server, -EPROTO, "file descriptors behind a message's header");
		if (n <= 0)
			return fail(server, n == 0 ? -EPIPE : (int)n, "the client went away");
		if (server->got == 0 && server->state == NMX_VFU_IN_HEADER && server->versioned)
			server->deadline_ns = now_ns + MESSAGE_NS;
		server->got += (size_t)n;
	}
	server->got = 0;
	return 0;
}

/** Whether the rest of the stream can be trusted after this header; NULL if so. */
static const char *
judge_header(const struct nmx_vfu_server *server)
{
	const struct nmx_vfu_header *header = &server->header;
	uint32_t max = server->versioned ? NMX_VFU_MSG_BYTES_MAX : NMX_VFU_VERSION_BYTES_MAX;

	if ((header->flags & NMX_VFU_TYPE_MASK) != 0)
		return "a reply to nothing that was asked";
	if (header->size < sizeof(*header))
		return "a message shorter than its header";
	if (header->size > max)
		return "a message longer than allowed";
	if (!server->versioned && header->command != NMX_VFU_VERSION)
		return "a message before VERSION";
	if (server->versioned && header->command == NMX_VFU_VERSION)
		return "a second VERSION";
	return NULL;
}

/** Whether the descriptors that came are of kinds that anybody may close; NULL if so. */
static const char *
judge_fds(const struct nmx_vfu_server *server)
{
	for (unsigned int i = 0; i < server->n_fds; i++)
		if (!nmx_base_is_eventfd(server->fds[i]) && !nmx_base_is_memory(server->fds[i]))
			return "a file descriptor that is neither an eventfd nor memory (a memfd, "
			       "or a file on tmpfs or hugetlbfs)";
	return NULL;
}

static int
read_header(struct nmx_vfu_server *server, uint64_t now_ns)
{
	const char *reason;
	int ret = fill(server, (uint8_t *)&server->header, sizeof(server->header), now_ns);

	if (ret != 0)
		return ret;
	reason = judge_header(server);
	if (reason == NULL)
		reason = judge_fds(server);
	if (reason != NULL) {
		/* Told once, if it can be without waiting; then over. */
		nmx_vfu_reply(server, -EINVAL, 0);
		(void)flush(server);
		return fail(server, -EPROTO, reason);
	}
	server->state = NMX_VFU_IN_BODY;
	return 0;
}

/** Run the complete request; queue its reply unless it is parked. */
static int
dispatch(struct nmx_vfu_server *server)
{
	size_t body_size = 0;
	int ret = nmx_vfu_execute(server, server->header.size - sizeof(server->header), &body_size);

	nmx_base_close_fds(server->fds, server->n_fds);
	server->n_fds = 0;
	server->state = NMX_VFU_IN_HEADER;
	if (ret == NMX_VFU_LATER) {
		server->state = NMX_VFU_PARKED;
		server->parked_size = body_size;
		return 0;
	}
	nmx_vfu_reply(server, ret, body_size);
	if (!server->versioned) {
		(void)flush(server);
		return fail(server, -EPROTO, "a VERSION that can't be agreed on");
	}
	return 0;
}

static int
advance(struct nmx_vfu_server *server, uint64_t now_ns)
{
	int ret = flush_in_time(server, now_ns);

	if (ret != 0)
		return ret;
	if (server->state == NMX_VFU_PARKED)
		return -EAGAIN;
	if (server->state == NMX_VFU_IN_HEADER) {
		if (server->got == 0 && server->versioned)
			server->deadline_ns = NMX_NEVER_NS;
		ret = read_header(server, now_ns);
		if (ret != 0)
			return ret;
	}
	ret = fill(server, server->body, server->header.size - sizeof(server->header), now_ns);
	if (ret != 0)
		return ret;
	ret = dispatch(server);
	server->deadline_ns = NMX_NEVER_NS;
	return ret;
}

int
nmx_vfu_serve(struct nmx_vfu_server *server, uint64_t now_ns)
{
	int ret;

	if (server->over != 0)
		return server->over;
	ret = advance(server, now_ns);
	if (ret == 0) /* the reply leaves in the same turn, if it can */
		ret = flush_in_time(server, now_ns) == -EAGAIN ? 0 : server->over;
	if (ret == -EAGAIN && now_ns >= server->deadline_ns)
		return fail(server, -ETIMEDOUT, "the client was too slow");
	return ret;
}

void
nmx_vfu_answer(struct nmx_vfu_server *server, int result)
{
	if (server->state != NMX_VFU_PARKED)
		return;
	server->state = NMX_VFU_IN_HEADER;
	nmx_vfu_reply(server, result, server->parked_size);
}

bool
nmx_vfu_is_parked(const struct nmx_vfu_server *server)
{
	return server->state == NMX_VFU_PARKED;
}

bool
nmx_vfu_wants_input(const struct nmx_vfu_server *server)
{
	return server->out_size == 0 && server->state != NMX_VFU_PARKED;
}

bool
nmx_vfu_wants_output(const struct nmx_vfu_server *server)
{
	return server->out_size > 0;
}

uint64_t
nmx_vfu_get_deadline_ns(const struct nmx_vfu_server *server)
{
	return server->deadline_ns;
}

const char *
nmx_vfu_get_reason(const struct nmx_vfu_server *server)
{
	return server->reason == NULL ? "the connection is open" : server->reason;
}
