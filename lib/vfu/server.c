/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "request.h"

/** What a client may take its time for, from connecting to a whole VERSION. */
#define VERSION_NS (5 * NMX_NS_PER_S)

int
nmx_vfu_create_server(struct nmx_stream_transport *transport, const struct nmx_vfu_device *device,
	const struct nmx_vfu_handlers *handlers, void *context, uint64_t now_ns,
	struct nmx_vfu_server **ret_server)
{
	struct nmx_vfu_server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return -ENOMEM;
	nmx_stream_init_exchange(&server->exchange, transport, now_ns + VERSION_NS);
	server->device = device;
	server->handlers = handlers;
	server->context = context;
	*ret_server = server;
	return 0;
}

unsigned int
nmx_vfu_destroy_server(struct nmx_vfu_server *server, int *ret_fds)
{
	unsigned int n;

	if (server == NULL)
		return 0;
	n = nmx_stream_fini_exchange(&server->exchange, ret_fds);
	free(server);
	return n;
}

/* --- Sending --- */

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

	if (!(server->header.flags & NMX_VFU_NO_REPLY)) {
		memcpy(server->out, &reply, sizeof(reply));
		nmx_stream_queue(&server->exchange, server->out, reply.size, server->out_fds,
			result == 0 ? server->n_out_fds : 0);
	}
	server->n_out_fds = 0;
}

/* --- Receiving --- */

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

static int
read_header(struct nmx_vfu_server *server, uint64_t now_ns)
{
	const char *reason;
	int ret = nmx_stream_fill(
		&server->exchange, &server->header, sizeof(server->header), true, now_ns);

	if (ret != 0)
		return ret;
	reason = judge_header(server);
	if (reason == NULL)
		reason = nmx_stream_judge_fds(&server->exchange);
	if (reason != NULL) {
		/* Told once, if it can be without waiting; then over. */
		nmx_vfu_reply(server, -EINVAL, 0);
		(void)nmx_stream_flush(&server->exchange, now_ns);
		return nmx_stream_fail(&server->exchange, -EPROTO, reason);
	}
	server->state = NMX_VFU_IN_BODY;
	return 0;
}

/** Run the complete request; queue its reply unless it is parked. */
static int
dispatch(struct nmx_vfu_server *server, uint64_t now_ns)
{
	size_t body_size = 0;
	int ret = nmx_vfu_execute(server, server->header.size - sizeof(server->header), &body_size);

	nmx_stream_close_fds(&server->exchange);
	server->state = NMX_VFU_IN_HEADER;
	if (ret == NMX_VFU_LATER) {
		server->state = NMX_VFU_PARKED;
		server->parked_size = body_size;
		return 0;
	}
	nmx_vfu_reply(server, ret, body_size);
	if (!server->versioned) {
		(void)nmx_stream_flush(&server->exchange, now_ns);
		return nmx_stream_fail(
			&server->exchange, -EPROTO, "a VERSION that can't be agreed on");
	}
	return 0;
}

static int
advance(struct nmx_vfu_server *server, uint64_t now_ns)
{
	int ret = nmx_stream_flush(&server->exchange, now_ns);

	if (ret != 0)
		return ret;
	if (server->state == NMX_VFU_PARKED)
		return -EAGAIN;
	if (server->state == NMX_VFU_IN_HEADER) {
		if (server->exchange.got == 0 && server->versioned)
			server->exchange.deadline_ns = NMX_NEVER_NS;
		ret = read_header(server, now_ns);
		if (ret != 0)
			return ret;
	}
	ret = nmx_stream_fill(&server->exchange, server->body,
		server->header.size - sizeof(server->header), false, now_ns);
	if (ret != 0)
		return ret;
	ret = dispatch(server, now_ns);
	server->exchange.deadline_ns = NMX_NEVER_NS;
	return ret;
}

int
nmx_vfu_serve(struct nmx_vfu_server *server, uint64_t now_ns)
{
	if (server->exchange.over != 0)
		return server->exchange.over;
	return nmx_stream_end_turn(&server->exchange, advance(server, now_ns), now_ns);
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
	return !nmx_stream_is_answering(&server->exchange) && server->state != NMX_VFU_PARKED;
}

bool
nmx_vfu_wants_output(const struct nmx_vfu_server *server)
{
	return nmx_stream_is_answering(&server->exchange);
}

uint64_t
nmx_vfu_get_deadline_ns(const struct nmx_vfu_server *server)
{
	return server->exchange.deadline_ns;
}

const char *
nmx_vfu_get_reason(const struct nmx_vfu_server *server)
{
	return nmx_stream_get_reason(&server->exchange);
}
