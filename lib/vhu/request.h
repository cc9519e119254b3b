/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The server's inner state and the execution of one request; private to this folder. */

#ifndef NMX_VHU_REQUEST_H
#define NMX_VHU_REQUEST_H

#include "server.h"

enum nmx_vhu_progress {
	NMX_VHU_IN_HEADER, /* collecting a header, or between two messages */
	NMX_VHU_IN_BODY,   /* collecting a body; the header was judged */
	NMX_VHU_PARKED,    /* a request waits for nmx_vhu_answer(); nothing is read */
};

/** What messages have set of a ring; survives its stop, but for the kick. */
struct nmx_vhu_ring_state {
	uint32_t size, base; /* 0 size: none yet */
	struct nmx_vhu_addresses addresses;
	bool addressed, kicked, enabled, started;
	bool lost; /* since it was started last; the device's side may not be through with it */
	/* While started: the guest's addresses. */
	uint64_t desc, avail, used;
};

/** The guest's memory, as agreed on. */
struct nmx_vhu_memory {
	uint32_t n;
	struct nmx_vhu_region regions[NMX_VHU_REGIONS_MAX];
};

/** What a request can ask for. */
union nmx_vhu_payload {
	uint64_t number;
	struct nmx_vhu_state state;
};

struct nmx_vhu_server {
	struct nmx_stream_exchange exchange;
	const struct nmx_vhu_offer *offer;
	const struct nmx_vhu_handlers *handlers;
	void *context;

	enum nmx_vhu_progress progress;

	bool has_features;
	uint64_t features, protocol_features; /* agreed on */
	struct nmx_vhu_memory memory, next;   /* `next` waits for the device's consent */
	struct nmx_vhu_ring_state rings[NMX_VHU_RINGS_MAX];

	struct nmx_vhu_header header;
	uint8_t body[NMX_VHU_BODY_BYTES_MAX];
	union nmx_vhu_payload reply; /* that the request asks for */
	uint8_t out[sizeof(struct nmx_vhu_header) + sizeof(union nmx_vhu_payload)];
};

/* request.c */

/** Bytes of what a request asks for, whether or not the front end wants others answered; 0:
 * nothing. */
uint32_t nmx_vhu_get_reply_size(uint32_t request);

/**
 * Execute the request in header, body and descriptors; fill `reply`, if it asks for something.
 *
 * @return 0; -errno; NMX_VHU_LATER
 */
int nmx_vhu_execute(struct nmx_vhu_server *server);

/** What follows when a parked request is answered. */
void nmx_vhu_finish(struct nmx_vhu_server *server, int result, uint32_t base);

/* rings.c: each of one request, but the last two. */

int nmx_vhu_set_size(struct nmx_vhu_server *server);
int nmx_vhu_set_addresses(struct nmx_vhu_server *server);
int nmx_vhu_set_base(struct nmx_vhu_server *server);
int nmx_vhu_get_base(struct nmx_vhu_server *server);
int nmx_vhu_set_kick(struct nmx_vhu_server *server);
int nmx_vhu_set_call(struct nmx_vhu_server *server);
int nmx_vhu_set_error(struct nmx_vhu_server *server);
int nmx_vhu_set_enabled(struct nmx_vhu_server *server);
int nmx_vhu_disable_rings(struct nmx_vhu_server *server);
bool nmx_vhu_has_started(const struct nmx_vhu_server *server);
/** A ring is stopped; the front end hears of its base. */
void nmx_vhu_end_ring(struct nmx_vhu_server *server, uint32_t base);
/** Features or memory have changed: start what can be, lose what isn't where it was. */
int nmx_vhu_settle_rings(struct nmx_vhu_server *server);

/* table.c */

int nmx_vhu_set_table(struct nmx_vhu_server *server);
/** The device has agreed to the table that was set. */
void nmx_vhu_adopt_table(struct nmx_vhu_server *server);
/**
 * Translate an address of the front end's process.
 *
 * @param size  bytes, all in one region
 * @return false: it isn't in the table
 */
bool nmx_vhu_find_guest_address(
	const struct nmx_vhu_memory *memory, uint64_t user, uint64_t size, uint64_t *ret_guest);

#endif
