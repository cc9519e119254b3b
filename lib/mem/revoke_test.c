/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Memory that is taken away by force from who still has pointers to it. */

#include <linux/memfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/mem/rig_test.h"

/** Each page of the file has its number. */
static void
start_guest(struct client *guest, size_t bytes, unsigned int flags)
{
	static const struct nmx_mem_limits limits = { .maps_max = 1024, .bytes_max = 1 << 30 };

	start_client(guest, bytes, flags, &limits);
	for (uint64_t at = 0; at < bytes; at += PAGE)
		memcpy(guest->own + at, &(uint64_t){ at / PAGE + 1 }, 8);
}

/** The first step only. */
static int
withdraw(struct client *guest, uint64_t start, uint64_t size)
{
	return nmx_mem_unmap(guest->mem, (struct nmx_range){ start, size });
}

/** Where something is now, or NULL. */
static volatile uint8_t *
find(struct client *guest, uint64_t start, uint64_t size)
{
	struct nmx_mem_cache cache = { 0 };
	NMX_SHARED uint8_t *at = NULL;

	(void)nmx_mem_translate(
		nmx_mem_get_view(guest->mem), &cache, start, size, NMX_MEM_READ, &at);
	return NMX_SHARED_PLAIN(volatile uint8_t, at);
}

static void
see_memory(struct client *guest, uint64_t start, uint64_t size, uint64_t offset)
{
	volatile uint8_t *at = find(guest, start, size);

	assert_non_null(at);
	for (uint64_t i = 0; i < size; i += PAGE)
		assert_memory_equal((const void *)(uintptr_t)(at + i), guest->own + offset + i, 8);
}

/** That a pointer leads nowhere: zeroes are read, and what is written isn't in the file. */
static void
see_nothing(struct client *guest, volatile uint8_t *at, uint64_t offset)
{
	assert_int_equal(at[0], 0);
	at[0] = 0x77;
	assert_int_equal(guest->own[offset], (uint8_t)(offset / PAGE + 1));
}

static void
what_is_blanked_is_out_of_reach(void **unused)
{
	volatile uint8_t *first, *second;
	struct client g;

	(void)unused;
	start_guest(&g, 8 * PAGE, 0);
	assert_int_equal(map(&g, 0x100000, 4 * PAGE, 0, RW), 0);
	assert_int_equal(map(&g, 0x104000, 4 * PAGE, 4 * PAGE, RW), 0);
	first = find(&g, 0x101000, PAGE);
	second = find(&g, 0x104000, PAGE);
	assert_int_equal(withdraw(&g, 0x100000, 4 * PAGE), 0);
	assert_true(nmx_mem_needs_wait(g.mem));
	assert_int_equal(map(&g, 0x200000, PAGE, 0, RW), -EBUSY);
	assert_int_equal(nmx_mem_blank(g.mem), 0);
	assert_false(nmx_mem_needs_wait(g.mem));
	see_nothing(&g, first, PAGE);
	assert_int_equal(*second, 5);
	/* The other memory is used as ever; the place itself is taken. */
	see_memory(&g, 0x104000, 4 * PAGE, 4 * PAGE);
	assert_int_equal(map(&g, 0x200000, PAGE, 0, RW), 0);
	see_memory(&g, 0x200000, PAGE, 0);
	assert_int_equal(map(&g, 0x100000, 4 * PAGE, 0, RW), -EBUSY);
	assert_int_equal(map(&g, 0x101000, PAGE, 0, RW), -EBUSY);
	assert_int_equal(withdraw(&g, 0x100000, 4 * PAGE), 0);
	/* One more, while the first is still waited for. */
	assert_int_equal(withdraw(&g, 0x104000, 4 * PAGE), 0);
	assert_true(nmx_mem_needs_wait(g.mem));
	assert_int_equal(nmx_mem_blank(g.mem), 0);
	see_nothing(&g, second, 4 * PAGE);
	assert_true(nmx_mem_needs_reclaim(g.mem));
	nmx_mem_reclaim(g.mem);
	assert_int_equal(map(&g, 0x100000, 4 * PAGE, 0, RW), 0);
	see_memory(&g, 0x100000, 4 * PAGE, 0);
	see_memory(&g, 0x200000, PAGE, 0);
	stop_client(&g);
}

static void
what_is_revoked_comes_back(void **unused)
{
	const uint64_t border = WINDOW - 2 * PAGE;
	volatile uint8_t *at[3];
	unsigned int mappings;
	struct client g;

	(void)unused;
	start_guest(&g, 16 * PAGE, 0);
	assert_int_equal(map(&g, 0x100000, 4 * PAGE, 0, RW), 0);
	assert_int_equal(map(&g, border, 4 * PAGE, 4 * PAGE, RW), 0);
	assert_int_equal(map(&g, 0x104000, PAGE, 9 * PAGE, NMX_MEM_READ), 0);
	at[0] = find(&g, 0x100000, PAGE);
	at[1] = find(&g, border, PAGE);
	at[2] = find(&g, WINDOW, PAGE);
	mappings = count_mappings();
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(nmx_mem_revoke(g.mem), 0);
		assert_true(nmx_mem_is_revoked(g.mem));
		assert_int_equal(nmx_mem_revoke(g.mem), 0);
		see_nothing(&g, at[0], 0);
		see_nothing(&g, at[1], 4 * PAGE);
		see_nothing(&g, at[2], 6 * PAGE);
		assert_null(find(&g, 0x100000, 1));
		assert_int_equal(count_mappings(), mappings);
		nmx_mem_reclaim(g.mem);
		assert_false(nmx_mem_is_revoked(g.mem));
		see_memory(&g, 0x100000, 4 * PAGE, 0);
		see_memory(&g, border, 2 * PAGE, 4 * PAGE);
		see_memory(&g, WINDOW, 2 * PAGE, 6 * PAGE);
		see_memory(&g, 0x104000, PAGE, 9 * PAGE);
		assert_null(find(&g, 0x103000, 2 * PAGE)); /* of two protections */
		at[0] = find(&g, 0x100000, PAGE);
		at[1] = find(&g, border, PAGE);
		at[2] = find(&g, WINDOW, PAGE);
		assert_int_equal(count_mappings(), mappings);
		at[0][1] = (uint8_t)i;
		assert_int_equal(g.own[1], (uint8_t)i);
	}
	assert_false(nmx_mem_is_lost(g.mem));
	stop_client(&g);
}

static void
zeroes_are_kept_for_who_never_lets_go(void **unused)
{
	volatile uint8_t *at;
	struct client g;

	(void)unused;
	start_guest(&g, 4 * PAGE, 0);
	assert_int_equal(map(&g, 0x100000, 4 * PAGE, 0, RW), 0);
	at = find(&g, 0x100000, PAGE);
	assert_int_equal(nmx_mem_revoke(g.mem), 0);
	nmx_mem_keep_zeroes(g.mem);
	nmx_mem_reclaim(g.mem);
	see_memory(&g, 0x100000, 4 * PAGE, 0);
	see_nothing(&g, at, 0);
	stop_client(&g);
	assert_int_equal(at[0], 0x77);
	munmap((void *)(uintptr_t)(at - 0x100000), WINDOW);
}

static void
maps_come_and_go_while_all_is_revoked(void **unused)
{
	volatile uint8_t *at;
	struct client g;

	(void)unused;
	start_guest(&g, 8 * PAGE, 0);
	assert_int_equal(map(&g, 0x100000, PAGE, 0, RW), 0);
	assert_int_equal(map(&g, 0x200000, PAGE, PAGE, RW), 0);
	assert_int_equal(map(&g, 0x300000, PAGE, 2 * PAGE, RW), 0);
	at = find(&g, 0x300000, PAGE);
	/* Of what was withdrawn nothing comes back, though it was in no view already. */
	assert_int_equal(withdraw(&g, 0x300000, PAGE), 0);
	assert_int_equal(nmx_mem_blank(g.mem), 0);
	assert_int_equal(nmx_mem_revoke(g.mem), 0);
	assert_int_equal(nmx_mem_count_maps(g.mem), 2);
	assert_int_equal(withdraw(&g, 0x100000, PAGE), 0);
	assert_false(nmx_mem_needs_wait(g.mem));
	assert_int_equal(withdraw(&g, 0x100000, PAGE), 0);
	assert_int_equal(map(&g, 0x100000, PAGE, 3 * PAGE, RW), 0);
	assert_int_equal(map(&g, 0x300000, PAGE, 4 * PAGE, RW), 0);
	assert_int_equal(map(&g, 5 * WINDOW, PAGE, 5 * PAGE, RW), 0);
	assert_null(find(&g, 0x100000, 1));
	see_nothing(&g, at, 2 * PAGE);
	nmx_mem_reclaim(g.mem);
	see_memory(&g, 0x100000, PAGE, 3 * PAGE);
	see_memory(&g, 0x200000, PAGE, PAGE);
	see_memory(&g, 0x300000, PAGE, 4 * PAGE);
	see_memory(&g, 5 * WINDOW, PAGE, 5 * PAGE);
	assert_int_equal(nmx_mem_revoke(g.mem), 0);
	nmx_mem_unmap_all(g.mem);
	assert_false(nmx_mem_needs_wait(g.mem));
	assert_int_equal(count_mappings(), 0);
	assert_int_equal(map(&g, 0x200000, PAGE, PAGE, RW), 0);
	nmx_mem_reclaim(g.mem);
	see_memory(&g, 0x200000, PAGE, PAGE);
	assert_null(find(&g, 0x100000, 1));
	/* Whatever state it is in, it can be ended. */
	assert_int_equal(nmx_mem_revoke(g.mem), 0);
	stop_client(&g);
}

static void
huge_pages_are_revoked_and_come_back(void **unused)
{
	volatile uint8_t *low, *high;
	unsigned int mappings;
	struct client g;

	(void)unused;
	start_guest(&g, 4 * HUGE, MFD_HUGETLB | MFD_HUGE_2MB);
	assert_int_equal(map(&g, 0, 0xa0000, 0, RW), 0);
	assert_int_equal(map(&g, 0xc0000, 0x20000, 0xc0000, NMX_MEM_READ), 0);
	assert_int_equal(map(&g, 0x100000, HUGE, 0x100000, RW), 0);
	assert_int_equal(map(&g, 9 * HUGE, HUGE + PAGE, 2 * HUGE, RW), 0);
	low = find(&g, 0x100000, PAGE);
	high = find(&g, 9 * HUGE, PAGE);
	mappings = count_mappings();
	/* What shares a huge page with memory that stays can't be blanked alone. */
	assert_int_equal(withdraw(&g, 0xc0000, 0x20000), 0);
	assert_int_equal(nmx_mem_blank(g.mem), -EBUSY);
	assert_int_equal(*low, 1);
	assert_int_equal(nmx_mem_revoke(g.mem), 0);
	assert_int_equal(*low, 0);
	see_nothing(&g, high, 2 * HUGE);
	nmx_mem_reclaim(g.mem);
	see_memory(&g, 0, 0xa0000, 0);
	see_memory(&g, 0x100000, HUGE, 0x100000);
	see_memory(&g, 9 * HUGE, HUGE + PAGE, 2 * HUGE);
	assert_int_equal(count_mappings(), mappings);
	/* What has its pages for itself can. */
	high = find(&g, 9 * HUGE, PAGE);
	assert_int_equal(withdraw(&g, 9 * HUGE, HUGE + PAGE), 0);
	assert_int_equal(nmx_mem_blank(g.mem), 0);
	see_nothing(&g, high, 2 * HUGE);
	assert_int_equal(map(&g, 10 * HUGE, HUGE, 0, RW), -EBUSY);
	assert_int_equal(map(&g, 10 * HUGE + 2 * PAGE, PAGE, 3 * HUGE + 2 * PAGE, RW), -EBUSY);
	assert_int_equal(map(&g, 11 * HUGE, HUGE, 0, RW), 0);
	nmx_mem_reclaim(g.mem);
	assert_int_equal(map(&g, 10 * HUGE, HUGE, 0, RW), 0);
	nmx_mem_unmap_all(g.mem);
	nmx_mem_reclaim(g.mem);
	assert_int_equal(count_mappings(), 0);
	stop_client(&g);
}

static unsigned int
count_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += nmx_base_is_memory(fd);
	return n;
}

static void
few_files_of_huge_pages_are_kept_open(void **unused)
{
	volatile uint8_t *at;
	struct client g;
	unsigned int n;

	(void)unused;
	start_guest(&g, HUGE, MFD_HUGETLB | MFD_HUGE_2MB);
	n = count_fds();
	for (uint64_t i = 0; i < 64; i++) {
		struct nmx_mem_map one = { { i * HUGE, HUGE }, 0, RW };
		int fd = memfd_create("nmx-other", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);

		assert_int_equal(ftruncate(fd, (off_t)HUGE), 0);
		assert_int_equal(nmx_mem_map(g.mem, &one, &fd), 0);
	}
	assert_int_equal(count_fds(), n + 64);
	assert_int_equal(nmx_mem_revoke(g.mem), 0);
	assert_false(nmx_mem_is_lost(g.mem));
	nmx_mem_reclaim(g.mem);
	/* The one too many: revoked it is all the same, but it can't come back. */
	assert_int_equal(map(&g, WINDOW, PAGE, 0, RW), 0);
	assert_int_equal(map(&g, WINDOW + PAGE, PAGE, PAGE, RW), 0);
	assert_int_equal(count_fds(), n + 64);
	at = find(&g, WINDOW, PAGE);
	assert_int_equal(nmx_mem_revoke(g.mem), 0);
	see_nothing(&g, at, 0);
	assert_true(nmx_mem_is_lost(g.mem));
	assert_int_equal(nmx_mem_count_maps(g.mem), 0);
	nmx_mem_reclaim(g.mem);
	assert_null(find(&g, 0, 1));
	assert_int_equal(count_fds(), n);
	stop_client(&g);
}

static uint64_t
count_blocks(int file)
{
	struct stat status;

	assert_int_equal(fstat(file, &status), 0);
	return (uint64_t)status.st_blocks;
}

static void
force_fills_nothing_even_if_all_memory_is_locked(void **unused)
{
	struct client g;
	uint64_t before;
	char line[256];
	FILE *file;
	unsigned long kib = 0;

	(void)unused;
	start_guest(&g, 64 * PAGE, 0);
	assert_int_equal(ftruncate(g.file, 1 << 28), 0);
	before = count_blocks(g.file);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		skip(); /* RLIMIT_MEMLOCK */
	assert_int_equal(map(&g, 0, 1 << 28, 0, RW), 0);
	assert_int_equal(withdraw(&g, 0, 1 << 28), 0);
	/* Not nmx_mem_revoke(): were it filled, the machine would have no memory left. */
	assert_int_equal(nmx_mem_blank(g.mem), 0);
	file = fopen("/proc/self/status", "re");
	while (fgets(line, sizeof(line), file) != NULL)
		(void)sscanf(line, "RssAnon: %lu", &kib);
	fclose(file);
	assert_true(kib > 0 && kib < 100000);
	assert_int_equal(count_blocks(g.file), before);
	assert_int_equal(munlockall(), 0);
	stop_client(&g);
}

/* --- A thread that goes on in the very moment --- */

struct burst {
	pthread_t thread;
	volatile uint8_t *_Atomic at; /* NULL: between bursts */
	atomic_bool busy, over;
};

static void *
run_bursts(void *argument)
{
	struct burst *burst = argument;

	while (!atomic_load(&burst->over)) {
		volatile uint8_t *at;

		atomic_store(&burst->busy, true);
		at = atomic_load(&burst->at);
		for (unsigned int i = 0; at != NULL && i < 16; i++)
			at[i * PAGE + 8]++;
		atomic_store(&burst->busy, false);
	}
	return NULL;
}

static void
end_burst(struct burst *burst)
{
	atomic_store(&burst->at, NULL);
	while (atomic_load(&burst->busy))
		;
}

static void
memory_is_replaced_in_one_step(void **unused)
{
	struct burst burst = { 0 };
	struct client g;

	(void)unused;
	start_guest(&g, 16 * PAGE, 0);
	assert_int_equal(pthread_create(&burst.thread, NULL, run_bursts, &burst), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		assert_int_equal(map(&g, 0x100000, 16 * PAGE, 0, RW), 0);
		atomic_store(&burst.at, find(&g, 0x100000, 16 * PAGE));
		if (i % 2 == 0) {
			assert_int_equal(withdraw(&g, 0x100000, 16 * PAGE), 0);
			assert_int_equal(nmx_mem_blank(g.mem), 0);
		} else {
			assert_int_equal(nmx_mem_revoke(g.mem), 0);
		}
		end_burst(&burst);
		nmx_mem_reclaim(g.mem);
		nmx_mem_unmap_all(g.mem);
		nmx_mem_reclaim(g.mem);
	}
	atomic_store(&burst.over, true);
	pthread_join(burst.thread, NULL);
	stop_client(&g);
}

int
main(void)
{
	/* First what locks all memory: a failed test may leave some. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(force_fills_nothing_even_if_all_memory_is_locked),
		cmocka_unit_test(what_is_blanked_is_out_of_reach),
		cmocka_unit_test(what_is_revoked_comes_back),
		cmocka_unit_test(zeroes_are_kept_for_who_never_lets_go),
		cmocka_unit_test(maps_come_and_go_while_all_is_revoked),
		cmocka_unit_test(huge_pages_are_revoked_and_come_back),
		cmocka_unit_test(few_files_of_huge_pages_are_kept_open),
		cmocka_unit_test(memory_is_replaced_in_one_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
