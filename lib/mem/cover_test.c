/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Maps of huge pages that begin and end anywhere, as a VMM cuts its guest's memory. */

#include <fcntl.h>
#include <linux/memfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/mem/rig_test.h"

/** A guest whose memory is one file of huge pages; each small page begins with its offset. */
static void
start_huge(struct client *guest, unsigned int n_pages)
{
	static const struct nmx_mem_limits limits = { .maps_max = 1024, .bytes_max = 1 << 30 };

	start_client(guest, n_pages * HUGE, MFD_HUGETLB | MFD_HUGE_2MB, &limits);
	for (uint64_t at = 0; at < guest->bytes; at += PAGE)
		memcpy(guest->own + at, &at, sizeof(at));
}

/** That the pages of a range are there, and those of the file from `offset` on. */
static void
see_memory(struct client *guest, uint64_t start, uint64_t size, uint64_t offset)
{
	uint8_t *at;

	assert_int_equal(translate(guest, start, size, NMX_MEM_READ, &at), 0);
	for (uint64_t i = 0; i < size; i += PAGE)
		assert_memory_equal(at + i, guest->own + offset + i, 8);
}

/** A guest's memory as a VMM cuts it, around the holes below 1 MiB and below 4 GiB. */
static const struct {
	uint64_t start, size, offset;
	uint32_t protection;
} pieces[] = {
	{ 0, 0xa0000, 0, RW },
	{ 0xc0000, 0x20000, 0xc0000, NMX_MEM_READ },
	{ 0x100000, 3 * HUGE - 0x100000, 0x100000, RW },
	{ UINT64_C(1) << 32, HUGE + PAGE, 3 * HUGE, RW },
};

#define N_PIECES (sizeof(pieces) / sizeof(pieces[0]))

static int
map_piece(struct client *guest, unsigned int i)
{
	return map_file(guest, guest->file, pieces[i].start, pieces[i].size, pieces[i].offset,
		pieces[i].protection);
}

/** What is mapped is there, and nothing else of the pages that are laid. */
static void
see_pieces(struct client *guest, unsigned int mapped)
{
	uint8_t *at;

	for (unsigned int i = 0; i < N_PIECES; i++) {
		if (!(mapped & 1u << i)) {
			assert_int_equal(
				translate(guest, pieces[i].start, 1, NMX_MEM_READ, &at), -EFAULT);
			continue;
		}
		see_memory(guest, pieces[i].start, pieces[i].size, pieces[i].offset);
		assert_int_equal(translate(guest, pieces[i].start, pieces[i].size, RW, &at),
			pieces[i].protection == RW ? 0 : -EACCES);
		assert_int_equal(
			translate(guest, pieces[i].start + pieces[i].size, 1, NMX_MEM_READ, &at),
			-EFAULT);
	}
}

static void
pieces_of_one_file_are_mapped_and_unmapped_in_any_order(void **unused)
{
	struct client g;

	(void)unused;
	start_huge(&g, 5);
	for (unsigned int order = 0; order < 4 * 3 * 2; order++) {
		unsigned int left = 0xf, mapped = 0, code = order;

		for (unsigned int n = 4; n > 0; n--) {
			unsigned int pick = code % n, i = 0;

			code /= n;
			for (; !(left & 1u << i) || pick > 0; i++)
				pick -= (left >> i) & 1u;
			left &= ~(1u << i);
			mapped |= 1u << i;
			assert_int_equal(map_piece(&g, i), 0);
			assert_int_equal(map_piece(&g, i), 0); /* the same again */
			see_pieces(&g, mapped);
		}
		for (unsigned int i = order; mapped != 0; i++) {
			assert_int_equal(unmap(&g, pieces[i % 4].start, pieces[i % 4].size), 0);
			mapped &= ~(1u << i % 4);
			see_pieces(&g, mapped);
		}
		assert_int_equal(count_mappings(), 0);
	}
	stop_client(&g);
}

static void
pages_stay_where_a_burst_reads_them(void **unused)
{
	unsigned int mappings;
	struct client g;
	uint8_t *at;

	(void)unused;
	start_huge(&g, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(map_piece(&g, i), 0);
	assert_int_equal(translate(&g, 0x100000, 8, RW, &at), 0);
	mappings = count_mappings();
	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(unmap(&g, pieces[i % 2].start, pieces[i % 2].size), 0);
		g.own[0x100000] = at[1] = (uint8_t)i;
		assert_int_equal(at[0], (uint8_t)i);
		assert_int_equal(g.own[0x100001], (uint8_t)i);
		assert_int_equal(map_piece(&g, i % 2), 0);
		assert_int_equal(count_mappings(), mappings);
	}
	assert_int_equal(
		nmx_mem_count_bytes(g.mem), pieces[0].size + pieces[1].size + pieces[2].size);
	stop_client(&g);
}

static void
the_last_map_takes_its_page_with_it(void **unused)
{
	struct client g;

	(void)unused;
	start_huge(&g, 3);
	/* The first lays all pages; then only the last one's is left, then none. */
	assert_int_equal(map_file(&g, g.file, 5 * PAGE, 3 * HUGE - 6 * PAGE, 5 * PAGE, RW), 0);
	assert_int_equal(map_file(&g, g.file, 3 * HUGE - PAGE, PAGE, 3 * HUGE - PAGE, RW), 0);
	assert_int_equal(map_file(&g, g.file, 9 * HUGE, PAGE, HUGE, RW), 0);
	assert_int_equal(count_mappings(), 2);
	assert_int_equal(unmap(&g, 5 * PAGE, 3 * HUGE - 6 * PAGE), 0);
	assert_int_equal(count_mappings(), 2);
	see_memory(&g, 3 * HUGE - PAGE, PAGE, 3 * HUGE - PAGE);
	assert_int_equal(unmap(&g, 3 * HUGE - PAGE, PAGE), 0);
	assert_int_equal(count_mappings(), 1);
	see_memory(&g, 9 * HUGE, PAGE, HUGE);
	stop_client(&g);
}

static void
pages_that_hold_something_else_are_refused(void **unused)
{
	struct client g, other;
	int small;

	(void)unused;
	start_huge(&g, 3);
	start_huge(&other, 3);
	small = memfd_create("nmx-small", MFD_CLOEXEC);
	assert_int_equal(ftruncate(small, (off_t)HUGE), 0);
	assert_int_equal(map_file(&g, g.file, HUGE, HUGE + PAGE, HUGE, RW), 0);
	/* Behind it, in the page that it has only the beginning of; before it there is room. */
	assert_int_equal(map_file(&g, g.file, 2 * HUGE + 2 * PAGE, PAGE, 2 * PAGE, RW), -EEXIST);
	assert_int_equal(
		map_file(&g, other.file, 2 * HUGE + 2 * PAGE, PAGE, 2 * HUGE + 2 * PAGE, RW),
		-EEXIST);
	assert_int_equal(map_file(&g, small, 3 * HUGE - PAGE, PAGE, 0, RW), -EEXIST);
	assert_int_equal(map_file(&g, small, HUGE - PAGE, PAGE, 0, RW), 0);
	assert_int_equal(map_file(&g, small, 3 * HUGE, PAGE, 0, RW), 0);
	/* And the other way round. */
	assert_int_equal(map_file(&g, g.file, 0, PAGE, 0, RW), -EEXIST);
	assert_int_equal(unmap(&g, HUGE - PAGE, PAGE), 0);
	assert_int_equal(map_file(&g, g.file, 0, PAGE, 0, RW), 0);
	/* What is mapped without a file is in nobody's way. */
	assert_int_equal(
		nmx_mem_map(g.mem, &(struct nmx_mem_map){ { 2 * HUGE + PAGE, PAGE }, 0, RW },
			&(int){ -1 }),
		0);
	assert_int_equal(
		map_file(&g, g.file, 2 * HUGE + 2 * PAGE, PAGE, 2 * HUGE + 2 * PAGE, RW), 0);
	nmx_base_close_fd(&small);
	stop_client(&other);
	stop_client(&g);
}

static void
address_and_offset_agree_modulo_the_page(void **unused)
{
	struct client g;

	(void)unused;
	start_huge(&g, 2);
	assert_int_equal(map_file(&g, g.file, PAGE, PAGE, 0, RW), -EINVAL);
	assert_int_equal(map_file(&g, g.file, 0, PAGE, PAGE, RW), -EINVAL);
	assert_int_equal(map_file(&g, g.file, HUGE, HUGE, HUGE / 2, RW), -EINVAL);
	assert_int_equal(map_file(&g, g.file, 7 * HUGE + PAGE, PAGE, PAGE, RW), 0);
	stop_client(&g);
}

static void
files_have_all_of_the_last_page(void **unused)
{
	struct client g;
	int odd = memfd_create("nmx-odd", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);

	(void)unused;
	start_huge(&g, 1);
	/* A length that is no multiple of a page is all that is left of the last one. */
	if (fallocate(odd, 0, 0, (off_t)(HUGE + HUGE / 2)) != 0) {
		nmx_base_close_fd(&odd);
		stop_client(&g);
		skip();
	}
	assert_int_equal(map_file(&g, odd, 0, HUGE, 0, RW), 0);
	assert_int_equal(map_file(&g, odd, HUGE, PAGE, HUGE, RW), -EFAULT);
	assert_int_equal(map_file(&g, g.file, 4 * HUGE, HUGE + PAGE, 0, RW), -EFAULT);
	nmx_base_close_fd(&odd);
	stop_client(&g);
}

static void
a_page_is_laid_by_descriptors_that_are_equally_writable(void **unused)
{
	struct client g;
	char path[64];
	uint8_t *at;
	int reader;

	(void)unused;
	start_huge(&g, 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", g.file);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(reader >= 0);
	/* Were the page laid by the first and written for the second, we would fault. */
	assert_int_equal(map_file(&g, reader, 0, PAGE, 0, NMX_MEM_READ), 0);
	assert_int_equal(map_file(&g, g.file, PAGE, PAGE, PAGE, RW), -EACCES);
	assert_int_equal(map_file(&g, g.file, PAGE, PAGE, PAGE, NMX_MEM_READ), -EACCES);
	assert_int_equal(map_file(&g, reader, PAGE, PAGE, PAGE, NMX_MEM_READ), 0);
	nmx_mem_unmap_all(g.mem);
	nmx_mem_reclaim(g.mem);
	/* A map to read, by a descriptor to write, leaves the page writable for the next. */
	assert_int_equal(map_file(&g, g.file, 0, PAGE, 0, NMX_MEM_READ), 0);
	assert_int_equal(map_file(&g, g.file, PAGE, PAGE, PAGE, RW), 0);
	assert_int_equal(translate(&g, PAGE, PAGE, RW, &at), 0);
	at[100] = 5;
	assert_int_equal(g.own[PAGE + 100], 5);
	nmx_base_close_fd(&reader);
	stop_client(&g);
}

/* --- Random pieces against a table of pages --- */

#define MODEL_PAGES ((uint32_t)(4 * HUGE / PAGE))
#define MODEL_MAPS  16

static uint64_t random_state = 7;

static uint32_t
draw(uint32_t below)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33) % below;
}

static void
random_pieces_agree_with_a_table(void **unused)
{
	struct nmx_range maps[MODEL_MAPS] = { { 0 } };
	struct client g;

	(void)unused;
	start_huge(&g, 4);
	for (unsigned int i = 0; i < 5000; i++) {
		struct nmx_range *map = &maps[draw(MODEL_MAPS)], wanted;
		bool free = true;

		if (map->size > 0) {
			assert_int_equal(unmap(&g, map->start, map->size), 0);
			map->size = 0;
		} else {
			wanted.start = draw(MODEL_PAGES) * PAGE;
			wanted.size = (1 + draw(draw(8) == 0 ? 1000 : 8)) * PAGE;
			if (wanted.start + wanted.size > g.bytes)
				continue;
			for (unsigned int k = 0; k < MODEL_MAPS; k++)
				free = free && (maps[k].size == 0 ||
						       !nmx_base_overlaps_range(maps[k], wanted));
			assert_int_equal(
				map_file(&g, g.file, wanted.start, wanted.size, wanted.start, RW),
				free ? 0 : -EEXIST);
			if (free)
				*map = wanted;
		}
		for (unsigned int k = 0; k < MODEL_MAPS; k++)
			if (maps[k].size > 0)
				see_memory(&g, maps[k].start, maps[k].size, maps[k].start);
	}
	for (unsigned int k = 0; k < MODEL_MAPS; k++)
		if (maps[k].size > 0)
			assert_int_equal(unmap(&g, maps[k].start, maps[k].size), 0);
	assert_int_equal(count_mappings(), 0);
	stop_client(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_one_file_are_mapped_and_unmapped_in_any_order),
		cmocka_unit_test(pages_stay_where_a_burst_reads_them),
		cmocka_unit_test(the_last_map_takes_its_page_with_it),
		cmocka_unit_test(pages_that_hold_something_else_are_refused),
		cmocka_unit_test(address_and_offset_agree_modulo_the_page),
		cmocka_unit_test(files_have_all_of_the_last_page),
		cmocka_unit_test(a_page_is_laid_by_descriptors_that_are_equally_writable),
		cmocka_unit_test(random_pieces_agree_with_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
