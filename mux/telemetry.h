/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Counters by DPDK's telemetry (dpdk-telemetry.py):
 *
 *   /nicmux/guests        names of all
 *   /nicmux/guest,NAME    one, with all its counters
 *   /nicmux/uplinks       all, with their counters
 *   /nicmux/worker        how busy the worker is
 */

#ifndef NMX_MUX_TELEMETRY_H
#define NMX_MUX_TELEMETRY_H

#include "daemon.h"

/** Answer for a daemon. @return 0; -errno */
int nmx_mux_start_telemetry(struct nmx_mux_daemon *daemon);

/** Answer no more: what is asked from now on is refused. Returns when no answer is being made. */
void nmx_mux_stop_telemetry(void);

#endif
