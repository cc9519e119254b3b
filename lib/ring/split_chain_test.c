/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Chains of every shape, legal and not; no descriptor is loaded twice, but of a loop. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Before what includes shared.h. */
#include "lib/ring/split_hook_test.h"

#include "lib/ring/split_chain.h"
#include "lib/ring/split_rig_test.h"

#define HEADER   NMX_SPLIT_NET_BYTES
#define NEXT     NMX_SPLIT_FLAG_NEXT
#define WRITE    NMX_SPLIT_FLAG_WRITE
#define INDIRECT NMX_SPLIT_FLAG_INDIRECT
#define LIST_MAX 64

/** A list of descriptors: address is 0x10000 times its place. */
struct list {
	uint32_t n; /* of descriptors that there are */
	struct {
		uint32_t length;
		uint16_t flags, next;
	} desc[6];
};

static uint64_t
get_address(uint32_t place)
{
	return UINT64_C(0x10000) * place;
}

static void
write_list(struct nmx_split_desc *desc, const struct list *list, uint16_t more_flags)
{
	for (uint32_t i = 0; i < 6 && i < list->n; i++)
		write_desc(&desc[i], get_address(i), list->desc[i].length,
			list->desc[i].flags ^ more_flags, list->desc[i].next);
}

/**
 * Fetch what the driver has made available, and walk it.
 *
 * @param n_desc  descriptors that there are: a loop reads that many, and is no chain
 */
static uint16_t
fetch_and_walk(struct split_driver *driver, const struct nmx_split_desc *table, uint32_t n_desc,
	bool writable, struct nmx_split_chain *chain)
{
	const struct nmx_split_parts parts = { (NMX_SHARED struct nmx_split_desc *)driver->desc,
		(NMX_SHARED struct nmx_split_avail *)driver->avail,
		(NMX_SHARED struct nmx_split_used *)driver->used };
	struct nmx_ring_slot taken[LIST_MAX];
	struct nmx_split_host host;
	uint16_t fault;

	assert_true(driver->n <= LIST_MAX);
	nmx_ring_init_split(&host, &parts, taken, driver->n, 0);
	was_loaded_twice = false;
	begin_step();
	fault = nmx_ring_fetch_split(&host, 1, writable, HEADER);
	if (fault == VDPDK_FAULT_NONE)
		fault = nmx_ring_walk_chain(&host, nmx_ring_get_ready(&host.window, 0),
			(const NMX_SHARED struct nmx_split_desc *)table, writable, HEADER, chain);
	watches = false;
	assert_true(fault == VDPDK_FAULT_CHAIN || !was_loaded_twice);
	assert_true(n_loads <= 2 + 2 * n_desc); /* avail's index, a head, two words each */
	return fault;
}

/** The list as a chain in a ring of its length. */
static uint16_t
walk_direct(const struct list *list, bool writable, struct nmx_split_chain *chain)
{
	struct split_driver driver;
	uint16_t fault;

	assert_true(init_driver(&driver, list->n, 0));
	write_list(driver.desc, list, writable ? WRITE : 0);
	offer_head(&driver, 0, 0);
	publish_avail(&driver, 1);
	fault = fetch_and_walk(&driver, NULL, driver.n, writable, chain);
	fini_driver(&driver);
	return fault;
}

/** The list as a table, in memory of just that size; the ring has one slot. */
static uint16_t
walk_indirect(const struct list *list, bool writable, struct nmx_split_chain *chain)
{
	struct nmx_split_desc *table = calloc(list->n, sizeof(*table));
	struct split_driver driver;
	uint16_t fault;

	assert_true(table != NULL);
	assert_true(init_driver(&driver, 1, 0));
	write_list(table, list, writable ? WRITE : 0);
	offer_buffer(&driver, 0, 0x5000, list->n * (uint32_t)sizeof(*table), INDIRECT);
	fault = fetch_and_walk(&driver, table, 1 + list->n, writable, chain);
	fini_driver(&driver);
	free(table);
	return fault;
}

static void
chains_of_every_shape_are_found_or_refused(void **unused)
{
	enum {
		NONE = VDPDK_FAULT_NONE,
		FLAGS = VDPDK_FAULT_FLAGS,
		LENGTH = VDPDK_FAULT_LENGTH,
		CHAIN = VDPDK_FAULT_CHAIN,
		ID = NMX_SPLIT_FAULT_ID
	};
	static const struct {
		struct list list;
		uint16_t fault;
		uint32_t n, bytes; /* of extents */
	} row[] = {
		/* All in one; the header in front; by itself; out of order. */
		{ { 4, { { 112, 0, 0 } } }, NONE, 1, 100 },
		{ { 4, { { 112, NEXT, 1 }, { 50, 0, 0 } } }, NONE, 2, 150 },
		{ { 4, { { 12, NEXT, 1 }, { 50, 0, 0 } } }, NONE, 1, 50 },
		{ { 4, { { 12, NEXT, 3 }, { 7, 0, 0 }, { 5, NEXT, 1 }, { 9, NEXT, 2 } } }, NONE, 3,
			21 },
		{ { 4, { { 13, NEXT, 1 }, { 1, NEXT, 2 }, { 1, NEXT, 3 }, { 1, 0, 0 } } }, NONE, 4,
			4 },
		/* A header in two pieces, or nothing behind it. */
		{ { 4, { { 11, NEXT, 1 }, { 50, 0, 0 } } }, LENGTH, 0, 0 },
		{ { 4, { { 12, 0, 0 } } }, LENGTH, 0, 0 },
		{ { 4, { { 12, NEXT, 1 }, { 0, 0, 0 } } }, LENGTH, 0, 0 },
		{ { 4, { { 12, NEXT, 1 }, { 5, NEXT, 2 }, { 0, NEXT, 3 } } }, LENGTH, 0, 0 },
		/* Loops. */
		{ { 4, { { 12, NEXT, 0 } } }, CHAIN, 0, 0 },
		{ { 4, { { 12, NEXT, 1 }, { 5, NEXT, 0 } } }, CHAIN, 0, 0 },
		{ { 4, { { 12, NEXT, 1 }, { 5, NEXT, 2 }, { 5, NEXT, 3 }, { 5, NEXT, 1 } } }, CHAIN,
			0, 0 },
		/* Outside; the last one, and the one behind it. */
		{ { 4, { { 12, NEXT, 4 } } }, ID, 0, 0 },
		{ { 4, { { 12, NEXT, 1 }, { 5, NEXT, 0xffff } } }, ID, 0, 0 },
		{ { 1, { { 12, NEXT, 1 } } }, ID, 0, 0 },
		/* Directions; tables within. */
		{ { 4, { { 12, NEXT | WRITE, 1 }, { 5, 0, 0 } } }, FLAGS, 0, 0 },
		{ { 4, { { 12, NEXT, 1 }, { 5, WRITE, 0 } } }, FLAGS, 0, 0 },
		{ { 4, { { 12, NEXT, 1 }, { 16, INDIRECT, 0 } } }, FLAGS, 0, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < 4 * sizeof(row) / sizeof(row[0]); i++) {
		const bool writable = i & 1, indirect = i & 2;
		struct nmx_split_chain chain;
		uint16_t fault = indirect ? walk_indirect(&row[i / 4].list, writable, &chain)
					  : walk_direct(&row[i / 4].list, writable, &chain);

		assert_int_equal(fault, row[i / 4].fault);
		if (fault != NONE)
			continue;
		assert_int_equal(chain.n, row[i / 4].n);
		assert_int_equal(chain.bytes, row[i / 4].bytes);
		assert_int_equal(chain.header, get_address(0));
		for (uint32_t e = 0; e < chain.n; e++)
			assert_true(chain.extents[e].writable == writable);
	}
}

static void
extents_are_in_the_order_of_the_chain(void **unused)
{
	static const struct list list = { 4,
		{ { 22, NEXT, 3 }, { 7, 0, 0 }, { 5, NEXT, 1 }, { 9, NEXT, 2 } } };
	static const uint32_t place[] = { 0, 3, 2, 1 }, length[] = { 10, 9, 5, 7 };
	struct nmx_split_chain chain;

	(void)unused;
	assert_int_equal(walk_direct(&list, false, &chain), VDPDK_FAULT_NONE);
	assert_int_equal(chain.n, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(
			chain.extents[i].address, get_address(place[i]) + (i == 0 ? HEADER : 0));
		assert_int_equal(chain.extents[i].length, length[i]);
	}
}

static void
a_table_within_a_table_is_refused(void **unused)
{
	static const struct list list = { 2, { { 16, INDIRECT, 0 }, { 16, 0, 0 } } };
	struct nmx_split_chain chain;

	(void)unused;
	assert_int_equal(walk_indirect(&list, false, &chain), VDPDK_FAULT_FLAGS);
}

/** A chain of n descriptors of `length` each, the last of which ends it. */
static uint16_t
walk_long(uint32_t n, uint32_t length, bool writable, struct nmx_split_chain *chain)
{
	struct split_driver driver;
	uint16_t fault;

	assert_true(init_driver(&driver, LIST_MAX, 0));
	for (uint32_t i = 0; i < n; i++)
		write_desc(&driver.desc[i], 0x1000, i == 0 ? HEADER : length,
			(i + 1 < n ? NEXT : 0) | (writable ? WRITE : 0), (uint16_t)(i + 1));
	offer_head(&driver, 0, 0);
	publish_avail(&driver, 1);
	fault = fetch_and_walk(&driver, NULL, driver.n, writable, chain);
	fini_driver(&driver);
	return fault;
}

static void
chains_and_frames_have_a_greatest_length(void **unused)
{
	struct nmx_split_chain chain;

	(void)unused;
	assert_int_equal(walk_long(1 + NMX_SPLIT_EXTENTS_MAX, 1, false, &chain), VDPDK_FAULT_NONE);
	assert_int_equal(chain.n, NMX_SPLIT_EXTENTS_MAX);
	assert_int_equal(walk_long(2 + NMX_SPLIT_EXTENTS_MAX, 1, false, &chain), VDPDK_FAULT_CHAIN);
	assert_int_equal(walk_long(4, 21851, false, &chain), VDPDK_FAULT_NONE);
	assert_int_equal(chain.bytes, NMX_SPLIT_FRAME_BYTES_MAX);
	assert_int_equal(walk_long(4, 21852, false, &chain), VDPDK_FAULT_LENGTH);
	assert_int_equal(walk_long(4, UINT32_MAX, false, &chain), VDPDK_FAULT_LENGTH);
	assert_int_equal(walk_long(4, UINT32_MAX, true, &chain), VDPDK_FAULT_NONE);
	assert_true(chain.bytes == UINT64_C(3) * UINT32_MAX);
}

static void
a_tables_place_is_said_in_bytes(void **unused)
{
	const struct nmx_ring_slot slot = { 0x5000, 32768, 0, INDIRECT, 0 };

	(void)unused;
	assert_true(nmx_ring_get_table(&slot).start == 0x5000);
	assert_int_equal(nmx_ring_get_table(&slot).size, 16 * 32768);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_of_every_shape_are_found_or_refused),
		cmocka_unit_test(extents_are_in_the_order_of_the_chain),
		cmocka_unit_test(a_table_within_a_table_is_refused),
		cmocka_unit_test(chains_and_frames_have_a_greatest_length),
		cmocka_unit_test(a_tables_place_is_said_in_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
