/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A vfio-user server: one connection of one client.
 *
 * Theory of operation
 *
 * The connection is a state machine on a non-blocking transport. nmx_vfu_serve() does at most one
 * message, and never waits:
 *
 *   HEADER --16 bytes--> BODY --all of it--> handler --> reply queued --sent--> HEADER
 *                                            |  ^
 *                                            v  |  nmx_vfu_answer()
 *                                           PARKED
 *
 * A handler that can't answer at once (memory to be withdrawn from data threads) returns
 * NMX_VFU_LATER; nothing more is read of this client until nmx_vfu_answer(). No further request is
 * read either while a reply can't be sent. So a client that is slow, silent or mute costs itself
 * only: it has deadlines, one message's buffer, and its place in the caller's loop.
 *
 * Descriptors belong to the connection from the moment they are received; each handler that wants
 * one moves it out, and what is left is closed behind the handler, on every path. Closing a file
 * may wait for whoever is behind it, so only eventfds and memory get that far. A descriptor of
 * another kind ends the connection, and whoever destroys it is left with it.
 *
 * Malformed requests are answered with an error. A stream that can't be trusted any more (a length
 * outside the limits, a stray reply, descriptors that are too many, of another kind or behind the
 * header, anything but VERSION first) is closed.
 *
 * Knows nothing of devices: regions and interrupts are numbers, memory is handed over.
 * Thread: one, the caller's. Source: QEMU's docs/interop/vfio-user.rst.
 */

#ifndef NMX_VFU_SERVER_H
#define NMX_VFU_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/range.h"
#include "lib/stream/exchange.h"
#include "wire.h"

/** Descriptors that a connection may hold, counting those that are too many. */
#define NMX_VFU_SERVER_FDS_MAX NMX_STREAM_FDS_MAX
static_assert(NMX_VFU_MSG_FDS_MAX == NMX_STREAM_MSG_FDS_MAX, "what is told to clients");

/** A handler's third way beside 0 and -errno. */
#define NMX_VFU_LATER 1

/** A DMA_MAP's arguments, as the client gave them. */
struct nmx_vfu_map {
	struct nmx_range range;
	uint64_t offset;
	uint32_t protection; /* NMX_VFU_MAP_READ | NMX_VFU_MAP_WRITE */
};

/** A checked access to a region: it lies within. */
struct nmx_vfu_access {
	uint32_t region;
	uint32_t count; /* bytes, 1 to NMX_VFU_DATA_BYTES_MAX */
	uint64_t offset;
};

/** An eventfd that stands for a write to a region. */
struct nmx_vfu_doorbell {
	uint64_t offset;
	uint32_t size;
	int fd; /* stays its owner's */
};

/** What the device is, as far as the protocol asks. Constant while the server lives. */
struct nmx_vfu_device {
	struct {
		uint32_t flags; /* NMX_VFU_REGION_*; 0: no such region */
		uint64_t size;
	} region[NMX_VFU_N_REGIONS];
	uint32_t n_vectors[NMX_VFU_N_IRQS];
	uint32_t dma_maps_max; /* told to the client */
};

/**
 * The device's side. Each returns 0, a negative errno for the client, or, where it says so,
 * NMX_VFU_LATER.
 */
struct nmx_vfu_handlers {
	/** Map memory. Takes *fd over (-1: memory without a file) or leaves it to be closed. */
	int (*map)(void *context, const struct nmx_vfu_map *map, int *fd);
	/** Unmap all maps in a range; NULL: everything. May be LATER. 0 promises: no access any
	 * more.
	 */
	int (*unmap)(void *context, const struct nmx_range *range);
	int (*read_region)(void *context, const struct nmx_vfu_access *access, uint8_t *data);
	/** May be LATER. */
	int (*write_region)(
		void *context, const struct nmx_vfu_access *access, const uint8_t *data);
	/**
	 * Connect vectors start..start+count-1 of an index to eventfds, or disconnect them.
	 *
	 * @param fds  count descriptors, each an eventfd; taken over or left to be closed.
	 *             NULL: disconnect
	 */
	int (*connect_vectors)(
		void *context, uint32_t index, uint32_t start, uint32_t count, int *fds);
	/** Signal a vector as if the device did. */
	int (*trigger_vector)(void *context, uint32_t index, uint32_t vector);
	/** Reset the device. May be LATER. 0 promises: no access to memory any more. */
	int (*reset)(void *context);
	/** List a region's doorbells. @return their number, at most `room` */
	uint32_t (*list_doorbells)(
		void *context, uint32_t region, struct nmx_vfu_doorbell *list, uint32_t room);
};

struct nmx_vfu_server;

/**
 * Begin to serve a connection.
 *
 * @param transport  the caller's, as long as the server
 * @param now_ns     a monotonic clock, as in every call
 * @return 0; -ENOMEM
 */
int nmx_vfu_create_server(struct nmx_stream_transport *transport,
	const struct nmx_vfu_device *device, const struct nmx_vfu_handlers *handlers, void *context,
	uint64_t now_ns, struct nmx_vfu_server **ret_server);

/**
 * Free it; the transport is left alone. NULL is nothing.
 *
 * @param ret_fds  room for NMX_VFU_SERVER_FDS_MAX: what the client sent and nobody took, of any
 *                 kind, now the caller's to close
 * @return their number
 */
unsigned int nmx_vfu_destroy_server(struct nmx_vfu_server *server, int *ret_fds);

/**
 * Do what can be done without waiting, at most one message.
 *
 * @return 0: call again; -EAGAIN: nothing to do until the transport is ready (see
 *         nmx_vfu_wants_input(), nmx_vfu_wants_output()) or nmx_vfu_answer() was called; any other
 *         error: the connection is over, nmx_vfu_get_reason() says why
 */
int nmx_vfu_serve(struct nmx_vfu_server *server, uint64_t now_ns);

/** Answer the parked request: 0 or a negative errno. nmx_vfu_serve() goes on afterwards. */
void nmx_vfu_answer(struct nmx_vfu_server *server, int result);

/** True while a request is parked. */
bool nmx_vfu_is_parked(const struct nmx_vfu_server *server);

/** What the server waits for. */
bool nmx_vfu_wants_input(const struct nmx_vfu_server *server);
bool nmx_vfu_wants_output(const struct nmx_vfu_server *server);

/** When nmx_vfu_serve() is due even without events: a deadline of the client's, or never. */
uint64_t nmx_vfu_get_deadline_ns(const struct nmx_vfu_server *server);

/** Why the connection is over: a constant text. */
const char *nmx_vfu_get_reason(const struct nmx_vfu_server *server);

#endif
