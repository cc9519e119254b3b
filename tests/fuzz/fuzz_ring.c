/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Both halves of a ring and the translation of addresses, each against a hostile peer.
 *
 * Theory of operation
 *
 * The first byte says which: the device's half (ring_device.c), the driver's (ring_driver.c) or
 * nmx_mem_translate() (ring_translation.c). The rest are steps; the hook in ring_memory.c draws
 * anew what each load of the ring finds. docs/device.md, sections "Rings" and "Events".
 */

#include "ring_memory.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parts[])(struct fuzz_input * input) = { ring_fuzz_device,
		ring_fuzz_driver, ring_fuzz_translation };
	struct fuzz_input input = fuzz_open_input(data, size);

	parts[fuzz_choose(&input, sizeof(parts) / sizeof(parts[0]))](&input);
	return 0;
}
