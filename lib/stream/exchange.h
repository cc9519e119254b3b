/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A connection on which one side asks and the other answers: what every server of ours does the
 * same way, whatever the messages are.
 *
 * Theory of operation
 *
 * Messages come and go in pieces, without waiting. A message is a header and a body; each is filled
 * in by as many calls as it takes. A peer has deadlines: for the rest of a message that has begun,
 * and for making room for an answer. Between messages it has none, unless the server sets one.
 *
 * Descriptors are ours from the moment they are received. They come with a message's header, at
 * most NMX_STREAM_MSG_FDS_MAX; more, or later ones, end the connection and are kept as well, for
 * whoever destroys it to close: closing a file may wait for whoever is behind it.
 *
 * Once over, a connection stays so, for the first reason.
 */

#ifndef NMX_STREAM_EXCHANGE_H
#define NMX_STREAM_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "transport.h"

/** Of one message. */
#define NMX_STREAM_MSG_FDS_MAX 16
/** That a connection may hold, counting those that are too many. */
#define NMX_STREAM_FDS_MAX (NMX_STREAM_MSG_FDS_MAX + NMX_STREAM_SCM_FDS_MAX)

struct nmx_stream_exchange {
	struct nmx_stream_transport *transport;
	uint64_t deadline_ns; /* of the peer's, or NMX_NEVER_NS */
	int over;             /* why nothing goes on, or 0 */
	const char *reason;   /* the same in words; a constant */

	/* What has come of a message. */
	size_t got; /* bytes of the part under way */
	unsigned int n_fds;
	int fds[NMX_STREAM_FDS_MAX];

	/* The answer that is to go. */
	const uint8_t *out;
	size_t out_size, out_sent; /* 0 size: none */
	const int *out_fds;        /* not owned */
	unsigned int n_out_fds;
};

/** @param deadline_ns  for the first message, or NMX_NEVER_NS */
void nmx_stream_init_exchange(struct nmx_stream_exchange *exchange,
	struct nmx_stream_transport *transport, uint64_t deadline_ns);

/**
 * End it.
 *
 * @param ret_fds  room for NMX_STREAM_FDS_MAX: what came and nobody took, now the caller's to close
 * @return their number
 */
unsigned int nmx_stream_fini_exchange(const struct nmx_stream_exchange *exchange, int *ret_fds);

/** The connection is over. @return error */
int nmx_stream_fail(struct nmx_stream_exchange *exchange, int error, const char *reason);

/**
 * Receive what is missing of a part.
 *
 * @param is_header  descriptors may come with it
 * @return 0: it is complete; -EAGAIN; any other error: the connection is over
 */
int nmx_stream_fill(struct nmx_stream_exchange *exchange, void *part, size_t size, bool is_header,
	uint64_t now_ns);

/** NULL if descriptors that came are of kinds that anybody may close: eventfds and memory. */
const char *nmx_stream_judge_fds(const struct nmx_stream_exchange *exchange);

/** Close what nobody has taken; it was judged. */
void nmx_stream_close_fds(struct nmx_stream_exchange *exchange);

/**
 * Queue an answer; the one before it has gone.
 *
 * @param bytes, fds  the caller's until it has gone
 */
void nmx_stream_queue(struct nmx_stream_exchange *exchange, const uint8_t *bytes, size_t size,
	const int *fds, unsigned int n_fds);

/** Send what is left. @return 0: nothing is; -EAGAIN; any other error: the connection is over */
int nmx_stream_flush(struct nmx_stream_exchange *exchange, uint64_t now_ns);

/** True if an answer waits for room. */
static inline bool
nmx_stream_is_answering(const struct nmx_stream_exchange *exchange)
{
	return exchange->out_size > 0;
}

/**
 * End a turn of the server's: an answer leaves in it, if it can, and the peer may have been too
 * slow.
 *
 * @param ret  0: something was done; -EAGAIN: nothing can be; any other error: it is over
 * @return the same, as of now
 */
int nmx_stream_end_turn(struct nmx_stream_exchange *exchange, int ret, uint64_t now_ns);

/** Why it is over. */
const char *nmx_stream_get_reason(const struct nmx_stream_exchange *exchange);

#endif
