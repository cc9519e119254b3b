/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The numbers by which driver and device know buffers of a ring. */

#ifndef VDPDK_IDS_H
#define VDPDK_IDS_H

#include <stdint.h>

/** Ids that are free, oldest first: as many as slots. */
struct vdpdk_ids {
	uint16_t *fifo; /* n, a power of two */
	uint32_t mask;
	uint32_t head, tail; /* taken from head, returned at tail */
};

static inline uint16_t
vdpdk_take_id(struct vdpdk_ids *ids)
{
	return ids->fifo[ids->head++ & ids->mask];
}

static inline void
vdpdk_return_id(struct vdpdk_ids *ids, uint16_t id)
{
	ids->fifo[ids->tail++ & ids->mask] = id;
}

#endif
