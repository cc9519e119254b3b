/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "log.h"

#include "lib/base/clock.h"

#define LINES_AT_ONCE    8
#define LINE_INTERVAL_NS (NMX_NS_PER_S / 4)

RTE_LOG_REGISTER(nmx_mux_logtype, nicmux, INFO);

bool
nmx_mux_may_log(struct nmx_mux_log_budget *budget)
{
	uint64_t now_ns = nmx_base_read_clock_ns();
	uint64_t from_ns = budget->used_until_ns > now_ns ? budget->used_until_ns : now_ns;

	if (from_ns > now_ns + LINES_AT_ONCE * LINE_INTERVAL_NS)
		return false;
	budget->used_until_ns = from_ns + LINE_INTERVAL_NS;
	return true;
}
