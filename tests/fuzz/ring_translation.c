/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Translation of a guest's addresses against a slow reference.
 *
 * Theory of operation
 *
 * Views of a few regions each, adjacent or with holes, also at both ends of the address space, and
 * one cache for all of them, as a queue has it. The reference looks at all regions and computes in
 * 128 bits. Ranges are chosen round the regions' ends, where mistakes live. No pointer is followed.
 *
 * These views belong to no address space. The one that there is serves nmx_mem_translate_fresh(),
 * as what has been mapped since the view was taken.
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/mem/mem.h"
#include "ring_memory.h"

#define VIEWS       3
#define REGIONS_MAX 12
#define REGION_LOG2 40 /* of the largest, so that host addresses can't wrap */

struct map {
	const struct nmx_mem *mem;
	struct nmx_mem_view *views[VIEWS];
	struct nmx_mem_cache cache;
	struct fuzz_input *input;
	uint64_t generation;
};

/** The address space: made once, never changed. */
static const struct nmx_mem *
get_mem(void)
{
	static const struct nmx_mem_limits limits = { .maps_max = 4, .bytes_max = 1 << 20 };
	static const struct nmx_mem_map maps[] = {
		{ { 0x10000, 0x10000 }, 0, NMX_MEM_READ | NMX_MEM_WRITE },
		{ { 0x20000, 0x1000 }, 0, NMX_MEM_READ },
	};
	static struct nmx_mem *mem;

	if (mem != NULL)
		return mem;
	FUZZ_CHECK(nmx_mem_create(&limits, -1, &mem) == 0);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		int file = memfd_create("nmx-fuzz-ring", MFD_CLOEXEC);

		FUZZ_CHECK(ftruncate(file, (off_t)maps[i].range.size) == 0);
		FUZZ_CHECK(nmx_mem_map(mem, &maps[i], &file) == 0);
	}
	nmx_mem_reclaim(mem);
	return mem;
}

/** A size of few or many bytes. */
static uint64_t
draw_size(struct fuzz_input *input)
{
	uint64_t size = UINT64_C(1) << fuzz_choose(input, REGION_LOG2 + 1);

	return size + fuzz_choose(input, 3) - (size > 1);
}

static void
fill_view(struct map *map, struct nmx_mem_view *view)
{
	uint64_t at = fuzz_choose(map->input, 2) * draw_size(map->input);

	view->n_regions = 0;
	while (view->n_regions < REGIONS_MAX && !fuzz_is_over(map->input)) {
		struct nmx_mem_region *region = &view->regions[view->n_regions];
		uint8_t draw = fuzz_take8(map->input);

		if (draw >= 0xf0)
			break;
		region->start = draw & 4 ? at + draw_size(map->input) : at;
		region->size = draw_size(map->input);
		if (draw & 8) /* the last one, to the very end */
			region->start = UINT64_MAX - region->size + 1;
		if (region->start < at || region->size - 1 > UINT64_MAX - region->start)
			break;
		region->protection = 1 + draw % 3;
		region->host = (NMX_SHARED uint8_t *)(uintptr_t)((view->n_regions + UINT64_C(1))
								 << (REGION_LOG2 + 2));
		view->n_regions++;
		at = region->start + region->size;
		if (at == 0)
			break;
	}
}

/** An empty view may have no generation, as the one of an empty address space. */
static void
renew_view(struct map *map)
{
	uint32_t i = fuzz_choose(map->input, VIEWS);

	free(map->views[i]);
	map->views[i] = calloc(
		1, sizeof(*map->views[i]) + REGIONS_MAX * sizeof(map->views[i]->regions[0]));
	fill_view(map, map->views[i]);
	if (map->views[i]->n_regions > 0)
		map->views[i]->generation = ++map->generation;
}

static int
translate_slowly(const struct nmx_mem_view *view, uint64_t address, uint64_t size,
	uint32_t protection, uintptr_t *ret)
{
	const unsigned __int128 end = (unsigned __int128)address + size;

	for (uint32_t i = 0; i < view->n_regions; i++) {
		const struct nmx_mem_region *region = &view->regions[i];

		if (address < region->start ||
			end > (unsigned __int128)region->start + region->size)
			continue;
		if ((protection & ~region->protection) != 0)
			return -EACCES;
		*ret = (uintptr_t)region->host + (address - region->start);
		return 0;
	}
	return -EFAULT;
}

/** A number near one that matters. */
static uint64_t
draw_near(struct fuzz_input *input, uint64_t number)
{
	return number + (uint64_t)(int64_t)(int8_t)fuzz_take8(input);
}

static void
draw_range(struct map *map, const struct nmx_mem_view *view, uint64_t *address, uint64_t *size)
{
	const struct nmx_mem_region *region = NULL;
	uint8_t draw = fuzz_take8(map->input);

	if (view->n_regions > 0)
		region = &view->regions[(draw >> 2) % view->n_regions];
	*address = region == NULL || draw == 0xff ? fuzz_take64(map->input)
		   : draw & 1                     ? draw_near(map->input, region->start)
						  : region->start + region->size / 2;
	*size = draw & 2         ? fuzz_choose(map->input, 128)
		: region == NULL ? fuzz_take64(map->input)
		: draw % 7 == 0  ? -*address
				 : draw_near(map->input, region->size - (*address - region->start));
	*size += *size == 0;
}

/** One of the run's views, or the present one of the address space; never NULL. */
static const struct nmx_mem_view *
choose_view(struct map *map)
{
	uint32_t i = fuzz_choose(map->input, VIEWS + 1);

	return i == VIEWS || map->views[i] == NULL ? nmx_mem_get_view(map->mem) : map->views[i];
}

static void
translate(struct map *map)
{
	NMX_SHARED uint8_t *const none = (NMX_SHARED uint8_t *)(uintptr_t)0x5a5a;
	NMX_SHARED uint8_t *host = none;
	const struct nmx_mem_view *view = choose_view(map), *present = nmx_mem_get_view(map->mem);
	const struct nmx_mem_view *used = view;
	uint8_t draw = fuzz_take8(map->input);
	uint32_t protection = 1 + (draw >> 2) % 3;
	uintptr_t expected = (uintptr_t)none;
	uint64_t address, size;
	int ret, expected_ret;

	draw_range(map, draw & 1 ? present : view, &address, &size);
	expected_ret = translate_slowly(view, address, size, protection, &expected);
	if (draw & 2) {
		ret = nmx_mem_translate(view, &map->cache, address, size, protection, &host);
	} else {
		ret = nmx_mem_translate_fresh(
			map->mem, &used, &map->cache, address, size, protection, &host);
		FUZZ_CHECK(used == (expected_ret == 0 ? view : present));
		if (used != view)
			expected_ret = translate_slowly(
				present, address, size, protection, &expected);
	}
	FUZZ_CHECK(ret == expected_ret && (uintptr_t)host == expected);
}

void
ring_fuzz_translation(struct fuzz_input *input)
{
	/* Generations unlike those of the address space. */
	struct map map = { .mem = get_mem(), .input = input, .generation = UINT64_C(1) << 32 };

	while (!fuzz_is_over(input)) {
		if (fuzz_once_in(input, 8))
			renew_view(&map);
		translate(&map);
	}
	for (unsigned int i = 0; i < VIEWS; i++)
		free(map.views[i]);
}
