/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** A server with a fake device behind it, and a front end that can send anything. For tests. */

#ifndef NMX_VHU_RIG_TEST_H
#define NMX_VHU_RIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/vhu/server.h"

#define N_RINGS 4
#define FEATURES                                                           \
	(UINT64_C(1) << 32 | UINT64_C(1) << 15 | NMX_VHU_FEATURE_LOG_ALL | \
		NMX_VHU_FEATURE_RING_PACKED)
#define PROTOCOL  (NMX_VHU_PROTOCOL_MQ | NMX_VHU_PROTOCOL_REPLY_ACK | NMX_VHU_PROTOCOL_NET_MTU)
#define AGREED    (UINT64_C(1) << 32 | NMX_VHU_FEATURE_PROTOCOL_FEATURES)
#define MTU_MAX   9000
#define RING_SIZE 256

/** Where the only region of most tests is. */
#define GUEST_START  UINT64_C(0x10000000)
#define USER_START   UINT64_C(0x7f0000000000)
#define REGION_BYTES UINT64_C(0x200000)

/** A device that remembers what it was told. */
struct rig {
	int client; /* the front end's end */
	struct nmx_stream_socket socket;
	struct nmx_vhu_server *server;
	uint64_t now_ns;
	int n_fds_before;

	uint64_t features;
	uint16_t mtu;
	bool later;  /* the next request that may be is parked */
	int refusal; /* what handlers return */
	struct nmx_vhu_region regions[NMX_VHU_REGIONS_MAX];
	uint32_t n_regions, n_tables;
	int memory[NMX_VHU_REGIONS_MAX];
	struct {
		struct nmx_vhu_ring parts;
		bool running, enabled;
		unsigned int n_starts, n_stops, n_losses;
		int kick, call;
	} ring[N_RINGS];
};

struct reply {
	struct nmx_vhu_header header;
	union {
		uint64_t number;
		struct nmx_vhu_state state;
		uint8_t bytes[256];
	};
	ssize_t size; /* of all; -1: nothing came, 0: closed */
};

void start(struct rig *rig);
/** Also: no descriptor has leaked. */
void stop(struct rig *rig);
/** Until there is nothing more to do. @return why */
int serve(struct rig *rig);

/** Send a request and serve. */
void tell_with_fds(struct rig *rig, uint32_t request, uint32_t flags, const void *body, size_t size,
	const int *fds, unsigned int n_fds);
void tell(struct rig *rig, uint32_t request, const void *body, size_t size);
void tell_number(struct rig *rig, uint32_t request, uint64_t number);
void tell_state(struct rig *rig, uint32_t request, uint32_t index, uint32_t num);
/** KICK, CALL, ERR with an eventfd of its own, or without. */
void tell_file(struct rig *rig, uint32_t request, uint64_t number, bool has_fd);
void tell_addresses(struct rig *rig, uint32_t index, uint64_t user);
/** A table of one region; -1 for a front end's memfd. */
void tell_memory(struct rig *rig, uint32_t flags, uint64_t guest, uint64_t user, uint64_t size);

struct reply receive_reply(struct rig *rig);
/** What a request asks for: it must be answered. */
struct reply ask(struct rig *rig, uint32_t request, const void *body, size_t size);
/** True if it is answered that all is well. */
bool ask_whether(struct rig *rig, uint32_t request, const void *body, size_t size);

/** Features, protocol features and memory as a front end agrees on them. */
void agree(struct rig *rig);
/** All that a ring needs; it runs then. */
void run_ring(struct rig *rig, uint32_t index);

int make_memory(void);

#endif
