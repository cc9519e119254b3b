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
 */

#include <stdlib.h>

#include "lib/mem/mem.h"
#include "ring_memory.h"

#define VIEWS       3
#define REGIONS_MAX 12
#define REGION_LOG2 40 /* of the largest, so that host addresses can't wrap */

struct map {
	struct nmx_mem_view *views[VIEWS];
	struct nmx_mem_cache cache;
	struct fuzz_input *input;
	uint64_t generation;
};

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
		region->host = (NMX_SHARED uint8_t *)(uintptr_t)(
			(view->n_regions + UINT64_C(1)) << (REGION_LOG2 + 2));
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
	*size = draw & 2            ? fuzz_choose(map->input, 128)
		: region == NULL    ? fuzz_take64(map->input)
		: draw % 7 == 0     ? -*address
				    : draw_near(map->input,
					      region->size - (*address - region->start));
	*size += *size == 0;
}

static void
translate(struct map *map)
{
	NMX_SHARED uint8_t *const none = (NMX_SHARED uint8_t *)(uintptr_t)0x5a5a;
	NMX_SHARED uint8_t *host = none;
	const struct nmx_mem_view *view = map->views[fuzz_choose(map->input, VIEWS)];
	uint32_t protection = 1 + fuzz_choose(map->input, 3);
	uintptr_t expected = (uintptr_t)none;
	uint64_t address, size;
	int ret;

	if (view == NULL)
		return;
	draw_range(map, view, &address, &size);
	ret = nmx_mem_translate(view, &map->cache, address, size, protection, &host);
	FUZZ_CHECK(ret == translate_slowly(view, address, size, protection, &expected));
	FUZZ_CHECK((uintptr_t)host == expected);
}

void
ring_fuzz_translation(struct fuzz_input *input)
{
	struct map map = {.input = input};

	while (!fuzz_is_over(input)) {
		if (fuzz_once_in(input, 8))
			renew_view(&map);
		translate(&map);
	}
	for (unsigned int i = 0; i < VIEWS; i++)
		free(map.views[i]);
}
