/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "rig_test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/stream/peer_test.h"

static const struct nmx_vfu_device device = {
	.region[0] = { NMX_VFU_REGION_READABLE | NMX_VFU_REGION_WRITABLE, 4096 },
	.region[NMX_VFU_REGION_CONFIG] = { NMX_VFU_REGION_READABLE | NMX_VFU_REGION_WRITABLE,
		CONFIG_BYTES },
	.n_vectors[NMX_VFU_IRQ_MSIX] = 4,
	.n_vectors[NMX_VFU_IRQ_ERR] = 1,
	.dma_maps_max = 100,
};

static int
on_map(void *context, const struct nmx_vfu_map *map, int *fd)
{
	struct rig *rig = context;

	rig->map = *map;
	rig->n_maps++;
	nmx_base_close_fd(&rig->map_fd);
	rig->map_fd = nmx_base_take_fd(fd);
	return map->offset == 0xbad000 ? -EEXIST : 0;
}

static int
on_unmap(void *context, const struct nmx_range *range)
{
	struct rig *rig = context;

	rig->n_unmaps += range != NULL;
	rig->n_unmap_alls += range == NULL;
	return rig->later ? NMX_VFU_LATER : 0;
}

static int
on_read(void *context, const struct nmx_vfu_access *access, uint8_t *data)
{
	struct rig *rig = context;

	if (access->region == NMX_VFU_REGION_CONFIG)
		memcpy(data, rig->config + access->offset, access->count);
	return 0;
}

static int
on_write(void *context, const struct nmx_vfu_access *access, const uint8_t *data)
{
	struct rig *rig = context;

	if (access->region == NMX_VFU_REGION_CONFIG)
		memcpy(rig->config + access->offset, data, access->count);
	return rig->later ? NMX_VFU_LATER : 0;
}

static int
on_connect(void *context, uint32_t index, uint32_t start, uint32_t count, int *fds)
{
	struct rig *rig = context;

	if (index != NMX_VFU_IRQ_MSIX)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		nmx_base_close_fd(&rig->vectors[start + i]);
		if (fds != NULL)
			rig->vectors[start + i] = nmx_base_take_fd(&fds[i]);
	}
	return 0;
}

static int
on_trigger(void *context, uint32_t index, uint32_t vector)
{
	struct rig *rig = context;

	(void)index;
	rig->n_triggers += 1u << vector;
	return 0;
}

static int
on_reset(void *context)
{
	struct rig *rig = context;

	rig->n_resets++;
	return rig->later ? NMX_VFU_LATER : 0;
}

static uint32_t
on_list(void *context, uint32_t region, struct nmx_vfu_doorbell *list, uint32_t room)
{
	struct rig *rig = context;

	assert_true(room >= 2);
	if (region != 0)
		return 0;
	list[0] = (struct nmx_vfu_doorbell){ 0x100, 4, rig->client };
	list[1] = (struct nmx_vfu_doorbell){ 0x104, 4, rig->client };
	return 2;
}

static const struct nmx_vfu_handlers handlers = {
	.map = on_map,
	.unmap = on_unmap,
	.read_region = on_read,
	.write_region = on_write,
	.connect_vectors = on_connect,
	.trigger_vector = on_trigger,
	.reset = on_reset,
	.list_doorbells = on_list,
};

void
start_unversioned(struct rig *rig)
{
	int near;

	memset(rig, 0, sizeof(*rig));
	rig->n_fds_before = peer_count_fds();
	peer_connect(&near, &rig->client);
	nmx_stream_init_socket(&rig->socket, near);
	rig->map_fd = -1;
	for (unsigned int i = 0; i < 4; i++)
		rig->vectors[i] = -1;
	rig->now_ns = NMX_NS_PER_S;
	assert_int_equal(nmx_vfu_create_server(&rig->socket.transport, &device, &handlers, rig,
				 rig->now_ns, &rig->server),
		0);
}

void
stop(struct rig *rig)
{
	int left[NMX_VFU_SERVER_FDS_MAX];

	nmx_base_close_fds(left, nmx_vfu_destroy_server(rig->server, left));
	nmx_base_close_fd(&rig->socket.fd);
	nmx_base_close_fd(&rig->client);
	nmx_base_close_fd(&rig->map_fd);
	nmx_base_close_fds(rig->vectors, 4);
	assert_int_equal(peer_count_fds(), rig->n_fds_before);
}

int
serve(struct rig *rig)
{
	int ret;

	do {
		ret = nmx_vfu_serve(rig->server, rig->now_ns);
	} while (ret == 0);
	return ret;
}

void
send_bytes(struct rig *rig, const void *bytes, size_t size, const int *fds, unsigned int n_fds)
{
	peer_send(rig->client, bytes, size, fds, n_fds);
}

size_t
build(uint8_t *to, uint16_t command, uint32_t flags, const void *body, size_t size)
{
	const struct nmx_vfu_header header = { 0x1234, command, (uint32_t)(16 + size), flags, 0 };

	memcpy(to, &header, 16);
	if (size > 0)
		memcpy(to + 16, body, size);
	return 16 + size;
}

void
receive_reply(struct rig *rig, struct reply *reply)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control = { 0 };
	struct iovec part[2] = { { &reply->header, 16 }, { reply->body, sizeof(reply->body) } };
	struct msghdr message = { .msg_iov = part,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };

	memset(reply, 0, sizeof(*reply));
	reply->size = recvmsg(rig->client, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); reply->size > 0 && c != NULL;
		c = CMSG_NXTHDR(&message, c)) {
		unsigned int n = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		int fds[64];

		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		nmx_base_close_fds(fds, n);
		reply->n_fds += n;
	}
}

struct reply
ask_with_fds(struct rig *rig, uint16_t command, const void *body, size_t size, const int *fds,
	unsigned int n_fds)
{
	static uint8_t message[70000];
	struct reply reply;

	send_bytes(rig, message, build(message, command, 0, body, size), fds, n_fds);
	serve(rig);
	receive_reply(rig, &reply);
	if (reply.size > 0) {
		assert_int_equal(reply.header.id, 0x1234);
		assert_int_equal(reply.header.command, command);
		assert_int_equal(reply.header.size, reply.size);
		assert_int_equal(reply.header.flags & NMX_VFU_TYPE_MASK, NMX_VFU_REPLY);
		assert_int_equal(!(reply.header.flags & NMX_VFU_ERROR), reply.header.error == 0);
		if (reply.header.error != 0)
			assert_int_equal(reply.size, 16);
	}
	return reply;
}

struct reply
ask(struct rig *rig, uint16_t command, const void *body, size_t size)
{
	return ask_with_fds(rig, command, body, size, NULL, 0);
}

uint32_t
ask_error(struct rig *rig, uint16_t command, const void *body, size_t size)
{
	struct reply reply = ask(rig, command, body, size);

	assert_true(reply.size > 0);
	return reply.header.error;
}

static const char qemu_version[] =
	"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,"
	"\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":268435456},\"pgsizes\":4096,"
	"\"max_dma_maps\":65535,\"write_multiple\":true}}";

void
start(struct rig *rig)
{
	struct reply reply;

	start_unversioned(rig);
	reply = ask(rig, NMX_VFU_VERSION, qemu_version, sizeof(qemu_version));
	assert_int_equal(reply.header.error, 0);
	/* QEMU receives the reply into its request's 214 bytes, and wants a NUL at its end. */
	assert_in_range(reply.size, 21, 214);
	assert_int_equal(reply.body[reply.size - 17], 0);
	assert_non_null(strstr((char *)reply.body + 4, "\"max_msg_fds\":16"));
	assert_int_equal(nmx_vfu_get_deadline_ns(rig->server), NMX_NEVER_NS);
}
