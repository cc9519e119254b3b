/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The audit of what arrives on one queue: each frame is judged once and counted in one class.
 *
 * Theory of operation
 *
 * A stream is one run of a sending port: `n_flows` flows, each numbered from 0 without gaps. Flow f
 * belongs to queue f modulo `n_queues`, on the sending side and here; so a queue's audit owns its
 * flows wholly and shares nothing with other queues. Frames are judged in this order; the first
 * class that fits is theirs:
 *
 *   malformed   the mbuf chain contradicts itself (found by the caller)
 *   foreign     not our format, or not of this stream
 *   changed     bytes or length wrong; or intact with wrong MAC addresses
 *   misplaced   of this stream, on another queue than its flow's
 *   stale       older than the last TNIC_SEEN_SEQS of its flow: late or doubled, nobody can tell
 *   doubled     seen before
 *   reordered   first copy, after a later one of its flow
 *   good        first copy, later than all before it
 *
 * Per flow the audit remembers of which numbers in [base, next) a first copy came, in a ring of
 * bits; bits of numbers that aren't in [base, next) mean nothing:
 *
 *        base = max(first number judged, next - TNIC_SEEN_SEQS)          next
 *          |-----------------------------------------------------------|
 *   stale   bit set: doubled       bit clear: a gap, filled if it comes   good, skipped ones gap
 *
 * The tally's `gaps` counts the clear bits and those that left the ring clear. `acknowledged`
 * counts first copies of this stream, each once: all good and reordered ones, and those that were
 * only readdressed; so does the histogram of times. A frame that was changed otherwise can't be
 * told from another, a misplaced one belongs to another thread's flow: neither acknowledges.
 */

#ifndef TNIC_AUDIT_H
#define TNIC_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "tnic_frame.h"
#include "tnic_times.h"

#define TNIC_MAX_QUEUES 16
#define TNIC_MAX_FLOWS  4096
#define TNIC_SEEN_SEQS  4096 /* 2^k */

/** The report's file has the counts in this order. */
enum tnic_arrival {
	TNIC_GOOD,
	TNIC_DOUBLED,
	TNIC_REORDERED,
	TNIC_STALE,
	TNIC_CHANGED,
	TNIC_FOREIGN,
	TNIC_MISPLACED,
	TNIC_MALFORMED,
	TNIC_N_ARRIVALS
};

/** What the sending port says of its stream. */
struct tnic_stream {
	uint32_t run; /* 0: none */
	uint32_t n_queues;
	uint32_t n_flows; /* TNIC_MAX_FLOWS or fewer */
};

struct tnic_tally {
	uint64_t acknowledged;
	uint64_t gaps;
	uint64_t received; /* frames, sum of all arrivals */
	uint64_t bytes;    /* of all of them */
	uint64_t size_min; /* bytes; 0 before the first */
	uint64_t size_max;
	uint64_t arrivals[TNIC_N_ARRIVALS];
};

struct tnic_flow {
	uint64_t base_seq; /* first number judged */
	uint64_t next_seq;
	uint64_t seen[TNIC_SEEN_SEQS / 64];
	bool is_joined;
};

/** Used by one thread at a time. */
struct tnic_audit {
	struct tnic_stream stream;
	struct tnic_macs macs; /* that frames should bear */
	uint32_t queue_idx;
	struct tnic_flow *flows; /* entry f / n_queues; TNIC_MAX_FLOWS of them */
	struct tnic_tally tally;
	struct tnic_times *times; /* not ours; NULL: none are kept */
	uint64_t now_tsc;         /* when the frames came that are being judged; the caller's */
};

/**
 * Make an audit that follows no stream: all is foreign.
 *
 * @return 0; -ENOMEM
 */
int tnic_init_audit(struct tnic_audit *audit, uint32_t queue_idx, const struct tnic_macs *macs);

/** Give the memory back. An audit of zero bytes is welcome. */
void tnic_fini_audit(struct tnic_audit *audit);

/** Follow a stream from its first frame on; the tally starts at zero. */
void tnic_start_audit(struct tnic_audit *audit, const struct tnic_stream *stream);

/**
 * Follow a stream that an earlier audit has judged so far.
 *
 * A flow is judged from the first frame on that comes; lower numbers are stale.
 *
 * @param tally  where that audit ended; counting goes on from there
 */
void tnic_join_audit(
	struct tnic_audit *audit, const struct tnic_stream *stream, const struct tnic_tally *tally);

/** Judge and count one frame. Allocates nothing, logs nothing. */
enum tnic_arrival tnic_audit_frame(
	struct tnic_audit *audit, const struct tnic_span *spans, uint32_t n_spans);

/** Count one whose chain is malformed. @param size  bytes that it claims */
void tnic_audit_malformed(struct tnic_audit *audit, uint64_t size);

#endif
