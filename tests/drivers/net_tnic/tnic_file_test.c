/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The shared file: who may open it, when a stream begins, how counts get through.
 *
 * Called with a path, writes a report there whose every count differs, for tnic_report_test.py.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tnic_report.h"

static char folder[] = "/var/tmp/nmx-tnic-test-XXXXXX";
static char path[sizeof(folder) + 2];

static int
make_folder(void **unused)
{
	(void)unused;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/r", folder);
	return 0;
}

static int
remove_folder(void **unused)
{
	(void)unused;
	unlink(path);
	return rmdir(folder);
}

static int
open_it(bool sends, bool audits, struct tnic_report_handle *ret_handle)
{
	struct tnic_reason reason = { "" };
	int ret = tnic_open_report(path, sends, audits, ret_handle, &reason);

	assert_true((ret == 0) == (reason.text[0] == '\0'));
	return ret;
}

static void
assert_refused(const char *says)
{
	struct tnic_report_handle handle;
	struct tnic_reason reason = { "" };

	assert_int_equal(tnic_open_report(path, true, true, &handle, &reason), -EINVAL);
	assert_non_null(strstr(reason.text, says));
}

static void
write_file(const char *text, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	close(fd);
}

static void
each_place_is_taken_once(void **unused)
{
	struct tnic_report_handle sender, auditor, third;

	(void)unused;
	unlink(path);
	assert_int_equal(open_it(true, false, &sender), 0);
	assert_int_equal(open_it(true, false, &third), -EBUSY);
	assert_int_equal(open_it(true, true, &third), -EBUSY);
	assert_int_equal(open_it(false, true, &auditor), 0);
	assert_int_equal(open_it(false, true, &third), -EBUSY);
	tnic_close_report(&sender);
	assert_int_equal(open_it(true, true, &third), -EBUSY);
	tnic_close_report(&auditor);
	assert_int_equal(open_it(true, true, &third), 0);
	tnic_close_report(&third);
	tnic_close_report(&third); /* closed ones are welcome */
}

static void
other_files_are_refused(void **unused)
{
	static const char zeros[sizeof(struct tnic_report)];
	struct tnic_report_handle handle;
	char junk[sizeof(zeros)];

	(void)unused;
	write_file("hello", 5);
	assert_refused("something else");
	memset(junk, 'x', sizeof(junk));
	write_file(junk, sizeof(junk));
	assert_refused("something else");
	unlink(path);
	assert_int_equal(open_it(true, true, &handle), 0);
	tnic_close_report(&handle);
	assert_int_equal(truncate(path, 128), 0); /* mapping it would mean SIGBUS later */
	assert_refused("something else");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused("not a regular file");
	unlink(path);
	/* A creator that died before the magic, and one that died before the size. */
	write_file(zeros, sizeof(zeros));
	assert_int_equal(open_it(true, true, &handle), 0);
	tnic_close_report(&handle);
	write_file("", 0);
	assert_int_equal(open_it(true, true, &handle), 0);
	tnic_close_report(&handle);
}

/** Two processes open what isn't there yet, again and again, at the same moment. */
static void
both_sides_may_create(void **unused)
{
	struct tnic_report_handle handle;

	(void)unused;
	for (int i = 0; i < 300; i++) {
		struct tnic_reason reason;
		int status, ret;
		pid_t child;

		unlink(path);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			ret = tnic_open_report(path, true, false, &handle, &reason);
			if (ret == 0)
				tnic_add_to_word(&handle.report->senders[3].sent, 7);
			_exit(ret == 0 ? 0 : 1);
		}
		assert_int_equal(open_it(false, true, &handle), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		assert_true(handle.report->senders[3].sent == 7);
		assert_int_equal(handle.report->file.version, TNIC_REPORT_VERSION);
		tnic_close_report(&handle);
	}
}

static void
stream_begins_anew_and_leaves_the_auditors_words(void **unused)
{
	const struct tnic_tally tally = { .acknowledged = 5 };
	struct tnic_report_handle handle;
	struct tnic_report *report;
	struct tnic_stream stream;
	uint32_t first, second;

	(void)unused;
	unlink(path);
	assert_int_equal(open_it(true, true, &handle), 0);
	report = handle.report;
	assert_int_equal(tnic_read_stream(report).run, 0);
	first = tnic_begin_stream(report, 2, 64, 1000, 32);
	tnic_add_to_word(&report->senders[0].sent, 9);
	tnic_publish_tally(&report->auditors[0], first, &tally);
	second = tnic_begin_stream(report, 4, 8, 0, 0);
	assert_true(first != 0 && second != 0 && first != second);
	stream = tnic_read_stream(report);
	assert_int_equal(stream.run, second);
	assert_int_equal(stream.n_queues, 4);
	assert_int_equal(stream.n_flows, 8);
	assert_true(report->senders[0].sent == 0);
	assert_true(report->auditors[0].run == first && report->auditors[0].acknowledged == 5);
	/* Numbers that no sender writes. */
	report->stream.n_queues = 0;
	assert_int_equal(tnic_read_stream(report).run, 0);
	report->stream.n_queues = TNIC_MAX_QUEUES + 1;
	assert_int_equal(tnic_read_stream(report).run, 0);
	report->stream.n_queues = 1;
	report->stream.n_flows = TNIC_MAX_FLOWS + 1;
	assert_int_equal(tnic_read_stream(report).run, 0);
	tnic_close_report(&handle);
}

/** A tally whose every count differs from every other's. */
static struct tnic_tally
make_tally(uint64_t n)
{
	struct tnic_tally tally = { n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, .arrivals = { 0 } };

	for (uint32_t i = 0; i < TNIC_N_ARRIVALS; i++)
		tally.arrivals[i] = n + 10 + i;
	return tally;
}

static void
tally_comes_back_as_published(void **unused)
{
	struct tnic_auditor_block block;
	struct tnic_tally tally = make_tally(100), back;

	(void)unused;
	memset(&block, 0xff, sizeof(block));
	tnic_publish_tally(&block, 3, &tally);
	tnic_read_tally(&block, &back);
	assert_memory_equal(&tally, &back, sizeof(tally));
	assert_true(block.run == 3);
}

/** 1000 frames, all but the last 20 at 100 cycles; one of another run, in queue 0. */
static void
write_times(struct tnic_report *report)
{
	struct tnic_times *times = &report->times[TNIC_MAX_QUEUES - 1];

	tnic_count_time(&report->times[0], 0, 5);
	for (int i = 0; i < 1000; i++)
		tnic_count_time(times, 500, 500 + (i < 980 ? 100 : i < 998 ? 20000 : 3000000));
}

static int
write_sample(const char *to)
{
	struct tnic_report_handle handle;
	struct tnic_tally tally = make_tally(100), other = make_tally(100000);
	struct tnic_reason reason;
	struct tnic_sender_block *sender;
	uint32_t run;

	if (tnic_open_report(to, true, true, &handle, &reason) != 0)
		return 1;
	run = tnic_begin_stream(handle.report, 2, 64, 10000, 32);
	sender = &handle.report->senders[TNIC_MAX_QUEUES - 1];
	sender->sent = 201;
	sender->bytes = 202;
	sender->size_min = 203;
	sender->size_max = 204;
	sender->no_mbuf = 205;
	sender->unexpected = 206;
	handle.report->auditor.state = TNIC_SIDE_STOPPED;
	handle.report->auditor.n_queues = 7;
	handle.report->auditor.tsc_hz = 2000000000;
	write_times(handle.report);
	tnic_publish_tally(&handle.report->auditors[0], run + 1, &other);
	tnic_publish_tally(&handle.report->auditors[TNIC_MAX_QUEUES - 1], run, &tally);
	tnic_close_report(&handle);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_place_is_taken_once),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(both_sides_may_create),
		cmocka_unit_test(stream_begins_anew_and_leaves_the_auditors_words),
		cmocka_unit_test(tally_comes_back_as_published),
	};

	if (argc == 2)
		return write_sample(argv[1]);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
