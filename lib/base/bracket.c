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

void
nmx_base_init_bracket(struct nmx_bracket *bracket)
{
	atomic_init(&bracket->word, 0);
	/* Registering is idempotent and per process; refused by old kernels and some filters. */
	bracket->needs_fence = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
}

void
nmx_base_fence_brackets(void)
{
	/* The brackets' own fences pair with this one where the call is refused. */
	if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0)
		atomic_thread_fence(memory_order_seq_cst);
}
