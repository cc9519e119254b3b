/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The daemon's log: EAL's, type "nicmux". */

#ifndef NMX_MUX_LOG_H
#define NMX_MUX_LOG_H

#include <rte_log.h>

extern int nmx_mux_logtype;

#define MUX_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, nmx_mux_logtype, "nicmuxd: " format "\n", ##__VA_ARGS__)

#endif
