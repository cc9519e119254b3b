/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * SIGBUS: what happens when a guest's file shrinks under our mapping of it.
 *
 * Theory of operation
 *
 * One handler for the process. It looks the faulting address up in a table of guarded ranges that
 * is read without a lock. Found: private zero pages replace the missing one (4 KiB, or the huge
 * page it belongs to; or the whole range, should the process have no mapping left to split one
 * with), the range's owner is marked lost and woken, and the access that faulted goes on over
 * zeroes; the owner's session ends soon after. Not found: whoever handled SIGBUS before does, by
 * default the end of the process.
 *
 * EAL sets a handler of its own while it allocates a huge page, and then puts the former one back.
 * So the handler must be installed while EAL doesn't allocate: its installer holds EAL's memory
 * lock. A guest that makes its memory vanish in the very moment of such an allocation still meets
 * EAL's handler.
 *
 * System calls on such memory fail with EFAULT instead and need no guard.
 */

#ifndef NMX_MEM_GUARD_H
#define NMX_MEM_GUARD_H

#include <stdatomic.h>
#include <stddef.h>

/** Who suffers. Outlives its ranges. */
struct nmx_mem_guarded {
	atomic_bool lost;
	int lost_fd; /* eventfd to write when it becomes lost */
};

/**
 * Install the handler, once; again is nothing. Any thread; see above for what it is to hold.
 *
 * @return 0; -errno of sigaction()
 */
int nmx_mem_install_guard(void);

/**
 * Guard a range. Any thread.
 *
 * @return 0; -ENOSPC the table is full
 */
int nmx_mem_add_guard(void *base, size_t size, struct nmx_mem_guarded *owner);

/** Nothing touches the range any more. */
void nmx_mem_remove_guard(void *base);

/** Mark the owner lost and wake its control thread, once. Async-signal-safe. */
void nmx_mem_mark_lost(struct nmx_mem_guarded *owner);

#endif
