/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The arguments for EAL: the operator's, and before them defaults for what the operator leaves
 * open: an own file prefix, so that other DPDK programs run beside; two lcores, the main one
 * without a CPU of its own, the worker on the last; of PCI devices only uplinks.
 */

#ifndef NMX_MUX_EAL_ARGS_H
#define NMX_MUX_EAL_ARGS_H

#include "config.h"

/** All in one place; EAL keeps pointers into it. */
struct nmx_mux_eal_args {
	char *all[64];
	int n;
	char lcores[64];
	char device[NMX_MUX_DEVICE_BYTES];
};

/**
 * @param given     the operator's, behind "--"
 * @param ret_args  for rte_eal_init(), to be kept as long as the process
 * @return 0; -E2BIG
 */
int nmx_mux_make_eal_args(const struct nmx_mux_config *config, char *program, char **given,
	int n_given, struct nmx_mux_eal_args *ret_args);

#endif
