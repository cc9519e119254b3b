/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The server's inner state and the execution of one request; private to this folder. */

#ifndef NMX_VFU_REQUEST_H
#define NMX_VFU_REQUEST_H

#include "server.h"
#include "version.h"

enum nmx_vfu_state {
	NMX_VFU_IN_HEADER, /* collecting a header, or between two messages */
	NMX_VFU_IN_BODY,   /* collecting a body; the header was judged */
	NMX_VFU_PARKED,    /* a request waits for nmx_vfu_answer(); nothing is read */
};

struct nmx_vfu_server {
	struct nmx_stream_exchange exchange;
	const struct nmx_vfu_device *device;
	const struct nmx_vfu_handlers *handlers;
	void *context;

	enum nmx_vfu_state state;
	bool versioned; /* VERSION was agreed on */
	struct nmx_vfu_capabilities client;

	struct nmx_vfu_header header;
	uint8_t body[NMX_VFU_MSG_BYTES_MAX];

	size_t parked_size; /* of the reply's body, if the parked request succeeds */
	int out_fds[NMX_VFU_REPLY_FDS_MAX]; /* not owned */
	unsigned int n_out_fds;
	uint8_t out[NMX_VFU_MSG_BYTES_MAX];
};

/**
 * Execute the request in header, body and fds; fill the reply's body into out behind the header.
 *
 * @param size      of the body
 * @param ret_size  of the reply's body, for success
 * @return 0; -errno for the client; NMX_VFU_LATER
 */
int nmx_vfu_execute(struct nmx_vfu_server *server, size_t size, size_t *ret_size);

/** Queue the reply whose body is in out; an error has none. */
void nmx_vfu_reply(struct nmx_vfu_server *server, int result, size_t body_size);

#endif
