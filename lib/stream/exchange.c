/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "exchange.h"

#include <errno.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/discard.h"
#include "lib/base/fd.h"

/* What a peer may take its time for. */
#define MESSAGE_NS (2 * NMX_NS_PER_S) /* from a message's first byte to its last */
#define ANSWER_NS  (5 * NMX_NS_PER_S) /* to make room for an answer */

void
nmx_stream_init_exchange(struct nmx_stream_exchange *exchange,
	struct nmx_stream_transport *transport, uint64_t deadline_ns)
{
	memset(exchange, 0, sizeof(*exchange));
	exchange->transport = transport;
	exchange->deadline_ns = deadline_ns;
}

unsigned int
nmx_stream_fini_exchange(const struct nmx_stream_exchange *exchange, int *ret_fds)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < exchange->n_fds; i++)
		if (exchange->fds[i] >= 0)
			ret_fds[n++] = exchange->fds[i];
	return n;
}

int
nmx_stream_fail(struct nmx_stream_exchange *exchange, int error, const char *reason)
{
	if (exchange->reason == NULL)
		exchange->reason = reason;
	exchange->over = error;
	return error;
}

/* --- Receiving --- */

int
nmx_stream_fill(struct nmx_stream_exchange *exchange, void *part, size_t size, bool is_header,
	uint64_t now_ns)
{
	while (exchange->got < size) {
		unsigned int n_fds;
		ssize_t n = exchange->transport->receive(exchange->transport,
			(uint8_t *)part + exchange->got, size - exchange->got,
			exchange->fds + exchange->n_fds, &n_fds);

		if (n == -EAGAIN)
			return -EAGAIN;
		exchange->n_fds += n_fds;
		if (n == -EPROTO || exchange->n_fds > NMX_STREAM_MSG_FDS_MAX)
			return nmx_stream_fail(exchange, -EPROTO,
				"too many file descriptors, or other ancillary data");
		if (n_fds > 0 && !is_header)
			return nmx_stream_fail(
				exchange, -EPROTO, "file descriptors behind a message's header");
		if (n <= 0)
			return nmx_stream_fail(
				exchange, n == 0 ? -EPIPE : (int)n, "the peer went away");
		if (exchange->got == 0 && is_header && exchange->deadline_ns == NMX_NEVER_NS)
			exchange->deadline_ns = now_ns + MESSAGE_NS;
		exchange->got += (size_t)n;
	}
	exchange->got = 0;
	return 0;
}

const char *
nmx_stream_judge_fds(const struct nmx_stream_exchange *exchange)
{
	for (unsigned int i = 0; i < exchange->n_fds; i++)
		if (!nmx_base_is_eventfd(exchange->fds[i]) && !nmx_base_is_memory(exchange->fds[i]))
			return "a file descriptor that is neither an eventfd nor memory (a memfd, "
			       "or a file on tmpfs or hugetlbfs)";
	return NULL;
}

void
nmx_stream_close_fds(struct nmx_stream_exchange *exchange)
{
	nmx_base_drop_fds(exchange->transport->bin, exchange->fds, exchange->n_fds);
	exchange->n_fds = 0;
}

/* --- Sending --- */

void
nmx_stream_queue(struct nmx_stream_exchange *exchange, const uint8_t *bytes, size_t size,
	const int *fds, unsigned int n_fds)
{
	exchange->out = bytes;
	exchange->out_size = size;
	exchange->out_sent = 0;
	exchange->out_fds = fds;
	exchange->n_out_fds = n_fds;
}

int
nmx_stream_flush(struct nmx_stream_exchange *exchange, uint64_t now_ns)
{
	while (exchange->out_sent < exchange->out_size) {
		ssize_t n = exchange->transport->send(exchange->transport,
			exchange->out + exchange->out_sent, exchange->out_size - exchange->out_sent,
			exchange->out_fds, exchange->out_sent == 0 ? exchange->n_out_fds : 0);

		if (n == -EAGAIN) {
			if (exchange->deadline_ns == NMX_NEVER_NS)
				exchange->deadline_ns = now_ns + ANSWER_NS;
			return -EAGAIN;
		}
		if (n <= 0)
			return nmx_stream_fail(
				exchange, n == 0 ? -EPIPE : (int)n, "the peer went away");
		exchange->out_sent += (size_t)n;
	}
	exchange->out_size = 0;
	return 0;
}

int
nmx_stream_end_turn(struct nmx_stream_exchange *exchange, int ret, uint64_t now_ns)
{
	if (ret == 0)
		ret = nmx_stream_flush(exchange, now_ns) == -EAGAIN ? 0 : exchange->over;
	if (ret == -EAGAIN && now_ns >= exchange->deadline_ns)
		return nmx_stream_fail(exchange, -ETIMEDOUT, "the peer was too slow");
	return ret;
}

const char *
nmx_stream_get_reason(const struct nmx_stream_exchange *exchange)
{
	return exchange->reason == NULL ? "the connection is open" : exchange->reason;
}
