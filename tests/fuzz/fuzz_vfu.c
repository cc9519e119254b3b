/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The vfio-user server against a client that sends anything, over a transport in memory.
 *
 * Theory of operation
 *
 * The input is a sequence of steps: messages are queued, nmx_vfu_serve() is called, parked requests
 * are answered, time goes by. vfu_rig.h says who judges what. Here: what nmx_vfu_serve() returns
 * fits what it did, it did one message at most, and once the connection is over it stays so.
 */

#include <fcntl.h>
#include <unistd.h>

#include "vfu_rig.h"

/** Once over, for the same reason for ever, and without touching anything. */
static void
check_is_over(struct vfu_rig *rig, int error)
{
	const char *reason = nmx_vfu_get_reason(rig->server);

	rig->may_call = false;
	for (unsigned int i = 0; i < 3; i++) {
		FUZZ_CHECK(nmx_vfu_serve(rig->server, rig->now_ns) == error);
		nmx_vfu_answer(rig->server, 0);
		rig->now_ns += 10 * NMX_NS_PER_S;
	}
	FUZZ_CHECK(nmx_vfu_get_reason(rig->server) == reason && reason != NULL);
	rig->is_over = true;
}

/** The server waits: for the right thing, and not for ever. */
static void
check_waits(const struct vfu_rig *rig)
{
	const struct vfu_request *request = rig->request;
	uint64_t deadline_ns = nmx_vfu_get_deadline_ns(rig->server);

	FUZZ_CHECK(rig->has_waited_in || rig->has_waited_out || request->is_parked);
	FUZZ_CHECK(rig->now_ns < deadline_ns);
	FUZZ_CHECK(nmx_vfu_is_parked(rig->server) == request->is_parked);
	FUZZ_CHECK(nmx_vfu_wants_input(rig->server) == !request->is_whole);
	if (!rig->versioned) {
		FUZZ_CHECK(deadline_ns == rig->start_ns + 5 * NMX_NS_PER_S);
		return;
	}
	if (request->is_parked || (!request->is_whole && request->got == 0))
		FUZZ_CHECK(deadline_ns == NMX_NEVER_NS);
	else if (request->is_whole) /* a reply that the client doesn't take */
		FUZZ_CHECK(deadline_ns <= rig->now_ns + 5 * NMX_NS_PER_S);
	else
		FUZZ_CHECK(deadline_ns <= rig->now_ns + 2 * NMX_NS_PER_S);
}

/** The request has been executed: has it been answered as it should? */
static void
settle_request(struct vfu_rig *rig)
{
	const struct vfu_request *request = rig->request;
	bool wants_output = nmx_vfu_wants_output(rig->server);

	if (!request->is_whole) {
		FUZZ_CHECK(!wants_output);
		return;
	}
	FUZZ_CHECK(wants_output == vfu_owes_reply(rig));
	if (!wants_output && !request->is_parked)
		vfu_forget_request(rig);
}

static int
serve_once(struct vfu_rig *rig)
{
	bool was_versioned = rig->versioned;
	int ret;

	rig->n_messages = 0;
	rig->has_waited_in = rig->has_waited_out = false;
	rig->may_call = true;
	ret = nmx_vfu_serve(rig->server, rig->now_ns);
	rig->may_call = false;
	FUZZ_CHECK(ret <= 0 && rig->n_messages <= 1);
	if (ret == -ETIMEDOUT)
		FUZZ_CHECK(rig->now_ns >= nmx_vfu_get_deadline_ns(rig->server));
	FUZZ_CHECK(!rig->request->is_fatal || (ret != 0 && ret != -EAGAIN));
	FUZZ_CHECK(!rig->request->is_broken || ret == -EPROTO);
	if (ret != 0 && ret != -EAGAIN) {
		check_is_over(rig, ret);
		return ret;
	}
	if (rig->n_messages == 1 && !was_versioned) {
		rig->versioned = true;
		rig->client_fds_max = vfu_get_fds_max(rig->request->body,
			rig->request->header.size - sizeof(rig->request->header));
	}
	settle_request(rig);
	if (ret == -EAGAIN)
		check_waits(rig);
	return ret;
}

static void
serve(struct vfu_rig *rig)
{
	/* A call that does nothing says so: then this ends. */
	while (serve_once(rig) == 0)
		;
}

static void
answer(struct vfu_rig *rig)
{
	struct vfu_request *request = rig->request;
	int result = fuzz_once_in(&rig->input, 3) ? -EBUSY : 0;

	nmx_vfu_answer(rig->server, result); /* nothing, unless a request is parked */
	FUZZ_CHECK(!nmx_vfu_is_parked(rig->server));
	if (request->is_parked) {
		request->is_parked = false;
		request->result = result;
		settle_request(rig);
	}
}

static void
pass_time(struct vfu_rig *rig)
{
	static const uint64_t steps_ms[] = { 1, 1000, 1999, 2000, 4999, 5000, 100000 };

	rig->now_ns += steps_ms[fuzz_choose(&rig->input, 7)] * NMX_NS_PER_MS;
}

static void
toggle_nerves(struct vfu_rig *rig)
{
	rig->is_nervous = !rig->is_nervous;
}

static void
serve_single(struct vfu_rig *rig)
{
	(void)serve_once(rig);
}

/** A message, and all that comes of it. */
static void
ask(struct vfu_rig *rig)
{
	vfu_queue_message(rig);
	serve(rig);
}

static void
start(struct vfu_rig *rig)
{
	static struct vfu_queue queue;
	static struct vfu_request request;
	static struct vfu_reply reply;
	uint8_t draw = fuzz_take8(&rig->input);

	rig->queue = &queue;
	rig->request = &request;
	rig->reply = &reply;
	rig->start_ns = rig->now_ns = NMX_NS_PER_S;
	rig->n_doorbells = draw & 0x40 ? N_DOORBELLS : draw & 31;
	vfu_init_transport(rig);
	vfu_init_device(rig);
	vfu_forget_request(rig);
	FUZZ_CHECK(nmx_vfu_create_server(&rig->transport, &vfu_device, &vfu_handlers, rig,
			   rig->now_ns, &rig->server) == 0);
	rig->is_nervous = (draw & 0x20) != 0;
	if (draw >= 0xf0)
		return;
	vfu_queue_version(rig);
	serve(rig);
}

static void
end(struct vfu_rig *rig)
{
	int left[NMX_VFU_SERVER_FDS_MAX];
	unsigned int n = nmx_vfu_destroy_server(rig->server, left);

	FUZZ_CHECK(n <= NMX_VFU_SERVER_FDS_MAX);
	while (n > 0)
		FUZZ_CHECK(close(left[--n]) == 0);
	vfu_drop_queue(rig);
	vfu_end_device(rig);
	for (unsigned int i = 0; i < rig->n_fds; i++)
		FUZZ_CHECK(fcntl(rig->fds[i], F_GETFD) == -1);
	for (unsigned int i = 0; i < N_KINDS; i++)
		FUZZ_CHECK(fcntl(vfu_get_template(i), F_GETFD) >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct vfu_rig * rig) = { ask, ask, ask, ask,
		vfu_queue_message, vfu_queue_message, serve, serve_single, answer, answer,
		pass_time, toggle_nerves, vfu_queue_bytes };
	struct vfu_rig rig = { .input = fuzz_open_input(data, size) };

	start(&rig);
	while (!fuzz_is_over(&rig.input) && !rig.is_over)
		steps[fuzz_choose(&rig.input, sizeof(steps) / sizeof(steps[0]))](&rig);
	end(&rig);
	return 0;
}
