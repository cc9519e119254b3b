/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Frames, shapes and the audit, without DPDK. tnic_file_test.c tests the file. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tnic_audit.h"
#include "tnic_crc.h"
#include "tnic_frame.h"
#include "tnic_random.h"
#include "tnic_shape.h"

#define RUN 0x1234abcd

static const struct tnic_macs macs = { { 2, 0, 0, 0, 0, 2 }, { 2, 0, 0, 0, 0, 1 } };
static const struct tnic_stream stream = { .run = RUN, .n_queues = 2, .n_flows = 6 };

static const uint32_t some_sizes[] = { 60, 61, 64, 67, 127, 1514, 9728 };
#define N_SOME_SIZES (sizeof(some_sizes) / sizeof(some_sizes[0]))

static struct tnic_span
whole(uint8_t *frame, uint32_t size)
{
	return (struct tnic_span){ frame, size };
}

static void
build(uint8_t *frame, uint32_t size, uint32_t flow, uint64_t seq)
{
	const struct tnic_identity identity = { RUN, flow, seq, 0 };
	struct tnic_span span = whole(frame, size);

	tnic_build_frame(&identity, &macs, &span, 1);
}

static enum tnic_frame_state
check(uint8_t *frame, uint32_t size)
{
	struct tnic_span span = whole(frame, size);
	struct tnic_identity identity;

	return tnic_check_frame(&macs, &span, 1, &identity);
}

static void
crc_is_crc32c_by_both_ways(void **unused)
{
	uint8_t data[80];
	struct tnic_random random = { 1 };

	(void)unused;
	assert_int_equal(
		tnic_finish_crc(tnic_feed_crc(TNIC_CRC_START, (const uint8_t *)"123456789", 9)),
		0xe3069283);
	for (uint32_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)tnic_draw(&random);
	for (uint32_t start = 0; start < 9; start++)
		for (uint32_t size = 0; size < sizeof(data) - start; size++)
			assert_int_equal(tnic_feed_crc(start, data + start, size),
				tnic_feed_crc_portably(start, data + start, size));
}

static void
shapes_fit_and_reach_both_ends(void **unused)
{
	static const struct tnic_range sizes = { 60, 9728 }, segments = { 1, 64 };
	bool reached_size[2] = { false }, reached_segments[2] = { false };
	struct tnic_random random = { 7 };

	(void)unused;
	for (int i = 0; i < 200000; i++) {
		uint32_t room = i % 3 == 0 ? 64 : i % 3 == 1 ? 2048 : 65407, sum = 0;
		struct tnic_shape shape;

		tnic_draw_shape(&random, sizes, segments, room, &shape);
		assert_in_range(shape.size, sizes.low, sizes.high);
		assert_in_range(shape.n_segments, 1, TNIC_MAX_SEGMENTS);
		assert_true(shape.n_segments <= segments.high ||
			    shape.n_segments == (shape.size + room - 1) / room);
		for (uint32_t j = 0; j < shape.n_segments; j++) {
			assert_in_range(shape.segment[j], 1, room);
			sum += shape.segment[j];
		}
		assert_int_equal(sum, shape.size);
		for (int end = 0; end < 2; end++) {
			uint32_t size = end == 0 ? sizes.low : sizes.high;
			uint32_t n = end == 0 ? segments.low : segments.high;

			reached_size[end] = reached_size[end] || shape.size == size;
			reached_segments[end] = reached_segments[end] || shape.n_segments == n;
		}
	}
	for (int end = 0; end < 2; end++)
		assert_true(reached_size[end] && reached_segments[end]);
}

static void
frame_is_the_same_however_it_is_cut(void **unused)
{
	static const struct tnic_range sizes = { 60, 2000 }, segments = { 1, 64 };
	const struct tnic_identity identity = { RUN, 3, UINT64_C(0x123456789abcdef0), 77 };
	uint8_t plain[2000], cut[2000];
	struct tnic_span spans[TNIC_MAX_SEGMENTS], span;
	struct tnic_random random = { 3 };
	struct tnic_identity found;

	(void)unused;
	for (int i = 0; i < 3000; i++) {
		struct tnic_shape shape;
		uint32_t at = 0;

		tnic_draw_shape(&random, sizes, segments, 2000, &shape);
		for (uint32_t j = 0; j < shape.n_segments; at += shape.segment[j++])
			spans[j] = (struct tnic_span){ cut + at, shape.segment[j] };
		span = whole(plain, shape.size);
		memset(cut, 0xaa, sizeof(cut));
		tnic_build_frame(&identity, &macs, &span, 1);
		tnic_build_frame(&identity, &macs, spans, shape.n_segments);
		assert_memory_equal(plain, cut, shape.size);
		assert_int_equal(tnic_check_frame(&macs, spans, shape.n_segments, &found),
			TNIC_FRAME_INTACT);
		assert_int_equal(found.run, RUN);
		assert_int_equal(found.flow, 3);
		assert_true(found.seq == identity.seq);
		assert_true(found.sent_tsc == 77);
	}
}

static void
every_changed_byte_is_noticed(void **unused)
{
	uint8_t frame[9728];

	(void)unused;
	for (uint32_t i = 0; i < N_SOME_SIZES; i++) {
		uint32_t size = some_sizes[i], step = size > 2000 ? 7 : 1;

		build(frame, size, 1, 42);
		for (uint32_t at = 0; at < size; at += at < 100 ? 1 : step) {
			enum tnic_frame_state expected = TNIC_FRAME_CHANGED;

			if (at < 12)
				expected = TNIC_FRAME_READDRESSED;
			else if (at >= 14 && at < 18)
				expected = TNIC_FRAME_FOREIGN;
			for (int bit = 0; bit < 8; bit++) {
				frame[at] ^= (uint8_t)(1 << bit);
				assert_int_equal(check(frame, size), expected);
				frame[at] ^= (uint8_t)(1 << bit);
			}
		}
		assert_int_equal(check(frame, size), TNIC_FRAME_INTACT);
	}
}

static void
every_other_length_is_noticed(void **unused)
{
	uint8_t frame[9729];

	(void)unused;
	for (uint32_t i = 0; i < N_SOME_SIZES; i++) {
		build(frame, some_sizes[i], 1, 42);
		for (uint32_t size = 0; size < some_sizes[i]; size++)
			assert_int_equal(check(frame, size),
				size < 18 ? TNIC_FRAME_FOREIGN : TNIC_FRAME_CHANGED);
		frame[some_sizes[i]] = 0;
		assert_int_equal(check(frame, some_sizes[i] + 1), TNIC_FRAME_CHANGED);
	}
}

static void
each_frame_has_its_own_pattern(void **unused)
{
	static const struct tnic_identity others[] = { { RUN, 1, 43, 0 }, { RUN, 2, 42, 0 },
		{ RUN + 1, 1, 42, 0 } };
	uint8_t frame[1514], other[1514];
	struct tnic_span span = whole(other, sizeof(other));

	(void)unused;
	build(frame, sizeof(frame), 1, 42);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		tnic_build_frame(&others[i], &macs, &span, 1);
		assert_memory_not_equal(frame + 52, other + 52, 8);
		assert_memory_not_equal(frame + 1500, other + 1500, 14);
	}
}

/** Set the checksum of a frame that was changed on purpose. */
static void
seal(uint8_t *frame, uint32_t size)
{
	uint32_t crc;

	memset(frame + 38, 0, sizeof(crc));
	crc = tnic_finish_crc(tnic_feed_crc(TNIC_CRC_START, frame + 12, size - 12));
	memcpy(frame + 38, &crc, sizeof(crc));
}

static void
right_checksum_excuses_nothing_else(void **unused)
{
	static const uint32_t changes[] = { 26, 52,
		63 }; /* length, first and last of the pattern */
	uint8_t frame[9729];

	(void)unused;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		build(frame, 64, 1, 42);
		frame[changes[i]] ^= 1;
		seal(frame, 64);
		assert_int_equal(check(frame, 64), TNIC_FRAME_CHANGED);
		frame[changes[i]] ^= 1;
		seal(frame, 64);
		assert_int_equal(check(frame, 64), TNIC_FRAME_INTACT);
	}
	/* Whole in themselves, but of a length that nobody sends. */
	build(frame, 59, 1, 42);
	assert_int_equal(check(frame, 59), TNIC_FRAME_CHANGED);
	build(frame, 9729, 1, 42);
	assert_int_equal(check(frame, 9729), TNIC_FRAME_CHANGED);
}

static void
start(struct tnic_audit *audit)
{
	assert_int_equal(tnic_init_audit(audit, 1, &macs), 0);
	tnic_start_audit(audit, &stream);
}

/** Let frame `seq` of a flow come. */
static enum tnic_arrival
arrive(struct tnic_audit *audit, uint32_t flow, uint64_t seq)
{
	uint8_t frame[60];
	struct tnic_span span = whole(frame, sizeof(frame));

	build(frame, sizeof(frame), flow, seq);
	return tnic_audit_frame(audit, &span, 1);
}

static void
assert_counts_add_up(const struct tnic_tally *tally)
{
	uint64_t sum = 0;

	for (int i = 0; i < TNIC_N_ARRIVALS; i++)
		sum += tally->arrivals[i];
	assert_true(sum == tally->received);
}

static void
clean_stream_is_clean(void **unused)
{
	struct tnic_audit audit;

	(void)unused;
	start(&audit);
	for (uint64_t seq = 0; seq < 3 * TNIC_SEEN_SEQS; seq++)
		for (uint32_t flow = 1; flow < 6; flow += 2)
			assert_int_equal(arrive(&audit, flow, seq), TNIC_GOOD);
	assert_true(audit.tally.received == 9 * TNIC_SEEN_SEQS);
	assert_true(audit.tally.acknowledged == 9 * TNIC_SEEN_SEQS);
	assert_true(audit.tally.arrivals[TNIC_GOOD] == 9 * TNIC_SEEN_SEQS);
	assert_true(audit.tally.gaps == 0);
	assert_true(audit.tally.bytes == UINT64_C(60) * 9 * TNIC_SEEN_SEQS);
	tnic_fini_audit(&audit);
}

static void
lost_frames_are_gaps(void **unused)
{
	struct tnic_audit audit;

	(void)unused;
	start(&audit);
	/* The first of a flow, one amid, a whole ring of them. */
	assert_int_equal(arrive(&audit, 1, 1), TNIC_GOOD);
	assert_true(audit.tally.gaps == 1);
	assert_int_equal(arrive(&audit, 1, 3), TNIC_GOOD);
	assert_true(audit.tally.gaps == 2);
	assert_int_equal(arrive(&audit, 1, 4 + 3 * TNIC_SEEN_SEQS), TNIC_GOOD);
	assert_true(audit.tally.gaps == 2 + 3 * TNIC_SEEN_SEQS);
	assert_true(audit.tally.acknowledged == 3);
	assert_true(audit.tally.arrivals[TNIC_GOOD] == 3);
	tnic_fini_audit(&audit);
}

static void
late_frame_is_reordered_and_fills_its_gap(void **unused)
{
	struct tnic_audit audit;

	(void)unused;
	start(&audit);
	assert_int_equal(arrive(&audit, 1, 0), TNIC_GOOD);
	assert_int_equal(arrive(&audit, 1, 2), TNIC_GOOD);
	assert_int_equal(arrive(&audit, 3, 0), TNIC_GOOD); /* flows don't order each other */
	assert_int_equal(arrive(&audit, 1, 1), TNIC_REORDERED);
	assert_int_equal(arrive(&audit, 1, 3), TNIC_GOOD);
	assert_true(audit.tally.gaps == 0);
	assert_true(audit.tally.acknowledged == 5);
	tnic_fini_audit(&audit);
}

static void
doubled_frame_acknowledges_once(void **unused)
{
	struct tnic_audit audit;

	(void)unused;
	start(&audit);
	assert_int_equal(arrive(&audit, 1, 0), TNIC_GOOD);
	assert_int_equal(arrive(&audit, 1, 0), TNIC_DOUBLED);
	assert_int_equal(arrive(&audit, 1, 2), TNIC_GOOD);
	assert_int_equal(arrive(&audit, 1, 1), TNIC_REORDERED);
	assert_int_equal(arrive(&audit, 1, 1), TNIC_DOUBLED);
	assert_int_equal(arrive(&audit, 1, 2), TNIC_DOUBLED);
	assert_true(audit.tally.acknowledged == 3);
	assert_true(audit.tally.arrivals[TNIC_DOUBLED] == 3);
	tnic_fini_audit(&audit);
}

static void
frame_behind_the_ring_is_stale(void **unused)
{
	struct tnic_audit audit;

	(void)unused;
	start(&audit);
	arrive(&audit, 1, 0);
	arrive(&audit, 1, TNIC_SEEN_SEQS + 1); /* the ring: 2 to SEEN + 1 */
	assert_int_equal(arrive(&audit, 1, 0), TNIC_STALE);
	assert_int_equal(arrive(&audit, 1, 1), TNIC_STALE);
	assert_int_equal(arrive(&audit, 1, 2), TNIC_REORDERED);
	assert_int_equal(arrive(&audit, 1, 2), TNIC_DOUBLED);
	assert_true(audit.tally.acknowledged == 3);
	assert_true(audit.tally.gaps == TNIC_SEEN_SEQS - 1);
	tnic_fini_audit(&audit);
}

/** A storm of losses, doubles and delays against a list of what has come. */
static void
random_storm_agrees_with_a_plain_list(void **unused)
{
	enum { N = 40000 };
	uint8_t *has_come = calloc(N + 1, 1);
	struct tnic_random random = { 99 };
	struct tnic_audit audit;
	uint64_t next = 0, unique = 0;

	(void)unused;
	assert_non_null(has_come);
	start(&audit);
	while (next < N) {
		uint32_t dice = tnic_draw_from(&random, (struct tnic_range){ 0, 9 });
		uint32_t back = tnic_draw_from(
			&random, (struct tnic_range){ 1, dice == 0 ? TNIC_SEEN_SEQS + 9 : 40 });
		uint64_t seq = dice < 4 && next > back ? next - back : next + (dice == 9);
		enum tnic_arrival expected = TNIC_GOOD;

		if (seq + TNIC_SEEN_SEQS < next)
			expected = TNIC_STALE;
		else if (has_come[seq])
			expected = TNIC_DOUBLED;
		else if (seq < next)
			expected = TNIC_REORDERED;
		assert_int_equal(arrive(&audit, 5, seq), expected);
		unique += expected == TNIC_GOOD || expected == TNIC_REORDERED;
		if (expected != TNIC_STALE)
			has_come[seq] = 1;
		next = seq >= next ? seq + 1 : next;
		assert_true(audit.tally.acknowledged == unique);
		assert_true(audit.tally.gaps == next - unique);
	}
	for (int i = TNIC_GOOD; i <= TNIC_STALE; i++)
		assert_true(audit.tally.arrivals[i] > 0);
	assert_counts_add_up(&audit.tally);
	free(has_come);
	tnic_fini_audit(&audit);
}

static void
strangers_are_foreign(void **unused)
{
	struct tnic_identity other_run = { RUN + 1, 1, 0, 0 };
	struct tnic_audit audit;
	uint8_t frame[60] = { 0 };
	struct tnic_span span = whole(frame, sizeof(frame));

	(void)unused;
	start(&audit);
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_FOREIGN);
	assert_int_equal(tnic_audit_frame(&audit, &span, 0), TNIC_FOREIGN);
	tnic_build_frame(&other_run, &macs, &span, 1);
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_FOREIGN);
	assert_int_equal(arrive(&audit, 7, 0), TNIC_FOREIGN); /* queue 1, but no such flow */
	assert_true(audit.tally.acknowledged == 0 && audit.tally.gaps == 0);
	assert_true(audit.tally.received == 4 && audit.tally.size_min == 0);
	/* An audit that follows no stream knows nobody, whatever run a frame says. */
	tnic_start_audit(&audit, &(struct tnic_stream){ .run = 0, .n_queues = 2, .n_flows = 6 });
	other_run.run = 0;
	tnic_build_frame(&other_run, &macs, &span, 1);
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_FOREIGN);
	tnic_fini_audit(&audit);
}

static void
frame_on_another_queue_is_misplaced(void **unused)
{
	struct tnic_audit audit;

	(void)unused;
	start(&audit);
	assert_int_equal(arrive(&audit, 0, 0), TNIC_MISPLACED);
	assert_int_equal(arrive(&audit, 4, 9), TNIC_MISPLACED);
	assert_true(audit.tally.acknowledged == 0 && audit.tally.gaps == 0);
	tnic_fini_audit(&audit);
}

static void
changed_frame_acknowledges_only_if_its_number_is_sure(void **unused)
{
	struct tnic_audit audit;
	uint8_t frame[100];
	struct tnic_span span = whole(frame, sizeof(frame));

	(void)unused;
	start(&audit);
	build(frame, sizeof(frame), 1, 0);
	frame[99] ^= 1;
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_CHANGED);
	assert_true(audit.tally.acknowledged == 0);
	frame[99] ^= 1;
	frame[0] ^= 1; /* another destination: all else is sure */
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_CHANGED);
	assert_true(audit.tally.acknowledged == 1);
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_CHANGED);
	assert_true(audit.tally.acknowledged == 1);
	assert_int_equal(arrive(&audit, 1, 0), TNIC_DOUBLED);
	assert_true(audit.tally.gaps == 0);
	tnic_fini_audit(&audit);
}

static void
first_copies_are_timed_and_no_others(void **unused)
{
	struct tnic_identity identity = { RUN, 1, 0, 1000 };
	struct tnic_times times = { { 0 } };
	struct tnic_audit audit;
	uint8_t frame[60];
	struct tnic_span span = whole(frame, sizeof(frame));

	(void)unused;
	start(&audit);
	audit.times = &times;
	audit.now_tsc = 1009;
	tnic_build_frame(&identity, &macs, &span, 1);
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_GOOD);
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_DOUBLED);
	identity.seq = 1;
	tnic_build_frame(&identity, &macs, &span, 1);
	frame[44] ^= 1; /* the time itself */
	assert_int_equal(tnic_audit_frame(&audit, &span, 1), TNIC_CHANGED);
	assert_int_equal(arrive(&audit, 0, 0), TNIC_MISPLACED);
	for (uint32_t i = 0; i < TNIC_N_TIMES; i++)
		assert_true(times.counts[i] == (i == 9));
	tnic_fini_audit(&audit);
}

static void
malformed_is_counted(void **unused)
{
	struct tnic_audit audit;

	(void)unused;
	start(&audit);
	tnic_audit_malformed(&audit, 77);
	assert_true(audit.tally.arrivals[TNIC_MALFORMED] == 1);
	assert_true(audit.tally.received == 1 && audit.tally.bytes == 77);
	assert_true(audit.tally.size_min == 77 && audit.tally.size_max == 77);
	tnic_fini_audit(&audit);
}

static void
new_stream_starts_from_zero(void **unused)
{
	const struct tnic_stream wider = { .run = RUN, .n_queues = 1, .n_flows = TNIC_MAX_FLOWS };
	struct tnic_audit audit;

	(void)unused;
	assert_int_equal(tnic_init_audit(&audit, 0, &macs), 0);
	tnic_start_audit(&audit, &wider);
	assert_int_equal(arrive(&audit, TNIC_MAX_FLOWS - 1, 5), TNIC_GOOD);
	for (uint64_t seq = 0; seq < 100; seq++)
		arrive(&audit, 2, seq);
	tnic_start_audit(&audit, &stream);
	assert_true(audit.tally.received == 0 && audit.tally.acknowledged == 0);
	assert_int_equal(arrive(&audit, 4, 50), TNIC_GOOD); /* entry 2, as flow 2 was before */
	assert_true(audit.tally.gaps == 50);
	assert_int_equal(arrive(&audit, 4, 20), TNIC_REORDERED);
	tnic_start_audit(&audit, &wider);
	assert_int_equal(arrive(&audit, TNIC_MAX_FLOWS - 1, 0), TNIC_GOOD);
	tnic_fini_audit(&audit);
}

static void
joined_stream_goes_on_from_the_tally(void **unused)
{
	const struct tnic_tally tally = { .acknowledged = 1000, .gaps = 3, .received = 1000 };
	struct tnic_audit audit;

	(void)unused;
	assert_int_equal(tnic_init_audit(&audit, 1, &macs), 0);
	tnic_join_audit(&audit, &stream, &tally);
	assert_int_equal(arrive(&audit, 1, 500), TNIC_GOOD);
	assert_int_equal(arrive(&audit, 1, 502), TNIC_GOOD);
	assert_int_equal(arrive(&audit, 1, 499), TNIC_STALE);
	assert_int_equal(arrive(&audit, 1, 501), TNIC_REORDERED);
	assert_int_equal(arrive(&audit, 1, 500), TNIC_DOUBLED);
	assert_true(audit.tally.acknowledged == 1003);
	assert_true(audit.tally.gaps == 3);
	tnic_fini_audit(&audit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_is_crc32c_by_both_ways),
		cmocka_unit_test(shapes_fit_and_reach_both_ends),
		cmocka_unit_test(frame_is_the_same_however_it_is_cut),
		cmocka_unit_test(every_changed_byte_is_noticed),
		cmocka_unit_test(every_other_length_is_noticed),
		cmocka_unit_test(each_frame_has_its_own_pattern),
		cmocka_unit_test(right_checksum_excuses_nothing_else),
		cmocka_unit_test(clean_stream_is_clean),
		cmocka_unit_test(lost_frames_are_gaps),
		cmocka_unit_test(late_frame_is_reordered_and_fills_its_gap),
		cmocka_unit_test(doubled_frame_acknowledges_once),
		cmocka_unit_test(frame_behind_the_ring_is_stale),
		cmocka_unit_test(random_storm_agrees_with_a_plain_list),
		cmocka_unit_test(strangers_are_foreign),
		cmocka_unit_test(frame_on_another_queue_is_misplaced),
		cmocka_unit_test(changed_frame_acknowledges_only_if_its_number_is_sure),
		cmocka_unit_test(first_copies_are_timed_and_no_others),
		cmocka_unit_test(malformed_is_counted),
		cmocka_unit_test(new_stream_starts_from_zero),
		cmocka_unit_test(joined_stream_goes_on_from_the_tally),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
