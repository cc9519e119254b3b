/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Tells if a step loads a word of the guest's memory twice. To be included before shared.h is. */

#ifndef NMX_RING_SPLIT_HOOK_TEST_H
#define NMX_RING_SPLIT_HOOK_TEST_H

#include <stdbool.h>
#include <stdint.h>

#ifndef NMX_SHARED_HOOK
#define NMX_SHARED_HOOK
#endif
#include "lib/base/shared.h"

#define LOADS_MAX 4096

static const void *loads[LOADS_MAX]; /* of the step under way */
static uint32_t n_loads;
static bool watches; /* small rings only: each load looks at all before it */
static bool was_loaded_twice;

void
nmx_shared_hook(void *address, size_t size)
{
	(void)size;
	if (!watches)
		return;
	for (uint32_t i = 0; i < n_loads; i++)
		was_loaded_twice |= loads[i] == address;
	if (n_loads < LOADS_MAX)
		loads[n_loads++] = address;
}

static inline void
begin_step(void)
{
	watches = true;
	n_loads = 0;
}

#endif
