/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Chains of every shape, in the ring and in tables, legal and not. */

#include "lib/ring/packed_pair_test.h"

#include "lib/ring/packed_chain.h"

#define PLACE_MAX 6

enum {
	NONE = VDPDK_FAULT_NONE,
	FLAGS = VDPDK_FAULT_FLAGS,
	LENGTH = VDPDK_FAULT_LENGTH,
	CHAIN = VDPDK_FAULT_CHAIN
};

/** The address of a buffer's piece. */
static uint64_t
get_place(uint32_t i)
{
	return UINT64_C(0x10000) * (i + 1);
}

static uint16_t
walk(const struct pair *p, uint32_t ahead, const struct nmx_packed_desc *table, bool writable,
	struct nmx_split_chain *chain)
{
	return nmx_ring_walk_packed_chain(&p->host, get_ready(p, ahead),
		(const NMX_SHARED struct nmx_packed_desc *)table, writable, HEADER, chain);
}

/** The shape of a buffer. */
struct shape {
	uint32_t n;
	struct {
		uint32_t length;
		uint16_t flags;
	} piece[PLACE_MAX];
};

/** The buffer's descriptors in the ring, across its end. */
static uint16_t
walk_direct(const struct shape *shape, bool writable, struct nmx_split_chain *chain)
{
	struct piece pieces[PLACE_MAX];
	uint16_t fault;
	struct pair p;

	for (uint32_t i = 0; i < shape->n; i++)
		pieces[i] = (struct piece){ get_place(i), shape->piece[i].length,
			shape->piece[i].flags ^ (writable ? WRITE : 0) };
	open_pair(&p, 8, 7, writable);
	offer_packed_chain(&p.driver, 99, pieces, shape->n);
	begin_step();
	fault = fetch(&p, 1, writable);
	assert_int_equal(p.host.avail_seq - p.host.used_seq, fault == NONE ? shape->n : 0);
	/* Two words of the first, and one of each other descriptor; then both of the others. */
	assert_true(n_loads <= 1 + shape->n);
	if (fault == NONE) {
		assert_int_equal(get_ready(&p, 0)->id, 99);
		assert_int_equal(nmx_ring_get_packed_count(get_ready(&p, 0)), shape->n);
		begin_step();
		fault = walk(&p, 0, NULL, writable, chain);
		assert_true(n_loads <= 2 * (shape->n - 1));
	}
	close_pair(&p);
	return fault;
}

/** The buffer's descriptors as a table, in memory of just that size; the ring has one slot. */
static uint16_t
walk_indirect(const struct shape *shape, bool writable, struct nmx_split_chain *chain)
{
	struct nmx_packed_desc *table = calloc(shape->n, sizeof(*table));
	uint16_t fault;
	struct pair p;

	assert_true(table != NULL);
	/* In a table no flag says anything but WRITE, nor does an id. */
	for (uint32_t i = 0; i < shape->n; i++)
		table[i] = (struct nmx_packed_desc){ get_place(i),
			NMX_PACKED_W1(shape->piece[i].length, 0x5555 * i,
				(shape->piece[i].flags ^ (writable ? WRITE : 0)) |
					(i % 2 == 0 ? NEXT | USED : INDIRECT | AVAIL)) };
	open_pair(&p, 1, 0, writable);
	offer_packed(&p.driver, 99, 0x5000, shape->n * (uint32_t)sizeof(*table), INDIRECT);
	begin_step();
	assert_int_equal(fetch(&p, 1, writable), NONE);
	assert_int_equal(nmx_ring_get_packed_count(get_ready(&p, 0)), 1);
	assert_int_equal(nmx_ring_get_table(get_ready(&p, 0)).size, shape->n * sizeof(*table));
	fault = walk(&p, 0, table, writable, chain);
	assert_true(n_loads <= 2 + 2 * shape->n);
	close_pair(&p);
	free(table);
	return fault;
}

static void
buffers_of_every_shape_are_found_or_refused(void **unused)
{
	static const struct {
		struct shape shape;
		uint16_t fault;
		uint32_t n, bytes, first; /* of extents; which piece has the first */
	} row[] = {
		/* All in one; the header in front; by itself. */
		{ { 1, { { 112, 0 } } }, NONE, 1, 100, 0 },
		{ { 2, { { 112, 0 }, { 50, 0 } } }, NONE, 2, 150, 0 },
		{ { 2, { { 12, 0 }, { 50, 0 } } }, NONE, 1, 50, 1 },
		{ { 4, { { 12, 0 }, { 7, 0 }, { 5, 0 }, { 9, 0 } } }, NONE, 3, 21, 1 },
		{ { 4, { { 13, 0 }, { 1, 0 }, { 1, 0 }, { 1, 0 } } }, NONE, 4, 4, 0 },
		/* A header in two pieces, or nothing behind it. */
		{ { 2, { { 11, 0 }, { 50, 0 } } }, LENGTH, 0, 0, 0 },
		{ { 1, { { 12, 0 } } }, LENGTH, 0, 0, 0 },
		{ { 2, { { 12, 0 }, { 0, 0 } } }, LENGTH, 0, 0, 0 },
		{ { 3, { { 12, 0 }, { 5, 0 }, { 0, 0 } } }, LENGTH, 0, 0, 0 },
		/* Directions; in a table that is to be read they pass. */
		{ { 2, { { 12, WRITE }, { 5, 0 } } }, FLAGS, 1, 5, 1 },
		{ { 2, { { 12, 0 }, { 5, WRITE } } }, FLAGS, 1, 5, 1 },
	};

	(void)unused;
	for (size_t i = 0; i < 4 * sizeof(row) / sizeof(row[0]); i++) {
		const bool writable = i & 1, indirect = i & 2;
		const bool passes = row[i / 4].fault == FLAGS && indirect && !writable;
		struct nmx_split_chain chain;
		uint16_t fault = indirect ? walk_indirect(&row[i / 4].shape, writable, &chain)
					  : walk_direct(&row[i / 4].shape, writable, &chain);

		assert_int_equal(fault, passes ? NONE : row[i / 4].fault);
		if (fault != NONE)
			continue;
		assert_int_equal(chain.n, row[i / 4].n);
		assert_int_equal(chain.bytes, row[i / 4].bytes);
		assert_int_equal(chain.header, get_place(0));
		for (uint32_t e = 0; e < chain.n; e++) {
			const uint32_t place = row[i / 4].first + e;

			assert_true(chain.extents[e].writable == writable);
			assert_int_equal(chain.extents[e].address,
				get_place(place) + (place == 0 ? HEADER : 0));
		}
	}
}

static void
a_table_within_a_chain_is_refused(void **unused)
{
	static const struct shape shape = { 2, { { 12, 0 }, { 16, INDIRECT } } };
	struct nmx_split_chain chain;

	(void)unused;
	assert_int_equal(walk_direct(&shape, false, &chain), FLAGS);
}

/** A buffer of n descriptors of `length` each, in a ring of 64, fetched and walked. */
static uint16_t
walk_long(uint32_t n, uint32_t length, bool writable, struct nmx_split_chain *chain)
{
	struct piece pieces[64];
	uint16_t fault;
	struct pair p;

	for (uint32_t i = 0; i < n; i++)
		pieces[i] = (struct piece){ 0x1000, i == 0 ? HEADER : length,
			writable ? WRITE : 0 };
	open_pair(&p, 64, 50, false);
	offer_packed_chain(&p.driver, 1, pieces, n);
	fault = fetch(&p, 1, writable);
	if (fault == NONE)
		fault = walk(&p, 0, NULL, writable, chain);
	close_pair(&p);
	return fault;
}

static void
chains_and_frames_have_a_greatest_length(void **unused)
{
	struct nmx_split_chain chain;

	(void)unused;
	assert_int_equal(walk_long(1 + NMX_SPLIT_EXTENTS_MAX, 1, false, &chain), NONE);
	assert_int_equal(chain.n, NMX_SPLIT_EXTENTS_MAX);
	assert_int_equal(walk_long(2 + NMX_SPLIT_EXTENTS_MAX, 1, false, &chain), CHAIN);
	assert_int_equal(walk_long(4, 21851, false, &chain), NONE);
	assert_int_equal(chain.bytes, NMX_SPLIT_FRAME_BYTES_MAX);
	assert_int_equal(walk_long(4, 21852, false, &chain), LENGTH);
	assert_int_equal(walk_long(4, UINT32_MAX, true, &chain), NONE);
	assert_true(chain.bytes == UINT64_C(3) * UINT32_MAX);
}

static void
a_long_table_is_read_no_further_than_a_walk_finds(void **unused)
{
	struct nmx_packed_desc *table = calloc(NMX_PACKED_CHAIN_MAX + 1, sizeof(*table));
	struct nmx_split_chain chain;
	struct pair p;

	(void)unused;
	assert_true(table != NULL);
	for (uint32_t i = 0; i <= NMX_PACKED_CHAIN_MAX; i++)
		table[i].w1 = NMX_PACKED_W1(HEADER, 0, 0);
	open_pair(&p, N, 0, true);
	offer_packed(&p.driver, 1, 0, 16 * 32768, INDIRECT);
	assert_int_equal(fetch(&p, 1, false), NONE);
	begin_step();
	assert_int_equal(walk(&p, 0, table, false, &chain), CHAIN);
	assert_int_equal(n_loads, 2 * (NMX_PACKED_CHAIN_MAX + 1));
	close_pair(&p);
	free(table);
}

static void
a_chain_that_is_not_wholly_handed_over_is_a_fault(void **unused)
{
	static const struct {
		uint32_t before; /* descriptors with the device */
		uint16_t last;   /* flags of the last of four */
		uint16_t fault;
	} row[] = {
		{ 0, USED, NONE },
		{ 0, AVAIL, CHAIN },
		{ 0, AVAIL | USED, CHAIN },
		{ 0, 0, CHAIN },
		{ 0, USED | NEXT, CHAIN }, /* goes on in what isn't available */
		{ N - 4, USED, NONE },
		{ N - 4, USED | NEXT, CHAIN }, /* goes on in what the device has */
		{ N - 3, USED, CHAIN },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct pair p;

		/* The last of the four is the first of the second lap. */
		open_pair(&p, N, N - 3, true);
		p.host.used_seq = p.host.answer_seq -= row[i].before;
		for (uint32_t d = 0; d < 4; d++)
			p.driver.desc[(N - 3 + d) % N].w1 = NMX_PACKED_W1(
				100, d, d < 3 ? NEXT | AVAIL : row[i].last);
		begin_step();
		assert_int_equal(fetch(&p, 1, false), row[i].fault);
		assert_int_equal(p.host.window.fetch, row[i].fault == NONE);
		if (row[i].fault == NONE)
			assert_int_equal(get_ready(&p, 0)->id, 3);
		close_pair(&p);
	}
}

static void
a_chain_without_end_is_read_once_around(void **unused)
{
	struct pair p;

	(void)unused;
	for (uint32_t n = 1; n <= 64; n *= 2) {
		open_pair(&p, n, 0, true);
		for (uint32_t i = 0; i < n; i++)
			p.driver.desc[i].w1 = NMX_PACKED_W1(100, i, NEXT | AVAIL);
		begin_step();
		assert_int_equal(fetch(&p, n, false), CHAIN);
		assert_int_equal(
			n_loads, 1 + (n < NMX_PACKED_CHAIN_MAX ? n : NMX_PACKED_CHAIN_MAX));
		assert_int_equal(nmx_ring_count_taken(&p.host.window), 0);
		close_pair(&p);
	}
}

static void
what_was_used_when_it_was_fetched_is_not_read_again(void **unused)
{
	struct nmx_split_chain chain;
	struct packed_used used;
	struct pair p;

	(void)unused;
	open_pair(&p, N, 0, true);
	post(&p, 5, 3);
	assert_int_equal(fetch(&p, 1, true), NONE);
	/* Longer, with another id and not available; and the first altogether. */
	p.driver.desc[0] = (struct nmx_packed_desc){ 1, NMX_PACKED_W1(1, 1, 0) };
	p.driver.desc[1].w1 = NMX_PACKED_W1(64, 1, WRITE);
	p.driver.desc[2].w1 = NMX_PACKED_W1(7, 2, WRITE | NEXT);
	assert_int_equal(walk(&p, 0, NULL, true, &chain), NONE);
	assert_int_equal(chain.n, 3);
	assert_int_equal(chain.header, get_address(5));
	assert_int_equal(chain.bytes, 64 - HEADER + 64 + 7);
	complete(&p, get_ready(&p, 0), 100);
	nmx_ring_publish_packed(&p.host, 1);
	assert_true(take_packed_used(&p.driver, &used));
	assert_int_equal(used.id, 5);
	assert_int_equal(p.host.used_seq, 3);
	close_pair(&p);
}

static void
answers_become_visible_together(void **unused)
{
	static const uint16_t order[] = { 2, 0, 3, 1 };
	struct nmx_split_chain chain;
	struct packed_used used;
	struct pair p;

	(void)unused;
	for (uint32_t idx = 0; idx < 2 * N; idx++) {
		open_pair(&p, N, idx % N, idx < N);
		for (uint16_t id = 0; id < 4; id++)
			post(&p, id, 1 + id);
		assert_int_equal(fetch(&p, N, true), NONE);
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(walk(&p, i, NULL, true, &chain), NONE);
		for (uint32_t i = 0; i < 4; i++) {
			complete(&p, get_ready(&p, order[i]), 50 + i);
			assert_false(take_packed_used(&p.driver, &used));
		}
		nmx_ring_publish_packed(&p.host, 0);
		assert_false(take_packed_used(&p.driver, &used));
		nmx_ring_publish_packed(&p.host, 4);
		for (uint32_t i = 0; i < 4; i++) {
			assert_true(take_packed_used(&p.driver, &used));
			assert_int_equal(used.id, order[i]);
			assert_int_equal(used.bytes, 50 + i);
		}
		assert_false(take_packed_used(&p.driver, &used));
		assert_int_equal(nmx_ring_return_packed(&p.host), get_packed_base(&p.driver));
		close_pair(&p);
	}
}

static void
a_ring_that_stops_gives_chains_back(void **unused)
{
	struct packed_used used;
	struct pair p;

	(void)unused;
	open_pair(&p, N, N - 2, false);
	for (uint16_t id = 0; id < 3; id++)
		post(&p, id, 3 - id);
	assert_int_equal(fetch(&p, 2, true), NONE);
	/* The third was available only. */
	assert_int_equal(nmx_ring_return_packed(&p.host), NMX_PACKED_BASE(0x8003, 0x8003));
	for (uint16_t id = 0; id < 2; id++) {
		assert_true(take_packed_used(&p.driver, &used));
		assert_int_equal(used.id, id);
		assert_int_equal(used.bytes, 0);
	}
	assert_false(take_packed_used(&p.driver, &used));
	close_pair(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_of_every_shape_are_found_or_refused),
		cmocka_unit_test(a_table_within_a_chain_is_refused),
		cmocka_unit_test(chains_and_frames_have_a_greatest_length),
		cmocka_unit_test(a_long_table_is_read_no_further_than_a_walk_finds),
		cmocka_unit_test(a_chain_that_is_not_wholly_handed_over_is_a_fault),
		cmocka_unit_test(a_chain_without_end_is_read_once_around),
		cmocka_unit_test(what_was_used_when_it_was_fetched_is_not_read_again),
		cmocka_unit_test(answers_become_visible_together),
		cmocka_unit_test(a_ring_that_stops_gives_chains_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
