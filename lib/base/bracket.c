/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "bracket.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

static long
membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

/** Registering is idempotent and per process; refused by old kernels and some filters. */
static bool
register_process(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

void
nmx_base_init_bracket(struct nmx_bracket *bracket)
{
	atomic_init(&bracket->word, 0);
	bracket->needs_fence = !register_process();
}

bool
nmx_base_fence_brackets(void)
{
	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0)
		return true;
	/* Where registering was refused brackets have fences of their own, which pair with this
	 * one. Where it was granted they have none, and the call must work sooner or later. */
	atomic_thread_fence(memory_order_seq_cst);
	return !register_process();
}
