/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert((TNIC_SEEN_SEQS & (TNIC_SEEN_SEQS - 1)) == 0, "a ring's size is a power of two");

int
tnic_init_audit(struct tnic_audit *audit, uint32_t queue_idx, const struct tnic_macs *macs)
{
	/* Pages of flows that never come are never touched. */
	struct tnic_flow *flows = calloc(TNIC_MAX_FLOWS, sizeof(*flows));

	if (flows == NULL)
		return -ENOMEM;
	*audit = (struct tnic_audit){ .macs = *macs, .queue_idx = queue_idx, .flows = flows };
	return 0;
}

void
tnic_fini_audit(struct tnic_audit *audit)
{
	free(audit->flows);
	audit->flows = NULL;
}

/** Forget the flows. @param is_joined  they start at number 0, not where they are found */
static void
reset_flows(struct tnic_audit *audit, const struct tnic_stream *stream, bool is_joined)
{
	for (uint32_t i = 0; i < stream->n_flows; i++) {
		audit->flows[i].base_seq = 0;
		audit->flows[i].next_seq = 0;
		audit->flows[i].is_joined = is_joined;
	}
	audit->stream = *stream;
}

void
tnic_start_audit(struct tnic_audit *audit, const struct tnic_stream *stream)
{
	reset_flows(audit, stream, true);
	audit->tally = (struct tnic_tally){ .received = 0 };
}

void
tnic_join_audit(
	struct tnic_audit *audit, const struct tnic_stream *stream, const struct tnic_tally *tally)
{
	reset_flows(audit, stream, false);
	audit->tally = *tally;
}

static uint64_t
get_base(const struct tnic_flow *flow)
{
	uint64_t oldest = flow->next_seq > TNIC_SEEN_SEQS ? flow->next_seq - TNIC_SEEN_SEQS : 0;

	return oldest > flow->base_seq ? oldest : flow->base_seq;
}

static uint64_t *
get_seen_word(struct tnic_flow *flow, uint64_t seq)
{
	return &flow->seen[seq % TNIC_SEEN_SEQS / 64];
}

static uint64_t
get_seen_mask(uint64_t seq)
{
	return UINT64_C(1) << seq % 64;
}

/** Let the ring end behind seq, which has come; those skipped have not. */
static void
advance_to(struct tnic_flow *flow, uint64_t seq)
{
	if (seq - flow->next_seq >= TNIC_SEEN_SEQS) {
		memset(flow->seen, 0, sizeof(flow->seen));
	} else {
		for (uint64_t skipped = flow->next_seq; skipped < seq; skipped++)
			*get_seen_word(flow, skipped) &= ~get_seen_mask(skipped);
	}
	*get_seen_word(flow, seq) |= get_seen_mask(seq);
	flow->next_seq = seq + 1;
}

static enum tnic_arrival
judge_seq(struct tnic_flow *flow, uint64_t seq, struct tnic_tally *tally)
{
	if (!flow->is_joined) {
		flow->base_seq = seq;
		flow->next_seq = seq;
		flow->is_joined = true;
	}
	if (seq >= flow->next_seq) {
		tally->gaps += seq - flow->next_seq;
		advance_to(flow, seq);
		return TNIC_GOOD;
	}
	if (seq < get_base(flow))
		return TNIC_STALE;
	if ((*get_seen_word(flow, seq) & get_seen_mask(seq)) != 0)
		return TNIC_DOUBLED;
	*get_seen_word(flow, seq) |= get_seen_mask(seq);
	tally->gaps--;
	return TNIC_REORDERED;
}

static enum tnic_arrival
judge_frame(struct tnic_audit *audit, const struct tnic_span *spans, uint32_t n_spans)
{
	const struct tnic_stream *stream = &audit->stream;
	struct tnic_identity identity;
	enum tnic_frame_state state = tnic_check_frame(&audit->macs, spans, n_spans, &identity);
	enum tnic_arrival arrival;

	if (state == TNIC_FRAME_FOREIGN)
		return TNIC_FOREIGN;
	if (state == TNIC_FRAME_CHANGED)
		return TNIC_CHANGED;
	if (stream->run == 0 || identity.run != stream->run || identity.flow >= stream->n_flows)
		return TNIC_FOREIGN;
	if (identity.flow % stream->n_queues != audit->queue_idx)
		return TNIC_MISPLACED;
	arrival = judge_seq(
		&audit->flows[identity.flow / stream->n_queues], identity.seq, &audit->tally);
	if (arrival == TNIC_GOOD || arrival == TNIC_REORDERED) {
		audit->tally.acknowledged++;
		if (audit->times != NULL)
			tnic_count_time(audit->times, identity.sent_tsc, audit->now_tsc);
	}
	return state == TNIC_FRAME_READDRESSED ? TNIC_CHANGED : arrival;
}

static void
count_arrival(struct tnic_tally *tally, enum tnic_arrival arrival, uint64_t size)
{
	if (tally->received == 0 || size < tally->size_min)
		tally->size_min = size;
	if (size > tally->size_max)
		tally->size_max = size;
	tally->received++;
	tally->bytes += size;
	tally->arrivals[arrival]++;
}

enum tnic_arrival
tnic_audit_frame(struct tnic_audit *audit, const struct tnic_span *spans, uint32_t n_spans)
{
	enum tnic_arrival arrival = judge_frame(audit, spans, n_spans);
	uint64_t size = 0;

	for (uint32_t i = 0; i < n_spans; i++)
		size += spans[i].size;
	count_arrival(&audit->tally, arrival, size);
	return arrival;
}

void
tnic_audit_malformed(struct tnic_audit *audit, uint64_t size)
{
	count_arrival(&audit->tally, TNIC_MALFORMED, size);
}
