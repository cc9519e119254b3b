/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The parts of fuzz_vfu: a client, the transport, a device, and what they know of each other.
 *
 * Theory of operation
 *
 * The client (vfu_client.c) puts messages, whole or broken, into a queue of bytes; descriptors lie
 * at places of it, as they do in a socket. The transport (vfu_transport.c) hands both out in
 * pieces, and finds the messages in what it hands out on its own: `request` is what the server must
 * be busy with. The device (vfu_device.c) judges each call by it, and what the server sends is
 * judged by both (vfu_reply.c).
 *
 * Every descriptor of the queue is a duplicate, made for it. Its number is noted; when all is over
 * and the device has closed what it took, none of the numbers may be open.
 */

#ifndef FUZZ_VFU_RIG_H
#define FUZZ_VFU_RIG_H

#include <errno.h>

#include "input.h"
#include "lib/base/clock.h"
#include "lib/vfu/server.h"

#define QUEUE_BYTES  (3 * NMX_VFU_MSG_BYTES_MAX)
#define N_MARKS      64
#define N_FDS        256 /* handed out in a run */
#define N_MAPS       8
#define N_VECTORS    20 /* more than one message can connect */
#define N_DOORBELLS  NMX_VFU_REPLY_FDS_MAX
#define N_KINDS      6 /* of descriptors; the first is an eventfd, the second a memfd */
#define KIND_EVENTFD 0
#define KIND_MEMFD   1

/** Descriptors that arrive with the byte at a place of the queue. */
struct vfu_mark {
	size_t at;
	unsigned int n_fds;
	int fds[2 * NMX_VFU_MSG_FDS_MAX];
};

/** What the client has sent and the server has not received. */
struct vfu_queue {
	size_t start, end;
	struct vfu_mark marks[N_MARKS]; /* sorted */
	unsigned int first_mark, n_marks;
	uint8_t bytes[QUEUE_BYTES];
};

/** The message that the server is receiving, executing or answering. */
struct vfu_request {
	struct nmx_vfu_header header;
	size_t got; /* bytes of all of it that were handed out */
	unsigned int n_fds;
	bool has_odd_fd; /* of a kind that nobody passes */
	bool is_broken;  /* descriptors that are too many, or in the body: over without a word */
	bool is_fatal;   /* header and descriptors end the connection */
	bool is_whole;   /* executed, or about to be */
	bool is_parked;
	bool is_answered;
	unsigned int n_calls; /* of the device */
	int result;           /* of the last call, or of nmx_vfu_answer() */
	uint32_t n_listed;    /* doorbells that the device told of */
	uint8_t body[NMX_VFU_MSG_BYTES_MAX];
};

/** The reply that the server is sending. */
struct vfu_reply {
	size_t got;
	unsigned int n_fds;
	struct nmx_vfu_header header;
	uint8_t body[NMX_VFU_MSG_BYTES_MAX];
};

struct vfu_rig {
	struct nmx_stream_transport transport;
	struct fuzz_input input;
	struct nmx_vfu_server *server;
	uint64_t now_ns, start_ns;
	bool versioned, is_over;
	bool is_nervous; /* each receive and send is drawn */

	struct vfu_queue *queue;
	struct vfu_request *request;
	struct vfu_reply *reply;
	uint16_t serial;
	uint32_t client_fds_max; /* what VERSION said, if that is known */

	/* Of one call of nmx_vfu_serve(). */
	bool may_call; /* false: the server is over, or outside of it */
	bool has_waited_in, has_waited_out;
	unsigned int n_messages;

	int map_fds[N_MAPS], vector_fds[N_VECTORS];
	unsigned int n_doorbells;
	int fds[N_FDS];
	uint8_t kinds[N_FDS]; /* of these descriptors */
	unsigned int n_fds;
};

/* --- vfu_client.c --- */

/** Duplicates of these are what the client passes. Opened once. */
int vfu_get_template(unsigned int kind);
/** Of which kind a descriptor is that is or was on its way. */
unsigned int vfu_get_kind(const struct vfu_rig *rig, int fd);
/** Queue a message as the input says: any, or VERSION. */
void vfu_queue_message(struct vfu_rig *rig);
void vfu_queue_version(struct vfu_rig *rig);
/** How many descriptors a client takes that sent this VERSION; UINT32_MAX if that isn't known. */
uint32_t vfu_get_fds_max(const uint8_t *body, size_t size);
/** Queue bytes that may be anything. */
void vfu_queue_bytes(struct vfu_rig *rig);

/* --- vfu_transport.c --- */

void vfu_init_transport(struct vfu_rig *rig);
/** Close what was never received. */
void vfu_drop_queue(struct vfu_rig *rig);

/* --- vfu_device.c --- */

extern const struct nmx_vfu_device vfu_device;
extern const struct nmx_vfu_handlers vfu_handlers;

void vfu_init_device(struct vfu_rig *rig);
/** Close what the device took over: all of it must be open. */
void vfu_end_device(struct vfu_rig *rig);

/* --- vfu_reply.c --- */

/** True if a request of this shape may succeed: enough bytes, not too many descriptors. */
bool vfu_is_well_formed(const struct vfu_request *request);

/** True while the request's reply is due: whole, not answered, and one is wanted. */
bool vfu_owes_reply(const struct vfu_rig *rig);
/** The server has sent these. */
void vfu_take_reply(
	struct vfu_rig *rig, const uint8_t *bytes, size_t size, const int *fds, unsigned int n_fds);
/** The request is done with. */
void vfu_forget_request(struct vfu_rig *rig);

#endif
