/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** A server with a fake device behind it, and a client that can send anything. For tests. */

#ifndef NMX_VFU_RIG_TEST_H
#define NMX_VFU_RIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/vfu/server.h"

#define CONFIG_BYTES 256

/** A device that remembers what it was told, and a client that can send anything. */
struct rig {
	int client; /* the client's end */
	struct nmx_stream_socket socket;
	struct nmx_vfu_server *server;
	uint64_t now_ns;
	int n_fds_before;

	/* Of the device. */
	struct nmx_vfu_map map;
	int map_fd;
	unsigned int n_maps, n_unmaps, n_unmap_alls, n_resets, n_triggers;
	bool later;
	uint8_t config[CONFIG_BYTES];
	int vectors[4];
};

struct reply {
	struct nmx_vfu_header header;
	uint8_t body[8192];
	ssize_t size; /* of all; -1: nothing came, 0: closed */
	unsigned int n_fds;
};

void start_unversioned(struct rig *rig);
/** Also: no descriptor has leaked. */
void stop(struct rig *rig);
int serve(struct rig *rig);
void send_bytes(
	struct rig *rig, const void *bytes, size_t size, const int *fds, unsigned int n_fds);
/** Build a message; returns its size. */
size_t build(uint8_t *to, uint16_t command, uint32_t flags, const void *body, size_t size);
void receive_reply(struct rig *rig, struct reply *reply);
/** Send a request with descriptors, serve, receive the reply. */
struct reply ask_with_fds(struct rig *rig, uint16_t command, const void *body, size_t size,
	const int *fds, unsigned int n_fds);
struct reply ask(struct rig *rig, uint16_t command, const void *body, size_t size);
/** The answer's errno: what most rows below are about. */
uint32_t ask_error(struct rig *rig, uint16_t command, const void *body, size_t size);
void start(struct rig *rig);

#endif
