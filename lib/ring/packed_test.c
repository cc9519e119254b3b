/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "lib/ring/packed_pair_test.h"

#include "lib/ring/packed_chain.h"

static void
laps_wrap_and_each_buffer_is_answered_once(void **unused)
{
	(void)unused;
	for (uint32_t n = 1; n <= NMX_PACKED_SLOTS_MAX; n *= 2) {
		struct packed_used used;
		struct pair p;

		open_pair(&p, n, n - n / 2 - 1, n % 3 != 0);
		for (uint32_t lap = 0; lap < 5; lap++) {
			for (uint32_t i = 0; i < n; i++)
				offer_packed(&p.driver, (uint16_t)(i * 3), get_address((uint16_t)i),
					2048, WRITE);
			assert_int_equal(fetch(&p, n, true), VDPDK_FAULT_NONE);
			assert_int_equal(nmx_ring_count_taken(&p.host.window), n);
			assert_false(nmx_ring_has_packed(&p.host, 1));
			for (uint32_t i = 0; i < n; i++) {
				const struct nmx_ring_slot *slot = get_ready(&p, i);

				assert_int_equal(slot->id, (uint16_t)(i * 3));
				assert_int_equal(slot->address, get_address((uint16_t)i) + HEADER);
				assert_int_equal(slot->length, 2048 - HEADER);
				assert_false(nmx_ring_is_chain(slot));
				assert_int_equal(nmx_ring_get_packed_count(slot), 1);
				complete(&p, slot, 60 + i % 7);
			}
			assert_false(take_packed_used(&p.driver, &used));
			nmx_ring_publish_packed(&p.host, n);
			for (uint32_t i = 0; i < n; i++) {
				assert_true(take_packed_used(&p.driver, &used));
				assert_int_equal(used.id, (uint16_t)(i * 3));
				assert_int_equal(used.bytes, 60 + i % 7);
			}
			assert_false(take_packed_used(&p.driver, &used));
			/* The lap that was just used isn't available again. */
			assert_false(nmx_ring_has_packed(&p.host, 1));
		}
		close_pair(&p);
	}
}

/** What is out of a host that lends. */
struct lent {
	struct nmx_ring_slot slot[N];
	bool posted[N];
	uint32_t n_free; /* descriptors */
};

static void
answer(struct pair *p, const struct nmx_ring_slot *slot)
{
	complete(p, slot, 1);
	nmx_ring_publish_packed(&p->host, 1);
}

/** Lend the first ready buffer, or fetch one that is lent. */
static void
lend(struct pair *p, struct nmx_ring_slot *ret)
{
	struct nmx_ring_window *window = &p->host.window;

	if (nmx_ring_count_ready(window) > 0) {
		if (nmx_ring_is_chain(get_ready(p, 0)))
			return;
		*ret = *get_ready(p, 0);
		nmx_ring_lend(window, 1);
	} else if (nmx_ring_fetch_packed_lent(&p->host, HEADER, ret) && nmx_ring_is_chain(ret)) {
		nmx_ring_take_back(window, ret);
	}
}

/** Whatever was answered before: the first ready buffer's descriptors are as they were posted. */
static void
check_front(const struct pair *p)
{
	const struct nmx_ring_slot *slot = get_ready(p, 0);
	struct nmx_split_chain chain;

	assert_int_equal(nmx_ring_walk_packed_chain(&p->host, slot, NULL, true, HEADER, &chain),
		VDPDK_FAULT_NONE);
	assert_int_equal(chain.header, get_address(slot->id));
	assert_int_equal(chain.bytes, 64 * nmx_ring_get_packed_count(slot) - HEADER);
	for (uint32_t i = 1; i < chain.n; i++)
		assert_int_equal(chain.extents[i].address, get_address(slot->id) + i * 64);
}

/** One step of a host that lends, by a random number. */
static void
take_step(struct pair *p, struct lent *lent, uint32_t random)
{
	struct nmx_ring_window *window = &p->host.window;
	const uint32_t n = window->lent, i = n > 0 ? random / 5 % n : 0;
	struct nmx_ring_slot slot = lent->slot[i];

	begin_step();
	if (random % 5 == 0) {
		lend(p, &lent->slot[n]);
	} else if (random % 5 == 1) {
		assert_int_equal(fetch(p, 3, true), VDPDK_FAULT_NONE);
	} else if (random % 5 == 2) {
		if (nmx_ring_count_ready(window) == 0)
			return;
		check_front(p);
		answer(p, get_ready(p, 0));
	} else if (n > 0) {
		lent->slot[i] = lent->slot[n - 1];
		if (random % 5 == 3) {
			nmx_ring_take_back(window, &slot);
			return;
		}
		window->lent--;
		answer(p, &slot);
	}
}

/** Post and take answers, as a driver does. */
static void
take_driver_step(struct pair *p, struct lent *lent, uint32_t random)
{
	const uint16_t id = (uint16_t)(random % N);
	const uint32_t n = random / N % 4 < 2 ? 1 : random / N % 4;
	struct packed_used used;

	for (;;) {
		const uint32_t before = p->driver.used_idx;

		if (!take_packed_used(&p->driver, &used))
			break;
		assert_true(used.id < N && lent->posted[used.id]);
		lent->posted[used.id] = false;
		lent->n_free += (p->driver.used_idx - before - 1) % N + 1;
	}
	if (lent->posted[id] || n > lent->n_free)
		return;
	lent->posted[id] = true;
	lent->n_free -= n;
	post(p, id, n);
}

static void
lent_buffers_are_answered_once_in_any_order(void **unused)
{
	struct lent lent = { .n_free = N };
	uint32_t random = 1;
	struct pair p;

	(void)unused;
	open_pair(&p, N, 5, false);
	for (uint32_t step = 0; step < 100000; step++) {
		random = random * 1664525 + 1013904223;
		take_driver_step(&p, &lent, random >> 20);
		take_step(&p, &lent, random >> 8);
	}
	while (p.host.window.lent > 0) {
		struct nmx_ring_slot slot = lent.slot[p.host.window.lent - 1];

		nmx_ring_take_back(&p.host.window, &slot);
	}
	watches = false;
	assert_int_equal(fetch(&p, N, true), VDPDK_FAULT_NONE);
	assert_int_equal(nmx_ring_return_packed(&p.host), get_packed_base(&p.driver));
	take_driver_step(&p, &lent, 0);
	for (uint32_t id = 1; id < N; id++)
		assert_false(lent.posted[id]);
	assert_int_equal(lent.n_free, N - lent.posted[0]);
	close_pair(&p);
}

static void
bad_buffers_are_faults_and_are_not_fetched(void **unused)
{
	enum { NONE = VDPDK_FAULT_NONE, FLAGS = VDPDK_FAULT_FLAGS, LENGTH = VDPDK_FAULT_LENGTH };
	static const struct {
		uint32_t length;
		uint16_t flags, to_guest, from_guest;
	} row[] = {
		{ 13, 0, FLAGS, NONE },
		{ 13, WRITE, NONE, FLAGS },
		{ 13, WRITE | 0x7f78, NONE, FLAGS }, /* what no version knows */
		{ 12, WRITE, LENGTH, FLAGS },
		{ 0, 0, FLAGS, LENGTH },
		{ 65535 + 12, 0, FLAGS, NONE },
		{ 65536 + 12, 0, FLAGS, LENGTH },
		{ UINT32_MAX, 0, FLAGS, LENGTH },
		{ UINT32_MAX, WRITE, NONE, FLAGS },
		{ 16, INDIRECT, NONE, NONE },
		{ 16, INDIRECT | WRITE, NONE, NONE },
		{ 16, INDIRECT | NEXT, FLAGS, FLAGS },
		{ 0, INDIRECT, LENGTH, LENGTH },
		{ 17, INDIRECT, LENGTH, LENGTH },
		{ 16 * 32768, INDIRECT, NONE, NONE },
		{ 16 * 32769, INDIRECT, LENGTH, LENGTH },
		{ 0xfffffff0, INDIRECT, LENGTH, LENGTH },
	};

	(void)unused;
	for (size_t i = 0; i < 2 * sizeof(row) / sizeof(row[0]); i++) {
		const bool writable = i % 2 == 0;
		const uint16_t expected = writable ? row[i / 2].to_guest : row[i / 2].from_guest;
		struct pair p;

		open_pair(&p, N, N - 1, false);
		offer_packed(&p.driver, 0xffff, 0, 100, writable ? WRITE : 0);
		offer_packed(&p.driver, 7, 0, row[i / 2].length, row[i / 2].flags);
		begin_step();
		assert_int_equal(fetch(&p, N, writable), expected);
		assert_int_equal(p.host.window.fetch, 1 + (expected == NONE));
		assert_int_equal(p.host.avail_seq - p.host.used_seq, p.host.window.fetch);
		assert_int_equal(get_ready(&p, 0)->id, 0xffff);
		close_pair(&p);
	}
}

static void
flags_of_another_lap_are_not_available(void **unused)
{
	(void)unused;
	for (uint16_t lap = 0; lap < 2; lap++) {
		for (uint16_t flags = 0; flags < 4; flags++) {
			const uint16_t both = (flags & 1 ? AVAIL : 0) | (flags & 2 ? USED : 0);
			struct pair p;

			open_pair(&p, N, 3, lap == 0);
			p.driver.desc[3].w1 = NMX_PACKED_W1(100, 0, both);
			assert_int_equal(fetch(&p, N, false), VDPDK_FAULT_NONE);
			assert_int_equal(nmx_ring_count_taken(&p.host.window),
				both == (lap == 0 ? AVAIL : USED));
			close_pair(&p);
		}
	}
}

static void
a_driver_that_goes_on_after_a_lap_is_not_followed(void **unused)
{
	struct packed_used used;
	struct pair p;

	(void)unused;
	open_pair(&p, N, 3, true);
	for (uint16_t id = 0; id < N; id++)
		post(&p, id, 1);
	assert_int_equal(fetch(&p, N, true), VDPDK_FAULT_NONE);
	for (uint16_t id = 0; id < N; id++)
		post(&p, id, 1);
	begin_step();
	assert_false(nmx_ring_has_packed(&p.host, 1));
	assert_int_equal(fetch(&p, N, true), VDPDK_FAULT_NONE);
	assert_int_equal(n_loads, 0);
	assert_int_equal(nmx_ring_count_taken(&p.host.window), N);
	/* As many as are answered: the answer stands there, and then what the driver writes. */
	complete(&p, get_ready(&p, 1), 5);
	nmx_ring_publish_packed(&p.host, 1);
	assert_false(nmx_ring_has_packed(&p.host, 1));
	assert_true(take_packed_used(&p.driver, &used));
	assert_int_equal(used.id, 1);
	p.driver.desc[3].w1 = NMX_PACKED_W1(100, 77, WRITE | USED);
	begin_step();
	assert_int_equal(fetch(&p, N, true), VDPDK_FAULT_NONE);
	assert_int_equal(n_loads, 2);
	assert_int_equal(nmx_ring_count_taken(&p.host.window), N);
	assert_int_equal(get_ready(&p, N - 1)->id, 77);
	close_pair(&p);
}

static void
long_buffers_are_cut_to_what_a_frame_needs(void **unused)
{
	struct pair p;

	(void)unused;
	open_pair(&p, N, 0, true);
	offer_packed(&p.driver, 0, 0x1000, 1 << 20, WRITE);
	assert_int_equal(fetch(&p, 1, true), VDPDK_FAULT_NONE);
	assert_int_equal(get_ready(&p, 0)->length, 65535);
	close_pair(&p);
}

static void
two_words_are_read_of_a_buffer(void **unused)
{
	struct pair p;

	(void)unused;
	open_pair(&p, N, 9, true);
	for (uint16_t id = 0; id < N - 1; id++)
		post(&p, id, 1);
	begin_step();
	for (uint32_t want = 1; want < N; want++)
		assert_int_equal(fetch(&p, want, true), VDPDK_FAULT_NONE);
	assert_int_equal(n_loads, 2 * (N - 1));
	assert_int_equal(fetch(&p, N, true), VDPDK_FAULT_NONE);
	assert_int_equal(n_loads, 2 * (N - 1) + 1);
	close_pair(&p);
}

static void
lengths_are_said_of_what_was_written(void **unused)
{
	struct packed_used used;
	struct pair p;

	(void)unused;
	open_pair(&p, N, N - 1, true);
	post(&p, 1, 1);
	post(&p, 2, 1);
	assert_int_equal(fetch(&p, N, true), VDPDK_FAULT_NONE);
	complete(&p, get_ready(&p, 0), 0);
	complete(&p, get_ready(&p, 1), UINT32_MAX);
	nmx_ring_publish_packed(&p.host, 2);
	assert_true(take_packed_used(&p.driver, &used));
	assert_int_equal(used.flags, AVAIL | USED);
	assert_int_equal(used.bytes, 0);
	assert_true(take_packed_used(&p.driver, &used));
	assert_int_equal(used.flags, WRITE);
	assert_int_equal(used.bytes, UINT32_MAX);
	close_pair(&p);
}

static void
a_ring_goes_on_from_its_base(void **unused)
{
	enum { SECOND = 0, FIRST = 0x8000 };
	static const struct {
		uint16_t avail, used;
		bool is_legal;
		uint32_t seq, behind;
	} row[] = {
		{ FIRST, FIRST, true, 0, 0 },
		{ FIRST, SECOND, true, 0, 0 }, /* a front-end that leaves the upper half 0 */
		{ FIRST | 3, 0, true, 3, 0 },
		{ SECOND | (N - 1), SECOND | (N - 1), true, 2 * N - 1, 0 },
		{ SECOND | 2, SECOND, true, N + 2, 2 },
		{ SECOND | 2, FIRST | 3, true, N + 2, N - 1 },
		{ FIRST | 2, SECOND | 3, true, 2, N - 1 },
		{ FIRST | N, FIRST, false, 0, 0 },
		{ FIRST, SECOND | N, false, 0, 0 },
		{ 0x7fff, 0x7fff, false, 0, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const uint32_t base = NMX_PACKED_BASE(row[i].avail, row[i].used);
		struct nmx_packed_parts parts;
		struct pair p;

		open_pair(&p, N, 0, true);
		parts = get_parts(&p.driver);
		assert_int_equal(nmx_ring_init_packed(&p.host, &parts, p.taken, N, base),
			row[i].is_legal ? 0 : -EINVAL);
		if (row[i].is_legal) {
			assert_int_equal(p.host.avail_seq, row[i].seq);
			assert_int_equal(p.host.avail_seq - p.host.used_seq, row[i].behind);
			assert_int_equal((uint16_t)nmx_ring_return_packed(&p.host), row[i].avail);
		}
		close_pair(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(laps_wrap_and_each_buffer_is_answered_once),
		cmocka_unit_test(lent_buffers_are_answered_once_in_any_order),
		cmocka_unit_test(bad_buffers_are_faults_and_are_not_fetched),
		cmocka_unit_test(flags_of_another_lap_are_not_available),
		cmocka_unit_test(a_driver_that_goes_on_after_a_lap_is_not_followed),
		cmocka_unit_test(long_buffers_are_cut_to_what_a_frame_needs),
		cmocka_unit_test(two_words_are_read_of_a_buffer),
		cmocka_unit_test(lengths_are_said_of_what_was_written),
		cmocka_unit_test(a_ring_goes_on_from_its_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
