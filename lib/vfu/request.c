/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "request.h"

#include <errno.h>
#include <string.h>

#include "lib/base/fd.h"

static uint8_t *
reply_body(struct nmx_vfu_server *server)
{
	return server->out + sizeof(struct nmx_vfu_header);
}

/** Put a structure into the reply. */
static int
answer(struct nmx_vfu_server *server, const void *body, size_t size, size_t *ret_size)
{
	memcpy(reply_body(server), body, size);
	*ret_size = size;
	return 0;
}

static int
execute_version(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	const struct nmx_vfu_capabilities ours = {
		.msg_fds_max = NMX_VFU_MSG_FDS_MAX,
		.data_bytes_max = NMX_VFU_DATA_BYTES_MAX,
		.dma_maps_max = server->device->dma_maps_max,
	};
	struct nmx_vfu_version version;
	int ret = nmx_vfu_parse_version(server->body, size, &version, &server->client);

	if (ret != 0)
		return ret;
	if (version.major != NMX_VFU_MAJOR)
		return -ENOTSUP;
	*ret_size = nmx_vfu_format_version(
		&ours, reply_body(server), sizeof(server->out) - sizeof(struct nmx_vfu_header));
	server->versioned = true;
	return 0;
}

static int
execute_map(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	int none = -1, *fd = server->exchange.n_fds > 0 ? &server->exchange.fds[0] : &none;
	struct nmx_vfu_dma_map request;
	struct nmx_vfu_map map;

	(void)size;
	(void)ret_size;
	memcpy(&request, server->body, sizeof(request));
	if (request.argsz < sizeof(request) ||
		(request.flags & ~(NMX_VFU_MAP_READ | NMX_VFU_MAP_WRITE)) != 0)
		return -EINVAL;
	map.range.start = request.address;
	map.range.size = request.size;
	map.offset = request.offset;
	map.protection = request.flags;
	if (!nmx_base_check_range(map.range))
		return -EINVAL;
	return server->handlers->map(server->context, &map, fd);
}

static int
execute_unmap(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	struct nmx_vfu_dma_unmap request;
	struct nmx_range range;

	(void)size;
	memcpy(&request, server->body, sizeof(request));
	if (request.argsz < sizeof(request) || (request.flags & ~NMX_VFU_UNMAP_ALL) != 0)
		return -EINVAL;
	range.start = request.address;
	range.size = request.size;
	answer(server, &request, sizeof(request), ret_size);
	if (request.flags & NMX_VFU_UNMAP_ALL) {
		if (range.start != 0 || range.size != 0)
			return -EINVAL;
		return server->handlers->unmap(server->context, NULL);
	}
	if (!nmx_base_check_range(range))
		return -EINVAL;
	return server->handlers->unmap(server->context, &range);
}

static int
execute_get_info(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	struct nmx_vfu_device_info info;

	(void)size;
	memcpy(&info, server->body, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = NMX_VFU_DEVICE_RESET | NMX_VFU_DEVICE_PCI;
	info.n_regions = NMX_VFU_N_REGIONS;
	info.n_irqs = NMX_VFU_N_IRQS;
	return answer(server, &info, sizeof(info), ret_size);
}

static int
execute_get_region_info(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	struct nmx_vfu_region_info info;

	(void)size;
	memcpy(&info, server->body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= NMX_VFU_N_REGIONS)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = server->device->region[info.index].flags;
	info.cap_offset = 0;
	info.size = server->device->region[info.index].size;
	info.offset = 0;
	return answer(server, &info, sizeof(info), ret_size);
}

/** Entries for the doorbells behind the head, descriptors beside the message. */
static size_t
list_io_fds(struct nmx_vfu_server *server, const struct nmx_vfu_doorbell *list, uint32_t n)
{
	uint8_t *to = reply_body(server) + sizeof(struct nmx_vfu_io_fds);

	for (uint32_t i = 0; i < n; i++) {
		struct nmx_vfu_io_fd entry = {
			.offset = list[i].offset,
			.size = list[i].size,
			.fd_index = i,
		};

		memcpy(to + i * sizeof(entry), &entry, sizeof(entry));
		server->out_fds[i] = list[i].fd;
	}
	server->n_out_fds = n;
	return n * sizeof(struct nmx_vfu_io_fd);
}

static int
execute_get_io_fds(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	struct nmx_vfu_doorbell list[NMX_VFU_REPLY_FDS_MAX];
	struct nmx_vfu_io_fds head;
	uint32_t asked;

	(void)size;
	memcpy(&head, server->body, sizeof(head));
	if (head.argsz < sizeof(head) || head.flags != 0 || head.count != 0 ||
		head.index >= NMX_VFU_N_REGIONS)
		return -EINVAL;
	asked = head.argsz;
	head.count = server->handlers->list_doorbells(
		server->context, head.index, list, NMX_VFU_REPLY_FDS_MAX);
	head.argsz = (uint32_t)(sizeof(head) + head.count * sizeof(struct nmx_vfu_io_fd));
	answer(server, &head, sizeof(head), ret_size);
	if (asked < head.argsz)
		return 0;
	/* One message is all there is for a reply's descriptors. */
	if (head.count > server->client.msg_fds_max)
		return -ENOSPC;
	*ret_size += list_io_fds(server, list, head.count);
	return 0;
}

static int
execute_get_irq_info(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	struct nmx_vfu_irq_info info;

	(void)size;
	memcpy(&info, server->body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= NMX_VFU_N_IRQS)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = NMX_VFU_IRQ_EVENTFD;
	info.count = server->device->n_vectors[info.index];
	return answer(server, &info, sizeof(info), ret_size);
}

static int
assign_vectors(struct nmx_vfu_server *server, const struct nmx_vfu_set_irqs *request)
{
	bool assign = server->exchange.n_fds > 0;

	if (assign && server->exchange.n_fds != request->count)
		return -EINVAL;
	for (unsigned int i = 0; i < server->exchange.n_fds; i++)
		if (!nmx_base_is_eventfd(server->exchange.fds[i]))
			return -EINVAL;
	return server->handlers->connect_vectors(server->context, request->index, request->start,
		request->count, assign ? server->exchange.fds : NULL);
}

/** Signal the vectors themselves: all, or those whose byte is 1. */
static int
trigger_vectors(struct nmx_vfu_server *server, const struct nmx_vfu_set_irqs *request,
	const uint8_t *chosen)
{
	int ret = 0;

	for (uint32_t i = 0; i < request->count && ret == 0; i++)
		if (chosen == NULL || chosen[i] == 1)
			ret = server->handlers->trigger_vector(
				server->context, request->index, request->start + i);
	return ret;
}

/** Disconnect all vectors of an index; one that has none is disabled already. */
static int
disable_index(struct nmx_vfu_server *server, uint32_t index)
{
	uint32_t n = server->device->n_vectors[index];

	return n == 0 ? 0 : server->handlers->connect_vectors(server->context, index, 0, n, NULL);
}

static int
execute_set_irqs(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	struct nmx_vfu_set_irqs request;
	uint32_t data, n_vectors;

	(void)ret_size;
	memcpy(&request, server->body, sizeof(request));
	if (request.argsz < sizeof(request) || request.index >= NMX_VFU_N_IRQS)
		return -EINVAL;
	/* Masking isn't among the flags that GET_IRQ_INFO tells: triggering is all there is. */
	if ((request.flags & ~NMX_VFU_IRQ_DATA_MASK) != NMX_VFU_IRQ_TRIGGER)
		return -EINVAL;
	data = request.flags & NMX_VFU_IRQ_DATA_MASK;
	n_vectors = server->device->n_vectors[request.index];
	if (server->exchange.n_fds > 0 && data != NMX_VFU_IRQ_DATA_EVENTFD)
		return -EINVAL;
	if (data == NMX_VFU_IRQ_DATA_NONE && request.start == 0 && request.count == 0)
		return disable_index(server, request.index);
	if (request.count == 0 || !nmx_base_check_slice(request.start, request.count, n_vectors))
		return -EINVAL;
	switch (data) {
	case NMX_VFU_IRQ_DATA_EVENTFD:
		return assign_vectors(server, &request);
	case NMX_VFU_IRQ_DATA_NONE:
		return trigger_vectors(server, &request, NULL);
	case NMX_VFU_IRQ_DATA_BOOL:
		if (size != sizeof(request) + request.count)
			return -EINVAL;
		return trigger_vectors(server, &request, server->body + sizeof(request));
	default:
		return -EINVAL;
	}
}

/** Judge a region access; 0 and a filled access if it may happen. */
static int
check_access(const struct nmx_vfu_server *server, uint32_t needed_flag,
	struct nmx_vfu_region_access *request, struct nmx_vfu_access *access)
{
	memcpy(request, server->body, sizeof(*request));
	if (request->region >= NMX_VFU_N_REGIONS || request->count > NMX_VFU_DATA_BYTES_MAX ||
		!(server->device->region[request->region].flags & needed_flag) ||
		!nmx_base_check_slice(request->offset, request->count,
			server->device->region[request->region].size))
		return -EINVAL;
	access->region = request->region;
	access->count = request->count;
	access->offset = request->offset;
	return 0;
}

static int
execute_read(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	struct nmx_vfu_region_access request;
	struct nmx_vfu_access access;
	int ret = check_access(server, NMX_VFU_REGION_READABLE, &request, &access);

	(void)size;
	if (ret != 0)
		return ret;
	answer(server, &request, sizeof(request), ret_size);
	*ret_size += request.count;
	if (request.count == 0)
		return 0;
	memset(reply_body(server) + sizeof(request), 0, request.count);
	return server->handlers->read_region(
		server->context, &access, reply_body(server) + sizeof(request));
}

static int
execute_write(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	struct nmx_vfu_region_access request;
	struct nmx_vfu_access access;
	int ret = check_access(server, NMX_VFU_REGION_WRITABLE, &request, &access);

	if (ret != 0)
		return ret;
	if (size != sizeof(request) + request.count)
		return -EINVAL;
	answer(server, &request, sizeof(request), ret_size);
	if (request.count == 0)
		return 0;
	return server->handlers->write_region(
		server->context, &access, server->body + sizeof(request));
}

static int
execute_reset(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	(void)size;
	(void)ret_size;
	return server->handlers->reset(server->context);
}

/** What a request must have before its fields are looked at. */
static const struct {
	int (*execute)(struct nmx_vfu_server *server, size_t size, size_t *ret_size);
	uint32_t size_min; /* of the body */
	uint32_t fds_max;  /* more are an error */
} commands[] = {
	[NMX_VFU_VERSION] = { execute_version, sizeof(struct nmx_vfu_version), 0 },
	[NMX_VFU_DMA_MAP] = { execute_map, sizeof(struct nmx_vfu_dma_map), 1 },
	/* SPDK's client attaches a descriptor for no reason: closed, not minded. */
	[NMX_VFU_DMA_UNMAP] = { execute_unmap, sizeof(struct nmx_vfu_dma_unmap), 1 },
	[NMX_VFU_GET_INFO] = { execute_get_info, sizeof(struct nmx_vfu_device_info), 0 },
	[NMX_VFU_GET_REGION_INFO] = { execute_get_region_info, sizeof(struct nmx_vfu_region_info),
		0 },
	[NMX_VFU_GET_REGION_IO_FDS] = { execute_get_io_fds, sizeof(struct nmx_vfu_io_fds), 0 },
	[NMX_VFU_GET_IRQ_INFO] = { execute_get_irq_info, sizeof(struct nmx_vfu_irq_info), 0 },
	[NMX_VFU_SET_IRQS] = { execute_set_irqs, sizeof(struct nmx_vfu_set_irqs),
		NMX_VFU_MSG_FDS_MAX },
	[NMX_VFU_REGION_READ] = { execute_read, sizeof(struct nmx_vfu_region_access), 0 },
	[NMX_VFU_REGION_WRITE] = { execute_write, sizeof(struct nmx_vfu_region_access), 0 },
	[NMX_VFU_RESET] = { execute_reset, 0, 0 },
};

int
nmx_vfu_execute(struct nmx_vfu_server *server, size_t size, size_t *ret_size)
{
	uint16_t command = server->header.command;

	if (command >= sizeof(commands) / sizeof(commands[0]) || commands[command].execute == NULL)
		return -EINVAL;
	if (size < commands[command].size_min || server->exchange.n_fds > commands[command].fds_max)
		return -EINVAL;
	return commands[command].execute(server, size, ret_size);
}
