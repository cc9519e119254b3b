/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/mem/guard.h"
#include "lib/mem/rig_test.h"

/** As most tests here want it. */
static void
start_small(struct client *client, size_t bytes)
{
	static const struct nmx_mem_limits limits = { .maps_max = 64, .bytes_max = 1 << 20 };

	start_client(client, bytes, MFD_ALLOW_SEALING, &limits);
}

static void
what_is_mapped_is_shared(void **unused)
{
	struct client c;
	uint8_t *at;

	(void)unused;
	start_small(&c, 4 * PAGE);
	assert_int_equal(map(&c, 0x100000, 2 * PAGE, PAGE, RW), 0);
	assert_int_equal(translate(&c, 0x100000 + 5, 100, RW, &at), 0);
	c.own[PAGE + 5] = 0x5a;
	assert_int_equal(*at, 0x5a);
	*at = 0xa5;
	assert_int_equal(c.own[PAGE + 5], 0xa5);
	stop_client(&c);
}

static void
ranges_end_at_their_region(void **unused)
{
	struct client c;
	uint8_t *at;

	(void)unused;
	start_small(&c, 4 * PAGE);
	assert_int_equal(map(&c, 0x100000, PAGE, 0, RW), 0);
	assert_int_equal(translate(&c, 0x100000, PAGE, RW, &at), 0);
	assert_int_equal(translate(&c, 0x100000, PAGE + 1, RW, &at), -EFAULT);
	assert_int_equal(translate(&c, 0x100000 + PAGE - 1, 2, RW, &at), -EFAULT);
	assert_int_equal(translate(&c, 0x100000 - 1, 2, RW, &at), -EFAULT);
	assert_int_equal(translate(&c, 0x100000 + PAGE, 1, RW, &at), -EFAULT);
	assert_int_equal(translate(&c, 0x100000, UINT64_MAX, RW, &at), -EFAULT);
	assert_int_equal(translate(&c, 0x100001, UINT64_MAX, RW, &at), -EFAULT);
	assert_int_equal(translate(&c, UINT64_MAX, 2, RW, &at), -EFAULT);
	stop_client(&c);
}

static void
adjacent_maps_are_one_region(void **unused)
{
	struct client c;
	uint8_t *at;

	(void)unused;
	start_small(&c, 8 * PAGE);
	assert_int_equal(map(&c, 0x102000, PAGE, 5 * PAGE, RW), 0);
	assert_int_equal(map(&c, 0x100000, PAGE, 0, RW), 0);
	assert_int_equal(map(&c, 0x101000, PAGE, 3 * PAGE, RW), 0);
	assert_int_equal(map(&c, 0x103000, PAGE, 6 * PAGE, NMX_MEM_READ), 0);
	assert_int_equal(nmx_mem_get_view(c.mem)->n_regions, 2);
	assert_int_equal(translate(&c, 0x100000, 3 * PAGE, RW, &at), 0);
	c.own[3 * PAGE + 7] = 1;
	c.own[5 * PAGE + 7] = 2;
	assert_int_equal(at[PAGE + 7], 1);
	assert_int_equal(at[2 * PAGE + 7], 2);
	/* Another protection is another region. */
	assert_int_equal(translate(&c, 0x102000, 2 * PAGE, NMX_MEM_READ, &at), -EFAULT);
	assert_int_equal(translate(&c, 0x103000, PAGE, NMX_MEM_READ, &at), 0);
	assert_int_equal(translate(&c, 0x103000, PAGE, NMX_MEM_WRITE, &at), -EACCES);
	/* The hole that an unmap leaves splits it. */
	assert_int_equal(unmap(&c, 0x101000, PAGE), 0);
	assert_int_equal(nmx_mem_get_view(c.mem)->n_regions, 3);
	assert_int_equal(translate(&c, 0x100000, PAGE + 1, RW, &at), -EFAULT);
	stop_client(&c);
}

static void
windows_are_borders_of_regions(void **unused)
{
	struct client c;
	uint8_t *at;

	(void)unused;
	start_small(&c, 4 * PAGE);
	assert_int_equal(map(&c, WINDOW - PAGE, 2 * PAGE, 0, RW), 0);
	assert_int_equal(nmx_mem_get_view(c.mem)->n_regions, 2);
	assert_int_equal(translate(&c, WINDOW - 1, 1, RW, &at), 0);
	c.own[PAGE - 1] = 3;
	assert_int_equal(*at, 3);
	assert_int_equal(translate(&c, WINDOW, 1, RW, &at), 0);
	c.own[PAGE] = 4;
	assert_int_equal(*at, 4);
	assert_int_equal(translate(&c, WINDOW - 1, 2, RW, &at), -EFAULT);
	/* The last page of all addresses. */
	assert_int_equal(map(&c, UINT64_MAX - PAGE + 1, PAGE, 0, RW), 0);
	assert_int_equal(translate(&c, UINT64_MAX, 1, RW, &at), 0);
	assert_int_equal(unmap(&c, WINDOW - PAGE, 2 * PAGE), 0);
	assert_int_equal(translate(&c, WINDOW, 1, RW, &at), -EFAULT);
	for (uint64_t i = 3; i < 3 + NMX_MEM_WINDOWS_MAX - 3; i++)
		assert_int_equal(map(&c, i * WINDOW, PAGE, 0, RW), 0);
	assert_int_equal(map(&c, 40 * WINDOW, PAGE, 0, RW), -ENOSPC);
	stop_client(&c);
}

static void
bad_maps_are_refused(void **unused)
{
	struct client c;
	uint8_t *at;

	(void)unused;
	start_small(&c, 4 * PAGE);
	assert_int_equal(map(&c, 0x100000, 0, 0, RW), -EINVAL);
	assert_int_equal(map(&c, 0x100001, PAGE, 0, RW), -EINVAL);
	assert_int_equal(map(&c, 0x100000, PAGE + 1, 0, RW), -EINVAL);
	assert_int_equal(map(&c, 0x100000, PAGE, 1, RW), -EINVAL);
	assert_int_equal(map(&c, 0x100000, PAGE, 0, 0), -EINVAL);
	assert_int_equal(map(&c, 0x100000, PAGE, 0, 4 | RW), -EINVAL);
	assert_int_equal(map(&c, UINT64_MAX - PAGE + 1, 2 * PAGE, 0, RW), -EINVAL);
	assert_int_equal(map(&c, 0x100000, PAGE, 4 * PAGE, RW), -EFAULT);
	assert_int_equal(map(&c, 0x100000, 5 * PAGE, 0, RW), -EFAULT);
	assert_int_equal(map(&c, 0x100000, PAGE, (uint64_t)INT64_MAX - 4094, RW), -EINVAL);
	assert_int_equal(map(&c, 0x100000, PAGE, UINT64_MAX - PAGE + 1, RW), -EINVAL);
	assert_int_equal(map(&c, 0x100000, 2 * PAGE, 0, RW), 0);
	assert_int_equal(map(&c, 0x100000, 2 * PAGE, 0, RW), 0);
	assert_int_equal(nmx_mem_count_maps(c.mem), 1);
	assert_int_equal(map(&c, 0x100000, 2 * PAGE, PAGE, RW), -EEXIST);
	assert_int_equal(map(&c, 0x101000, PAGE, 0, RW), -EEXIST);
	assert_int_equal(map(&c, 0xff000, 2 * PAGE, 0, RW), -EEXIST);
	assert_int_equal(unmap(&c, 0x100000, PAGE), -EINVAL);
	assert_int_equal(unmap(&c, 0x101000, PAGE), -EINVAL);
	assert_int_equal(unmap(&c, 0, 0x101000), -EINVAL);
	assert_int_equal(unmap(&c, 0x200000, PAGE), 0);
	assert_int_equal(unmap(&c, 0, 0x100000), 0);
	assert_int_equal(unmap(&c, 0x102000, UINT64_MAX - 0x102000), 0);
	assert_int_equal(translate(&c, 0x100000, 2 * PAGE, RW, &at), 0);
	stop_client(&c);
}

static void
one_unmap_takes_all_maps_of_its_range(void **unused)
{
	struct client c;
	uint8_t *at;

	(void)unused;
	start_small(&c, 8 * PAGE);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(map(&c, 0x100000 + 2 * i * PAGE, PAGE, i * PAGE, RW), 0);
	/* A map that would be cut keeps its neighbours, too. */
	assert_int_equal(map(&c, 0x110000, 2 * PAGE, 0, RW), 0);
	assert_int_equal(unmap(&c, 0x100000, 0x11000), -EINVAL);
	assert_int_equal(nmx_mem_count_maps(c.mem), 5);
	assert_int_equal(unmap(&c, 0x102000, 4 * PAGE), 0);
	assert_int_equal(nmx_mem_count_maps(c.mem), 3);
	assert_int_equal(translate(&c, 0x100000, PAGE, RW, &at), 0);
	assert_int_equal(translate(&c, 0x102000, PAGE, RW, &at), -EFAULT);
	assert_int_equal(translate(&c, 0x106000, PAGE, RW, &at), 0);
	assert_int_equal(unmap(&c, 0, UINT64_MAX), 0);
	assert_int_equal(nmx_mem_count_maps(c.mem), 0);
	assert_int_equal(unmap(&c, 0, UINT64_MAX), 0);
	stop_client(&c);
}

static void
limits_hold(void **unused)
{
	struct client c;

	(void)unused;
	start_small(&c, 1 << 20);
	assert_int_equal(map(&c, 0, 1 << 20, 0, RW), 0);
	assert_int_equal(map(&c, 1 << 20, PAGE, 0, RW), -ENOSPC);
	assert_int_equal(unmap(&c, 0, 1 << 20), 0);
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(map(&c, 2 * i * PAGE, PAGE, 0, RW), 0);
	assert_int_equal(map(&c, 1 << 20, PAGE, 0, RW), -ENOSPC);
	nmx_mem_unmap_all(c.mem);
	assert_int_equal(map(&c, 1 << 20, PAGE, 0, RW), -EBUSY);
	nmx_mem_reclaim(c.mem);
	assert_int_equal(nmx_mem_count_bytes(c.mem), 0);
	assert_int_equal(map(&c, 1 << 20, PAGE, 0, RW), 0);
	stop_client(&c);
}

static void
memory_without_a_file_is_known_but_not_reached(void **unused)
{
	struct client c;
	struct nmx_mem_map m = { { 0xf0000, 0x10000 }, 0, NMX_MEM_READ };
	uint8_t *at;
	int none = -1;

	(void)unused;
	start_small(&c, PAGE);
	assert_int_equal(nmx_mem_map(c.mem, &m, &none), 0);
	assert_int_equal(translate(&c, 0xf0000, 1, NMX_MEM_READ, &at), -EFAULT);
	assert_int_equal(map(&c, 0xf0000, PAGE, 0, RW), -EEXIST);
	assert_int_equal(unmap(&c, 0xf0000, 0x10000), 0);
	assert_int_equal(map(&c, 0xf0000, PAGE, 0, RW), 0);
	stop_client(&c);
}

static int
map_fd(struct client *client, int fd, uint32_t protection)
{
	struct nmx_mem_map m = { { 0x100000, PAGE }, 0, protection };

	return nmx_mem_map(client->mem, &m, &fd);
}

static void
only_memory_files_are_admitted(void **unused)
{
	struct client c;
	char path[] = "/var/tmp/nmx-mem-test-XXXXXX", proc[64];
	int ends[2], disk, sealed;

	(void)unused;
	start_small(&c, PAGE);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(map_fd(&c, ends[0], RW), -EINVAL);
	close(ends[1]);
	assert_int_equal(map_fd(&c, eventfd(0, 0), RW), -EINVAL);
	assert_int_equal(map_fd(&c, open("/dev/zero", O_RDWR), RW), -EINVAL);
	assert_int_equal(map_fd(&c, open("/", O_RDONLY | O_DIRECTORY), NMX_MEM_READ), -EINVAL);
	disk = mkstemp(path);
	assert_true(disk >= 0);
	unlink(path);
	assert_int_equal(ftruncate(disk, PAGE), 0);
	assert_int_equal(map_fd(&c, disk, RW), -EINVAL);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", c.file);
	assert_int_equal(map_fd(&c, open(proc, O_PATH), RW), -EINVAL);
	assert_int_equal(map_fd(&c, open(proc, O_WRONLY), RW), -EACCES);
	assert_int_equal(map_fd(&c, open(proc, O_RDONLY), RW), -EACCES);
	assert_int_equal(map_fd(&c, open(proc, O_RDONLY), NMX_MEM_READ), 0);
	sealed = memfd_create("nmx-sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(sealed, PAGE), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(unmap(&c, 0x100000, PAGE), 0);
	assert_int_equal(map_fd(&c, sealed, RW), -EACCES);
	stop_client(&c);
}

static void
greedy_clients_leave_mappings_for_others(void **unused)
{
	static const struct nmx_mem_limits limits = { .maps_max = 65536, .bytes_max = 1 << 30 };
	struct client greedy, other;
	uint64_t n = 0;

	(void)unused;
	start_small(&greedy, PAGE);
	start_small(&other, PAGE);
	nmx_mem_destroy(greedy.mem);
	assert_int_equal(nmx_mem_create(&limits, greedy.lost, &greedy.mem), 0);
	while (map(&greedy, 2 * n * PAGE, PAGE, 0, RW) == 0)
		n++;
	assert_true(n > 100 && n < limits.maps_max);
	assert_int_equal(map(&greedy, 2 * n * PAGE, PAGE, 0, RW), -ENOSPC);
	for (uint64_t i = 0; i < 60; i++)
		assert_int_equal(map(&other, 2 * i * PAGE, PAGE, 0, RW), 0);
	nmx_mem_unmap_all(greedy.mem);
	nmx_mem_reclaim(greedy.mem);
	for (uint64_t i = 0; i < n - 60; i++) /* they were given back */
		assert_int_equal(map(&greedy, 2 * i * PAGE, PAGE, 0, RW), 0);
	stop_client(&greedy);
	stop_client(&other);
}

static void
withdrawn_memory_stays_until_reclaimed(void **unused)
{
	struct client c;
	uint8_t *at, *gone;

	(void)unused;
	start_small(&c, 2 * PAGE);
	c.own[0] = 7;
	assert_int_equal(map(&c, 0x100000, PAGE, 0, RW), 0);
	assert_int_equal(map(&c, 0x200000, PAGE, PAGE, RW), 0);
	assert_int_equal(translate(&c, 0x100000, 1, RW, &at), 0);
	assert_int_equal(nmx_mem_unmap(c.mem, (struct nmx_range){ 0x100000, PAGE }), 0);
	assert_int_equal(translate(&c, 0x100000, 1, RW, &gone), -EFAULT);
	assert_int_equal(*at, 7); /* a burst that began before may still read */
	assert_true(nmx_mem_needs_reclaim(c.mem));
	nmx_mem_reclaim(c.mem);
	assert_false(nmx_mem_needs_reclaim(c.mem));
	assert_int_equal(msync(at, PAGE, MS_ASYNC), 0); /* reserved still */
	assert_int_equal(translate(&c, 0x200000, 1, RW, &at), 0);
	stop_client(&c);
}

static void
stale_caches_miss(void **unused)
{
	struct client c;
	struct nmx_mem_cache cache = { 0 };
	NMX_SHARED uint8_t *at;

	(void)unused;
	start_small(&c, PAGE);
	assert_int_equal(map(&c, 0x100000, PAGE, 0, RW), 0);
	assert_int_equal(
		nmx_mem_translate(nmx_mem_get_view(c.mem), &cache, 0x100000, 1, RW, &at), 0);
	assert_int_equal(unmap(&c, 0x100000, PAGE), 0);
	assert_int_equal(
		nmx_mem_translate(nmx_mem_get_view(c.mem), &cache, 0x100000, 1, RW, &at), -EFAULT);
	stop_client(&c);
}

static void
maps_made_during_a_burst_are_found(void **unused)
{
	const struct nmx_mem_view *view;
	struct nmx_mem_cache cache = { 0 };
	NMX_SHARED uint8_t *at;
	struct client c;

	(void)unused;
	start_small(&c, 2 * PAGE);
	assert_int_equal(map(&c, 0x100000, PAGE, 0, RW), 0);
	view = nmx_mem_get_view(c.mem); /* the burst begins */
	assert_int_equal(map(&c, 0x200000, PAGE, PAGE, RW), 0);
	assert_int_equal(nmx_mem_translate(view, &cache, 0x200000, 1, RW, &at), -EFAULT);
	assert_int_equal(nmx_mem_translate_fresh(c.mem, &view, &cache, 0x200000, 1, RW, &at), 0);
	assert_int_equal(
		nmx_mem_translate_fresh(c.mem, &view, &cache, 0x300000, 1, RW, &at), -EFAULT);
	stop_client(&c);
}

/** Memory that can't be sealed, as huge pages of files and DPDK's memfds can't. */
static int
map_unsealable(struct client *client, size_t bytes)
{
	struct nmx_mem_map m = { { 0x400000, bytes }, 0, RW };
	int file = memfd_create("nmx-unsealable", MFD_CLOEXEC), fd;

	assert_int_equal(ftruncate(file, (off_t)bytes), 0);
	fd = dup(file);
	assert_int_equal(nmx_mem_map(client->mem, &m, &fd), 0);
	return file;
}

static void
vanished_memory_reads_zero_and_loses_its_owner_only(void **unused)
{
	struct client victim, bystander;
	uint8_t *at, *other;
	uint64_t count;
	int file;

	(void)unused;
	assert_int_equal(nmx_mem_install_guard(), 0);
	start_small(&victim, PAGE);
	start_small(&bystander, PAGE);
	file = map_unsealable(&victim, 4 * PAGE);
	assert_int_equal(map(&bystander, 0x400000, PAGE, 0, RW), 0);
	assert_int_equal(translate(&victim, 0x400000, 4 * PAGE, RW, &at), 0);
	assert_int_equal(translate(&bystander, 0x400000, PAGE, RW, &other), 0);
	memset(at, 0xff, 4 * PAGE);
	other[0] = 9;
	assert_int_equal(ftruncate(file, PAGE), 0);
	assert_int_equal(((volatile uint8_t *)at)[PAGE], 0);
	((volatile uint8_t *)at)[3 * PAGE] = 1;
	assert_int_equal(at[0], 0xff);
	assert_true(nmx_mem_is_lost(victim.mem));
	assert_int_equal(read(victim.lost, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	assert_false(nmx_mem_is_lost(bystander.mem));
	assert_int_equal(other[0], 9);
	nmx_base_close_fd(&file);
	stop_client(&victim);
	stop_client(&bystander);
}

static void
mapping_fills_nothing_even_if_all_memory_is_locked(void **unused)
{
	struct client c;
	struct stat status;
	int file;

	(void)unused;
	start_small(&c, PAGE);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		skip(); /* RLIMIT_MEMLOCK */
	file = map_unsealable(&c, 1 << 20);
	assert_int_equal(fstat(file, &status), 0);
	assert_int_equal(status.st_blocks, 0);
	assert_int_equal(munlockall(), 0);
	nmx_base_close_fd(&file);
	stop_client(&c);
}

/* --- Random maps and unmaps against a table of pages --- */

#define MODEL_PAGES 64

static uint64_t random_state = 42;

static uint32_t
draw(uint32_t below)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33) % below;
}

struct model {
	struct client client;
	/* Of each page: file page + 1 (0: not mapped), and the map it belongs to. */
	uint32_t page[MODEL_PAGES], start[MODEL_PAGES], n_pages[MODEL_PAGES];
};

static void
model_map(struct model *m, uint64_t base)
{
	uint32_t at = draw(MODEL_PAGES), n = 1 + draw(6), from = draw(MODEL_PAGES);
	bool free = true;
	int ret;

	if (at + n > MODEL_PAGES || from + n > MODEL_PAGES)
		return;
	for (uint32_t i = at; i < at + n; i++)
		free = free && m->page[i] == 0;
	ret = map(&m->client, base + at * PAGE, n * PAGE, from * PAGE, RW);
	if (!free) {
		/* Or the very same map again. */
		assert_true(ret == -EEXIST || (ret == 0 && m->page[at] == from + 1 &&
						      m->start[at] == at && m->n_pages[at] == n));
		return;
	}
	assert_int_equal(ret, 0);
	for (uint32_t i = 0; i < n; i++) {
		m->page[at + i] = from + i + 1;
		m->start[at + i] = at;
		m->n_pages[at + i] = n;
	}
}

static void
model_unmap(struct model *m, uint64_t base)
{
	uint32_t at = draw(MODEL_PAGES), n = 1 + draw(6);
	bool cut = false;

	n = at + n > MODEL_PAGES ? MODEL_PAGES - at : n;
	for (uint32_t i = at; i < at + n; i++)
		cut = cut || (m->page[i] != 0 &&
				     (m->start[i] < at || m->start[i] + m->n_pages[i] > at + n));
	assert_int_equal(unmap(&m->client, base + at * PAGE, n * PAGE), cut ? -EINVAL : 0);
	if (!cut)
		memset(&m->page[at], 0, n * sizeof(m->page[0]));
}

static void
model_compare(struct model *m, uint64_t base)
{
	uint32_t at = draw(MODEL_PAGES), n = 1 + draw(8);
	bool mapped = true;
	uint8_t *host;

	if (at + n > MODEL_PAGES)
		return;
	for (uint32_t i = at; i < at + n; i++)
		mapped = mapped && m->page[i] != 0;
	/* The window's border splits regions, whatever is mapped. */
	if ((base + at * PAGE) / WINDOW != (base + (at + n) * PAGE - 1) / WINDOW)
		mapped = false;
	assert_int_equal(
		translate(&m->client, base + at * PAGE, n * PAGE, RW, &host), mapped ? 0 : -EFAULT);
	for (uint32_t i = 0; mapped && i < n; i++)
		assert_memory_equal(
			host + i * PAGE, m->client.own + (m->page[at + i] - 1) * PAGE, 8);
}

static void
random_maps_agree_with_a_page_table(void **unused)
{
	const uint64_t base = WINDOW - MODEL_PAGES / 2 * PAGE;
	struct model m = { 0 };

	(void)unused;
	start_small(&m.client, MODEL_PAGES * PAGE);
	for (uint32_t i = 0; i < MODEL_PAGES; i++)
		memset(m.client.own + i * PAGE, (int)i + 1, 8);
	for (uint32_t i = 0; i < 20000; i++) {
		if (draw(2))
			model_map(&m, base);
		else
			model_unmap(&m, base);
		model_compare(&m, base);
	}
	stop_client(&m.client);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_mapped_is_shared),
		cmocka_unit_test(ranges_end_at_their_region),
		cmocka_unit_test(adjacent_maps_are_one_region),
		cmocka_unit_test(windows_are_borders_of_regions),
		cmocka_unit_test(bad_maps_are_refused),
		cmocka_unit_test(one_unmap_takes_all_maps_of_its_range),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(memory_without_a_file_is_known_but_not_reached),
		cmocka_unit_test(only_memory_files_are_admitted),
		cmocka_unit_test(greedy_clients_leave_mappings_for_others),
		cmocka_unit_test(withdrawn_memory_stays_until_reclaimed),
		cmocka_unit_test(stale_caches_miss),
		cmocka_unit_test(maps_made_during_a_burst_are_found),
		cmocka_unit_test(vanished_memory_reads_zero_and_loses_its_owner_only),
		cmocka_unit_test(mapping_fills_nothing_even_if_all_memory_is_locked),
		cmocka_unit_test(random_maps_agree_with_a_page_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
