/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The daemon's log: EAL's, type "nicmux". */

#ifndef NMX_MUX_LOG_H
#define NMX_MUX_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_log.h>

extern int nmx_mux_logtype;

#define MUX_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, nmx_mux_logtype, "nicmuxd: " format "\n", ##__VA_ARGS__)

/** Lines that one guest can make the daemon write: so many at once, then one in this time. */
struct nmx_mux_log_budget {
	uint64_t used_until_ns;
};

/** True if a line about the guest may be written now. Context: one thread. */
bool nmx_mux_may_log(struct nmx_mux_log_budget *budget);

#endif
