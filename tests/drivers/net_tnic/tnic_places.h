/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Where frames were: an independent witness of what was copied.
 *
 * A sending port notes the address to which it wrote a frame, an auditing one the address at which
 * it found it. A test that looks both up in the page tables of the two processes knows whether that
 * is the same memory. (A port that does both notes what it sends.) The file has TNIC_PLACES
 * entries, one for each number of a flow modulo that, of the first flow only.
 */

#ifndef TNIC_PLACES_H
#define TNIC_PLACES_H

#include <stdint.h>

#include "tnic_reason.h"

#define TNIC_PLACES 1024

struct tnic_place {
	uint64_t seq_plus_1; /* of the frame; 0: none */
	uint64_t address;    /* of its first byte, in the process that notes it */
};

/**
 * Make or open a file of places.
 *
 * @return 0; -errno, with a reason
 */
int tnic_open_places(const char *path, struct tnic_place **ret_places, struct tnic_reason *reason);

/** NULL is nothing. */
void tnic_close_places(struct tnic_place *places);

static inline void
tnic_note_place(struct tnic_place *places, uint32_t flow, uint64_t seq, const void *address)
{
	struct tnic_place *place = &places[seq % TNIC_PLACES];

	if (flow != 0)
		return;
	place->address = (uintptr_t)address;
	place->seq_plus_1 = seq + 1;
}

#endif
