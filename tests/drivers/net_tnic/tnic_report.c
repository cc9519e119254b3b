/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_report.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_BYTES ((uint32_t)sizeof(struct tnic_report))

/** Bytes of the file on which locks are held; what is in them doesn't matter. */
enum place {
	PLACE_SENDER,
	PLACE_AUDITOR,
};

/** A lock of the open file description: two openings in one process exclude each other, too. */
static int
take_place(int fd, enum place place, const char *path, struct tnic_reason *reason)
{
	const char *does = place == PLACE_SENDER ? "sends" : "audits";
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)place, .l_len = 1
	};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return tnic_refuse(reason, EBUSY,
			"file=%.300s: another live port already %s with this file; "
			"detach it, or name another file",
			path, does);
	return tnic_refuse(reason, errno,
		"file=%.300s: can't be locked (%s); name a file on a local file system", path,
		strerror(errno));
}

static void
write_file_line(struct tnic_report_file_line *line)
{
	line->version = TNIC_REPORT_VERSION;
	line->file_bytes = REPORT_BYTES;
	line->n_blocks = TNIC_MAX_QUEUES;
	line->sender_offset = offsetof(struct tnic_report, senders);
	line->sender_bytes = sizeof(struct tnic_sender_block);
	line->auditor_offset = offsetof(struct tnic_report, auditors);
	line->auditor_bytes = sizeof(struct tnic_auditor_block);
	line->n_arrivals = TNIC_N_ARRIVALS;
	line->times_offset = offsetof(struct tnic_report, times);
	line->n_times = TNIC_N_TIMES;
	/* Release: a reader without lock that sees the magic sees the rest of the line. */
	atomic_store_explicit(&line->magic, TNIC_REPORT_MAGIC, memory_order_release);
}

static bool
check_file_line(const struct tnic_report_file_line *line)
{
	return atomic_load_explicit(&line->magic, memory_order_acquire) == TNIC_REPORT_MAGIC &&
	       line->version == TNIC_REPORT_VERSION && line->file_bytes == REPORT_BYTES &&
	       line->n_blocks == TNIC_MAX_QUEUES && line->n_arrivals == TNIC_N_ARRIVALS &&
	       line->n_times == TNIC_N_TIMES;
}

/** Give an empty file its size; say no to anything but an empty file or one of that size. */
static int
check_size(int fd, const char *path, struct tnic_reason *reason)
{
	struct stat stat;

	if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
		return tnic_refuse(reason, EINVAL,
			"file=%.300s: not a regular file; name one, or a path where none is yet",
			path);
	if (stat.st_size == 0 && ftruncate(fd, REPORT_BYTES) != 0)
		return tnic_refuse(reason, errno, "file=%.300s: can't be made %u bytes long (%s)",
			path, REPORT_BYTES, strerror(errno));
	if (stat.st_size != 0 && stat.st_size != REPORT_BYTES)
		return tnic_refuse(reason, EINVAL,
			"file=%.300s: something else than a tnic report of version %u is there; "
			"remove it, or name another path",
			path, TNIC_REPORT_VERSION);
	return 0;
}

/** Map the file; write its first line if nobody has. */
static int
map_report(int fd, const char *path, struct tnic_report **ret_report, struct tnic_reason *reason)
{
	struct tnic_report *report;
	int ret = check_size(fd, path, reason);

	if (ret != 0)
		return ret;
	report = mmap(NULL, REPORT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (report == MAP_FAILED)
		return tnic_refuse(
			reason, errno, "file=%.300s: can't be mapped (%s)", path, strerror(errno));
	if (atomic_load_explicit(&report->file.magic, memory_order_relaxed) == 0)
		write_file_line(&report->file);
	if (!check_file_line(&report->file)) {
		munmap(report, REPORT_BYTES);
		return tnic_refuse(reason, EINVAL,
			"file=%.300s: something else than a tnic report of version %u is there; "
			"remove it, or name another path",
			path, TNIC_REPORT_VERSION);
	}
	*ret_report = report;
	return 0;
}

int
tnic_open_report(const char *path, bool sends, bool audits, struct tnic_report_handle *ret_handle,
	struct tnic_reason *reason)
{
	struct tnic_report_handle handle = { NULL, -1 };
	int ret = 0;

	handle.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
	if (handle.fd < 0)
		return tnic_refuse(reason, errno,
			"file=%.300s: can't be opened (%s); name a file in an existing folder that "
			"this user may write",
			path, strerror(errno));
	if (sends)
		ret = take_place(handle.fd, PLACE_SENDER, path, reason);
	if (ret == 0 && audits)
		ret = take_place(handle.fd, PLACE_AUDITOR, path, reason);
	if (ret == 0)
		ret = map_report(handle.fd, path, &handle.report, reason);
	if (ret == 0)
		*ret_handle = handle;
	else
		tnic_close_report(&handle);
	return ret;
}

void
tnic_close_report(struct tnic_report_handle *handle)
{
	if (handle->report != NULL)
		munmap(handle->report, REPORT_BYTES);
	if (handle->fd >= 0)
		close(handle->fd);
	*handle = (struct tnic_report_handle){ NULL, -1 };
}

/** A run id that neither the last run nor, very likely, any other ever had. */
static uint32_t
choose_run(uint32_t last)
{
	uint32_t run = 0;

	if (getrandom(&run, sizeof(run), GRND_NONBLOCK) != sizeof(run))
		run = last + 1;
	while (run == 0 || run == last)
		run++;
	return run;
}

static void
clear_sender(struct tnic_sender_block *block)
{
	atomic_store_explicit(&block->sent, 0, memory_order_relaxed);
	atomic_store_explicit(&block->bytes, 0, memory_order_relaxed);
	atomic_store_explicit(&block->size_min, 0, memory_order_relaxed);
	atomic_store_explicit(&block->size_max, 0, memory_order_relaxed);
	atomic_store_explicit(&block->no_mbuf, 0, memory_order_relaxed);
	atomic_store_explicit(&block->unexpected, 0, memory_order_relaxed);
	atomic_store_explicit(&block->unexpected_bytes, 0, memory_order_relaxed);
}

uint32_t
tnic_begin_stream(struct tnic_report *report, uint32_t n_queues, uint32_t n_flows, uint64_t frames,
	uint32_t window)
{
	struct tnic_report_stream_line *line = &report->stream;
	uint32_t run = choose_run(atomic_load_explicit(&line->run, memory_order_relaxed));

	/* Before the stores below, as tnic_read_stream() needs it. */
	atomic_store_explicit(&line->run, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (uint32_t i = 0; i < TNIC_MAX_QUEUES; i++)
		clear_sender(&report->senders[i]);
	atomic_store_explicit(&line->n_queues, n_queues, memory_order_relaxed);
	atomic_store_explicit(&line->n_flows, n_flows, memory_order_relaxed);
	atomic_store_explicit(&line->frames, frames, memory_order_relaxed);
	atomic_store_explicit(&line->window, window, memory_order_relaxed);
	atomic_store_explicit(&line->state, TNIC_SIDE_RUNNING, memory_order_relaxed);
	/* Release: after the stores above; the acquire is in tnic_read_stream(). */
	atomic_store_explicit(&line->run, run, memory_order_release);
	return run;
}

struct tnic_stream
tnic_read_stream(const struct tnic_report *report)
{
	const struct tnic_report_stream_line *line = &report->stream;
	struct tnic_stream stream;
	uint32_t again;

	stream.run = atomic_load_explicit(&line->run, memory_order_acquire);
	stream.n_queues = atomic_load_explicit(&line->n_queues, memory_order_relaxed);
	stream.n_flows = atomic_load_explicit(&line->n_flows, memory_order_relaxed);
	/* After the loads above; the other side's fence follows its store of run 0. */
	atomic_thread_fence(memory_order_acquire);
	again = atomic_load_explicit(&line->run, memory_order_relaxed);
	/* Numbers out of range come from a file that somebody wrote by hand. */
	if (again != stream.run || stream.n_queues == 0 || stream.n_queues > TNIC_MAX_QUEUES ||
		stream.n_flows > TNIC_MAX_FLOWS)
		return (struct tnic_stream){ .run = 0 };
	return stream;
}

void
tnic_publish_tally(struct tnic_auditor_block *block, uint32_t run, const struct tnic_tally *tally)
{
	atomic_store_explicit(&block->gaps, tally->gaps, memory_order_relaxed);
	atomic_store_explicit(&block->received, tally->received, memory_order_relaxed);
	atomic_store_explicit(&block->bytes, tally->bytes, memory_order_relaxed);
	atomic_store_explicit(&block->size_min, tally->size_min, memory_order_relaxed);
	atomic_store_explicit(&block->size_max, tally->size_max, memory_order_relaxed);
	for (uint32_t i = 0; i < TNIC_N_ARRIVALS; i++)
		atomic_store_explicit(
			&block->arrivals[i], tally->arrivals[i], memory_order_relaxed);
	/* Release: whoever sees a frame acknowledged sees it counted. */
	atomic_store_explicit(&block->acknowledged, tally->acknowledged, memory_order_release);
	/* Release: whoever sees the run sees its counts, not the run's before. */
	atomic_store_explicit(&block->run, run, memory_order_release);
}

void
tnic_read_tally(const struct tnic_auditor_block *block, struct tnic_tally *ret_tally)
{
	struct tnic_tally tally = {
		.acknowledged = atomic_load_explicit(&block->acknowledged, memory_order_relaxed),
		.gaps = atomic_load_explicit(&block->gaps, memory_order_relaxed),
		.received = atomic_load_explicit(&block->received, memory_order_relaxed),
		.bytes = atomic_load_explicit(&block->bytes, memory_order_relaxed),
		.size_min = atomic_load_explicit(&block->size_min, memory_order_relaxed),
		.size_max = atomic_load_explicit(&block->size_max, memory_order_relaxed),
	};

	for (uint32_t i = 0; i < TNIC_N_ARRIVALS; i++)
		tally.arrivals[i] = atomic_load_explicit(&block->arrivals[i], memory_order_relaxed);
	*ret_tally = tally;
}
