/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The process's memory mappings, shared out among its address spaces.
 *
 * Theory of operation
 *
 * The kernel lets a process have so many mappings (vm.max_map_count), and a process that has no
 * more can't even allocate. Clients decide how many their memory makes here. So three quarters of
 * the kernel's number are for them, and nobody may take what would leave less free than it has
 * itself: the first client gets half of it at most, the next half of what it left, and so on. One
 * greedy client leaves room for every ordinary one.
 */

#ifndef NMX_MEM_BUDGET_H
#define NMX_MEM_BUDGET_H

#include <stdint.h>

/**
 * Take n mappings for somebody who has `own` already. Any thread.
 *
 * @return 0; -ENOSPC
 */
int nmx_mem_take_mappings(uint32_t own, uint32_t n);

/** Give n of them back. */
void nmx_mem_give_mappings(uint32_t n);

#endif
