/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The client, with our server at the other end, and with peers that answer anything.
 *
 * What such a peer says lies in the socket before the client asks: the ids that a client uses are
 * 0 for VERSION and one more for each request, so no second thread is needed.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/vfu/client.h"
#include "rig_test.h"

#define TIMEOUT_MS 50

/* --- With a server --- */

/** Serves until the client is gone. */
static void *
serve_client(void *arg)
{
	struct rig *rig = arg;
	struct pollfd fd = { .fd = rig->socket.fd, .events = POLLIN };

	while (serve(rig) == -EAGAIN)
		poll(&fd, 1, -1);
	return NULL;
}

static void
ask_everything(struct rig *rig, struct nmx_vfu_client *client)
{
	struct nmx_vfu_memory memory[100];
	int file = memfd_create("nmx-client", MFD_CLOEXEC);
	struct nmx_vfu_bell bells[2];
	uint32_t n, failed = 0;
	char text[8] = "abcdefg", back[8];
	int vectors[4];

	assert_int_equal(nmx_vfu_check_device(client), 0);
	assert_int_equal(nmx_vfu_count_vectors(client, NMX_VFU_IRQ_MSIX, &n), 0);
	assert_int_equal(n, 4);
	assert_int_equal(nmx_vfu_write_region(client, NMX_VFU_REGION_CONFIG, 8, text, 8), 0);
	text[0] = 'x';
	assert_int_equal(nmx_vfu_post_region(client, NMX_VFU_REGION_CONFIG, 8, text, 1), 0);
	assert_int_equal(nmx_vfu_read_region(client, NMX_VFU_REGION_CONFIG, 8, back, 8), 0);
	assert_string_equal(back, "xbcdefg");
	assert_int_equal(
		nmx_vfu_read_region(client, NMX_VFU_REGION_CONFIG, CONFIG_BYTES, back, 1), -EINVAL);

	/* More maps than are under way at once; the first that fails is told. */
	for (uint32_t i = 0; i < 100; i++)
		memory[i] = (struct nmx_vfu_memory){ { i * UINT64_C(4096), 4096 },
			i == 70 || i == 80 ? 0xbad000 : 0, file };
	assert_int_equal(nmx_vfu_map_memory(client, memory, 70, &failed), 0);
	assert_int_equal(nmx_vfu_map_memory(client, memory, 100, &failed), -EEXIST);
	assert_int_equal(failed, 70);
	assert_int_equal(nmx_vfu_unmap_memory(client, memory[0].range), 0);
	assert_int_equal(nmx_vfu_unmap_all(client), 0);

	for (unsigned int i = 0; i < 4; i++)
		vectors[i] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(nmx_vfu_connect_vectors(client, NMX_VFU_IRQ_MSIX, 0, vectors, 4), 0);
	nmx_base_close_fds(vectors, 4);
	assert_int_equal(nmx_vfu_get_doorbells(client, 0, bells, 1, &n), -EMSGSIZE);
	assert_int_equal(nmx_vfu_get_doorbells(client, 0, bells, 2, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(bells[1].offset, 0x104);
	nmx_base_close_fd(&bells[0].fd);
	nmx_base_close_fd(&bells[1].fd);
	assert_int_equal(nmx_vfu_reset_device(client), 0);
	nmx_base_close_fd(&file);
	assert_int_equal(rig->n_maps, 170);
	assert_int_equal(rig->n_unmaps, 1);
	assert_int_equal(rig->n_unmap_alls, 1);
	assert_int_equal(rig->n_resets, 1);
}

static void
everything_that_a_driver_asks_is_answered(void **unused)
{
	struct nmx_vfu_client *client = NULL;
	pthread_t thread;
	struct rig rig;
	int fd, vector;

	(void)unused;
	start_unversioned(&rig);
	fd = nmx_base_take_fd(&rig.client);
	rig.client = eventfd(0, EFD_CLOEXEC); /* what the rig's doorbells are */
	assert_int_equal(pthread_create(&thread, NULL, serve_client, &rig), 0);
	assert_int_equal(nmx_vfu_create_client(&fd, 5000, -1, &client), 0);
	assert_int_equal(fd, -1);
	ask_everything(&rig, client);
	assert_false(nmx_vfu_has_ended(client));
	nmx_vfu_end_client(client);
	assert_int_equal(nmx_vfu_reset_device(client), -ENOTCONN);
	pthread_join(thread, NULL);
	vector = rig.vectors[3];
	assert_true(nmx_base_is_eventfd(vector));
	nmx_vfu_destroy_client(client);
	stop(&rig);
}

/* --- With any peer --- */

/** A client whose peer is the test. */
struct talk {
	struct nmx_vfu_client *client;
	int peer, cancel;
	int n_fds_before;
};

static int
count_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/** Put a message into a socket. */
static void
say(int peer, const struct nmx_vfu_header *header, const void *body, size_t size, const int *fds,
	unsigned int n_fds)
{
	struct rig rig = { .client = peer };
	uint8_t message[1024];

	assert_true(sizeof(*header) + size <= sizeof(message));
	memcpy(message, header, sizeof(*header));
	if (size > 0)
		memcpy(message + sizeof(*header), body, size);
	send_bytes(&rig, message, sizeof(*header) + size, fds, n_fds);
}

static void
reply_to(int peer, uint16_t id, uint16_t command, const void *body, size_t size)
{
	const struct nmx_vfu_header header = { id, command, (uint32_t)(16 + size), NMX_VFU_REPLY,
		0 };

	say(peer, &header, body, size, NULL, 0);
}

/** Try to make a client of a peer that answers VERSION like this. */
static int
open_talk(struct talk *talk, int timeout_ms, const void *version, size_t size)
{
	int ends[2], ret;

	memset(talk, 0, sizeof(*talk));
	talk->n_fds_before = count_open();
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	talk->peer = ends[1];
	talk->cancel = eventfd(0, EFD_CLOEXEC);
	if (size > 0)
		reply_to(talk->peer, 0, NMX_VFU_VERSION, version, size);
	ret = nmx_vfu_create_client(&ends[0], timeout_ms, talk->cancel, &talk->client);
	assert_int_equal(ends[0], -1);
	return ret;
}

static void
begin_talk(struct talk *talk, int timeout_ms)
{
	assert_int_equal(open_talk(talk, timeout_ms, "\0\0\0", 4), 0);
}

/** Also: no descriptor has leaked. */
static void
end_talk(struct talk *talk)
{
	nmx_vfu_destroy_client(talk->client);
	nmx_base_close_fd(&talk->peer);
	nmx_base_close_fd(&talk->cancel);
	assert_int_equal(count_open(), talk->n_fds_before);
}

static void
versions_that_do_not_fit_are_refused(void **unused)
{
	static const struct {
		const char *payload;
		size_t size;
	} row[] = {
		{ "\1\0\0\0", 4 },
		{ "\0\0\1\0", 4 },
		{ "\0\0", 2 },
		{ "\0\0\0\0no json", 12 },
		{ "\0\0\0\0{\"capabilities\":1}", 23 },
		{ "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":0}}", 39 },
	};
	struct talk talk;

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(
			open_talk(&talk, TIMEOUT_MS, row[i].payload, row[i].size), -EPROTO);
		assert_null(talk.client);
		end_talk(&talk);
	}
	assert_int_equal(open_talk(&talk, TIMEOUT_MS, NULL, 0), -ETIMEDOUT);
	end_talk(&talk);
}

static void
what_is_no_answer_breaks_the_stream(void **unused)
{
	/* To a request for 16 bytes of id 1. */
	static const struct {
		struct nmx_vfu_header header;
		uint32_t n_body;
	} row[] = {
		{ { 2, NMX_VFU_GET_INFO, 32, NMX_VFU_REPLY, 0 }, 16 },
		{ { 1, NMX_VFU_RESET, 32, NMX_VFU_REPLY, 0 }, 16 },
		{ { 1, NMX_VFU_GET_INFO, 15, NMX_VFU_REPLY, 0 }, 0 },
		{ { 1, NMX_VFU_GET_INFO, UINT32_MAX, NMX_VFU_REPLY, 0 }, 16 },
		{ { 1, NMX_VFU_GET_INFO, 31, NMX_VFU_REPLY, 0 }, 15 },
	};
	const uint8_t body[16] = { 0 };
	struct talk talk;

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		begin_talk(&talk, TIMEOUT_MS);
		say(talk.peer, &row[i].header, body, row[i].n_body, NULL, 0);
		assert_int_equal(nmx_vfu_check_device(talk.client), -EPROTO);
		assert_int_equal(nmx_vfu_check_device(talk.client), -ENOTCONN);
		end_talk(&talk);
	}
}

static void
errors_of_the_server_break_nothing(void **unused)
{
	static const struct {
		uint32_t error;
		int expected;
	} row[] = { { ENOSPC, -ENOSPC }, { 0, -EIO }, { 4096, -EIO }, { UINT32_MAX, -EIO } };
	const struct nmx_vfu_device_info no_pci = { 16, NMX_VFU_DEVICE_RESET, 9, 5 };
	struct talk talk;
	uint16_t id = 1;

	(void)unused;
	begin_talk(&talk, TIMEOUT_MS);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++, id++) {
		const struct nmx_vfu_header header = { id, NMX_VFU_RESET, 16,
			NMX_VFU_REPLY | NMX_VFU_ERROR, row[i].error };

		say(talk.peer, &header, NULL, 0, NULL, 0);
		assert_int_equal(nmx_vfu_reset_device(talk.client), row[i].expected);
	}
	reply_to(talk.peer, id, NMX_VFU_GET_INFO, &no_pci, sizeof(no_pci));
	assert_int_equal(nmx_vfu_check_device(talk.client), -EPROTO);
	reply_to(talk.peer, id + 1, NMX_VFU_RESET, NULL, 0);
	assert_int_equal(nmx_vfu_reset_device(talk.client), 0);
	end_talk(&talk);
}

static void
waiting_ends_by_time_cancelling_or_the_peers_end(void **unused)
{
	const uint64_t one = 1;
	struct talk talk;

	(void)unused;
	begin_talk(&talk, TIMEOUT_MS);
	assert_int_equal(nmx_vfu_reset_device(talk.client), -ETIMEDOUT);
	assert_int_equal(nmx_vfu_reset_device(talk.client), -ENOTCONN);
	end_talk(&talk);

	begin_talk(&talk, 60000);
	assert_int_equal(write(talk.cancel, &one, sizeof(one)), sizeof(one));
	assert_int_equal(nmx_vfu_reset_device(talk.client), -ECANCELED);
	end_talk(&talk);

	begin_talk(&talk, 60000);
	assert_false(nmx_vfu_has_ended(talk.client));
	assert_int_equal(shutdown(talk.peer, SHUT_WR), 0);
	assert_true(nmx_vfu_has_ended(talk.client));
	assert_int_equal(nmx_vfu_reset_device(talk.client), -EPIPE);
	end_talk(&talk);
}

static void
requests_that_are_never_read_time_out(void **unused)
{
	static const uint8_t bytes[NMX_VFU_DATA_BYTES_MAX + 1024];
	struct talk talk;
	int ret = 0;

	(void)unused;
	begin_talk(&talk, TIMEOUT_MS);
	assert_int_equal(nmx_vfu_post_region(talk.client, 0, 0, bytes, sizeof(bytes)), -EMSGSIZE);
	for (int i = 0; i < 1000 && ret == 0; i++)
		ret = nmx_vfu_post_region(talk.client, 0, 0, bytes, NMX_VFU_DATA_BYTES_MAX);
	assert_int_equal(ret, -ETIMEDOUT);
	end_talk(&talk);
}

static void
requests_of_the_server_are_refused(void **unused)
{
	const struct nmx_vfu_header question = { 77, 12, 20, 0, 0 };
	const struct nmx_vfu_header posted = { 78, 12, 16, NMX_VFU_NO_REPLY, 0 };
	struct nmx_vfu_header got[4];
	struct talk talk;

	(void)unused;
	begin_talk(&talk, TIMEOUT_MS);
	/* What the client said for VERSION is of no interest. */
	assert_true(recv(talk.peer, (uint8_t[512]){ 0 }, 512, MSG_DONTWAIT) > 16);
	say(talk.peer, &question, "abcd", 4, NULL, 0);
	say(talk.peer, &posted, NULL, 0, NULL, 0);
	reply_to(talk.peer, 1, NMX_VFU_RESET, NULL, 0);
	assert_int_equal(nmx_vfu_reset_device(talk.client), 0);
	assert_int_equal(recv(talk.peer, got, sizeof(got), MSG_DONTWAIT), 2 * sizeof(got[0]));
	assert_int_equal(got[0].command, NMX_VFU_RESET);
	assert_int_equal(got[1].id, 77);
	assert_int_equal(got[1].size, 16);
	assert_int_equal(got[1].flags, NMX_VFU_REPLY | NMX_VFU_ERROR);
	assert_int_equal(got[1].error, ENOTSUP);
	end_talk(&talk);
}

static void
floods_of_requests_meet_the_deadline(void **unused)
{
	const struct nmx_vfu_header posted = { 78, 12, 16, NMX_VFU_NO_REPLY, 0 };
	struct talk talk;

	(void)unused;
	begin_talk(&talk, 0);
	say(talk.peer, &posted, NULL, 0, NULL, 0);
	reply_to(talk.peer, 1, NMX_VFU_RESET, NULL, 0);
	assert_int_equal(nmx_vfu_reset_device(talk.client), -ETIMEDOUT);
	end_talk(&talk);
}

/** What a reply to nmx_vfu_get_doorbells() may be wrong in. */
struct bells {
	uint32_t count, n_entries, n_fds, type, second_fd;
	bool no_eventfds;
	int expected;
};

static void
answer_bells(struct talk *talk, const struct bells *bells)
{
	const struct nmx_vfu_header header = { 1, NMX_VFU_GET_REGION_IO_FDS,
		16 + 16 + bells->n_entries * 40, NMX_VFU_REPLY, 0 };
	struct {
		struct nmx_vfu_io_fds head;
		struct nmx_vfu_io_fd entry[2];
	} body = { { 16, 0, 0, bells->count }, { { .offset = 4 }, { .offset = 8 } } };
	int fds[NMX_VFU_REPLY_FDS_MAX + 1];

	body.entry[1].type = bells->type;
	body.entry[1].fd_index = bells->second_fd;
	for (uint32_t i = 0; i < bells->n_fds; i++)
		fds[i] = bells->no_eventfds ? dup(talk->peer) : eventfd(0, EFD_CLOEXEC);
	say(talk->peer, &header, &body, 16 + bells->n_entries * sizeof(body.entry[0]), fds,
		bells->n_fds);
	nmx_base_close_fds(fds, bells->n_fds);
}

static void
doorbells_are_eventfds_of_their_own(void **unused)
{
	static const struct bells row[] = {
		{ 2, 2, 2, 0, 1, false, 0 },
		{ 3, 2, 2, 0, 1, false, -EMSGSIZE },
		{ UINT32_MAX, 2, 2, 0, 1, false, -EMSGSIZE },
		{ 2, 1, 2, 0, 1, false, -EPROTO },
		{ 2, 2, 2, 1, 1, false, -EPROTO },
		{ 2, 2, 2, 0, 0, false, -EPROTO }, /* one for both */
		{ 2, 2, 2, 0, 2, false, -EPROTO },
		{ 2, 2, 0, 0, 1, false, -EPROTO },
		{ 2, 2, 2, 0, 1, true, -EPROTO },
		{ 2, 2, NMX_VFU_REPLY_FDS_MAX + 1, 0, 1, false, -EPROTO },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct nmx_vfu_bell list[2] = { { 0, -1 }, { 0, -1 } };
		struct talk talk;
		uint32_t n = 7;

		begin_talk(&talk, TIMEOUT_MS);
		answer_bells(&talk, &row[i]);
		assert_int_equal(
			nmx_vfu_get_doorbells(talk.client, 0, list, 2, &n), row[i].expected);
		assert_int_equal(n, row[i].expected == 0 ? 2 : 7);
		nmx_base_close_fd(&list[0].fd);
		nmx_base_close_fd(&list[1].fd);
		end_talk(&talk);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_that_a_driver_asks_is_answered),
		cmocka_unit_test(versions_that_do_not_fit_are_refused),
		cmocka_unit_test(what_is_no_answer_breaks_the_stream),
		cmocka_unit_test(errors_of_the_server_break_nothing),
		cmocka_unit_test(waiting_ends_by_time_cancelling_or_the_peers_end),
		cmocka_unit_test(requests_that_are_never_read_time_out),
		cmocka_unit_test(requests_of_the_server_are_refused),
		cmocka_unit_test(floods_of_requests_meet_the_deadline),
		cmocka_unit_test(doorbells_are_eventfds_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
