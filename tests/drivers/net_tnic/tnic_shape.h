/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** How long a frame is and where it is cut into segments. Pure code, any thread. */

#ifndef TNIC_SHAPE_H
#define TNIC_SHAPE_H

#include <assert.h>
#include <stdint.h>

#include "tnic_frame.h"
#include "tnic_random.h"

#define TNIC_MAX_SEGMENTS   256
#define TNIC_MIN_ROOM_BYTES 64

static_assert(TNIC_MAX_SEGMENTS * TNIC_MIN_ROOM_BYTES >= TNIC_FRAME_MAX_BYTES,
	"the longest frame fits into segments of the smallest room");

struct tnic_shape {
	uint32_t size; /* bytes of the frame */
	uint32_t n_segments;
	uint16_t segment[TNIC_MAX_SEGMENTS]; /* bytes of each, 1 or more; their sum is the size */
};

/**
 * Draw a frame's shape.
 *
 * @param sizes     bytes, within TNIC_FRAME_MIN_BYTES and _MAX_BYTES
 * @param segments  number wanted, 1 to TNIC_MAX_SEGMENTS; more are made if the rooms demand it
 * @param room      bytes that a segment holds, TNIC_MIN_ROOM_BYTES or more
 */
void tnic_draw_shape(struct tnic_random *random, struct tnic_range sizes,
	struct tnic_range segments, uint32_t room, struct tnic_shape *ret_shape);

#endif
