/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Before what includes shared.h. */
#include "lib/ring/split_hook_test.h"

#include "lib/ring/split_event.h"
#include "lib/ring/split_header.h"
#include "lib/ring/split_host.h"
#include "lib/ring/split_rig_test.h"

#define N      16
#define HEADER NMX_SPLIT_NET_BYTES

/** A ring with both its ends in one process. */
struct pair {
	struct split_driver driver;
	struct nmx_split_host host;
	struct nmx_ring_slot *taken;
};

static void
open_pair(struct pair *p, uint32_t n, uint16_t base)
{
	struct nmx_split_parts parts;

	memset(p, 0, sizeof(*p));
	p->taken = calloc(n, sizeof(*p->taken));
	assert_true(p->taken != NULL);
	assert_true(init_driver(&p->driver, n, base));
	parts = (struct nmx_split_parts){ (NMX_SHARED struct nmx_split_desc *)p->driver.desc,
		(NMX_SHARED struct nmx_split_avail *)p->driver.avail,
		(NMX_SHARED struct nmx_split_used *)p->driver.used };
	nmx_ring_init_split(&p->host, &parts, p->taken, n, base);
	watches = was_loaded_twice = false;
}

static void
close_pair(struct pair *p)
{
	assert_false(was_loaded_twice);
	watches = false;
	fini_driver(&p->driver);
	free(p->taken);
}

static uint16_t
fetch(struct pair *p, uint32_t want, bool writable)
{
	return nmx_ring_fetch_split(&p->host, want, writable, HEADER);
}

static uint64_t
get_address(uint16_t id)
{
	return 0x100000 + (uint64_t)id * 4096;
}

static void
post(struct pair *p, uint16_t id)
{
	offer_buffer(&p->driver, id, get_address(id), 2048, NMX_SPLIT_FLAG_WRITE);
}

static void
indices_wrap_and_each_buffer_is_answered_once(void **unused)
{
	(void)unused;
	for (uint32_t n = 1; n <= NMX_SPLIT_SLOTS_MAX; n *= 2) {
		struct nmx_split_used_elem elem;
		struct pair p;
		uint32_t sent = 0;

		open_pair(&p, n, (uint16_t)(65536 - n / 2 - 1));
		for (uint32_t lap = 0; lap < 5; lap++) {
			for (uint32_t i = 0; i < n; i++)
				post(&p, (uint16_t)((sent + i) % n));
			assert_int_equal(fetch(&p, n, true), VDPDK_FAULT_NONE);
			assert_int_equal(nmx_ring_count_taken(&p.host.window), n);
			assert_false(nmx_ring_has_split(&p.host, 1));
			assert_false(take_used(&p.driver, &elem));
			for (uint32_t i = 0; i < n; i++) {
				const struct nmx_ring_slot *slot = nmx_ring_get_taken(
					&p.host.window, i);

				assert_int_equal(slot->id, (sent + i) % n);
				assert_int_equal(slot->address, get_address(slot->id) + HEADER);
				assert_int_equal(slot->length, 2048 - HEADER);
				assert_false(nmx_ring_is_chain(slot));
				nmx_ring_complete_used(&p.host, i, slot->id, 60 + i % 7);
			}
			assert_false(take_used(&p.driver, &elem));
			nmx_ring_publish_used(&p.host, n);
			for (uint32_t i = 0; i < n; i++) {
				assert_true(take_used(&p.driver, &elem));
				assert_int_equal(elem.id, (sent + i) % n);
				assert_int_equal(elem.bytes, 60 + i % 7);
			}
			assert_false(take_used(&p.driver, &elem));
			sent += n + n / 2;
		}
		close_pair(&p);
	}
}

static void
answer(struct pair *p, uint16_t id)
{
	nmx_ring_complete_used(&p->host, 0, id, 1);
	nmx_ring_publish_used(&p->host, 1);
}

/** One step of a host that lends, by a random number; `lent`: what is out. */
static void
take_step(struct pair *p, struct nmx_ring_slot *lent, uint32_t random)
{
	struct nmx_ring_window *window = &p->host.window;
	const uint32_t n = window->lent, i = n > 0 ? random / 5 % n : 0;
	struct nmx_ring_slot slot;

	begin_step();
	switch (random % 5) {
	case 0:
		if (nmx_ring_count_ready(window) == 0 &&
			nmx_ring_fetch_split_lent(&p->host, HEADER, &slot))
			lent[n] = slot;
		break;
	case 1:
		assert_int_equal(fetch(p, 3, true), VDPDK_FAULT_NONE);
		if (nmx_ring_count_ready(window) == 0)
			break;
		lent[n] = *nmx_ring_get_ready(window, 0);
		nmx_ring_lend(window, 1);
		break;
	case 2:
	case 3:
		if (n == 0)
			break;
		slot = lent[i];
		lent[i] = lent[n - 1];
		if (random % 5 == 3) {
			nmx_ring_take_back(window, &slot);
			break;
		}
		window->lent--;
		answer(p, slot.id);
		break;
	case 4:
		if (nmx_ring_count_ready(window) > 0)
			answer(p, nmx_ring_get_ready(window, 0)->id);
		break;
	}
}

static void
lent_buffers_are_answered_once_in_any_order(void **unused)
{
	struct nmx_ring_slot lent[N];
	struct nmx_split_used_elem elem;
	bool posted[N] = { false };
	uint32_t random = 1;
	struct pair p;

	(void)unused;
	open_pair(&p, N, 65000);
	for (uint32_t step = 0; step < 100000; step++) {
		random = random * 1664525 + 1013904223;
		for (uint16_t id = (uint16_t)(random >> 28); !posted[id]; posted[id] = true)
			post(&p, id);
		take_step(&p, lent, random >> 8);
		while (take_used(&p.driver, &elem)) {
			assert_true(elem.id < N && posted[elem.id]);
			posted[elem.id] = false;
		}
	}
	while (p.host.window.lent > 0) {
		struct nmx_ring_slot slot = lent[p.host.window.lent - 1];

		nmx_ring_take_back(&p.host.window, &slot);
	}
	assert_int_equal(fetch(&p, N, true), VDPDK_FAULT_NONE);
	assert_int_equal(nmx_ring_return_split(&p.host), p.driver.avail_idx);
	while (take_used(&p.driver, &elem)) {
		assert_int_equal(elem.bytes, 0);
		posted[elem.id] = false;
	}
	for (uint32_t id = 0; id < N; id++)
		assert_false(posted[id]);
	close_pair(&p);
}

static void
bad_heads_are_faults_and_are_not_fetched(void **unused)
{
	enum {
		NEXT = NMX_SPLIT_FLAG_NEXT,
		WRITE = NMX_SPLIT_FLAG_WRITE,
		INDIRECT = NMX_SPLIT_FLAG_INDIRECT
	};
	enum {
		NONE = VDPDK_FAULT_NONE,
		FLAGS = VDPDK_FAULT_FLAGS,
		LENGTH = VDPDK_FAULT_LENGTH,
		ID = NMX_SPLIT_FAULT_ID
	};
	static const struct {
		uint32_t length;
		uint16_t id, flags, to_guest, from_guest;
	} row[] = {
		{ 13, 0, 0, FLAGS, NONE },
		{ 13, 0, WRITE, NONE, FLAGS },
		{ 13, N, WRITE, ID, ID },
		{ 13, 0xffff, 0, ID, ID },
		{ 12, 0, WRITE, LENGTH, FLAGS },
		{ 11, 0, WRITE | NEXT, LENGTH, FLAGS },
		{ 0, 0, 0, FLAGS, LENGTH },
		{ 12, 0, NEXT, FLAGS, NONE },
		{ 12, 0, WRITE | NEXT, NONE, FLAGS },
		{ 65535 + 12, 0, 0, FLAGS, NONE },
		{ 65536 + 12, 0, 0, FLAGS, LENGTH },
		{ UINT32_MAX, 0, 0, FLAGS, LENGTH },
		{ UINT32_MAX, 0, WRITE, NONE, FLAGS },
		{ 16, 0, INDIRECT, NONE, NONE },
		{ 16, 0, INDIRECT | WRITE, NONE, NONE },
		{ 16, 0, INDIRECT | NEXT, FLAGS, FLAGS },
		{ 0, 0, INDIRECT, LENGTH, LENGTH },
		{ 17, 0, INDIRECT, LENGTH, LENGTH },
		{ 16 * 32768, 0, INDIRECT, NONE, NONE },
		{ 16 * 32769, 0, INDIRECT, LENGTH, LENGTH },
		{ 0xfffffff0, 0, INDIRECT, LENGTH, LENGTH },
	};

	(void)unused;
	for (size_t i = 0; i < 2 * sizeof(row) / sizeof(row[0]); i++) {
		const bool writable = i % 2 == 0;
		const uint16_t expected = writable ? row[i / 2].to_guest : row[i / 2].from_guest;
		struct pair p;

		open_pair(&p, N, 0);
		offer_buffer(&p.driver, 1, 0, 100, writable ? WRITE : 0);
		write_desc(&p.driver.desc[0], 0, row[i / 2].length, row[i / 2].flags, 0);
		offer_head(&p.driver, 0, row[i / 2].id);
		publish_avail(&p.driver, 1);
		begin_step();
		assert_int_equal(fetch(&p, N, writable), expected);
		assert_int_equal(p.host.window.fetch, 1 + (expected == NONE));
		close_pair(&p);
	}
}

static void
long_buffers_are_cut_to_what_a_frame_needs(void **unused)
{
	struct pair p;

	(void)unused;
	open_pair(&p, N, 0);
	offer_buffer(&p.driver, 0, 0x1000, 1 << 20, NMX_SPLIT_FLAG_WRITE);
	assert_int_equal(fetch(&p, 1, true), VDPDK_FAULT_NONE);
	assert_int_equal(nmx_ring_get_ready(&p.host.window, 0)->length, 65535);
	close_pair(&p);
}

static void
avail_indices_behind_or_too_far_are_faults(void **unused)
{
	static const struct {
		uint16_t moved, fault;
	} row[] = { { 0, 0 }, { N - 1, 0 }, { N, NMX_SPLIT_FAULT_IDX },
		{ 0xffff, NMX_SPLIT_FAULT_IDX }, { 0x8000, NMX_SPLIT_FAULT_IDX } };

	(void)unused;
	/* One is fetched and not answered: N - 1 more may come. */
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct pair p;

		open_pair(&p, N, 65530);
		for (uint16_t id = 0; id < N; id++) {
			write_desc(&p.driver.desc[id], 0, 100, 0, 0);
			offer_head(&p.driver, id, id);
		}
		publish_avail(&p.driver, 1);
		assert_int_equal(fetch(&p, 1, false), VDPDK_FAULT_NONE);
		publish_avail(&p.driver, row[i].moved);
		begin_step();
		assert_int_equal(fetch(&p, N, false), row[i].fault);
		assert_int_equal(nmx_ring_count_taken(&p.host.window),
			row[i].fault == 0 ? 1 + row[i].moved : 1);
		close_pair(&p);
	}
}

static void
avail_idx_is_read_once_for_many_bursts(void **unused)
{
	struct pair p;

	(void)unused;
	open_pair(&p, N, 0);
	for (uint16_t id = 0; id < N; id++)
		post(&p, id);
	begin_step();
	for (uint32_t want = 1; want <= N; want++)
		assert_int_equal(fetch(&p, want, true), VDPDK_FAULT_NONE);
	/* An index, and of each buffer its number and two words. */
	assert_int_equal(n_loads, 1 + 3 * N);
	close_pair(&p);
}

static void
headers_are_written_only_if_they_differ(void **unused)
{
	static const uint8_t zero[NMX_SPLIT_NET_BYTES] = { 0 };
	uint8_t buffer[64];
	NMX_SHARED uint8_t *data = (NMX_SHARED uint8_t *)(buffer + 20);

	(void)unused;
	memset(buffer, 0xee, sizeof(buffer));
	nmx_ring_put_net_header(data, 3, NMX_SPLIT_NET_BYTES);
	assert_memory_equal(buffer + 8, zero, 10);
	assert_int_equal(buffer[18] | buffer[19] << 8, 3);
	assert_int_equal(buffer[7], 0xee);
	assert_int_equal(buffer[20], 0xee);
	nmx_ring_put_net_header(data, 1, NMX_SPLIT_NET_BYTES);
	assert_int_equal(buffer[18] | buffer[19] << 8, 1);
	memset(buffer, 0xee, sizeof(buffer));
	nmx_ring_put_net_header(data, 1, NMX_SPLIT_NET_BYTES_LEGACY);
	assert_memory_equal(buffer + 10, zero, 10);
	assert_int_equal(buffer[9], 0xee);
}

static void
headers_ask_for_what_was_negotiated(void **unused)
{
	enum { CSUM = NMX_RING_MAY_CSUM, TSO4 = NMX_RING_MAY_TSO4, TSO6 = NMX_RING_MAY_TSO6 };
	static const struct {
		uint8_t flags, gso_type;
		uint16_t gso_size;
		uint32_t may;
		bool plain, good;
	} cases[] = {
		{ 0, 0, 0, 0, true, true },
		{ NMX_SPLIT_NET_DATA_VALID, 0, 1448, 0, true, true },
		{ NMX_SPLIT_NET_NEEDS_CSUM, 0, 0, 0, false, false },
		{ NMX_SPLIT_NET_NEEDS_CSUM, 0, 0, TSO4 | TSO6, false, false },
		{ NMX_SPLIT_NET_NEEDS_CSUM, 0, 0, CSUM, false, true },
		{ 0, NMX_SPLIT_NET_GSO_TCPV4, 1448, CSUM | TSO4, false, false },
		{ NMX_SPLIT_NET_NEEDS_CSUM, NMX_SPLIT_NET_GSO_TCPV4, 1448, CSUM, false, false },
		{ NMX_SPLIT_NET_NEEDS_CSUM, NMX_SPLIT_NET_GSO_TCPV4, 1448, CSUM | TSO6, false,
			false },
		{ NMX_SPLIT_NET_NEEDS_CSUM, NMX_SPLIT_NET_GSO_TCPV4, 1448, CSUM | TSO4, false,
			true },
		{ NMX_SPLIT_NET_NEEDS_CSUM, NMX_SPLIT_NET_GSO_TCPV4, 0, CSUM | TSO4, false, false },
		{ NMX_SPLIT_NET_NEEDS_CSUM, NMX_SPLIT_NET_GSO_TCPV6, 1448, CSUM | TSO6, false,
			true },
		{ NMX_SPLIT_NET_NEEDS_CSUM, NMX_SPLIT_NET_GSO_TCPV6, 1448, CSUM | TSO4, false,
			false },
		/* UDP; congestion notification. */
		{ NMX_SPLIT_NET_NEEDS_CSUM, 3, 1448, CSUM | TSO4 | TSO6, false, false },
		{ NMX_SPLIT_NET_NEEDS_CSUM, 0x80 | NMX_SPLIT_NET_GSO_TCPV4, 1448,
			CSUM | TSO4 | TSO6, false, false },
	};

	(void)unused;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct nmx_split_net_header wanted = { .flags = cases[i].flags,
			.gso_type = cases[i].gso_type,
			.gso_size = cases[i].gso_size,
			.csum_start = 34,
			.csum_offset = 16,
			.n_buffers = 1 };
		uint8_t buffer[64] = { 0 };
		NMX_SHARED uint8_t *data = (NMX_SHARED uint8_t *)(buffer + 20);
		struct nmx_split_net_header found;

		nmx_ring_put_net_request(data, &wanted, NMX_SPLIT_NET_BYTES);
		found = nmx_ring_load_net_header(data, NMX_SPLIT_NET_BYTES);
		assert_memory_equal(&found, &wanted, sizeof(found));
		assert_int_equal(nmx_ring_is_plain(&found), cases[i].plain);
		assert_int_equal(nmx_ring_judge_request(&found, cases[i].may),
			cases[i].good ? VDPDK_FAULT_NONE : VDPDK_FAULT_FLAGS);
	}
}

static void
only_a_frames_first_buffer_has_a_header(void **unused)
{
	struct nmx_range range;
	struct pair p;

	(void)unused;
	open_pair(&p, N, 0);
	post(&p, 5);
	assert_int_equal(fetch(&p, 1, true), VDPDK_FAULT_NONE);
	range = nmx_ring_get_continuation(nmx_ring_get_ready(&p.host.window, 0), HEADER);
	assert_int_equal(range.start, get_address(5));
	assert_int_equal(range.size, 2048);
	close_pair(&p);
}

static void
signals_follow_what_the_driver_asks_for(void **unused)
{
	/* Answers from `from` to `to` pass the event or not. */
	static const struct {
		uint16_t event, from, to;
		bool passes;
	} row[] = { { 0, 0, 1, true }, { 1, 0, 1, false }, { 1, 0, 2, true },
		{ 65535, 0, 5, false }, { 65535, 65534, 0, true }, { 0, 65534, 1, true },
		{ 3, 65534, 3, false }, { 2, 65534, 3, true }, { 4, 4, 4, false } };

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct nmx_split_bell bell = { row[i].from };
		struct pair p;

		open_pair(&p, N, row[i].to);
		*find_used_event(&p.driver) = row[i].event;
		begin_step();
		assert_int_equal(nmx_ring_take_split_event(&p.host, &bell, true), row[i].passes);
		assert_false(nmx_ring_take_split_event(&p.host, &bell, true));
		bell.answered = (uint16_t)(row[i].to - 1);
		p.driver.avail->flags = NMX_SPLIT_AVAIL_NO_INTERRUPT;
		assert_false(nmx_ring_take_split_event(&p.host, &bell, false));
		bell.answered = (uint16_t)(row[i].to - 1);
		p.driver.avail->flags = 0;
		watches = false;
		assert_true(nmx_ring_take_split_event(&p.host, &bell, false));
		close_pair(&p);
	}
}

static void
kicks_are_asked_for_and_refused(void **unused)
{
	struct pair p;

	(void)unused;
	open_pair(&p, N, 65535);
	nmx_ring_disarm_kick(&p.host, false);
	assert_int_equal(p.driver.used->flags, NMX_SPLIT_USED_NO_NOTIFY);
	nmx_ring_arm_kick(&p.host, false);
	assert_int_equal(p.driver.used->flags, 0);
	nmx_ring_arm_kick(&p.host, true);
	assert_int_equal(*find_avail_event(&p.driver), 65535);
	nmx_ring_disarm_kick(&p.host, true);
	assert_int_equal(p.driver.used->flags, 0);
	assert_false(nmx_ring_has_split(&p.host, 1));
	post(&p, 0);
	assert_true(nmx_ring_has_split(&p.host, 1));
	close_pair(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(indices_wrap_and_each_buffer_is_answered_once),
		cmocka_unit_test(lent_buffers_are_answered_once_in_any_order),
		cmocka_unit_test(bad_heads_are_faults_and_are_not_fetched),
		cmocka_unit_test(long_buffers_are_cut_to_what_a_frame_needs),
		cmocka_unit_test(avail_indices_behind_or_too_far_are_faults),
		cmocka_unit_test(avail_idx_is_read_once_for_many_bursts),
		cmocka_unit_test(headers_are_written_only_if_they_differ),
		cmocka_unit_test(headers_ask_for_what_was_negotiated),
		cmocka_unit_test(only_a_frames_first_buffer_has_a_header),
		cmocka_unit_test(signals_follow_what_the_driver_asks_for),
		cmocka_unit_test(kicks_are_asked_for_and_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
