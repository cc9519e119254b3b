/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The stream: framing, VERSION, deadlines, descriptors. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig_test.h"

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
	int fds[16], file = memfd_create("nmx-vfu-test", MFD_CLOEXEC);
	struct rig rig;

	(void)unused;
	start(&rig);
	for (unsigned int i = 0; i < 16; i++)
		fds[i] = file;
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
	nmx_base_close_fd(&file);
}

/** Descriptors that end the connection, n of them with a message's header or behind it. */
static void
expect_breach(const int *fds, unsigned int n, bool behind)
{
	static const uint8_t body[16];
	uint8_t message[64];
	size_t size = build(message, NMX_VFU_GET_INFO, 0, body, sizeof(body));
	int left[NMX_VFU_SERVER_FDS_MAX];
	unsigned int n_left;
	struct rig rig;

	start(&rig);
	if (behind)
		send_bytes(&rig, message, 16, NULL, 0);
	send_bytes(&rig, message + (behind ? 16 : 0), behind ? 16 : size, fds, n);
	assert_int_equal(serve(&rig), -EPROTO);
	/* None was closed here: that could wait for whoever is behind it. */
	n_left = nmx_vfu_destroy_server(rig.server, left);
	assert_int_equal(n_left, n);
	nmx_base_close_fds(left, n_left);
	rig.server = NULL;
	stop(&rig);
}

static void
descriptors_of_other_kinds_end_the_connection(void **unused)
{
	int ends[2], file = memfd_create("nmx-vfu-test", MFD_CLOEXEC);
	int event = eventfd(0, EFD_CLOEXEC), both[2];

	(void)unused;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	expect_breach(&ends[1], 1, false);
	both[0] = event;
	both[1] = ends[0];
	expect_breach(both, 2, false);
	expect_breach(&file, 1, true);
	nmx_base_close_fds(ends, 2);
	nmx_base_close_fd(&file);
	nmx_base_close_fd(&event);
}

static void
floods_of_fds_end_the_connection(void **unused)
{
	uint8_t message[16];
	int fds[NMX_STREAM_SCM_FDS_MAX];
	struct rig rig;

	(void)unused;
	start(&rig);
	for (unsigned int i = 0; i < NMX_STREAM_SCM_FDS_MAX; i++)
		fds[i] = rig.client;
	send_bytes(&rig, message, build(message, NMX_VFU_RESET, 0, NULL, 0), fds, 17);
	assert_int_equal(serve(&rig), -EPROTO);
	stop(&rig);
	expect_breach(fds, NMX_STREAM_SCM_FDS_MAX, false);

	/* A few with each byte of a header: the sum counts. */
	start(&rig);
	build(message, NMX_VFU_RESET, 0, NULL, 0);
	for (unsigned int i = 0; i < 2; i++)
		send_bytes(&rig, message + i, 1, fds, 9);
	assert_int_equal(serve(&rig), -EPROTO);
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
		cmocka_unit_test(descriptors_of_other_kinds_end_the_connection),
		cmocka_unit_test(floods_of_fds_end_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
