/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Memory that is mapped for devices, seen by an IOMMU that keeps a list. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/mem/dma.h"
#include "lib/mem/rig_test.h"

#define MB UINT64_C(1048576)

struct iommu {
	struct {
		uint8_t *host;
		uint64_t size;
	} pieces[64];
	unsigned int n;
	unsigned int maps_left; /* before it refuses */
};

static int
iommu_map(void *device, void *host, uint64_t size)
{
	struct iommu *iommu = device;

	if (iommu->maps_left == 0)
		return -ENOSPC;
	iommu->maps_left--;
	assert_true(iommu->n < 64);
	for (unsigned int i = 0; i < iommu->n; i++)
		assert_true((uint8_t *)host + size <= iommu->pieces[i].host ||
			    (uint8_t *)host >= iommu->pieces[i].host + iommu->pieces[i].size);
	iommu->pieces[iommu->n].host = host;
	iommu->pieces[iommu->n++].size = size;
	return 0;
}

static void
iommu_unmap(void *device, void *host, uint64_t size)
{
	struct iommu *iommu = device;
	unsigned int i = 0;

	/* As VFIO: nothing but what was mapped. */
	while (i < iommu->n && (iommu->pieces[i].host != host || iommu->pieces[i].size != size))
		i++;
	assert_true(i < iommu->n);
	iommu->pieces[i] = iommu->pieces[--iommu->n];
}

static bool
reaches(const struct iommu *iommu, const uint8_t *host, uint64_t size)
{
	uint64_t found = 0;

	for (unsigned int i = 0; i < iommu->n; i++)
		if (iommu->pieces[i].host >= host && iommu->pieces[i].host < host + size)
			found += iommu->pieces[i].size;
	return found == size;
}

static int
enter(struct client *client, struct iommu *iommu)
{
	const struct nmx_mem_domain domain = { iommu, iommu, iommu_map, iommu_unmap };

	return nmx_mem_enter_domain(client->mem, &domain);
}

static unsigned int
finish(struct client *client)
{
	unsigned int turns = 1;

	while (nmx_mem_advance_dma(client->mem))
		turns++;
	return turns;
}

static void
start_guest(struct client *guest, size_t bytes)
{
	static const struct nmx_mem_limits limits = { .maps_max = 1024, .bytes_max = 1 << 30 };

	start_client(guest, bytes, 0, &limits);
}

/** Two maps of four pages each, for one device. */
static void
start_shared_guest(struct client *guest, struct iommu *iommu)
{
	start_guest(guest, 16 * PAGE);
	assert_int_equal(enter(guest, iommu), 0);
	assert_int_equal(map(guest, 0x100000, 4 * PAGE, 0, RW), 0);
	assert_int_equal(map(guest, 0x200000, 4 * PAGE, 4 * PAGE, RW), 0);
	finish(guest);
}

static uint8_t *
find(struct client *guest, uint64_t start, uint64_t size)
{
	uint8_t *at = NULL;

	assert_int_equal(translate(guest, start, size, NMX_MEM_DMA, &at), 0);
	return at;
}

static void
miss(struct client *guest, uint64_t start)
{
	uint8_t *at;

	assert_int_equal(translate(guest, start, PAGE, NMX_MEM_DMA, &at), -EACCES);
	assert_int_equal(translate(guest, start, PAGE, NMX_MEM_WRITE, &at), 0);
}

static void
what_devices_may_write_to_is_mapped_for_them(void **unused)
{
	struct iommu iommu = { .maps_left = 64 };
	struct nmx_mem_dma_counts counts;
	struct client g;

	(void)unused;
	start_guest(&g, 16 * PAGE);
	assert_int_equal(map(&g, 0x100000, 4 * PAGE, 0, RW), 0);
	assert_int_equal(map(&g, 0x200000, 4 * PAGE, 4 * PAGE, NMX_MEM_READ), 0);
	assert_false(nmx_mem_needs_dma(g.mem));
	/* Who has no IOMMU reaches what we reach. */
	(void)find(&g, 0x100000, 4 * PAGE);
	assert_int_equal(translate(&g, 0x200000, PAGE, NMX_MEM_DMA, &(uint8_t *){ NULL }), -EACCES);
	assert_int_equal(enter(&g, &iommu), 0);
	assert_int_equal(iommu.n, 0);
	miss(&g, 0x100000);
	assert_true(nmx_mem_needs_dma(g.mem));
	assert_int_equal(finish(&g), 1);
	assert_true(reaches(&iommu, find(&g, 0x100000, 4 * PAGE), 4 * PAGE));
	assert_int_equal(iommu.n, 1);
	/* What comes later, too. */
	assert_int_equal(map(&g, 0x104000, 4 * PAGE, 8 * PAGE, RW), 0);
	miss(&g, 0x104000);
	assert_true(nmx_mem_needs_dma(g.mem));
	finish(&g);
	assert_true(reaches(&iommu, find(&g, 0x100000, 8 * PAGE), 8 * PAGE));
	nmx_mem_count_dma(g.mem, &counts);
	assert_int_equal(counts.mapped_bytes, 8 * PAGE);
	assert_int_equal(counts.refused_maps, 0);
	stop_client(&g);
	assert_int_equal(iommu.n, 0);
}

static void
what_is_withdrawn_is_reached_until_nobody_holds_it(void **unused)
{
	struct iommu iommu = { .maps_left = 64 };
	struct client g;
	uint8_t *at;

	(void)unused;
	start_shared_guest(&g, &iommu);
	at = find(&g, 0x100000, 4 * PAGE);
	assert_int_equal(nmx_mem_unmap(g.mem, (struct nmx_range){ 0x100000, 4 * PAGE }), 0);
	assert_true(reaches(&iommu, at, 4 * PAGE));
	nmx_mem_reclaim(g.mem);
	assert_int_equal(iommu.n, 1);
	assert_true(reaches(&iommu, find(&g, 0x200000, 4 * PAGE), 4 * PAGE));
	stop_client(&g);
	assert_int_equal(iommu.n, 0);
}

static void
force_takes_memory_from_devices_first(void **unused)
{
	struct iommu iommu = { .maps_left = 64 };
	struct client g;
	uint8_t *before;

	(void)unused;
	start_shared_guest(&g, &iommu);
	assert_int_equal(nmx_mem_unmap(g.mem, (struct nmx_range){ 0x100000, 4 * PAGE }), 0);
	assert_int_equal(nmx_mem_blank(g.mem), 0);
	before = find(&g, 0x200000, 4 * PAGE);
	assert_int_equal(iommu.n, 1);
	assert_true(reaches(&iommu, before, 4 * PAGE));
	assert_int_equal(nmx_mem_revoke(g.mem), 0);
	assert_int_equal(iommu.n, 0);
	assert_false(nmx_mem_needs_dma(g.mem));
	nmx_mem_reclaim(g.mem);
	assert_true(nmx_mem_needs_dma(g.mem));
	finish(&g);
	assert_ptr_not_equal(find(&g, 0x200000, 4 * PAGE), before);
	assert_true(reaches(&iommu, find(&g, 0x200000, 4 * PAGE), 4 * PAGE));
	stop_client(&g);
	assert_int_equal(iommu.n, 0);
}

static void
memory_is_lent_where_all_devices_reach_it(void **unused)
{
	struct iommu one = { .maps_left = 64 }, other = { .maps_left = 1 };
	struct nmx_mem_dma_counts counts;
	struct client g;

	(void)unused;
	start_guest(&g, 16 * PAGE);
	assert_int_equal(map(&g, 0x100000, 4 * PAGE, 0, RW), 0);
	assert_int_equal(map(&g, 0x200000, 4 * PAGE, 4 * PAGE, RW), 0);
	assert_int_equal(enter(&g, &one), 0);
	assert_int_equal(enter(&g, &one), 0);
	finish(&g);
	(void)find(&g, 0x200000, PAGE);
	assert_int_equal(enter(&g, &other), 0);
	miss(&g, 0x100000);
	finish(&g);
	(void)find(&g, 0x100000, PAGE);
	miss(&g, 0x200000);
	nmx_mem_count_dma(g.mem, &counts);
	assert_int_equal(counts.refused_maps, 1);
	assert_int_equal(counts.error, -ENOSPC);
	assert_int_equal(counts.mapped_bytes, 4 * PAGE);
	nmx_mem_leave_domain(g.mem, &one);
	assert_int_equal(one.n, 2);
	nmx_mem_leave_domain(g.mem, &one);
	assert_int_equal(one.n, 0);
	assert_int_equal(other.n, 1);
	nmx_mem_leave_domain(g.mem, &other);
	nmx_mem_leave_domain(g.mem, &other);
	assert_int_equal(other.n, 0);
	/* Nothing that was mapped in a domain is taken for mapped in the next. */
	assert_int_equal(enter(&g, &one), 0);
	miss(&g, 0x100000);
	stop_client(&g);
}

static void
much_memory_takes_several_turns(void **unused)
{
	const uint64_t border = WINDOW - 100 * MB;
	struct iommu iommu = { .maps_left = 64 };
	struct client g;

	(void)unused;
	start_guest(&g, 400 * MB);
	assert_int_equal(enter(&g, &iommu), 0);
	assert_int_equal(map(&g, border, 400 * MB, 0, RW), 0);
	assert_true(finish(&g) > 2);
	assert_true(reaches(&iommu, find(&g, border, 100 * MB), 100 * MB));
	assert_true(reaches(&iommu, find(&g, WINDOW, 300 * MB), 300 * MB));
	assert_int_equal(unmap(&g, border, 400 * MB), 0);
	assert_int_equal(iommu.n, 0);
	/* A refusal in the midst of it leaves nothing behind. */
	iommu.maps_left = 3;
	assert_int_equal(map(&g, border, 400 * MB, 0, RW), 0);
	finish(&g);
	assert_int_equal(iommu.n, 0);
	miss(&g, border);
	/* A client that leaves meanwhile, too. */
	iommu.maps_left = 64;
	assert_int_equal(map(&g, 2 * WINDOW, 400 * MB, 0, RW), 0);
	assert_true(nmx_mem_advance_dma(g.mem));
	assert_true(iommu.n > 0);
	stop_client(&g);
	assert_int_equal(iommu.n, 0);
}

static void
domains_are_few(void **unused)
{
	struct iommu iommus[NMX_MEM_DOMAINS_MAX + 1];
	struct client g;

	(void)unused;
	memset(iommus, 0, sizeof(iommus));
	start_guest(&g, PAGE);
	for (unsigned int i = 0; i < NMX_MEM_DOMAINS_MAX; i++)
		assert_int_equal(enter(&g, &iommus[i]), 0);
	assert_int_equal(enter(&g, &iommus[NMX_MEM_DOMAINS_MAX]), -ENOSPC);
	assert_int_equal(enter(&g, &iommus[0]), 0);
	nmx_mem_leave_domain(g.mem, &iommus[1]);
	assert_int_equal(enter(&g, &iommus[NMX_MEM_DOMAINS_MAX]), 0);
	stop_client(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_devices_may_write_to_is_mapped_for_them),
		cmocka_unit_test(what_is_withdrawn_is_reached_until_nobody_holds_it),
		cmocka_unit_test(force_takes_memory_from_devices_first),
		cmocka_unit_test(memory_is_lent_where_all_devices_reach_it),
		cmocka_unit_test(much_memory_takes_several_turns),
		cmocka_unit_test(domains_are_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
