/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "rig_test.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/stream/peer_test.h"

static const struct nmx_vhu_offer offer = {
	.features = FEATURES,
	.protocol_features = PROTOCOL,
	.n_rings = N_RINGS,
	.ring_size_max = 1024,
	.mtu_max = MTU_MAX,
};

/* --- The device --- */

static int
decide(struct rig *rig)
{
	if (rig->refusal != 0)
		return rig->refusal;
	if (!rig->later)
		return 0;
	rig->later = false;
	return NMX_VHU_LATER;
}

static int
on_features(void *context, uint64_t features)
{
	struct rig *rig = context;

	if (rig->refusal == 0)
		rig->features = features;
	return rig->refusal;
}

static int
on_memory(void *context, const struct nmx_vhu_region *regions, uint32_t n, int *fds)
{
	struct rig *rig = context;

	if (rig->refusal != 0)
		return rig->refusal;
	rig->n_tables++;
	rig->n_regions = n;
	for (uint32_t i = 0; i < n; i++) {
		rig->regions[i] = regions[i];
		nmx_base_close_fd(&rig->memory[i]);
		rig->memory[i] = nmx_base_take_fd(&fds[i]);
	}
	return decide(rig);
}

static int
on_start(void *context, uint16_t index, const struct nmx_vhu_ring *ring)
{
	struct rig *rig = context;

	assert_false(rig->ring[index].running);
	if (rig->refusal != 0)
		return rig->refusal;
	rig->ring[index].parts = *ring;
	rig->ring[index].running = true;
	rig->ring[index].enabled = ring->enabled;
	rig->ring[index].n_starts++;
	return 0;
}

static int
on_enable(void *context, uint16_t index, bool enabled)
{
	struct rig *rig = context;

	assert_true(rig->ring[index].running);
	rig->ring[index].enabled = enabled;
	return rig->refusal;
}

static int
on_stop(void *context, uint16_t index, uint32_t *ret_base)
{
	struct rig *rig = context;

	assert_true(rig->ring[index].running || rig->ring[index].n_losses > 0);
	rig->ring[index].running = false;
	rig->ring[index].n_stops++;
	*ret_base = 77;
	return decide(rig);
}

static void
on_lose(void *context, uint16_t index)
{
	struct rig *rig = context;

	assert_true(rig->ring[index].running);
	rig->ring[index].running = false;
	rig->ring[index].n_losses++;
}

static int
connect_file(struct rig *rig, int *place, int *fd)
{
	if (rig->refusal != 0)
		return rig->refusal;
	nmx_base_close_fd(place);
	*place = nmx_base_take_fd(fd);
	return 0;
}

static int
on_kick(void *context, uint16_t index, int *fd)
{
	return connect_file(context, &((struct rig *)context)->ring[index].kick, fd);
}

static int
on_call(void *context, uint16_t index, int *fd)
{
	return connect_file(context, &((struct rig *)context)->ring[index].call, fd);
}

static int
on_mtu(void *context, uint16_t mtu)
{
	((struct rig *)context)->mtu = mtu;
	return ((struct rig *)context)->refusal;
}

static const struct nmx_vhu_handlers handlers = {
	.set_features = on_features,
	.set_memory = on_memory,
	.start_ring = on_start,
	.enable_ring = on_enable,
	.stop_ring = on_stop,
	.lose_ring = on_lose,
	.connect_kick = on_kick,
	.connect_call = on_call,
	.set_mtu = on_mtu,
};

/* --- The connection --- */

void
start(struct rig *rig)
{
	int near;

	memset(rig, 0, sizeof(*rig));
	rig->n_fds_before = peer_count_fds();
	peer_connect(&near, &rig->client);
	nmx_stream_init_socket(&rig->socket, near);
	for (unsigned int i = 0; i < N_RINGS; i++)
		rig->ring[i].kick = rig->ring[i].call = -1;
	for (unsigned int i = 0; i < NMX_VHU_REGIONS_MAX; i++)
		rig->memory[i] = -1;
	rig->now_ns = NMX_NS_PER_S;
	assert_int_equal(
		nmx_vhu_create_server(&rig->socket.transport, &offer, &handlers, rig, &rig->server),
		0);
}

void
stop(struct rig *rig)
{
	int left[NMX_VHU_SERVER_FDS_MAX];

	nmx_base_close_fds(left, nmx_vhu_destroy_server(rig->server, left));
	nmx_base_close_fd(&rig->socket.fd);
	nmx_base_close_fd(&rig->client);
	nmx_base_close_fds(rig->memory, NMX_VHU_REGIONS_MAX);
	for (unsigned int i = 0; i < N_RINGS; i++) {
		nmx_base_close_fd(&rig->ring[i].kick);
		nmx_base_close_fd(&rig->ring[i].call);
	}
	assert_int_equal(peer_count_fds(), rig->n_fds_before);
}

int
serve(struct rig *rig)
{
	int ret;

	do {
		ret = nmx_vhu_serve(rig->server, rig->now_ns);
	} while (ret == 0);
	return ret;
}

/* --- The front end --- */

void
tell_with_fds(struct rig *rig, uint32_t request, uint32_t flags, const void *body, size_t size,
	const int *fds, unsigned int n_fds)
{
	const struct nmx_vhu_header header = { request, NMX_VHU_VERSION | flags, (uint32_t)size };
	uint8_t message[1024];

	assert_true(sizeof(header) + size <= sizeof(message));
	memcpy(message, &header, sizeof(header));
	if (size > 0)
		memcpy(message + sizeof(header), body, size);
	peer_send(rig->client, message, sizeof(header) + size, fds, n_fds);
	serve(rig);
}

void
tell(struct rig *rig, uint32_t request, const void *body, size_t size)
{
	tell_with_fds(rig, request, 0, body, size, NULL, 0);
}

void
tell_number(struct rig *rig, uint32_t request, uint64_t number)
{
	tell(rig, request, &number, sizeof(number));
}

void
tell_state(struct rig *rig, uint32_t request, uint32_t index, uint32_t num)
{
	const struct nmx_vhu_state state = { index, num };

	tell(rig, request, &state, sizeof(state));
}

void
tell_file(struct rig *rig, uint32_t request, uint64_t number, bool has_fd)
{
	int fd = has_fd ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;

	tell_with_fds(rig, request, 0, &number, sizeof(number), &fd, has_fd ? 1 : 0);
	nmx_base_close_fd(&fd);
}

void
tell_addresses(struct rig *rig, uint32_t index, uint64_t user)
{
	const struct nmx_vhu_addresses addresses = {
		.index = index,
		.desc = user,
		.avail = user + 0x4000,
		.used = user + 0x8000,
	};

	tell(rig, NMX_VHU_SET_VRING_ADDR, &addresses, sizeof(addresses));
}

int
make_memory(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

void
tell_memory(struct rig *rig, uint32_t flags, uint64_t guest, uint64_t user, uint64_t size)
{
	const struct nmx_vhu_table table = { .n_regions = 1,
		.regions[0] = { guest, size, user, 0 } };
	int fd = make_memory();

	tell_with_fds(rig, NMX_VHU_SET_MEM_TABLE, flags, &table, 8 + 32, &fd, 1);
	nmx_base_close_fd(&fd);
}

struct reply
receive_reply(struct rig *rig)
{
	uint8_t bytes[sizeof(struct nmx_vhu_header) + 256];
	struct reply reply = { .size = recv(rig->client, bytes, sizeof(bytes), MSG_DONTWAIT) };

	if (reply.size > 0) {
		assert_true((size_t)reply.size >= sizeof(reply.header));
		memcpy(&reply.header, bytes, sizeof(reply.header));
		memcpy(reply.bytes, bytes + sizeof(reply.header),
			(size_t)reply.size - sizeof(reply.header));
		assert_int_equal(reply.header.flags, NMX_VHU_VERSION | NMX_VHU_REPLY);
		assert_int_equal(reply.header.size, (size_t)reply.size - sizeof(reply.header));
	}
	return reply;
}

struct reply
ask(struct rig *rig, uint32_t request, const void *body, size_t size)
{
	struct reply reply;

	tell(rig, request, body, size);
	reply = receive_reply(rig);
	assert_true(reply.size > 0);
	assert_int_equal(reply.header.request, request);
	return reply;
}

bool
ask_whether(struct rig *rig, uint32_t request, const void *body, size_t size)
{
	struct reply reply;

	tell_with_fds(rig, request, NMX_VHU_NEED_REPLY, body, size, NULL, 0);
	reply = receive_reply(rig);
	assert_int_equal(reply.size, sizeof(struct nmx_vhu_header) + sizeof(uint64_t));
	assert_int_equal(reply.header.request, request);
	return reply.number == 0;
}

void
agree(struct rig *rig)
{
	tell_number(rig, NMX_VHU_SET_PROTOCOL_FEATURES, PROTOCOL);
	tell_number(rig, NMX_VHU_SET_FEATURES, AGREED);
	tell_memory(rig, 0, GUEST_START, USER_START, REGION_BYTES);
	assert_int_equal(serve(rig), -11);
}

void
run_ring(struct rig *rig, uint32_t index)
{
	tell_state(rig, NMX_VHU_SET_VRING_NUM, index, RING_SIZE);
	tell_state(rig, NMX_VHU_SET_VRING_BASE, index, 0);
	tell_addresses(rig, index, USER_START + 0x10000 * index);
	tell_file(rig, NMX_VHU_SET_VRING_KICK, index, true);
	assert_true(rig->ring[index].running);
}
