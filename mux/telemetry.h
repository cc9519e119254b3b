/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Counters by DPDK's telemetry (dpdk-telemetry.py):
 *
 *   /nicmux/guests,FIRST  names, NMX_MUX_NAMES_MAX at most, from number FIRST on (0)
 *   /nicmux/guest,NAME    one, with all its counters
 *   /nicmux/uplinks       all, with their counters
 *   /nicmux/worker        how busy the worker is
 */

#ifndef NMX_MUX_TELEMETRY_H
#define NMX_MUX_TELEMETRY_H

#include "daemon.h"

/** Names in one answer: DPDK has room for 512 entries and 16 KiB, and cuts the rest off in silence.
 */
#define NMX_MUX_NAMES_MAX 256

/** Answer for a daemon. @return 0; -errno */
int nmx_mux_start_telemetry(struct nmx_mux_daemon *daemon);

/** Answer no more: what is asked from now on is refused. Returns when no answer is being made. */
void nmx_mux_stop_telemetry(void);

#endif
