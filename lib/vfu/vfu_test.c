/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The server alone, message by message, as any client could send them. */

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/vfu/server.h"

#define CONFIG_BYTES 256

/** A device that remembers what it was told, and a client that can send anything. */
struct rig {
	int client; /* the client's end */
	struct nmx_vfu_socket socket;
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

static int
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void
start_unversioned(struct rig *rig)
{
	int ends[2];

	memset(rig, 0, sizeof(*rig));
	rig->n_fds_before = count_fds();
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	rig->client = ends[0];
	nmx_vfu_init_socket(&rig->socket, ends[1]);
	rig->map_fd = -1;
	for (unsigned int i = 0; i < 4; i++)
		rig->vectors[i] = -1;
	rig->now_ns = NMX_NS_PER_S;
	assert_int_equal(nmx_vfu_create_server(&rig->socket.transport, &device, &handlers, rig,
				 rig->now_ns, &rig->server),
		0);
}

/** Also: no descriptor has leaked. */
static void
stop(struct rig *rig)
{
	nmx_vfu_destroy_server(rig->server);
	nmx_base_close_fd(&rig->socket.fd);
	nmx_base_close_fd(&rig->client);
	nmx_base_close_fd(&rig->map_fd);
	nmx_base_close_fds(rig->vectors, 4);
	assert_int_equal(count_fds(), rig->n_fds_before);
}

static int
serve(struct rig *rig)
{
	int ret;

	do {
		ret = nmx_vfu_serve(rig->server, rig->now_ns);
	} while (ret == 0);
	return ret;
}

static void
send_bytes(struct rig *rig, const void *bytes, size_t size, const int *fds, unsigned int n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(64 * sizeof(int))];
	} control = { 0 };
	struct iovec part = { (void *)(uintptr_t)bytes, size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *c = &control.align;

		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(rig->client, &message, MSG_NOSIGNAL), (ssize_t)size);
}

/** Build a message; returns its size. */
static size_t
build(uint8_t *to, uint16_t command, uint32_t flags, const void *body, size_t size)
{
	const struct nmx_vfu_header header = { 0x1234, command, (uint32_t)(16 + size), flags, 0 };

	memcpy(to, &header, 16);
	if (size > 0)
		memcpy(to + 16, body, size);
	return 16 + size;
}

struct reply {
	struct nmx_vfu_header header;
	uint8_t body[8192];
	ssize_t size; /* of all; -1: nothing came, 0: closed */
	unsigned int n_fds;
};

static void
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

/** Send a request with descriptors, serve, receive the reply. */
static struct reply
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

static struct reply
ask(struct rig *rig, uint16_t command, const void *body, size_t size)
{
	return ask_with_fds(rig, command, body, size, NULL, 0);
}

/** The answer's errno: what most rows below are about. */
static uint32_t
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

static void
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

/* --- VERSION --- */

static void
version_is_agreed_on_or_the_connection_ends(void **unused)
{
#define BYTES(literal) literal, sizeof(literal) - 1
#define TEXT(literal)  literal, sizeof(literal) /* with its NUL */
	static const struct {
		const char *bytes;
		size_t size;
		bool good;
	} row[] = {
		{ BYTES("\0\0\1\0"), true }, /* SPDK: no JSON */
		{ TEXT("\0\0\0\0{}"), true },
		{ TEXT("\0\0\0\0{\"capabilities\":{}}"), true },
		{ TEXT("\0\0\0\0{\"else\":[1,2],\"capabilities\":{\"x\":1}}"), true },
		{ BYTES("\1\0\0\0"), false }, /* another major number */
		{ BYTES("\0\0\0"), false },
		{ BYTES(""), false },
		{ BYTES("\0\0\0\0{}"), false }, /* no NUL */
		{ TEXT("\0\0\0\0{"), false },
		{ TEXT("\0\0\0\0[]"), false },
		{ TEXT("\0\0\0\0\"x\""), false },
		{ TEXT("\0\0\0\0{}\0{}"), false },
		{ TEXT("\0\0\0\0{\"capabilities\":3}"), false },
		{ TEXT("\0\0\0\0{\"capabilities\":{\"max_msg_fds\":\"1\"}}"), false },
		{ TEXT("\0\0\0\0{\"capabilities\":{\"max_msg_fds\":-1}}"), false },
		{ TEXT("\0\0\0\0{\"capabilities\":{\"max_msg_fds\":1025}}"), false },
		{ TEXT("\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":1.5}}"), false },
	};
#undef BYTES
#undef TEXT

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig;
		struct reply reply;

		start_unversioned(&rig);
		reply = ask(&rig, NMX_VFU_VERSION, row[i].bytes, row[i].size);
		assert_int_equal(reply.header.error == 0, row[i].good);
		assert_int_equal(serve(&rig) == -EAGAIN, row[i].good);
		stop(&rig);
	}
}

static void
version_comes_first_and_once(void **unused)
{
	struct nmx_vfu_device_info info = { .argsz = sizeof(info) };
	struct rig rig;

	(void)unused;
	start_unversioned(&rig);
	assert_int_equal(ask_error(&rig, NMX_VFU_GET_INFO, &info, sizeof(info)), EINVAL);
	assert_int_equal(serve(&rig), -EPROTO);
	stop(&rig);
	start(&rig);
	assert_int_equal(ask_error(&rig, NMX_VFU_VERSION, "\0\0\0\0", 4), EINVAL);
	assert_int_equal(serve(&rig), -EPROTO);
	stop(&rig);
}

/* --- The stream --- */

static void
messages_may_come_in_pieces(void **unused)
{
	const struct nmx_vfu_region_access access = { 16, NMX_VFU_REGION_CONFIG, 8 };
	uint8_t body[24], message[64];
	struct reply reply;
	struct rig rig;
	size_t size;

	(void)unused;
	memcpy(body, &access, 16);
	memcpy(body + 16, "abcdefgh", 8);
	size = build(message, NMX_VFU_REGION_WRITE, 0, body, sizeof(body));
	start(&rig);
	for (size_t cut = 1; cut < size; cut++) {
		memset(rig.config, 0, sizeof(rig.config));
		send_bytes(&rig, message, cut, NULL, 0);
		assert_int_equal(serve(&rig), -EAGAIN);
		receive_reply(&rig, &reply);
		assert_int_equal(reply.size, -1);
		send_bytes(&rig, message + cut, size - cut, NULL, 0);
		assert_int_equal(serve(&rig), -EAGAIN);
		receive_reply(&rig, &reply);
		assert_int_equal(reply.size, 32);
		assert_memory_equal(rig.config + 16, "abcdefgh", 8);
	}
	stop(&rig);
}

static void
one_call_serves_at_most_one_message(void **unused)
{
	uint8_t message[64];
	struct rig rig;

	(void)unused;
	start(&rig);
	for (int i = 0; i < 3; i++)
		send_bytes(&rig, message, build(message, NMX_VFU_RESET, 0, NULL, 0), NULL, 0);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(nmx_vfu_serve(rig.server, rig.now_ns), 0);
		assert_int_equal(rig.n_resets, i);
	}
	stop(&rig);
}

static void
untrustworthy_streams_are_closed(void **unused)
{
	static const struct nmx_vfu_header row[] = {
		{ 1, NMX_VFU_RESET, 15, 0, 0 },
		{ 1, NMX_VFU_RESET, 0, 0, 0 },
		{ 1, NMX_VFU_REGION_WRITE, NMX_VFU_MSG_BYTES_MAX + 1, 0, 0 },
		{ 1, NMX_VFU_REGION_WRITE, UINT32_MAX, 0, 0 },
		{ 1, NMX_VFU_RESET, 16, NMX_VFU_REPLY, 0 },
		{ 1, NMX_VFU_RESET, 16, 2, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig;

		start(&rig);
		send_bytes(&rig, &row[i], sizeof(row[i]), NULL, 0);
		assert_int_equal(serve(&rig), -EPROTO);
		assert_non_null(nmx_vfu_get_reason(rig.server));
		assert_int_equal(serve(&rig), -EPROTO); /* and stays so */
		stop(&rig);
	}
}

static void
end_of_file_is_noticed_everywhere(void **unused)
{
	uint8_t message[64];
	size_t size = build(
		message, NMX_VFU_REGION_READ, 0, &(struct nmx_vfu_region_access){ 0, 7, 4 }, 16);

	(void)unused;
	for (size_t cut = 0; cut < size; cut++) {
		struct rig rig;

		start(&rig);
		if (cut > 0)
			send_bytes(&rig, message, cut, NULL, 0);
		nmx_base_close_fd(&rig.client);
		assert_int_equal(serve(&rig), -EPIPE);
		stop(&rig);
	}
}

static void
slow_clients_meet_deadlines(void **unused)
{
	const struct nmx_vfu_header header = { 1, NMX_VFU_RESET, 16, 0, 0 };
	struct rig rig;

	(void)unused;
	start_unversioned(&rig);
	assert_int_equal(serve(&rig), -EAGAIN);
	rig.now_ns = nmx_vfu_get_deadline_ns(rig.server);
	assert_int_equal(rig.now_ns, 6 * NMX_NS_PER_S);
	assert_int_equal(serve(&rig), -ETIMEDOUT);
	stop(&rig);

	start(&rig);
	rig.now_ns += 1000 * NMX_NS_PER_S; /* idle is no fault */
	assert_int_equal(serve(&rig), -EAGAIN);
	send_bytes(&rig, &header, 15, NULL, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	rig.now_ns += NMX_NS_PER_S;
	assert_int_equal(serve(&rig), -EAGAIN);
	rig.now_ns += NMX_NS_PER_S;
	assert_int_equal(serve(&rig), -ETIMEDOUT);
	stop(&rig);
}

static void
clients_that_never_read_stop_being_read(void **unused)
{
	const struct nmx_vfu_region_access access = { 0, 0, 4096 };
	uint8_t message[64];
	size_t size = build(message, NMX_VFU_REGION_READ, 0, &access, sizeof(access));
	unsigned int n = 0;
	struct rig rig;

	(void)unused;
	start(&rig);
	while (!nmx_vfu_wants_output(rig.server)) {
		send_bytes(&rig, message, size, NULL, 0);
		assert_int_equal(nmx_vfu_serve(rig.server, rig.now_ns), 0);
		assert_true(++n < 10000);
	}
	assert_false(nmx_vfu_wants_input(rig.server));
	/* Nobody may call again before: no event comes of a full socket. */
	assert_int_not_equal(nmx_vfu_get_deadline_ns(rig.server), NMX_NEVER_NS);
	send_bytes(&rig, message, size, NULL, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	rig.now_ns = nmx_vfu_get_deadline_ns(rig.server);
	assert_int_not_equal(rig.now_ns, NMX_NEVER_NS);
	assert_int_equal(serve(&rig), -ETIMEDOUT);
	stop(&rig);
}

/* --- Descriptors --- */

static void
each_command_takes_its_number_of_fds(void **unused)
{
	static const struct {
		uint16_t command;
		size_t size;
		unsigned int max;
	} row[] = {
		{ NMX_VFU_DMA_MAP, 32, 1 },
		{ NMX_VFU_DMA_UNMAP, 24, 1 },
		{ NMX_VFU_GET_INFO, 16, 0 },
		{ NMX_VFU_GET_REGION_INFO, 32, 0 },
		{ NMX_VFU_GET_REGION_IO_FDS, 16, 0 },
		{ NMX_VFU_GET_IRQ_INFO, 16, 0 },
		{ NMX_VFU_REGION_READ, 16, 0 },
		{ NMX_VFU_REGION_WRITE, 16, 0 },
		{ NMX_VFU_RESET, 0, 0 },
		{ 99, 0, 0 },
	};
	uint8_t body[64] = { 64 };
	struct nmx_vfu_dma_map good = { .argsz = 32, .flags = 3, .size = 4096 };
	int fds[16];
	struct rig rig;

	(void)unused;
	start(&rig);
	for (unsigned int i = 0; i < 16; i++)
		fds[i] = rig.client;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		for (unsigned int n = row[i].max + 1; n <= 16; n++) {
			struct reply reply = ask_with_fds(
				&rig, row[i].command, body, row[i].size, fds, n);

			assert_int_equal(reply.header.error, EINVAL);
		}
	}
	assert_int_equal(ask_with_fds(&rig, NMX_VFU_DMA_MAP, &good, 32, fds, 1).header.error, 0);
	assert_true(rig.map_fd >= 0);
	stop(&rig);
}

static void
floods_of_fds_end_the_connection(void **unused)
{
	uint8_t message[16];
	int fds[17];
	struct rig rig;

	(void)unused;
	start(&rig);
	for (unsigned int i = 0; i < 17; i++)
		fds[i] = rig.client;
	send_bytes(&rig, message, build(message, NMX_VFU_RESET, 0, NULL, 0), fds, 17);
	assert_int_equal(serve(&rig), -EPROTO);
	stop(&rig);

	/* A few with each byte of a header: the sum counts. */
	start(&rig);
	build(message, NMX_VFU_RESET, 0, NULL, 0);
	for (unsigned int i = 0; i < 2; i++)
		send_bytes(&rig, message + i, 1, fds, 9);
	assert_int_equal(serve(&rig), -EPROTO);
	stop(&rig);
}

/* --- Requests --- */

static void
information_is_told(void **unused)
{
	struct nmx_vfu_device_info info = { .argsz = 32 };
	struct nmx_vfu_region_info region = { .argsz = 32, .index = 0 };
	struct nmx_vfu_irq_info irq = { .argsz = 16, .index = NMX_VFU_IRQ_MSIX };
	uint8_t spdk[4064] = { 0 };
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	reply = ask(&rig, NMX_VFU_GET_INFO, &info, sizeof(info));
	memcpy(&info, reply.body, sizeof(info));
	assert_int_equal(reply.size, 32);
	assert_int_equal(info.flags, 3);
	assert_int_equal(info.n_regions, 9);
	assert_int_equal(info.n_irqs, 5);
	reply = ask(&rig, NMX_VFU_GET_REGION_INFO, &region, sizeof(region));
	assert_int_equal(reply.size, 48);
	memcpy(&region, reply.body, sizeof(region));
	assert_int_equal(region.argsz, 32);
	assert_int_equal(region.flags, 3);
	assert_int_equal(region.size, 4096);
	/* An absent region is a success of size 0; SPDK sends a page where 32 bytes do. */
	region = (struct nmx_vfu_region_info){ .argsz = 4064, .index = 8 };
	memcpy(spdk, &region, sizeof(region));
	reply = ask(&rig, NMX_VFU_GET_REGION_INFO, spdk, sizeof(spdk));
	assert_int_equal(reply.header.error, 0);
	memcpy(&region, reply.body, sizeof(region));
	assert_int_equal(region.size + region.flags, 0);
	reply = ask(&rig, NMX_VFU_GET_IRQ_INFO, &irq, sizeof(irq));
	assert_int_equal(reply.size, 32);
	memcpy(&irq, reply.body, sizeof(irq));
	assert_int_equal(irq.flags, 1);
	assert_int_equal(irq.count, 4);
	stop(&rig);
}

static void
bad_arguments_are_refused(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
#define REFUSED(command, type, ...) \
	assert_int_equal(ask_error(&rig, command, &(type)__VA_ARGS__, sizeof(type)), EINVAL)
	REFUSED(NMX_VFU_GET_INFO, struct nmx_vfu_device_info, { .argsz = 15 });
	REFUSED(NMX_VFU_GET_REGION_INFO, struct nmx_vfu_region_info, { .argsz = 31 });
	REFUSED(NMX_VFU_GET_REGION_INFO, struct nmx_vfu_region_info, { .argsz = 32, .index = 9 });
	REFUSED(NMX_VFU_GET_IRQ_INFO, struct nmx_vfu_irq_info, { .argsz = 16, .index = 5 });
	REFUSED(NMX_VFU_GET_REGION_IO_FDS, struct nmx_vfu_io_fds, { .argsz = 16, .flags = 1 });
	REFUSED(NMX_VFU_GET_REGION_IO_FDS, struct nmx_vfu_io_fds, { .argsz = 16, .count = 1 });
	REFUSED(NMX_VFU_GET_REGION_IO_FDS, struct nmx_vfu_io_fds, { .argsz = 16, .index = 9 });
	REFUSED(NMX_VFU_DMA_MAP, struct nmx_vfu_dma_map, { .argsz = 31, .flags = 3, .size = 1 });
	REFUSED(NMX_VFU_DMA_MAP, struct nmx_vfu_dma_map, { .argsz = 32, .flags = 4, .size = 1 });
	REFUSED(NMX_VFU_DMA_MAP, struct nmx_vfu_dma_map, { .argsz = 32, .flags = 3, .size = 0 });
	REFUSED(NMX_VFU_DMA_MAP, struct nmx_vfu_dma_map,
		{ .argsz = 32, .flags = 3, .size = 2, .address = UINT64_MAX });
	REFUSED(NMX_VFU_DMA_UNMAP, struct nmx_vfu_dma_unmap,
		{ .argsz = 24, .flags = 1, .size = 1 });
	REFUSED(NMX_VFU_DMA_UNMAP, struct nmx_vfu_dma_unmap,
		{ .argsz = 24, .flags = 2, .size = 1 });
	REFUSED(NMX_VFU_DMA_UNMAP, struct nmx_vfu_dma_unmap,
		{ .argsz = 24, .flags = 0, .size = 0 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 4096, 0, 1 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 4093, 0, 4 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { UINT64_MAX, 0, 4 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 0, 0, UINT32_MAX });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 0, 1, 4 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 0, 9, 4 });
	REFUSED(NMX_VFU_REGION_WRITE, struct nmx_vfu_region_access, { 0, 0, 4 }); /* no data */
#undef REFUSED
	for (uint16_t command = 0; command < 40; command++) {
		bool known = command >= NMX_VFU_VERSION && command <= NMX_VFU_RESET &&
			     command != 11 && command != 12;

		/* Without a body only RESET means something. */
		if (known && command != NMX_VFU_VERSION && command != NMX_VFU_RESET)
			assert_int_equal(ask_error(&rig, command, NULL, 0), EINVAL);
		if (!known)
			assert_int_equal(ask_error(&rig, command, "12345678", 8), EINVAL);
	}
	assert_int_equal(rig.n_maps + rig.n_unmaps + rig.n_unmap_alls, 0);
	stop(&rig);
}

static void
memory_is_handed_over(void **unused)
{
	struct nmx_vfu_dma_map map = { 32, 3, 0x3000, 0x100000, 0x2000 };
	struct nmx_vfu_dma_unmap unmap = { 24, 0, 0x100000, 0x2000 };
	struct reply reply;
	struct rig rig;
	int file;

	(void)unused;
	start(&rig);
	file = memfd_create("nmx-vfu-test", MFD_CLOEXEC);
	reply = ask_with_fds(&rig, NMX_VFU_DMA_MAP, &map, sizeof(map), &file, 1);
	assert_int_equal(reply.header.error, 0);
	assert_int_equal(reply.size, 16);
	assert_int_equal(rig.map.range.start, 0x100000);
	assert_int_equal(rig.map.range.size, 0x2000);
	assert_int_equal(rig.map.offset, 0x3000);
	assert_true(rig.map_fd >= 0);
	assert_int_equal(ask_error(&rig, NMX_VFU_DMA_MAP, &map, sizeof(map)), 0);
	assert_int_equal(rig.map_fd, -1);
	map.offset = 0xbad000;
	reply = ask_with_fds(&rig, NMX_VFU_DMA_MAP, &map, sizeof(map), &file, 1);
	assert_int_equal(reply.header.error, EEXIST);
	/* Clients differ in what they expect of this reply; the whole structure suits all. */
	reply = ask(&rig, NMX_VFU_DMA_UNMAP, &unmap, sizeof(unmap));
	assert_int_equal(reply.size, 40);
	assert_memory_equal(reply.body, &unmap, sizeof(unmap));
	assert_int_equal(rig.n_unmaps, 1);
	unmap = (struct nmx_vfu_dma_unmap){ 24, NMX_VFU_UNMAP_ALL, 0, 0 };
	assert_int_equal(ask_error(&rig, NMX_VFU_DMA_UNMAP, &unmap, sizeof(unmap)), 0);
	assert_int_equal(rig.n_unmap_alls, 1);
	nmx_base_close_fd(&file);
	stop(&rig);
}

static void
parked_requests_hold_up_their_client_only(void **unused)
{
	struct nmx_vfu_dma_unmap unmap = { 24, 0, 0x100000, 0x2000 };
	struct reply reply;
	struct rig rig;
	uint8_t message[16];

	(void)unused;
	start(&rig);
	rig.later = true;
	reply = ask(&rig, NMX_VFU_DMA_UNMAP, &unmap, sizeof(unmap));
	assert_int_equal(reply.size, -1);
	assert_true(nmx_vfu_is_parked(rig.server));
	assert_false(nmx_vfu_wants_input(rig.server));
	send_bytes(&rig, message, build(message, NMX_VFU_RESET, 0, NULL, 0), NULL, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	assert_int_equal(rig.n_resets, 0);
	rig.later = false;
	nmx_vfu_answer(rig.server, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	assert_int_equal(rig.n_resets, 1);
	receive_reply(&rig, &reply);
	assert_int_equal(reply.header.command, NMX_VFU_DMA_UNMAP);
	assert_int_equal(reply.header.size, 40);
	assert_memory_equal(reply.body, &unmap, sizeof(unmap));
	stop(&rig);
}

static void
posted_writes_get_no_reply_not_even_an_error(void **unused)
{
	struct {
		struct nmx_vfu_region_access access;
		uint8_t data[4];
	} body = { { 4, NMX_VFU_REGION_CONFIG, 4 }, "wxyz" };
	uint8_t message[64];
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	send_bytes(&rig, message, build(message, NMX_VFU_REGION_WRITE, NMX_VFU_NO_REPLY, &body, 20),
		NULL, 0);
	body.access.region = 5;
	send_bytes(&rig, message, build(message, NMX_VFU_REGION_WRITE, NMX_VFU_NO_REPLY, &body, 20),
		NULL, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	assert_memory_equal(rig.config + 4, "wxyz", 4);
	receive_reply(&rig, &reply);
	assert_int_equal(reply.size, -1);
	stop(&rig);
}

static void
regions_are_read_and_written(void **unused)
{
	struct nmx_vfu_region_access access = { 0, NMX_VFU_REGION_CONFIG, CONFIG_BYTES };
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	rig.config[255] = 0x77;
	reply = ask(&rig, NMX_VFU_REGION_READ, &access, sizeof(access));
	assert_int_equal(reply.size, 32 + CONFIG_BYTES);
	assert_int_equal(reply.body[16 + 255], 0x77);
	access.count = 0;
	reply = ask(&rig, NMX_VFU_REGION_READ, &access, sizeof(access));
	assert_int_equal(reply.size, 32);
	stop(&rig);
}

/** A SET_IRQS with data NONE, or eventfds if fds is given; returns the errno. */
static uint32_t
set_irqs(struct rig *rig, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	const int *fds, unsigned int n_fds)
{
	struct nmx_vfu_set_irqs body = { 20, flags, index, start, count };

	return ask_with_fds(rig, NMX_VFU_SET_IRQS, &body, sizeof(body), fds, n_fds).header.error;
}

static void
vectors_are_connected_and_disconnected(void **unused)
{
	const uint32_t assign = NMX_VFU_IRQ_DATA_EVENTFD | NMX_VFU_IRQ_TRIGGER;
	const uint32_t none = NMX_VFU_IRQ_DATA_NONE | NMX_VFU_IRQ_TRIGGER;
	int fds[4], wrong[1];
	struct rig rig;

	(void)unused;
	start(&rig);
	for (unsigned int i = 0; i < 4; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	wrong[0] = rig.client;
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 0, 4, fds, 4), 0);
	assert_true(rig.vectors[3] >= 0);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 2, 1, NULL, 0), 0);
	assert_int_equal(rig.vectors[2], -1);
	assert_int_equal(set_irqs(&rig, none, NMX_VFU_IRQ_MSIX, 1, 3, NULL, 0), 0);
	assert_int_equal(rig.n_triggers, 0xe);
	assert_int_equal(set_irqs(&rig, none, NMX_VFU_IRQ_MSIX, 0, 0, NULL, 0), 0);
	assert_int_equal(rig.vectors[0], -1);
	assert_int_equal(set_irqs(&rig, none, 0, 0, 0, NULL, 0), 0); /* disabling nothing */

	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 0, 3, fds, 4), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 1, 4, fds, 4), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, UINT32_MAX, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 0, 0, NULL, 0), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 0, 1, wrong, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, 5, 0, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, none, NMX_VFU_IRQ_MSIX, 0, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, none, NMX_VFU_IRQ_MSIX, 0, 5, NULL, 0), EINVAL);
	assert_int_equal(set_irqs(&rig, 0x0c, NMX_VFU_IRQ_MSIX, 0, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, 0x25, NMX_VFU_IRQ_MSIX, 0, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, 0x22, NMX_VFU_IRQ_MSIX, 0, 1, NULL, 0), EINVAL);
	nmx_base_close_fds(fds, 4);
	stop(&rig);
}

static void
doorbells_are_listed_with_their_fds(void **unused)
{
	struct nmx_vfu_io_fds head = { .argsz = 4096, .index = 0 };
	struct nmx_vfu_io_fd entry;
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	reply = ask(&rig, NMX_VFU_GET_REGION_IO_FDS, &head, sizeof(head));
	assert_int_equal(reply.size, 16 + 16 + 2 * 40);
	assert_int_equal(reply.n_fds, 2);
	memcpy(&entry, reply.body + 16 + 40, sizeof(entry));
	assert_int_equal(entry.offset, 0x104);
	assert_int_equal(entry.size, 4);
	assert_int_equal(entry.fd_index, 1);
	head.argsz = 16; /* asks how much there would be */
	reply = ask(&rig, NMX_VFU_GET_REGION_IO_FDS, &head, sizeof(head));
	memcpy(&head, reply.body, sizeof(head));
	assert_int_equal(reply.size, 32);
	assert_int_equal(head.argsz, 16 + 2 * 40);
	assert_int_equal(head.count, 2);
	assert_int_equal(reply.n_fds, 0);
	stop(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_is_agreed_on_or_the_connection_ends),
		cmocka_unit_test(version_comes_first_and_once),
		cmocka_unit_test(messages_may_come_in_pieces),
		cmocka_unit_test(one_call_serves_at_most_one_message),
		cmocka_unit_test(untrustworthy_streams_are_closed),
		cmocka_unit_test(end_of_file_is_noticed_everywhere),
		cmocka_unit_test(slow_clients_meet_deadlines),
		cmocka_unit_test(clients_that_never_read_stop_being_read),
		cmocka_unit_test(each_command_takes_its_number_of_fds),
		cmocka_unit_test(floods_of_fds_end_the_connection),
		cmocka_unit_test(information_is_told),
		cmocka_unit_test(bad_arguments_are_refused),
		cmocka_unit_test(memory_is_handed_over),
		cmocka_unit_test(parked_requests_hold_up_their_client_only),
		cmocka_unit_test(posted_writes_get_no_reply_not_even_an_error),
		cmocka_unit_test(regions_are_read_and_written),
		cmocka_unit_test(vectors_are_connected_and_disconnected),
		cmocka_unit_test(doorbells_are_listed_with_their_fds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
