/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_shape.h"

static uint32_t
get_min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t
get_max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

void
tnic_draw_shape(struct tnic_random *random, struct tnic_range sizes, struct tnic_range segments,
	uint32_t room, struct tnic_shape *ret_shape)
{
	uint32_t left = tnic_draw_from(random, sizes);
	uint32_t n = tnic_draw_from(random, segments);

	n = get_max(n, (left + room - 1) / room);
	n = get_min(n, left);
	ret_shape->size = left;
	ret_shape->n_segments = n;
	/* Invariant: what is left fits into the segments to come, with a byte or more for each. */
	for (uint32_t i = 0; i < n; i++) {
		uint32_t to_come = n - i - 1;
		uint32_t fits_later = to_come * room;
		struct tnic_range cut = {
			.low = left > fits_later ? left - fits_later : 1,
			.high = get_min(room, left - to_come),
		};
		uint32_t segment = tnic_draw_from(random, cut);

		ret_shape->segment[i] = (uint16_t)segment;
		left -= segment;
	}
}
