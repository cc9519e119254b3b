/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The stream: framing, answers, deadlines, descriptors; and what front ends are known to send. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/stream/peer_test.h"
#include "rig_test.h"

/* --- Known front ends --- */

static void
virtio_user_starts_as_a_client(void **unused)
{
	static const uint32_t order[] = { 0, 2, 1, 3 };
	struct rig rig;

	(void)unused;
	start(&rig);
	tell(&rig, NMX_VHU_SET_OWNER, NULL, 0);
	assert_int_equal(ask(&rig, NMX_VHU_GET_FEATURES, NULL, 0).number,
		FEATURES | NMX_VHU_FEATURE_PROTOCOL_FEATURES);
	assert_int_equal(ask(&rig, NMX_VHU_GET_PROTOCOL_FEATURES, NULL, 0).number, PROTOCOL);
	tell_number(&rig, NMX_VHU_SET_PROTOCOL_FEATURES,
		NMX_VHU_PROTOCOL_MQ | NMX_VHU_PROTOCOL_REPLY_ACK);
	for (unsigned int i = 0; i < N_RINGS; i++)
		tell_file(&rig, NMX_VHU_SET_VRING_CALL, order[i], true);
	tell_number(&rig, NMX_VHU_SET_FEATURES, AGREED);
	tell_memory(&rig, NMX_VHU_NEED_REPLY, USER_START, USER_START, REGION_BYTES);
	assert_int_equal(receive_reply(&rig).number, 0);
	for (unsigned int i = 0; i < N_RINGS; i++)
		run_ring(&rig, order[i]);
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 0, 1);
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 1, 1);
	/* EAL gets memory. */
	for (uint64_t n = 2; n < 5; n++) {
		tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 0, 0);
		tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 1, 0);
		tell_memory(&rig, NMX_VHU_NEED_REPLY, USER_START, USER_START, n * REGION_BYTES);
		assert_int_equal(receive_reply(&rig).number, 0);
		tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 0, 1);
		tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 1, 1);
	}
	assert_int_equal(serve(&rig), -EAGAIN);
	for (unsigned int i = 0; i < N_RINGS; i++) {
		assert_int_equal(rig.ring[i].n_starts, 1);
		assert_int_equal(rig.ring[i].enabled, i < 2);
		assert_true(rig.ring[i].kick >= 0 && rig.ring[i].call >= 0);
	}
	/* It ends. */
	for (uint32_t i = 0; i < N_RINGS; i++) {
		const struct nmx_vhu_state state = { i, 0x5585 };

		tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, i, 0);
		assert_int_equal(
			ask(&rig, NMX_VHU_GET_VRING_BASE, &state, sizeof(state)).state.num, 77);
	}
	close(rig.client);
	rig.client = -1;
	assert_int_equal(serve(&rig), -EPIPE);
	stop(&rig);
}

static void
virtio_user_as_a_listener_begins_with_the_end(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 0, 0);
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 1, 0);
	for (uint32_t i = 0; i < 2; i++) {
		const struct nmx_vhu_state state = { i, 0x5585 };
		struct reply reply = ask(&rig, NMX_VHU_GET_VRING_BASE, &state, sizeof(state));

		assert_int_equal(reply.state.index, i);
		assert_int_equal(reply.state.num, 0);
	}
	agree(&rig);
	run_ring(&rig, 0);
	tell_state(&rig, NMX_VHU_SET_VRING_ENABLE, 0, 1);
	assert_true(rig.ring[0].enabled);
	stop(&rig);
}

/* --- Answers --- */

static void
requests_are_answered_as_agreed_on(void **unused)
{
	const uint64_t mtu = 1500, bad_mtu = MTU_MAX + 1;
	struct rig rig;

	(void)unused;
	start(&rig);
	agree(&rig);
	assert_int_equal(ask(&rig, NMX_VHU_GET_QUEUE_NUM, NULL, 0).number, N_RINGS / 2);
	/* One answer, though it is asked for twice. */
	tell_with_fds(&rig, NMX_VHU_GET_FEATURES, NMX_VHU_NEED_REPLY, NULL, 0, NULL, 0);
	assert_true(receive_reply(&rig).size > 0);
	assert_int_equal(receive_reply(&rig).size, -1);
	assert_true(ask_whether(&rig, NMX_VHU_NET_SET_MTU, &mtu, sizeof(mtu)));
	assert_int_equal(rig.mtu, 1500);
	assert_false(ask_whether(&rig, NMX_VHU_NET_SET_MTU, &bad_mtu, sizeof(bad_mtu)));
	assert_int_equal(rig.mtu, 1500);
	tell_number(&rig, NMX_VHU_NET_SET_MTU, 1400);
	assert_int_equal(receive_reply(&rig).size, -1);
	assert_int_equal(rig.mtu, 1400);
	assert_false(ask_whether(&rig, 99, NULL, 0));
	rig.refusal = -ENOMEM;
	assert_false(ask_whether(&rig, NMX_VHU_NET_SET_MTU, &mtu, sizeof(mtu)));
	assert_int_equal(serve(&rig), -EAGAIN);
	stop(&rig);
}

static void
a_refusal_that_nobody_hears_ends_the_connection(void **unused)
{
	static const struct {
		uint32_t request, flags;
		uint64_t number;
		bool agreed;
	} row[] = {
		{ NMX_VHU_NET_SET_MTU, 0, 0, true },
		{ NMX_VHU_NET_SET_MTU, NMX_VHU_NEED_REPLY, 1500, false },
		{ NMX_VHU_SET_FEATURES, 0, UINT64_C(1) << 63, true },
		{ NMX_VHU_SET_PROTOCOL_FEATURES, 0, UINT64_C(1) << 63, true },
		{ NMX_VHU_GET_VRING_BASE, NMX_VHU_NEED_REPLY, N_RINGS, true },
		{ NMX_VHU_GET_QUEUE_NUM, 0, 0, false },
		{ NMX_VHU_SET_VRING_CALL, 0, N_RINGS, true },
		{ 0, 0, 0, true },
		{ 6, 0, 0, true },
		{ UINT32_MAX, 0, 0, true },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig;

		start(&rig);
		if (row[i].agreed)
			agree(&rig);
		tell_with_fds(&rig, row[i].request, row[i].flags, &row[i].number, 8, NULL, 0);
		assert_int_equal(serve(&rig), -EPROTO);
		assert_non_null(strstr(nmx_vhu_get_reason(rig.server), "a request "));
		assert_int_equal(receive_reply(&rig).size, -1);
		stop(&rig);
	}
}

/* --- Framing --- */

static void
a_message_may_come_in_pieces(void **unused)
{
	const struct nmx_vhu_header header = { NMX_VHU_SET_FEATURES, NMX_VHU_VERSION, 8 };
	const uint64_t features = AGREED;
	uint8_t message[20];

	(void)unused;
	memcpy(message, &header, 12);
	memcpy(message + 12, &features, 8);
	for (size_t cut = 1; cut < sizeof(message); cut++) {
		struct rig rig;

		start(&rig);
		peer_send(rig.client, message, cut, NULL, 0);
		assert_int_equal(serve(&rig), -EAGAIN);
		assert_int_equal(rig.features, 0);
		assert_true(nmx_vhu_get_deadline_ns(rig.server) < NMX_NEVER_NS);
		peer_send(rig.client, message + cut, sizeof(message) - cut, NULL, 0);
		assert_int_equal(serve(&rig), -EAGAIN);
		assert_int_equal(rig.features, UINT64_C(1) << 32);
		assert_int_equal(nmx_vhu_get_deadline_ns(rig.server), NMX_NEVER_NS);
		stop(&rig);
	}
}

static void
half_a_message_has_a_deadline_and_silence_none(void **unused)
{
	const struct nmx_vhu_header header = { NMX_VHU_SET_FEATURES, NMX_VHU_VERSION, 8 };
	struct rig rig;

	(void)unused;
	start(&rig);
	rig.now_ns += 3600 * NMX_NS_PER_S;
	assert_int_equal(serve(&rig), -EAGAIN);
	peer_send(rig.client, &header, sizeof(header), NULL, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	rig.now_ns += NMX_NS_PER_S;
	assert_int_equal(serve(&rig), -EAGAIN);
	rig.now_ns += 2 * NMX_NS_PER_S;
	assert_int_equal(serve(&rig), -ETIMEDOUT);
	stop(&rig);
}

static void
answers_that_nobody_reads_have_a_deadline(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	for (int i = 0; i < 100000 && !nmx_vhu_wants_output(rig.server); i++)
		tell(&rig, NMX_VHU_GET_FEATURES, NULL, 0);
	assert_true(nmx_vhu_wants_output(rig.server));
	assert_false(nmx_vhu_wants_input(rig.server));
	assert_int_equal(serve(&rig), -EAGAIN);
	rig.now_ns += 10 * NMX_NS_PER_S;
	assert_int_equal(serve(&rig), -ETIMEDOUT);
	stop(&rig);
}

static void
a_header_that_cant_be_trusted_ends_the_connection(void **unused)
{
	static const struct nmx_vhu_header row[] = {
		{ NMX_VHU_GET_FEATURES, 0, 0 },
		{ NMX_VHU_GET_FEATURES, 2, 0 },
		{ NMX_VHU_GET_FEATURES, NMX_VHU_VERSION | NMX_VHU_REPLY, 8 },
		{ NMX_VHU_GET_FEATURES, NMX_VHU_VERSION, NMX_VHU_BODY_BYTES_MAX + 1 },
		{ NMX_VHU_GET_FEATURES, NMX_VHU_VERSION, UINT32_MAX },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig;

		start(&rig);
		peer_send(rig.client, &row[i], sizeof(row[i]), NULL, 0);
		assert_int_equal(serve(&rig), -EPROTO);
		stop(&rig);
	}
}

static void
requests_that_are_too_short_are_refused(void **unused)
{
	(void)unused;
	for (uint32_t request = 1; request < 24; request++) {
		static const uint8_t zeroes[NMX_VHU_BODY_BYTES_MAX];
		struct rig rig;

		start(&rig);
		tell_number(&rig, NMX_VHU_SET_PROTOCOL_FEATURES, PROTOCOL);
		tell_with_fds(&rig, request, NMX_VHU_NEED_REPLY, zeroes, 7, NULL, 0);
		/* Whatever it is: an answer, or the end. */
		if (receive_reply(&rig).size < 0)
			assert_int_equal(serve(&rig), -EPROTO);
		stop(&rig);
	}
}

/* --- Descriptors --- */

static void
descriptors_of_other_kinds_end_the_connection_and_are_left(void **unused)
{
	const uint64_t index = 0;
	int left[NMX_VHU_SERVER_FDS_MAX], pipes[2];
	struct rig rig;

	(void)unused;
	start(&rig);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	tell_with_fds(&rig, NMX_VHU_SET_VRING_CALL, 0, &index, 8, pipes, 2);
	assert_int_equal(serve(&rig), -EPROTO);
	assert_int_equal(nmx_vhu_destroy_server(rig.server, left), 2);
	nmx_base_close_fds(left, 2);
	nmx_base_close_fds(pipes, 2);
	rig.server = NULL;
	stop(&rig);
}

static void
descriptors_that_dont_fit_the_request_are_closed(void **unused)
{
	static const struct {
		uint32_t request;
		uint64_t number;
		unsigned int n_fds;
		bool good;
	} row[] = {
		{ NMX_VHU_SET_VRING_CALL, 0, 1, true },
		{ NMX_VHU_SET_VRING_CALL, 0 | NMX_VHU_FILE_NONE, 0, true },
		{ NMX_VHU_SET_VRING_CALL, 0, 0, false },
		{ NMX_VHU_SET_VRING_CALL, 0 | NMX_VHU_FILE_NONE, 1, false },
		{ NMX_VHU_SET_VRING_CALL, 0, 2, false },
		{ NMX_VHU_SET_VRING_CALL, N_RINGS, 1, false },
		{ NMX_VHU_SET_VRING_CALL, 0x200, 1, false },
		{ NMX_VHU_SET_VRING_KICK, N_RINGS, 1, false },
		{ NMX_VHU_SET_VRING_ERR, 0, 1, true },
		{ NMX_VHU_SET_VRING_ERR, N_RINGS, 1, false },
		{ NMX_VHU_NET_SET_MTU, 1500, 1, false },
		{ NMX_VHU_SET_FEATURES, AGREED, 1, false },
	};
	int fds[2] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig;

		start(&rig);
		agree(&rig);
		tell_with_fds(&rig, row[i].request, NMX_VHU_NEED_REPLY, &row[i].number, 8, fds,
			row[i].n_fds);
		assert_int_equal(receive_reply(&rig).number, !row[i].good);
		stop(&rig);
	}
	nmx_base_close_fds(fds, 2);
}

static void
memory_is_no_eventfd_and_an_eventfd_no_memory(void **unused)
{
	const struct nmx_vhu_table table = { .n_regions = 1,
		.regions[0] = { GUEST_START, REGION_BYTES, USER_START, 0 } };
	const uint64_t index = 0;
	int memory = make_memory(), event = eventfd(0, EFD_CLOEXEC);
	struct rig rig;

	(void)unused;
	start(&rig);
	agree(&rig);
	tell_with_fds(&rig, NMX_VHU_SET_VRING_KICK, NMX_VHU_NEED_REPLY, &index, 8, &memory, 1);
	assert_int_equal(receive_reply(&rig).number, 1);
	tell_with_fds(&rig, NMX_VHU_SET_MEM_TABLE, NMX_VHU_NEED_REPLY, &table, 40, &event, 1);
	assert_int_equal(receive_reply(&rig).number, 1);
	assert_int_equal(rig.n_tables, 1);
	stop(&rig);
	nmx_base_close_fd(&memory);
	nmx_base_close_fd(&event);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtio_user_starts_as_a_client),
		cmocka_unit_test(virtio_user_as_a_listener_begins_with_the_end),
		cmocka_unit_test(requests_are_answered_as_agreed_on),
		cmocka_unit_test(a_refusal_that_nobody_hears_ends_the_connection),
		cmocka_unit_test(a_message_may_come_in_pieces),
		cmocka_unit_test(half_a_message_has_a_deadline_and_silence_none),
		cmocka_unit_test(answers_that_nobody_reads_have_a_deadline),
		cmocka_unit_test(a_header_that_cant_be_trusted_ends_the_connection),
		cmocka_unit_test(requests_that_are_too_short_are_refused),
		cmocka_unit_test(descriptors_of_other_kinds_end_the_connection_and_are_left),
		cmocka_unit_test(descriptors_that_dont_fit_the_request_are_closed),
		cmocka_unit_test(memory_is_no_eventfd_and_an_eventfd_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
