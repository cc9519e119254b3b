/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A log that never waits for who reads it.
 *
 * The control thread logs, and serves all guests: a full pipe or a stopped terminal behind standard
 * error must not hold it up. So the log is written without blocking; what isn't taken is lost, and
 * how many lines that were is told by the next one that is.
 */

#ifndef NMX_MUX_LOG_STREAM_H
#define NMX_MUX_LOG_STREAM_H

/**
 * Let EAL's log, and so all of the process', go to standard error that way.
 *
 * Context: before rte_eal_init(); for the rest of the process.
 * @return 0; -errno: then the log is as EAL has it
 */
int nmx_mux_open_log_stream(void);

#endif
