/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The vhost-user server against a front end that sends anything, over a transport in memory.
 *
 * Theory of operation
 *
 * The input is a sequence of steps: a message is made and handed over, in pieces if it says so, the
 * server serves, parked requests are answered, time goes by. The device (vhu_device.c) judges each
 * call by what it was told before. Here: one message a call at most; an answer is of the request
 * that was asked, and there is one where there must be; once over, the connection stays so; each
 * descriptor was closed or taken, once.
 */

#include <unistd.h>

#include "vhu_rig.h"

/* --- The stream --- */

static ssize_t
receive(struct nmx_stream_transport *transport, void *buffer, size_t size, int *fds,
	unsigned int *ret_n_fds)
{
	struct vhu_rig *rig = (struct vhu_rig *)transport;
	size_t left = rig->end - rig->start, n = left < size ? left : size;

	*ret_n_fds = 0;
	FUZZ_CHECK(rig->may_call && size > 0);
	if (n == 0)
		return -EAGAIN;
	if (rig->is_nervous && fuzz_once_in(&rig->input, 4))
		n = 1;
	if (rig->start == rig->fds_at) {
		memcpy(fds, rig->sent_fds, rig->n_sent_fds * sizeof(int));
		*ret_n_fds = rig->n_sent_fds;
		rig->n_sent_fds = 0;
	} else if (rig->n_sent_fds > 0 && rig->start < rig->fds_at &&
		   n > rig->fds_at - rig->start) {
		n = rig->fds_at - rig->start;
	}
	memcpy(buffer, rig->bytes + rig->start, n);
	rig->start += n;
	return (ssize_t)n;
}

static ssize_t
send_bytes(struct nmx_stream_transport *transport, const void *buffer, size_t size, const int *fds,
	unsigned int n_fds)
{
	struct vhu_rig *rig = (struct vhu_rig *)transport;
	struct nmx_vhu_header header;

	(void)fds;
	FUZZ_CHECK(rig->may_call && n_fds == 0);
	if (rig->is_nervous && fuzz_once_in(&rig->input, 4))
		return -EAGAIN;
	/* In one piece: front ends read it so. */
	FUZZ_CHECK(size == sizeof(header) + 8);
	memcpy(&header, buffer, sizeof(header));
	FUZZ_CHECK(rig->is_torn || header.request == rig->request);
	FUZZ_CHECK(header.flags == 5 && header.size == 8);
	rig->n_replies++;
	return (ssize_t)size;
}

/* --- Steps --- */

static void
check_is_over(struct vhu_rig *rig, int error)
{
	const char *reason = nmx_vhu_get_reason(rig->server);

	rig->may_call = false;
	for (unsigned int i = 0; i < 3; i++) {
		FUZZ_CHECK(nmx_vhu_serve(rig->server, rig->now_ns) == error);
		rig->now_ns += 10 * NMX_NS_PER_S;
	}
	FUZZ_CHECK(nmx_vhu_get_reason(rig->server) == reason && reason != NULL);
	rig->is_over = true;
}

static void
serve(struct vhu_rig *rig)
{
	int ret;

	do {
		rig->may_call = true;
		ret = nmx_vhu_serve(rig->server, rig->now_ns);
		rig->may_call = false;
		FUZZ_CHECK(ret <= 0);
	} while (ret == 0);
	if (ret != -EAGAIN) {
		check_is_over(rig, ret);
		return;
	}
	FUZZ_CHECK(rig->now_ns < nmx_vhu_get_deadline_ns(rig->server));
	FUZZ_CHECK(nmx_vhu_is_parked(rig->server) == rig->is_parked);
	FUZZ_CHECK(!nmx_vhu_is_parked(rig->server) || !nmx_vhu_wants_input(rig->server));
	FUZZ_CHECK(!(nmx_vhu_wants_input(rig->server) && nmx_vhu_wants_output(rig->server)));
}

/** A message, once the one before it is through. */
static void
ask(struct vhu_rig *rig)
{
	/* What is left of it says what else would come. */
	if (rig->start == rig->end && nmx_vhu_wants_input(rig->server)) {
		rig->n_replies = 0;
		vhu_make_message(rig);
	}
	serve(rig);
	if (rig->is_torn || rig->is_over)
		return;
	FUZZ_CHECK(rig->n_replies <= 1);
	if (!rig->is_parked && rig->start == rig->end && !nmx_vhu_wants_output(rig->server) &&
		vhu_asks(rig->request))
		FUZZ_CHECK(rig->n_replies == 1);
}

static void
answer(struct vhu_rig *rig)
{
	int result = fuzz_once_in(&rig->input, 3) ? -EBUSY : 0;

	if (!rig->is_parked)
		return;
	rig->is_parked = false;
	vhu_settle_parked(rig, result);
	rig->may_call = true;
	nmx_vhu_answer(rig->server, result, 7);
	rig->may_call = false;
	serve(rig);
}

static void
pass_time(struct vhu_rig *rig)
{
	static const uint64_t steps_ms[] = { 1, 1999, 2000, 5000, 100000 };

	rig->now_ns += steps_ms[fuzz_choose(&rig->input, 5)] * NMX_NS_PER_MS;
	serve(rig);
}

static void
toggle_nerves(struct vhu_rig *rig)
{
	rig->is_nervous = !rig->is_nervous;
}

static void
begin(struct vhu_rig *rig)
{
	rig->transport.receive = receive;
	rig->transport.send = send_bytes;
	rig->now_ns = NMX_NS_PER_S;
	vhu_init_device(rig);
	FUZZ_CHECK(nmx_vhu_create_server(
			   &rig->transport, &vhu_offer, &vhu_handlers, rig, &rig->server) == 0);
	if (fuzz_once_in(&rig->input, 4))
		return;
	/* Most front ends agree on something first. */
	vhu_make_agreement(rig, NMX_VHU_SET_PROTOCOL_FEATURES);
	serve(rig);
	vhu_make_agreement(rig, NMX_VHU_SET_FEATURES);
	serve(rig);
}

static void
end(struct vhu_rig *rig)
{
	int left[NMX_VHU_SERVER_FDS_MAX];
	unsigned int n = nmx_vhu_destroy_server(rig->server, left);

	while (n > 0)
		FUZZ_CHECK(close(left[--n]) == 0);
	while (rig->n_sent_fds > 0)
		FUZZ_CHECK(close(rig->sent_fds[--rig->n_sent_fds]) == 0);
	vhu_end_device(rig);
	vhu_check_fds(rig);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct vhu_rig * rig) = { ask, ask, ask, ask, ask, ask, answer,
		answer, pass_time, toggle_nerves };
	static struct vhu_rig rig;

	memset(&rig, 0, sizeof(rig));
	rig.input = fuzz_open_input(data, size);
	begin(&rig);
	while (!fuzz_is_over(&rig.input) && !rig.is_over)
		steps[fuzz_choose(&rig.input, sizeof(steps) / sizeof(steps[0]))](&rig);
	end(&rig);
	return 0;
}
