/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The transport of fuzz_vfu: memory instead of a socket, and a second opinion on the stream.
 *
 * As with a socket, a receive ends before a byte that descriptors came with, and descriptors may
 * come with an error. The server may ask only for what is missing of its header or body, only while
 * it owes nothing, and not again after it was told to wait.
 */

#include <unistd.h>

#include "vfu_rig.h"

static void
close_fds(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		FUZZ_CHECK(close(fds[i]) == 0);
}

void
vfu_drop_queue(struct vfu_rig *rig)
{
	struct vfu_queue *queue = rig->queue;

	for (; queue->first_mark < queue->n_marks; queue->first_mark++)
		close_fds(
			queue->marks[queue->first_mark].fds, queue->marks[queue->first_mark].n_fds);
	queue->start = queue->end = 0;
	queue->first_mark = queue->n_marks = 0;
}

/* --- The stream --- */

/** True if nothing after this header can be trusted. */
static bool
is_fatal(const struct vfu_rig *rig, const struct nmx_vfu_header *header)
{
	const uint32_t max = rig->versioned ? NMX_VFU_MSG_BYTES_MAX : NMX_VFU_VERSION_BYTES_MAX;

	return (header->flags & NMX_VFU_TYPE_MASK) != 0 || header->size < sizeof(*header) ||
	       header->size > max || (header->command == NMX_VFU_VERSION) == rig->versioned;
}

/** Bytes that the server may ask for now: to the end of the header, or of the body. */
static size_t
count_missing(const struct vfu_request *request)
{
	if (request->got < sizeof(request->header))
		return sizeof(request->header) - request->got;
	return request->header.size - request->got;
}

/** The server has received these. */
static void
note_received(struct vfu_rig *rig, const uint8_t *bytes, size_t size)
{
	struct vfu_request *request = rig->request;
	const size_t head = sizeof(request->header);

	if (request->got < head) {
		memcpy((uint8_t *)&request->header + request->got, bytes, size);
		request->got += size;
		if (request->got < head)
			return;
		request->is_fatal = request->has_odd_fd || is_fatal(rig, &request->header);
	} else {
		memcpy(request->body + (request->got - head), bytes, size);
		request->got += size;
	}
	request->is_whole = !request->is_fatal && request->got == request->header.size;
	rig->n_messages += request->is_whole || request->is_fatal;
}

/* --- Receiving --- */

/** Hand out the descriptors that come with the next byte. */
static void
deliver_fds(struct vfu_rig *rig, int *fds, unsigned int *ret_n_fds)
{
	struct vfu_request *request = rig->request;
	struct vfu_queue *queue = rig->queue;
	const struct vfu_mark *mark = &queue->marks[queue->first_mark];

	if (queue->first_mark == queue->n_marks || mark->at != queue->start)
		return;
	queue->first_mark++;
	memcpy(fds, mark->fds, mark->n_fds * sizeof(int));
	*ret_n_fds = mark->n_fds;
	request->n_fds += mark->n_fds;
	for (unsigned int i = 0; i < mark->n_fds; i++)
		request->has_odd_fd = request->has_odd_fd ||
				      vfu_get_kind(rig, mark->fds[i]) > KIND_MEMFD;
	request->is_broken = request->n_fds > NMX_VFU_MSG_FDS_MAX ||
			     request->got >= sizeof(request->header);
}

/** How many of `size` bytes go through now, or an error. */
static ssize_t
draw_progress(struct vfu_rig *rig, size_t size)
{
	uint8_t draw = rig->is_nervous ? fuzz_take8(&rig->input) : 0;

	if (draw < 0x40)
		return (ssize_t)size;
	if (draw < 0x80)
		return -EAGAIN;
	if (draw < 0xf8)
		return (ssize_t)(1 + draw % size);
	return draw < 0xfc ? 0 : draw == 0xff ? -EPROTO : -ECONNRESET;
}

static void
check_receive(const struct vfu_rig *rig, size_t size, const int *fds)
{
	const struct vfu_request *request = rig->request;

	FUZZ_CHECK(rig->may_call && !rig->has_waited_in && rig->n_messages == 0);
	FUZZ_CHECK(!request->is_whole && !request->is_fatal && !request->is_broken);
	FUZZ_CHECK(size > 0 && size == count_missing(request));
	FUZZ_CHECK(fds != NULL);
}

static ssize_t
receive(struct nmx_stream_transport *transport, void *buffer, size_t size, int *fds,
	unsigned int *ret_n_fds)
{
	struct vfu_rig *rig = (struct vfu_rig *)transport;
	struct vfu_queue *queue = rig->queue;
	size_t n = queue->end - queue->start;
	ssize_t progress;

	check_receive(rig, size, fds);
	*ret_n_fds = 0;
	for (unsigned int i = queue->first_mark; i < queue->n_marks; i++)
		if (queue->marks[i].at > queue->start && queue->marks[i].at - queue->start < n)
			n = queue->marks[i].at - queue->start;
	progress = n == 0 ? -EAGAIN : draw_progress(rig, n < size ? n : size);
	rig->has_waited_in = progress <= 0;
	if (progress > 0 || progress == -EPROTO)
		deliver_fds(rig, fds, ret_n_fds);
	if (progress <= 0)
		return progress;
	memcpy(buffer, queue->bytes + queue->start, (size_t)progress);
	queue->start += (size_t)progress;
	if (!rig->request->is_broken)
		note_received(rig, buffer, (size_t)progress);
	return progress;
}

/* --- Sending --- */

static ssize_t
send_bytes(struct nmx_stream_transport *transport, const void *buffer, size_t size, const int *fds,
	unsigned int n_fds)
{
	struct vfu_rig *rig = (struct vfu_rig *)transport;
	ssize_t progress;

	FUZZ_CHECK(rig->may_call && !rig->has_waited_out && size > 0);
	FUZZ_CHECK(vfu_owes_reply(rig));
	progress = draw_progress(rig, size);
	rig->has_waited_out = progress <= 0;
	if (progress > 0)
		vfu_take_reply(rig, buffer, (size_t)progress, fds, n_fds);
	return progress == -EPROTO ? -EPIPE : progress;
}

void
vfu_init_transport(struct vfu_rig *rig)
{
	rig->transport.receive = receive;
	rig->transport.send = send_bytes;
}
