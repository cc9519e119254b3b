/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/stream/transport.h"
#include "version.h"

/** Requests under way at once; their replies fit into the socket's buffer many times. */
#define PIPELINE_MAX 32

struct nmx_vfu_client {
	struct nmx_stream_socket socket;
	int timeout_ms, cancel_fd;
	bool broken;
	uint16_t next_id;
	struct nmx_vfu_capabilities server;
	/* Came with the last reply; n_fds are owned. Room for those that are too many. */
	int fds[NMX_VFU_REPLY_FDS_MAX + NMX_STREAM_SCM_FDS_MAX];
	unsigned int n_fds;
	struct nmx_vfu_header header; /* of the last reply */
	size_t body_size;
	uint8_t body[NMX_VFU_MSG_BYTES_MAX];
};

/** A request's parts; what isn't there is 0. */
struct request {
	uint16_t command;
	uint32_t flags;
	const void *head;
	uint32_t head_size;
	const void *data;
	uint32_t data_size;
	const int *fds;
	uint32_t n_fds;
};

void
nmx_vfu_end_client(struct nmx_vfu_client *client)
{
	client->broken = true;
	shutdown(client->socket.fd, SHUT_WR);
}

bool
nmx_vfu_has_ended(const struct nmx_vfu_client *client)
{
	struct pollfd one = { .fd = client->socket.fd, .events = POLLRDHUP };

	return poll(&one, 1, 0) == 1 && (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/** The stream is of no use any more. */
static int
break_stream(struct nmx_vfu_client *client, int error)
{
	nmx_vfu_end_client(client);
	nmx_base_close_fds(client->fds, client->n_fds);
	client->n_fds = 0;
	return error;
}

static int
wait_ready(struct nmx_vfu_client *client, short events, uint64_t deadline_ns)
{
	struct pollfd fds[] = {
		{ .fd = client->socket.fd, .events = events },
		{ .fd = client->cancel_fd, .events = POLLIN },
	};
	uint64_t now_ns = nmx_base_read_clock_ns();
	int n;

	if (now_ns >= deadline_ns)
		return -ETIMEDOUT;
	n = poll(fds, 2, nmx_base_count_ms_until(deadline_ns, now_ns));
	if (n < 0 && errno != EINTR)
		return -errno;
	return n > 0 && fds[1].revents != 0 ? -ECANCELED : 0;
}

static uint64_t
make_deadline(const struct nmx_vfu_client *client)
{
	return nmx_base_read_clock_ns() + (uint64_t)client->timeout_ms * NMX_NS_PER_MS;
}

static int
send_all(struct nmx_vfu_client *client, const void *bytes, size_t size, const int *fds,
	unsigned int n_fds)
{
	uint64_t deadline_ns = make_deadline(client);
	size_t sent = 0;

	while (sent < size) {
		ssize_t n = client->socket.transport.send(&client->socket.transport,
			(const uint8_t *)bytes + sent, size - sent, fds, sent == 0 ? n_fds : 0);
		int ret = n == -EAGAIN ? wait_ready(client, POLLOUT, deadline_ns)
			  : n < 0      ? (int)n
				       : 0;

		if (ret != 0)
			return break_stream(client, ret);
		sent += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int
receive_all(struct nmx_vfu_client *client, void *bytes, size_t size, bool with_fds,
	uint64_t deadline_ns)
{
	size_t got = 0;

	while (got < size) {
		unsigned int n_fds;
		ssize_t n = client->socket.transport.receive(&client->socket.transport,
			(uint8_t *)bytes + got, size - got,
			with_fds ? client->fds + client->n_fds : NULL, &n_fds);
		int ret = n == -EAGAIN ? wait_ready(client, POLLIN, deadline_ns)
			  : n == 0     ? -EPIPE
			  : n < 0      ? (int)n
				       : 0;

		client->n_fds += n_fds;
		if (ret == 0 && client->n_fds > NMX_VFU_REPLY_FDS_MAX)
			ret = -EPROTO;
		if (ret != 0)
			return break_stream(client, ret);
		got += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/** Send a request; *ret_id is what its reply will bear. */
static int
send_request(struct nmx_vfu_client *client, const struct request *request, uint16_t *ret_id)
{
	struct nmx_vfu_header header = {
		.id = client->next_id++,
		.command = request->command,
		.size = (uint32_t)sizeof(header) + request->head_size + request->data_size,
		.flags = request->flags,
	};
	/* One message, one send: descriptors travel with the header. `body` is free meanwhile. */
	uint8_t *at = client->body;

	if (client->broken)
		return -ENOTCONN;
	if (header.size > sizeof(client->body))
		return -EMSGSIZE;
	memcpy(at, &header, sizeof(header));
	at += sizeof(header);
	if (request->head_size > 0)
		memcpy(at, request->head, request->head_size);
	at += request->head_size;
	if (request->data_size > 0)
		memcpy(at, request->data, request->data_size);
	*ret_id = header.id;
	return send_all(client, client->body, header.size, request->fds, request->n_fds);
}

/** Receive one message, whatever it is. */
static int
receive_message(struct nmx_vfu_client *client, uint64_t deadline_ns)
{
	int ret;

	nmx_base_close_fds(client->fds, client->n_fds);
	client->n_fds = 0;
	ret = receive_all(client, &client->header, sizeof(client->header), true, deadline_ns);
	if (ret != 0)
		return ret;
	if (client->header.size < sizeof(client->header) ||
		client->header.size - sizeof(client->header) > sizeof(client->body))
		return break_stream(client, -EPROTO);
	client->body_size = client->header.size - sizeof(client->header);
	return receive_all(client, client->body, client->body_size, false, deadline_ns);
}

/** Refuse a request of the server's: our device reaches memory by its files only. */
static int
refuse_request(struct nmx_vfu_client *client)
{
	struct nmx_vfu_header reply = client->header;

	if (reply.flags & NMX_VFU_NO_REPLY)
		return 0;
	reply.size = sizeof(reply);
	reply.flags = NMX_VFU_REPLY | NMX_VFU_ERROR;
	reply.error = ENOTSUP;
	return send_all(client, &reply, sizeof(reply), NULL, 0);
}

/**
 * Receive the reply to a request.
 *
 * @return 0 with the body in client->body, at least size_min long; the server's error; stream error
 */
static int
receive_reply(struct nmx_vfu_client *client, uint16_t command, uint16_t id, size_t size_min)
{
	uint64_t deadline_ns = make_deadline(client);
	int ret;

	if (client->broken)
		return -ENOTCONN;
	for (;;) {
		ret = receive_message(client, deadline_ns);
		if (ret != 0)
			return ret;
		if ((client->header.flags & NMX_VFU_TYPE_MASK) == NMX_VFU_REPLY)
			break;
		ret = refuse_request(client);
		if (ret != 0)
			return ret;
		/* Data that is there already meets no deadline: a flood would never end. */
		if (nmx_base_read_clock_ns() >= deadline_ns)
			return break_stream(client, -ETIMEDOUT);
	}
	if (client->header.id != id || client->header.command != command)
		return break_stream(client, -EPROTO);
	if (client->header.flags & NMX_VFU_ERROR) {
		uint32_t error = client->header.error;

		return error == 0 || error > 4095 ? -EIO : -(int)error;
	}
	if (client->body_size < size_min)
		return break_stream(client, -EPROTO);
	return 0;
}

static int
call(struct nmx_vfu_client *client, const struct request *request, size_t size_min)
{
	uint16_t id;
	int ret = send_request(client, request, &id);

	return ret != 0 ? ret : receive_reply(client, request->command, id, size_min);
}

/** A request that is one structure, answered by the same structure. */
static int
call_for(struct nmx_vfu_client *client, uint16_t command, void *body, uint32_t size)
{
	const struct request request = { .command = command, .head = body, .head_size = size };
	int ret = call(client, &request, size);

	if (ret == 0)
		memcpy(body, client->body, size);
	return ret;
}

/* --- Connecting --- */

static int
agree_on_version(struct nmx_vfu_client *client)
{
	const struct nmx_vfu_capabilities ours = {
		.msg_fds_max = NMX_VFU_REPLY_FDS_MAX,
		.data_bytes_max = NMX_VFU_DATA_BYTES_MAX,
		.dma_maps_max = 65535,
	};
	struct nmx_vfu_version version;
	uint8_t text[256];
	const struct request request = {
		.command = NMX_VFU_VERSION,
		.head = text,
		.head_size = (uint32_t)nmx_vfu_format_version(&ours, text, sizeof(text)),
	};
	int ret = call(client, &request, sizeof(version));

	if (ret != 0)
		return ret;
	if (nmx_vfu_parse_version(client->body, client->body_size, &version, &client->server) != 0)
		return -EPROTO;
	if (version.major != NMX_VFU_MAJOR || version.minor > NMX_VFU_MINOR)
		return -EPROTO;
	return client->server.msg_fds_max == 0 ? -EPROTO : 0;
}

int
nmx_vfu_create_client(int *fd, int timeout_ms, int cancel_fd, struct nmx_vfu_client **ret_client)
{
	struct nmx_vfu_client *client = calloc(1, sizeof(*client));
	int ret;

	if (client == NULL) {
		nmx_base_close_fd(fd);
		return -ENOMEM;
	}
	nmx_stream_init_socket(&client->socket, nmx_base_take_fd(fd));
	client->timeout_ms = timeout_ms;
	client->cancel_fd = cancel_fd;
	ret = agree_on_version(client);
	if (ret != 0) {
		nmx_vfu_destroy_client(client);
		return ret;
	}
	*ret_client = client;
	return 0;
}

void
nmx_vfu_destroy_client(struct nmx_vfu_client *client)
{
	if (client == NULL)
		return;
	nmx_base_close_fds(client->fds, client->n_fds);
	nmx_base_close_fd(&client->socket.fd);
	free(client);
}

int
nmx_vfu_get_fd(const struct nmx_vfu_client *client)
{
	return client->socket.fd;
}

/* --- Requests --- */

int
nmx_vfu_check_device(struct nmx_vfu_client *client)
{
	struct nmx_vfu_device_info info = { .argsz = sizeof(info) };
	int ret = call_for(client, NMX_VFU_GET_INFO, &info, sizeof(info));

	if (ret != 0)
		return ret;
	if (!(info.flags & NMX_VFU_DEVICE_PCI) || info.n_regions <= NMX_VFU_REGION_CONFIG ||
		info.n_irqs <= NMX_VFU_IRQ_MSIX)
		return -EPROTO;
	return 0;
}

int
nmx_vfu_count_vectors(struct nmx_vfu_client *client, uint32_t index, uint32_t *ret_n)
{
	struct nmx_vfu_irq_info info = { .argsz = sizeof(info), .index = index };
	int ret = call_for(client, NMX_VFU_GET_IRQ_INFO, &info, sizeof(info));

	if (ret == 0)
		*ret_n = info.count;
	return ret;
}

int
nmx_vfu_read_region(struct nmx_vfu_client *client, uint32_t region, uint64_t offset, void *buffer,
	uint32_t size)
{
	const struct nmx_vfu_region_access access = { offset, region, size };
	const struct request request = {
		.command = NMX_VFU_REGION_READ,
		.head = &access,
		.head_size = sizeof(access),
	};
	int ret = call(client, &request, sizeof(access) + size);

	if (ret == 0)
		memcpy(buffer, client->body + sizeof(access), size);
	return ret;
}

int
nmx_vfu_write_region(struct nmx_vfu_client *client, uint32_t region, uint64_t offset,
	const void *buffer, uint32_t size)
{
	const struct nmx_vfu_region_access access = { offset, region, size };
	const struct request request = {
		.command = NMX_VFU_REGION_WRITE,
		.head = &access,
		.head_size = sizeof(access),
		.data = buffer,
		.data_size = size,
	};

	return call(client, &request, 0);
}

int
nmx_vfu_post_region(struct nmx_vfu_client *client, uint32_t region, uint64_t offset,
	const void *buffer, uint32_t size)
{
	const struct nmx_vfu_region_access access = { offset, region, size };
	const struct request request = {
		.command = NMX_VFU_REGION_WRITE,
		.flags = NMX_VFU_NO_REPLY,
		.head = &access,
		.head_size = sizeof(access),
		.data = buffer,
		.data_size = size,
	};
	uint16_t id;

	return send_request(client, &request, &id);
}

static int
send_map(struct nmx_vfu_client *client, const struct nmx_vfu_memory *memory, uint16_t *ret_id)
{
	const struct nmx_vfu_dma_map map = {
		.argsz = sizeof(map),
		.flags = NMX_VFU_MAP_READ | NMX_VFU_MAP_WRITE,
		.offset = memory->offset,
		.address = memory->range.start,
		.size = memory->range.size,
	};
	const struct request request = {
		.command = NMX_VFU_DMA_MAP,
		.head = &map,
		.head_size = sizeof(map),
		.fds = &memory->fd,
		.n_fds = 1,
	};

	return send_request(client, &request, ret_id);
}

int
nmx_vfu_map_memory(struct nmx_vfu_client *client, const struct nmx_vfu_memory *memory, uint32_t n,
	uint32_t *ret_failed)
{
	uint16_t ids[PIPELINE_MAX];
	uint32_t sent = 0;
	int first_error = 0;

	for (uint32_t answered = 0; answered < n; answered++) {
		int ret = 0;

		while (ret == 0 && sent < n && sent - answered < PIPELINE_MAX) {
			ret = send_map(client, &memory[sent], &ids[sent % PIPELINE_MAX]);
			sent++;
		}
		if (ret != 0)
			return ret;
		ret = receive_reply(client, NMX_VFU_DMA_MAP, ids[answered % PIPELINE_MAX], 0);
		if (client->broken)
			return ret;
		if (ret != 0 && first_error == 0) {
			first_error = ret;
			*ret_failed = answered;
		}
	}
	return first_error;
}

static int
unmap(struct nmx_vfu_client *client, uint32_t flags, struct nmx_range range)
{
	struct nmx_vfu_dma_unmap body = {
		.argsz = sizeof(body),
		.flags = flags,
		.address = range.start,
		.size = range.size,
	};

	return call_for(client, NMX_VFU_DMA_UNMAP, &body, sizeof(body));
}

int
nmx_vfu_unmap_memory(struct nmx_vfu_client *client, struct nmx_range range)
{
	return unmap(client, 0, range);
}

int
nmx_vfu_unmap_all(struct nmx_vfu_client *client)
{
	return unmap(client, NMX_VFU_UNMAP_ALL, (struct nmx_range){ 0, 0 });
}

int
nmx_vfu_connect_vectors(
	struct nmx_vfu_client *client, uint32_t index, uint32_t start, const int *fds, uint32_t n)
{
	uint32_t at_once = client->server.msg_fds_max < NMX_VFU_MSG_FDS_MAX
				   ? client->server.msg_fds_max
				   : NMX_VFU_MSG_FDS_MAX;
	int ret = 0;

	for (uint32_t done = 0; done < n && ret == 0; done += at_once) {
		const struct nmx_vfu_set_irqs body = {
			.argsz = sizeof(body),
			.flags = NMX_VFU_IRQ_DATA_EVENTFD | NMX_VFU_IRQ_TRIGGER,
			.index = index,
			.start = start + done,
			.count = n - done < at_once ? n - done : at_once,
		};
		const struct request request = {
			.command = NMX_VFU_SET_IRQS,
			.head = &body,
			.head_size = sizeof(body),
			.fds = fds + done,
			.n_fds = body.count,
		};

		ret = call(client, &request, 0);
	}
	return ret;
}

/** Move the doorbells of the reply in client->body into the list. */
static int
take_doorbells(struct nmx_vfu_client *client, uint32_t count, struct nmx_vfu_bell *list)
{
	for (uint32_t i = 0; i < count; i++) {
		struct nmx_vfu_io_fd entry;

		memcpy(&entry, client->body + sizeof(struct nmx_vfu_io_fds) + i * sizeof(entry),
			sizeof(entry));
		/* Each entry has an eventfd of its own: one that was moved out is -1 now. */
		if (entry.type != 0 || entry.fd_index >= client->n_fds ||
			!nmx_base_is_eventfd(client->fds[entry.fd_index])) {
			for (uint32_t j = 0; j < i; j++)
				nmx_base_close_fd(&list[j].fd);
			return -EPROTO;
		}
		list[i].offset = entry.offset;
		list[i].fd = nmx_base_take_fd(&client->fds[entry.fd_index]);
	}
	return 0;
}

int
nmx_vfu_get_doorbells(struct nmx_vfu_client *client, uint32_t region, struct nmx_vfu_bell *list,
	uint32_t room, uint32_t *ret_n)
{
	struct nmx_vfu_io_fds head = {
		.argsz = sizeof(client->body),
		.index = region,
	};
	int ret = call_for(client, NMX_VFU_GET_REGION_IO_FDS, &head, sizeof(head));

	if (ret != 0)
		return ret;
	if (head.count > room)
		return -EMSGSIZE;
	if (client->body_size < sizeof(head) + head.count * sizeof(struct nmx_vfu_io_fd))
		return break_stream(client, -EPROTO);
	ret = take_doorbells(client, head.count, list);
	if (ret == 0)
		*ret_n = head.count;
	return ret;
}

int
nmx_vfu_reset_device(struct nmx_vfu_client *client)
{
	const struct request request = { .command = NMX_VFU_RESET };

	return call(client, &request, 0);
}
