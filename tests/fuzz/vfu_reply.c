/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Replies of fuzz_vfu, judged by the request and by what the device said.
 */

#include "vfu_rig.h"

/** VERSION, and all that QEMU has room for in its reply. */
#define VERSION_REPLY_MAX 214
#define HEADER            sizeof(struct nmx_vfu_header)

bool
vfu_owes_reply(const struct vfu_rig *rig)
{
	const struct vfu_request *request = rig->request;

	return (request->is_fatal || request->is_whole) && !request->is_parked &&
	       !request->is_answered && !request->is_broken &&
	       !(request->header.flags & NMX_VFU_NO_REPLY);
}

bool
vfu_is_well_formed(const struct vfu_request *request)
{
	static const struct {
		uint8_t is_known, size, n_fds;
	} shapes[] = {
		[NMX_VFU_VERSION] = { 1, 4, 0 },
		[NMX_VFU_DMA_MAP] = { 1, 32, 1 },
		[NMX_VFU_DMA_UNMAP] = { 1, 24, 1 },
		[NMX_VFU_GET_INFO] = { 1, 16, 0 },
		[NMX_VFU_GET_REGION_INFO] = { 1, 32, 0 },
		[NMX_VFU_GET_REGION_IO_FDS] = { 1, 16, 0 },
		[NMX_VFU_GET_IRQ_INFO] = { 1, 16, 0 },
		[NMX_VFU_SET_IRQS] = { 1, 20, NMX_VFU_MSG_FDS_MAX },
		[NMX_VFU_REGION_READ] = { 1, 16, 0 },
		[NMX_VFU_REGION_WRITE] = { 1, 16, 0 },
		[NMX_VFU_RESET] = { 1, 0, 0 },
	};
	const uint16_t command = request->header.command;

	return command < sizeof(shapes) / sizeof(shapes[0]) && shapes[command].is_known &&
	       request->header.size >= HEADER + shapes[command].size &&
	       request->n_fds <= shapes[command].n_fds;
}

void
vfu_forget_request(struct vfu_rig *rig)
{
	struct vfu_request *request = rig->request;

	memset(request, 0, offsetof(struct vfu_request, body));
	rig->reply->got = 0;
	rig->reply->n_fds = 0;
}

/** A reply whose body is a structure, or bytes, with these contents. */
static void
check_body(const struct vfu_rig *rig, const void *body, size_t size)
{
	FUZZ_CHECK(rig->reply->header.size == HEADER + size);
	if (size > 0)
		FUZZ_CHECK(memcmp(rig->reply->body, body, size) == 0);
}

static void
check_version(const struct vfu_rig *rig)
{
	const struct vfu_reply *reply = rig->reply;
	const size_t size = reply->header.size - HEADER;
	struct nmx_vfu_version version;

	memcpy(&version, reply->body, sizeof(version));
	FUZZ_CHECK(reply->header.size > HEADER + sizeof(version));
	FUZZ_CHECK(reply->header.size <= VERSION_REPLY_MAX);
	FUZZ_CHECK(version.major == NMX_VFU_MAJOR && version.minor == NMX_VFU_MINOR);
	FUZZ_CHECK(strnlen((const char *)reply->body + sizeof(version), size - sizeof(version)) ==
		   size - sizeof(version) - 1);
}

static void
check_info(const struct vfu_rig *rig)
{
	const struct nmx_vfu_device_info info = { sizeof(info),
		NMX_VFU_DEVICE_RESET | NMX_VFU_DEVICE_PCI, NMX_VFU_N_REGIONS, NMX_VFU_N_IRQS };

	check_body(rig, &info, sizeof(info));
}

static void
check_region_info(const struct vfu_rig *rig)
{
	struct nmx_vfu_region_info info;

	memcpy(&info, rig->request->body, sizeof(info));
	FUZZ_CHECK(info.argsz >= sizeof(info) && info.index < NMX_VFU_N_REGIONS);
	info.argsz = sizeof(info);
	info.flags = vfu_device.region[info.index].flags;
	info.cap_offset = 0;
	info.size = vfu_device.region[info.index].size;
	info.offset = 0;
	check_body(rig, &info, sizeof(info));
}

static void
check_irq_info(const struct vfu_rig *rig)
{
	struct nmx_vfu_irq_info info;

	memcpy(&info, rig->request->body, sizeof(info));
	FUZZ_CHECK(info.argsz >= sizeof(info) && info.index < NMX_VFU_N_IRQS);
	info.argsz = sizeof(info);
	info.flags = NMX_VFU_IRQ_EVENTFD;
	info.count = vfu_device.n_vectors[info.index];
	check_body(rig, &info, sizeof(info));
}

static void
check_io_fds(const struct vfu_rig *rig)
{
	const uint32_t n = rig->request->n_listed;
	struct {
		struct nmx_vfu_io_fds head;
		struct nmx_vfu_io_fd entry[N_DOORBELLS];
	} body;
	uint32_t asked;

	FUZZ_CHECK(rig->request->n_calls == 1);
	memset(&body, 0, sizeof(body));
	memcpy(&body.head, rig->request->body, sizeof(body.head));
	asked = body.head.argsz;
	body.head.argsz = (uint32_t)(sizeof(body.head) + n * sizeof(body.entry[0]));
	body.head.count = n;
	for (uint32_t i = 0; i < n; i++)
		body.entry[i] = (struct nmx_vfu_io_fd){ .offset = 4 * i, .size = 4, .fd_index = i };
	check_body(rig, &body, asked < body.head.argsz ? sizeof(body.head) : body.head.argsz);
	FUZZ_CHECK(rig->reply->n_fds == (asked < body.head.argsz ? 0 : n));
	FUZZ_CHECK(rig->reply->n_fds <= rig->client_fds_max);
}

static void
check_read(const struct vfu_rig *rig)
{
	struct nmx_vfu_region_access asked;
	const uint8_t *data = rig->reply->body + sizeof(asked);

	memcpy(&asked, rig->request->body, sizeof(asked));
	FUZZ_CHECK(rig->reply->header.size == HEADER + sizeof(asked) + asked.count);
	FUZZ_CHECK(memcmp(rig->reply->body, &asked, sizeof(asked)) == 0);
	FUZZ_CHECK(rig->request->n_calls == (asked.count > 0));
	/* First half and rest, each compared with itself moved by one. */
	if (asked.count > 1)
		FUZZ_CHECK(data[0] == 0xa5 && memcmp(data, data + 1, asked.count / 2 - 1) == 0);
	data += asked.count / 2;
	asked.count -= asked.count / 2;
	if (asked.count > 0)
		FUZZ_CHECK(data[0] == 0 && memcmp(data, data + 1, asked.count - 1) == 0);
}

/** Success of what nobody asked the device about. */
static void
check_set_irqs(const struct vfu_rig *rig)
{
	struct nmx_vfu_set_irqs asked;

	memcpy(&asked, rig->request->body, sizeof(asked));
	FUZZ_CHECK(asked.index < NMX_VFU_N_IRQS);
	FUZZ_CHECK(rig->request->n_calls > 0 || (asked.flags & NMX_VFU_IRQ_DATA_BOOL) ||
		   (asked.count == 0 && vfu_device.n_vectors[asked.index] == 0));
	check_body(rig, NULL, 0);
}

static void
check_write(const struct vfu_rig *rig)
{
	struct nmx_vfu_region_access asked;

	memcpy(&asked, rig->request->body, sizeof(asked));
	FUZZ_CHECK(rig->request->n_calls == (asked.count > 0));
	check_body(rig, &asked, sizeof(asked));
}

static void
check_unmap(const struct vfu_rig *rig)
{
	FUZZ_CHECK(rig->request->n_calls == 1);
	check_body(rig, rig->request->body, sizeof(struct nmx_vfu_dma_unmap));
}

/** DMA_MAP and RESET. */
static void
check_nothing(const struct vfu_rig *rig)
{
	FUZZ_CHECK(rig->request->n_calls == 1);
	check_body(rig, NULL, 0);
}

static void
check_success(const struct vfu_rig *rig)
{
	static void (*const checks[])(const struct vfu_rig *rig) = {
		[NMX_VFU_VERSION] = check_version,
		[NMX_VFU_DMA_MAP] = check_nothing,
		[NMX_VFU_DMA_UNMAP] = check_unmap,
		[NMX_VFU_GET_INFO] = check_info,
		[NMX_VFU_GET_REGION_INFO] = check_region_info,
		[NMX_VFU_GET_REGION_IO_FDS] = check_io_fds,
		[NMX_VFU_GET_IRQ_INFO] = check_irq_info,
		[NMX_VFU_SET_IRQS] = check_set_irqs,
		[NMX_VFU_REGION_READ] = check_read,
		[NMX_VFU_REGION_WRITE] = check_write,
		[NMX_VFU_RESET] = check_nothing,
	};

	FUZZ_CHECK(vfu_is_well_formed(rig->request));
	checks[rig->request->header.command](rig);
}

static void
check_header(const struct vfu_rig *rig)
{
	const struct nmx_vfu_header *header = &rig->reply->header;
	const struct vfu_request *request = rig->request;
	bool is_error = (header->flags & NMX_VFU_ERROR) != 0;

	FUZZ_CHECK(header->id == request->header.id && header->command == request->header.command);
	FUZZ_CHECK((header->flags & ~NMX_VFU_ERROR) == NMX_VFU_REPLY);
	FUZZ_CHECK(header->size >= HEADER && header->size <= NMX_VFU_MSG_BYTES_MAX);
	FUZZ_CHECK(is_error == (header->error != 0) && header->error < 4096);
	FUZZ_CHECK(!is_error || (header->size == HEADER && rig->reply->n_fds == 0));
	FUZZ_CHECK(!request->is_fatal || header->error == EINVAL);
	if (request->n_calls > 0 && request->header.command != NMX_VFU_GET_REGION_IO_FDS)
		FUZZ_CHECK(header->error == (uint32_t)-request->result);
}

static void
check_reply(struct vfu_rig *rig)
{
	const uint16_t command = rig->reply->header.command;

	if (!(rig->reply->header.flags & NMX_VFU_ERROR))
		check_success(rig);
	if (command != NMX_VFU_GET_REGION_IO_FDS)
		FUZZ_CHECK(rig->reply->n_fds == 0);
	rig->request->is_answered = true;
	/* The server goes on to the next message if this one was executed in an earlier call. */
	if (rig->n_messages == 0)
		vfu_forget_request(rig);
}

void
vfu_take_reply(
	struct vfu_rig *rig, const uint8_t *bytes, size_t size, const int *fds, unsigned int n_fds)
{
	struct vfu_reply *reply = rig->reply;

	FUZZ_CHECK(reply->got == 0 || n_fds == 0);
	for (unsigned int i = 0; i < n_fds; i++)
		FUZZ_CHECK(fds[i] == vfu_get_template(i % N_KINDS));
	reply->n_fds += n_fds;
	while (size > 0) {
		size_t got = reply->got, n;
		uint8_t *to = got < HEADER ? (uint8_t *)&reply->header + got
					   : reply->body + (got - HEADER);

		n = (got < HEADER ? HEADER : reply->header.size) - got;
		n = n < size ? n : size;
		FUZZ_CHECK(n > 0); /* bytes behind the reply's end */
		memcpy(to, bytes, n);
		reply->got += n;
		bytes += n;
		size -= n;
		if (got < HEADER && reply->got == HEADER)
			check_header(rig);
	}
	if (reply->got >= HEADER && reply->got == reply->header.size)
		check_reply(rig);
}
