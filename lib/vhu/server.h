/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A vhost-user back end's side of one connection.
 *
 * Theory of operation
 *
 * The connection is a state machine on a non-blocking transport, as lib/vfu/server.h has it: at
 * most one message a call, nothing ever waits, a request that has to (for bursts to end) is parked
 * and answered later, a front end that is slow, silent or mute costs itself only.
 *
 * What each message sets is kept here by ring; the device's side hears of a ring once it has all
 * that it needs, in whatever order that came:
 *
 *   sized, addressed, kicked, features and memory known --start_ring--> STARTED
 *   STARTED --GET_VRING_BASE: stop_ring--> stopped, to be kicked again
 *
 * Rings' addresses are those of the front end's process, and translated here by the memory table. A
 * new table is the device's first; it is ours once that has agreed, and a started ring that the new
 * one puts elsewhere, or nowhere, is lost.
 *
 * Answers. A request that asks for something is answered. Others are only if the front end wants it
 * so (REPLY_ACK) and then hear of an error; without, an error ends the connection, as both
 * sides would go on with different ideas of it.
 *
 * Knows no virtio: what is in a ring, and the meaning of feature bits but two, is the device's.
 * Thread: one, the caller's. Source: QEMU's docs/interop/vhost-user.rst.
 */

#ifndef NMX_VHU_SERVER_H
#define NMX_VHU_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/stream/exchange.h"
#include "wire.h"

/** Rings of a connection: an index is 8 bits in some messages. */
#define NMX_VHU_RINGS_MAX 256
/** Of a ring, by the protocol; an offer may be lower. */
#define NMX_VHU_RING_SIZE_MAX 32768

/** Descriptors that a connection may hold, counting those that are too many. */
#define NMX_VHU_SERVER_FDS_MAX NMX_STREAM_FDS_MAX

/** A handler's third way beside 0 and -errno. */
#define NMX_VHU_LATER 1

/** What the device offers. Constant while the server lives. */
struct nmx_vhu_offer {
	uint64_t features;          /* virtio's, without PROTOCOL_FEATURES, which always is */
	uint64_t protocol_features; /* NMX_VHU_PROTOCOL_* */
	uint16_t n_rings;           /* two for a pair of queues, at most NMX_VHU_RINGS_MAX */
	uint16_t ring_size_max;     /* a power of two */
	uint16_t mtu_max;
};

/** A ring that can be started. */
struct nmx_vhu_ring {
	uint32_t size;              /* a power of two, at most ring_size_max */
	uint32_t base;              /* as the front end gave it */
	uint64_t desc, avail, used; /* the guest's addresses, aligned; not checked otherwise */
	bool enabled;
};

/**
 * The device's side. Each returns 0, a negative errno that refuses the request, or, where it says
 * so, NMX_VHU_LATER.
 */
struct nmx_vhu_handlers {
	/** What was agreed on, without PROTOCOL_FEATURES. While rings run, only LOG_ALL changes. */
	int (*set_features)(void *context, uint64_t features);
	/**
	 * This is all the guest's memory from now on. May be LATER. 0 promises: no access to what
	 * isn't in it. A refusal leaves what was before.
	 *
	 * @param regions  neither wrap nor overlap, by either address
	 * @param fds      one each, memory; taken over or left to be closed
	 */
	int (*set_memory)(
		void *context, const struct nmx_vhu_region *regions, uint32_t n, int *fds);
	int (*start_ring)(void *context, uint16_t index, const struct nmx_vhu_ring *ring);
	/** Of one that is started. */
	int (*enable_ring)(void *context, uint16_t index, bool enabled);
	/**
	 * Of one that is started, or was lost. May be LATER. 0 promises: no access to the ring or
	 * its buffers.
	 *
	 * @param ret_base  for the front end: where a next run would go on
	 */
	int (*stop_ring)(void *context, uint16_t index, uint32_t *ret_base);
	/** A started ring's memory isn't where it was: no access to it, and no answer. */
	void (*lose_ring)(void *context, uint16_t index);
	/**
	 * How the guest and the device wake each other; at any time, also before anything else.
	 *
	 * @param fd  an eventfd, taken over or left to be closed; *fd == -1: none any more
	 */
	int (*connect_kick)(void *context, uint16_t index, int *fd);
	int (*connect_call)(void *context, uint16_t index, int *fd);
	int (*set_mtu)(void *context, uint16_t mtu);
};

struct nmx_vhu_server;

/**
 * Begin to serve a connection.
 *
 * @param transport  the caller's, as long as the server
 * @return 0; -ENOMEM
 */
int nmx_vhu_create_server(struct nmx_stream_transport *transport, const struct nmx_vhu_offer *offer,
	const struct nmx_vhu_handlers *handlers, void *context, struct nmx_vhu_server **ret_server);

/**
 * Free it; the transport is left alone, and no handler is called. NULL is nothing.
 *
 * @param ret_fds  room for NMX_VHU_SERVER_FDS_MAX: what the front end sent and nobody took, of any
 *                 kind, now the caller's to close
 * @return their number
 */
unsigned int nmx_vhu_destroy_server(struct nmx_vhu_server *server, int *ret_fds);

/**
 * Do what can be done without waiting, at most one message.
 *
 * @param now_ns  a monotonic clock
 * @return 0: call again; -EAGAIN: nothing to do until the transport is ready (see
 *         nmx_vhu_wants_input(), nmx_vhu_wants_output()) or nmx_vhu_answer() was called; any other
 *         error: the connection is over, nmx_vhu_get_reason() says why
 */
int nmx_vhu_serve(struct nmx_vhu_server *server, uint64_t now_ns);

/**
 * Answer the parked request: 0 or a negative errno. nmx_vhu_serve() goes on afterwards.
 *
 * @param base  of a ring that was stopped; else ignored
 */
void nmx_vhu_answer(struct nmx_vhu_server *server, int result, uint32_t base);

/** True while a request is parked. */
bool nmx_vhu_is_parked(const struct nmx_vhu_server *server);

/** What the server waits for. */
bool nmx_vhu_wants_input(const struct nmx_vhu_server *server);
bool nmx_vhu_wants_output(const struct nmx_vhu_server *server);

/** When nmx_vhu_serve() is due even without events: a deadline of the front end's, or never. */
uint64_t nmx_vhu_get_deadline_ns(const struct nmx_vhu_server *server);

/** Why the connection is over: a constant text. */
const char *nmx_vhu_get_reason(const struct nmx_vhu_server *server);

#endif
