/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The file that the sending and the auditing port share, and that tests read.
 *
 * Theory of operation
 *
 * The file is mapped by both ports, which may be in two processes. It has a fixed size and layout
 * (little endian; tnic_report.py reads it). Every word has one writer:
 *
 *   line of the file      each that finds it without magic; all write the same, the magic last
 *   line of the stream    the sending port's control thread
 *   line of the auditor   the auditing port's control thread
 *   sender block q        first line: the thread that receives from queue q of the sending port;
 *                         second line: the one that transmits into it (what nobody expected there)
 *   auditor block q       the thread that transmits into queue q of the auditing port
 *   times q               the same
 *
 * That there is but one sending and one auditing port is ensured by locks on the file's first
 * bytes, which the kernel drops when the last descriptor of the opening is closed, crashes
 * included.
 *
 * A stream begins when the sender stores a new `run`, after it has stored 0 there and zeroed its
 * blocks. An auditor's block belongs to the run that it names: whoever finds another one there
 * takes all the block's counts for 0. The auditor stores a new run there after it has zeroed the
 * counts. So neither side ever writes the other's words, in whatever order they start and die.
 *
 * The window: the sender of queue q keeps sent - acknowledged at `window` or below, where
 * `acknowledged` is the auditor's block q.
 */

#ifndef TNIC_REPORT_H
#define TNIC_REPORT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tnic_audit.h"
#include "tnic_reason.h"

#define TNIC_REPORT_MAGIC   UINT64_C(0x74726f7065526e74) /* "tnReport" */
#define TNIC_REPORT_VERSION 2

enum tnic_side_state {
	TNIC_SIDE_ABSENT,
	TNIC_SIDE_RUNNING,
	TNIC_SIDE_STOPPED,
};

struct tnic_report_file_line {
	_Atomic uint64_t magic;
	uint32_t version;
	uint32_t file_bytes;
	uint32_t n_blocks; /* of either kind */
	uint32_t sender_offset;
	uint32_t sender_bytes; /* of one block */
	uint32_t auditor_offset;
	uint32_t auditor_bytes;
	uint32_t n_arrivals; /* in an auditor block */
	uint32_t times_offset;
	uint32_t n_times; /* in each auditor's histogram */
	uint8_t unused[16];
};

struct tnic_report_stream_line {
	_Atomic uint32_t run; /* 0: none, the rest of the line means nothing */
	_Atomic uint32_t state;
	_Atomic uint32_t n_queues;
	_Atomic uint32_t n_flows;
	_Atomic uint64_t frames; /* to be sent in all; 0 endless */
	_Atomic uint32_t window; /* per queue; 0 none */
	uint8_t unused[36];
};

struct tnic_report_auditor_line {
	_Atomic uint32_t state;
	_Atomic uint32_t n_queues;
	_Atomic uint64_t tsc_hz; /* of the clock of the histograms */
	uint8_t unused[48];
};

struct tnic_sender_block {
	_Atomic uint64_t sent; /* frames */
	_Atomic uint64_t bytes;
	_Atomic uint64_t size_min; /* 0 before the first */
	_Atomic uint64_t size_max;
	_Atomic uint64_t no_mbuf; /* bursts cut short by an empty pool; a ring's failed refills */
	uint8_t unused1[24];
	_Atomic uint64_t unexpected; /* frames transmitted into a port that only sends */
	_Atomic uint64_t unexpected_bytes;
	uint8_t unused2[48];
};

/** struct tnic_tally, and the run that it is about. */
struct tnic_auditor_block {
	_Atomic uint32_t run;
	uint32_t unused1;
	_Atomic uint64_t acknowledged;
	uint8_t unused2[48];
	_Atomic uint64_t gaps;
	_Atomic uint64_t received;
	_Atomic uint64_t bytes;
	_Atomic uint64_t size_min;
	_Atomic uint64_t size_max;
	_Atomic uint64_t arrivals[TNIC_N_ARRIVALS];
	uint8_t unused3[88];
};

struct tnic_report {
	struct tnic_report_file_line file;
	struct tnic_report_stream_line stream;
	struct tnic_report_auditor_line auditor;
	uint8_t unused[64];
	struct tnic_sender_block senders[TNIC_MAX_QUEUES];
	struct tnic_auditor_block auditors[TNIC_MAX_QUEUES];
	struct tnic_times times[TNIC_MAX_QUEUES]; /* auditors', of the run in their block */
};

static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words of the file are lock-free");
static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic uint32_t) == 4, "file format");
static_assert(offsetof(struct tnic_report, stream) == 64, "file format");
static_assert(offsetof(struct tnic_report, auditor) == 128, "file format");
static_assert(offsetof(struct tnic_report, senders) == 256, "file format");
static_assert(offsetof(struct tnic_report, auditors) == 256 + 16 * 128, "file format");
static_assert(offsetof(struct tnic_report, times) == 256 + 16 * 128 + 16 * 256, "file format");
static_assert(sizeof(struct tnic_times) == 592 * 8, "file format");
static_assert(sizeof(struct tnic_report) == 256 + 16 * (128 + 256 + 592 * 8), "file format");
static_assert(offsetof(struct tnic_report_auditor_line, tsc_hz) == 8, "file format");
static_assert(offsetof(struct tnic_report_stream_line, frames) == 16, "file format");
static_assert(offsetof(struct tnic_sender_block, unexpected) == 64, "file format");
static_assert(sizeof(struct tnic_sender_block) == 128, "file format");
static_assert(offsetof(struct tnic_auditor_block, gaps) == 64, "file format");
static_assert(offsetof(struct tnic_auditor_block, arrivals) == 104, "file format");
static_assert(sizeof(struct tnic_auditor_block) == 256, "file format");

/** A mapped file. Zero bytes with fd -1: a closed one. */
struct tnic_report_handle {
	struct tnic_report *report;
	int fd; /* holds the locks */
};

/**
 * Open the file, create it if need be, and take the place of the sender, the auditor or both.
 *
 * @param path    a regular file, or nothing yet
 * @param reason  set on failure
 * @return 0; negative errno: -EBUSY a place is taken, -EINVAL not a report, ENOMEM, open(2)'s
 *
 * Context: control thread. Two at once may create the file: all that each does is the same.
 */
int tnic_open_report(const char *path, bool sends, bool audits,
	struct tnic_report_handle *ret_handle, struct tnic_reason *reason);

/** Unmap, and leave the places. A closed one is welcome. */
void tnic_close_report(struct tnic_report_handle *handle);

/**
 * Begin a stream: a new run id, the senders' blocks at zero.
 *
 * @param frames, window  see the line of the stream
 * @return the run id; not 0
 *
 * Context: the sending port's control thread, while nobody receives from it or transmits into it.
 */
uint32_t tnic_begin_stream(struct tnic_report *report, uint32_t n_queues, uint32_t n_flows,
	uint64_t frames, uint32_t window);

/** What stream there is; run 0 if none or just changing. Context: any. */
struct tnic_stream tnic_read_stream(const struct tnic_report *report);

/** Copy a tally into the auditor's block. Context: the block's writer, after each burst. */
void tnic_publish_tally(
	struct tnic_auditor_block *block, uint32_t run, const struct tnic_tally *tally);

/** Copy the block's counts out. Context: the block's writer. */
void tnic_read_tally(const struct tnic_auditor_block *block, struct tnic_tally *ret_tally);

/** Add to a word that only the caller writes. */
static inline void
tnic_add_to_word(_Atomic uint64_t *word, uint64_t n)
{
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);

	atomic_store_explicit(word, old + n, memory_order_relaxed);
}

#endif
