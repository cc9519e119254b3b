/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Assertions on the layout of shared structures: a compiler that would lay one out otherwise
 * refuses to compile this folder.
 */

#ifndef VDPDK_LAYOUT_H
#define VDPDK_LAYOUT_H

#include <assert.h>
#include <stddef.h>

#define VDPDK_ASSERT_SIZE(structure, bytes) \
	static_assert(sizeof(struct structure) == (bytes), "size of " #structure)
#define VDPDK_ASSERT_OFFSET(structure, field, bytes) \
	static_assert(offsetof(struct structure, field) == (bytes), "offset of " #field)

#endif
