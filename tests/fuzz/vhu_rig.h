/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The parts of fuzz_vhu: a front end, the stream, a device, and what they know of each other. */

#ifndef FUZZ_VHU_RIG_H
#define FUZZ_VHU_RIG_H

#include <errno.h>

#include "input.h"
#include "lib/base/clock.h"
#include "lib/vhu/server.h"

#define N_RINGS       4
#define RING_SIZE_MAX 1024
#define N_FDS         1024 /* handed out in a run */

struct vhu_rig {
	struct nmx_stream_transport transport;
	struct fuzz_input input;
	struct nmx_vhu_server *server;
	uint64_t now_ns;
	bool is_over, is_nervous, may_call;

	/* The message under way. */
	uint32_t request;
	bool is_torn; /* some header has lied: nobody knows what the next bytes are */
	uint8_t bytes[sizeof(struct nmx_vhu_header) + 2 * NMX_VHU_BODY_BYTES_MAX];
	size_t start, end, fds_at;
	int sent_fds[2 * NMX_STREAM_MSG_FDS_MAX];
	unsigned int n_sent_fds;
	unsigned int n_replies;

	/* Of the device. */
	bool is_parked;
	uint64_t features;
	struct nmx_vhu_region regions[NMX_VHU_REGIONS_MAX], parked_regions[NMX_VHU_REGIONS_MAX];
	uint32_t n_regions, n_parked_regions;
	bool running[N_RINGS], lost[N_RINGS];
	int memory[NMX_VHU_REGIONS_MAX], kick[N_RINGS], call[N_RINGS];

	int fds[N_FDS]; /* each that was ever sent */
	unsigned int n_fds;
};

/* vhu_front_end.c */

void vhu_make_message(struct vhu_rig *rig);
/** SET_FEATURES or SET_PROTOCOL_FEATURES, with all that is offered. */
void vhu_make_agreement(struct vhu_rig *rig, uint32_t request);
/** True if a request must be answered, should the connection go on. */
bool vhu_asks(uint32_t request);
/** No descriptor that was sent is open any more. */
void vhu_check_fds(const struct vhu_rig *rig);

/* vhu_device.c */

extern const struct nmx_vhu_offer vhu_offer;
extern const struct nmx_vhu_handlers vhu_handlers;

void vhu_init_device(struct vhu_rig *rig);
/** What was parked is answered. */
void vhu_settle_parked(struct vhu_rig *rig, int result);
/** Close what the device took over: all of it must be open. */
void vhu_end_device(struct vhu_rig *rig);

#endif
