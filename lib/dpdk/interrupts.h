/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Rx interrupts: a descriptor a queue. */

#ifndef NMX_DPDK_INTERRUPTS_H
#define NMX_DPDK_INTERRUPTS_H

#include <rte_interrupts.h>

/**
 * Make an interrupt handle whose queue i is interrupted by fds[i].
 *
 * @param fds           n descriptors, which stay the caller's
 * @param bytes_read    what EAL reads after each event: 8 of an eventfd, 0: nothing
 * @return a handle for nmx_dpdk_free_rx_interrupts(); NULL: no memory
 */
struct rte_intr_handle *nmx_dpdk_make_rx_interrupts(const int *fds, int n, uint8_t bytes_read);

/**
 * Have queue i interrupted by fds[i], vector 1 + i, on a handle that EAL made.
 *
 * @return 0; -errno. rte_intr_vec_list_free() undoes it
 */
int nmx_dpdk_set_rx_interrupts(struct rte_intr_handle *handle, const int *fds, int n);

/** Free it. NULL is nothing. */
void nmx_dpdk_free_rx_interrupts(struct rte_intr_handle *handle);

#endif
