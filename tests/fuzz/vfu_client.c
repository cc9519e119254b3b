/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The client of fuzz_vfu: messages that make sense, with one thing wrong now and then.
 */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vfu_rig.h"

/** A message under construction. */
struct draft {
	struct nmx_vfu_header header;
	uint8_t body[256];
	size_t size;   /* of the part of the body that is there */
	size_t zeroes; /* behind it */
	unsigned int n_fds;
	unsigned int kind; /* of them */
};

int
vfu_get_template(unsigned int kind)
{
	static int templates[N_KINDS];
	int pipe_fds[2];

	if (templates[0] == 0) {
		templates[KIND_EVENTFD] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		templates[KIND_MEMFD] = memfd_create("nmx-fuzz-vfu", MFD_CLOEXEC);
		templates[2] = open("/", O_PATH | O_CLOEXEC);
		FUZZ_CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
		templates[3] = pipe_fds[0];
		templates[4] = pipe_fds[1];
		templates[5] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	}
	FUZZ_CHECK(templates[kind] > 0);
	return templates[kind];
}

unsigned int
vfu_get_kind(const struct vfu_rig *rig, int fd)
{
	unsigned int i = rig->n_fds;

	/* A number that was used twice was closed before: the last one counts. */
	while (i > 0 && rig->fds[i - 1] != fd)
		i--;
	FUZZ_CHECK(i > 0);
	return rig->kinds[i - 1];
}

/* --- The queue --- */

static void
add_fds(struct vfu_rig *rig, size_t at, unsigned int n, unsigned int kind)
{
	struct vfu_queue *queue = rig->queue;
	struct vfu_mark *mark = &queue->marks[queue->n_marks];

	if (n == 0 || queue->n_marks == N_MARKS || rig->n_fds + n > N_FDS)
		return;
	mark->at = at;
	for (mark->n_fds = 0; mark->n_fds < n; mark->n_fds++) {
		int fd = fcntl(vfu_get_template(kind), F_DUPFD_CLOEXEC, 3);

		FUZZ_CHECK(fd >= 0);
		rig->kinds[rig->n_fds] = (uint8_t)kind;
		mark->fds[mark->n_fds] = rig->fds[rig->n_fds++] = fd;
	}
	queue->n_marks++;
}

static void
add_bytes(struct vfu_queue *queue, const void *bytes, size_t size)
{
	if (size > QUEUE_BYTES - queue->end)
		size = QUEUE_BYTES - queue->end;
	if (bytes == NULL)
		memset(queue->bytes + queue->end, 0, size);
	else
		memcpy(queue->bytes + queue->end, bytes, size);
	queue->end += size;
}

/** Room for a message: what was received makes way if nothing is left. */
static bool
make_room(struct vfu_queue *queue, size_t size)
{
	if (queue->start == queue->end && queue->first_mark == queue->n_marks) {
		queue->start = queue->end = 0;
		queue->first_mark = queue->n_marks = 0;
	}
	return size <= QUEUE_BYTES - queue->end;
}

void
vfu_queue_bytes(struct vfu_rig *rig)
{
	uint8_t bytes[32];
	size_t n = 1 + fuzz_choose(&rig->input, sizeof(bytes));

	fuzz_take(&rig->input, bytes, n);
	if (make_room(rig->queue, n))
		add_bytes(rig->queue, bytes, n);
}

/* --- Bodies --- */

static void
put(struct draft *draft, const void *bytes, size_t size)
{
	FUZZ_CHECK(size <= sizeof(draft->body) - draft->size);
	memcpy(draft->body + draft->size, bytes, size);
	draft->size += size;
}

/** "argsz": what it should be, or a little off. */
static uint32_t
draw_argsz(struct vfu_rig *rig, size_t size)
{
	uint8_t draw = fuzz_take8(&rig->input);

	return draw < 0xe0 ? (uint32_t)size : draw < 0xf0 ? (uint32_t)size + draw - 0xe8 : 8192;
}

/** An address or a size: round, or at an edge. */
static uint64_t
draw_number(struct vfu_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);

	if (draw < 0xc0)
		return (uint64_t)(draw & 15) << (draw >> 4) * 4;
	return draw < 0xe0 ? 0 - (uint64_t)(draw & 31) : fuzz_take64(&rig->input);
}

/** Texts of VERSION; the first ones are good. */
static const char *const texts[] = {
	"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":1048576,\"x\":true}}",
	"{\"capabilities\":{\"max_msg_fds\":128}}",
	"{\"capabilities\":{}}",
	"{\"x\":[1,{\"y\":null}]}",
	"{\"capabilities\":3}",
	"{\"capabilities\":{\"max_msg_fds\":1025}}",
	"{\"capabilities\":{\"max_data_xfer_size\":-1}}",
	"{\"capabilities\":{\"max_dma_maps\":\"1\"}}",
	"{\"capabilities\":{},\"capabilities\":{}}",
	"[[[[",
	"{\"\\ud800\":1e999}",
};

uint32_t
vfu_get_fds_max(const uint8_t *body, size_t size)
{
	static const uint32_t fds_max[] = { 16, 128, 1, 1 };
	const size_t head = sizeof(struct nmx_vfu_version);

	if (size == head)
		return 1;
	for (size_t i = 0; i < sizeof(fds_max) / sizeof(fds_max[0]); i++)
		if (size == head + strlen(texts[i]) + 1 &&
			memcmp(body + head, texts[i], strlen(texts[i])) == 0)
			return fds_max[i];
	return UINT32_MAX;
}

static void
draw_version(struct vfu_rig *rig, struct draft *draft)
{
	uint8_t draw = fuzz_take8(&rig->input), i = (draw & 15) % 13;
	struct nmx_vfu_version version = { draw >= 0xf0, draw >> 4 };
	char raw[48] = { 0 };

	put(draft, &version, draw >= 0xe0 && draw < 0xe4 ? 3 : sizeof(version));
	if (i == 12) /* SPDK's: no text */
		return;
	if (i == 11)
		fuzz_take(&rig->input, raw, sizeof(raw) - 1);
	if (i == 11)
		put(draft, raw, strlen(raw) + 1);
	else
		put(draft, texts[i], strlen(texts[i]) + (draw < 0xd0));
}

static void
draw_map(struct vfu_rig *rig, struct draft *draft)
{
	struct nmx_vfu_dma_map map = {
		.argsz = draw_argsz(rig, sizeof(map)),
		.flags = fuzz_choose(&rig->input, 5),
		.address = draw_number(rig),
		.size = draw_number(rig),
	};

	draft->n_fds = map.flags & 1;
	put(draft, &map, sizeof(map));
}

static void
draw_unmap(struct vfu_rig *rig, struct draft *draft)
{
	uint8_t draw = fuzz_take8(&rig->input);
	struct nmx_vfu_dma_unmap unmap = { .argsz = draw_argsz(rig, sizeof(unmap)) };

	unmap.flags = draw < 0xc0 ? 0 : draw < 0xe0 ? NMX_VFU_UNMAP_ALL : draw & 3;
	if (!(draw & 0x40)) {
		unmap.address = draw_number(rig);
		unmap.size = draw_number(rig);
	}
	put(draft, &unmap, sizeof(unmap));
}

/** GET_INFO, GET_REGION_INFO, GET_IRQ_INFO and GET_REGION_IO_FDS begin alike. */
static void
draw_query(struct vfu_rig *rig, struct draft *draft)
{
	static const uint8_t sizes[] = { 16, 32, 16, 16 };
	uint16_t command = draft->header.command;
	uint32_t words[8] = { 0 };

	draft->size = sizes[command - NMX_VFU_GET_INFO];
	words[0] = draw_argsz(rig, draft->size);
	words[1] = fuzz_once_in(&rig->input, 16);
	words[2] = fuzz_choose(&rig->input, 10);
	words[3] = fuzz_once_in(&rig->input, 16);
	memcpy(draft->body, words, draft->size);
	if (command == NMX_VFU_GET_REGION_IO_FDS && fuzz_choose(&rig->input, 2) != 0)
		words[0] = 8192;
	memcpy(draft->body, words, sizeof(words[0]));
}

static void
draw_set_irqs(struct vfu_rig *rig, struct draft *draft)
{
	uint8_t draw = fuzz_take8(&rig->input);
	struct nmx_vfu_set_irqs set = { .argsz = draw_argsz(rig, sizeof(set)) };
	uint8_t chosen[N_VECTORS + 1];

	set.flags = NMX_VFU_IRQ_TRIGGER | 1u << (draw & 3);
	set.index = draw & 4 ? fuzz_choose(&rig->input, 6) : NMX_VFU_IRQ_MSIX;
	set.start = draw & 8 ? (uint32_t)draw_number(rig) : draw >> 6;
	set.count = draw & 16 ? (uint32_t)draw_number(rig)
			      : fuzz_choose(&rig->input, N_VECTORS + 2);
	if (draw == 0xff)
		set.flags = fuzz_take32(&rig->input);
	put(draft, &set, sizeof(set));
	draft->kind = KIND_EVENTFD;
	if (set.flags & NMX_VFU_IRQ_DATA_EVENTFD && draw & 32)
		draft->n_fds = set.count % 20;
	if (set.flags & NMX_VFU_IRQ_DATA_BOOL && set.count <= sizeof(chosen)) {
		fuzz_take(&rig->input, chosen, set.count);
		put(draft, chosen, set.count);
	}
}

static void
draw_access(struct vfu_rig *rig, struct draft *draft)
{
	static const uint32_t counts[] = { 4, 1, 8, 0, 64, 256, 4096, NMX_VFU_DATA_BYTES_MAX,
		NMX_VFU_DATA_BYTES_MAX + 1, UINT32_MAX };
	uint8_t draw = fuzz_take8(&rig->input);
	struct nmx_vfu_region_access access = {
		.offset = draw & 0x80 ? draw_number(rig) : 0,
		.region = fuzz_choose(&rig->input, NMX_VFU_N_REGIONS + 1),
		.count = counts[(draw & 0x7f) % (sizeof(counts) / sizeof(counts[0]))],
	};
	uint8_t bytes[8];

	put(draft, &access, sizeof(access));
	if (draft->header.command == NMX_VFU_REGION_READ ||
		access.count > NMX_VFU_DATA_BYTES_MAX + 1)
		return;
	draft->zeroes = access.count;
	if (access.count <= sizeof(bytes)) {
		fuzz_take(&rig->input, bytes, access.count);
		put(draft, bytes, access.count);
		draft->zeroes = 0;
	}
}

static void
draw_body(struct vfu_rig *rig, struct draft *draft)
{
	switch (draft->header.command) {
	case NMX_VFU_VERSION:
		draw_version(rig, draft);
		break;
	case NMX_VFU_DMA_MAP:
		draw_map(rig, draft);
		break;
	case NMX_VFU_DMA_UNMAP:
		draw_unmap(rig, draft);
		break;
	case NMX_VFU_GET_INFO:
	case NMX_VFU_GET_REGION_INFO:
	case NMX_VFU_GET_REGION_IO_FDS:
	case NMX_VFU_GET_IRQ_INFO:
		draw_query(rig, draft);
		break;
	case NMX_VFU_SET_IRQS:
		draw_set_irqs(rig, draft);
		break;
	case NMX_VFU_REGION_READ:
	case NMX_VFU_REGION_WRITE:
		draw_access(rig, draft);
		break;
	default:
		break;
	}
}

/* --- Messages --- */

/** Other descriptors than there should be. @return where they lie in the message */
static size_t
spoil_fds(struct vfu_rig *rig, struct draft *draft, uint8_t way)
{
	switch (way) {
	case 1:
	case 2:
		draft->n_fds = fuzz_choose(&rig->input, 2 * NMX_VFU_MSG_FDS_MAX + 1);
		return 0;
	case 3:
		draft->kind = fuzz_choose(&rig->input, N_KINDS);
		draft->n_fds += draft->n_fds == 0;
		return 0;
	case 4:
		draft->kind = draft->kind == KIND_MEMFD ? KIND_EVENTFD : KIND_MEMFD;
		return 0;
	case 5:
		return 1 + fuzz_choose(&rig->input, 15);
	case 6:
		return fuzz_choose(&rig->input, 64);
	default:
		return 0;
	}
}

/** Something wrong with what was right. @return where the descriptors lie in the message */
static size_t
spoil(struct vfu_rig *rig, struct draft *draft)
{
	uint8_t draw = fuzz_take8(&rig->input);

	switch (draw < 0x90 ? 0 : draw & 15) {
	case 0:
		return 0;
	case 1:
		draft->header.size = fuzz_take32(&rig->input);
		return 0;
	case 2: /* shorter or longer, header and body alike */
		draft->size = fuzz_choose(&rig->input, 64);
		draft->header.size = (uint32_t)(sizeof(draft->header) + draft->size +
						draft->zeroes);
		return 0;
	case 3: /* the header alone says so */
		draft->header.size += fuzz_take8(&rig->input) - 128u;
		return 0;
	case 4:
		draft->header.flags = fuzz_take32(&rig->input);
		return 0;
	case 11:
		draft->header.flags |= NMX_VFU_NO_REPLY;
		return 0;
	default:
		return spoil_fds(rig, draft, (draw & 15) - 4);
	}
}

static void
queue_draft(struct vfu_rig *rig, const struct draft *draft, size_t fds_at)
{
	struct vfu_queue *queue = rig->queue;
	const size_t size = sizeof(draft->header) + draft->size + draft->zeroes;
	size_t start;

	if (!make_room(queue, size))
		return;
	start = queue->end;
	if (fds_at < size)
		add_fds(rig, start + fds_at, draft->n_fds, draft->kind);
	/* A second load, as a client may send with every byte. */
	if (fds_at > 0 && draft->n_fds > 8 && 2 * fds_at < size)
		add_fds(rig, start + 2 * fds_at, draft->n_fds, draft->kind);
	add_bytes(queue, &draft->header, sizeof(draft->header));
	add_bytes(queue, draft->body, draft->size);
	add_bytes(queue, NULL, draft->zeroes);
}

static void
queue_command(struct vfu_rig *rig, uint16_t command)
{
	struct draft draft = { .header = { .id = ++rig->serial, .command = command } };
	size_t fds_at;

	draft.kind = KIND_MEMFD;
	draw_body(rig, &draft);
	draft.header.size = (uint32_t)(sizeof(draft.header) + draft.size + draft.zeroes);
	fds_at = spoil(rig, &draft);
	queue_draft(rig, &draft, fds_at);
}

void
vfu_queue_message(struct vfu_rig *rig)
{
	static const uint8_t commands[] = { NMX_VFU_RESET, NMX_VFU_DMA_MAP, NMX_VFU_DMA_MAP,
		NMX_VFU_DMA_UNMAP, NMX_VFU_GET_INFO, NMX_VFU_GET_REGION_INFO,
		NMX_VFU_GET_REGION_IO_FDS, NMX_VFU_GET_IRQ_INFO, NMX_VFU_SET_IRQS, NMX_VFU_SET_IRQS,
		NMX_VFU_REGION_READ, NMX_VFU_REGION_WRITE };
	uint8_t draw = fuzz_take8(&rig->input);

	queue_command(rig, draw < 0xf0 ? commands[draw % sizeof(commands)] : draw - 0xf0);
}

void
vfu_queue_version(struct vfu_rig *rig)
{
	queue_command(rig, NMX_VFU_VERSION);
}
