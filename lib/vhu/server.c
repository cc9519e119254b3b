/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "request.h"

int
nmx_vhu_create_server(struct nmx_stream_transport *transport, const struct nmx_vhu_offer *offer,
	const struct nmx_vhu_handlers *handlers, void *context, struct nmx_vhu_server **ret_server)
{
	struct nmx_vhu_server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return -ENOMEM;
	/* A silent one may be about to start its guest. */
	nmx_stream_init_exchange(&server->exchange, transport, NMX_NEVER_NS);
	server->offer = offer;
	server->handlers = handlers;
	server->context = context;
	*ret_server = server;
	return 0;
}

unsigned int
nmx_vhu_destroy_server(struct nmx_vhu_server *server, int *ret_fds)
{
	unsigned int n;

	if (server == NULL)
		return 0;
	n = nmx_stream_fini_exchange(&server->exchange, ret_fds);
	free(server);
	return n;
}

/* --- Sending --- */

/** Queue an answer. Front ends read header and payload at once, so it is sent in one piece. */
static void
queue_reply(struct nmx_vhu_server *server, const void *payload, uint32_t size)
{
	const struct nmx_vhu_header header = {
		.request = server->header.request,
		.flags = NMX_VHU_VERSION | NMX_VHU_REPLY,
		.size = size,
	};

	memcpy(server->out, &header, sizeof(header));
	memcpy(server->out + sizeof(header), payload, size);
	nmx_stream_queue(&server->exchange, server->out, sizeof(header) + size, NULL, 0);
}

static const char *
explain_refusal(int error)
{
	switch (error) {
	case -ENOSYS:
		return "a request that is unknown, or wasn't agreed on";
	case -EBUSY:
		return "a request that changes what is in use";
	case -ENXIO:
		return "a request for a ring that isn't offered; give the guest fewer queues, or "
		       "the port "
		       "with more";
	default:
		return "a request that makes no sense, or can't be met";
	}
}

/** A request is through. */
static int
answer(struct nmx_vhu_server *server, int result)
{
	uint32_t size = nmx_vhu_get_reply_size(server->header.request);
	uint64_t failed = result != 0;

	server->progress = NMX_VHU_IN_HEADER;
	if (size > 0 && result == 0) {
		queue_reply(server, &server->reply, size);
		return 0;
	}
	/* What asks for something has no way to be refused. */
	if (size == 0 && (server->header.flags & NMX_VHU_NEED_REPLY) &&
		(server->protocol_features & NMX_VHU_PROTOCOL_REPLY_ACK)) {
		queue_reply(server, &failed, sizeof(failed));
		return 0;
	}
	return result == 0 ? 0
			   : nmx_stream_fail(&server->exchange, -EPROTO, explain_refusal(result));
}

/* --- Receiving --- */

/** Whether the rest of the stream can be trusted after this header; NULL if so. */
static const char *
judge_header(const struct nmx_vhu_server *server)
{
	const struct nmx_vhu_header *header = &server->header;

	if ((header->flags & NMX_VHU_VERSION_MASK) != NMX_VHU_VERSION)
		return "a message of another version of the protocol";
	if (header->flags & NMX_VHU_REPLY)
		return "a reply to nothing that was asked";
	if (header->size > sizeof(server->body))
		return "a message longer than allowed";
	return nmx_stream_judge_fds(&server->exchange);
}

static int
read_header(struct nmx_vhu_server *server, uint64_t now_ns)
{
	const char *reason;
	int ret = nmx_stream_fill(
		&server->exchange, &server->header, sizeof(server->header), true, now_ns);

	if (ret != 0)
		return ret;
	reason = judge_header(server);
	if (reason != NULL)
		return nmx_stream_fail(&server->exchange, -EPROTO, reason);
	server->progress = NMX_VHU_IN_BODY;
	return 0;
}

/** Run the complete request; answer it unless it is parked. */
static int
dispatch(struct nmx_vhu_server *server)
{
	int ret = nmx_vhu_execute(server);

	nmx_stream_close_fds(&server->exchange);
	server->exchange.deadline_ns = NMX_NEVER_NS;
	if (ret == NMX_VHU_LATER) {
		server->progress = NMX_VHU_PARKED;
		return 0;
	}
	return answer(server, ret);
}

static int
advance(struct nmx_vhu_server *server, uint64_t now_ns)
{
	int ret = nmx_stream_flush(&server->exchange, now_ns);

	if (ret != 0)
		return ret;
	if (server->progress == NMX_VHU_PARKED)
		return -EAGAIN;
	if (server->progress == NMX_VHU_IN_HEADER) {
		if (server->exchange.got == 0)
			server->exchange.deadline_ns = NMX_NEVER_NS;
		ret = read_header(server, now_ns);
		if (ret != 0)
			return ret;
	}
	ret = nmx_stream_fill(&server->exchange, server->body, server->header.size, false, now_ns);
	return ret != 0 ? ret : dispatch(server);
}

int
nmx_vhu_serve(struct nmx_vhu_server *server, uint64_t now_ns)
{
	if (server->exchange.over != 0)
		return server->exchange.over;
	return nmx_stream_end_turn(&server->exchange, advance(server, now_ns), now_ns);
}

void
nmx_vhu_answer(struct nmx_vhu_server *server, int result, uint32_t base)
{
	if (server->progress != NMX_VHU_PARKED)
		return;
	nmx_vhu_finish(server, result, base);
	(void)answer(server, result);
}

bool
nmx_vhu_is_parked(const struct nmx_vhu_server *server)
{
	return server->progress == NMX_VHU_PARKED;
}

bool
nmx_vhu_wants_input(const struct nmx_vhu_server *server)
{
	return !nmx_stream_is_answering(&server->exchange) && server->progress != NMX_VHU_PARKED;
}

bool
nmx_vhu_wants_output(const struct nmx_vhu_server *server)
{
	return nmx_stream_is_answering(&server->exchange);
}

uint64_t
nmx_vhu_get_deadline_ns(const struct nmx_vhu_server *server)
{
	return server->exchange.deadline_ns;
}

const char *
nmx_vhu_get_reason(const struct nmx_vhu_server *server)
{
	return nmx_stream_get_reason(&server->exchange);
}
