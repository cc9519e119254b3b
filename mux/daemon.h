/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The daemon as a whole: what the configuration says, running.
 *
 * Theory of operation
 *
 * Threads, beside EAL's:
 *
 *   main      signals, configuration, and all calls to the uplink's control side; may be slow
 *   control   the guests' sockets (drivers/common/guestport); never slow
 *   worker    the data path (worker.h)
 *   telemetry reads counters (telemetry.c)
 *
 * The list of guests is changed by main only, under the lock; telemetry reads it under the lock.
 *
 * A new configuration is compared with the present one. Guests whose entries are the same, byte by
 * byte, go on and notice nothing. One whose entry differs is ended and listened for anew; its
 * driver comes back by itself.
 */

#ifndef NMX_MUX_DAEMON_H
#define NMX_MUX_DAEMON_H

#include <stdint.h>

#include "config.h"
#include "guest.h"
#include "uplink.h"
#include "worker.h"

struct nmx_mux_daemon;

/** What a change of the configuration came to. */
struct nmx_mux_changes {
	uint32_t added, removed, changed, kept; /* guests */
};

/**
 * Start with a configuration.
 *
 * @param config     the daemon's from now on, if it succeeds
 * @param lcore      of the worker
 * @param ret_error  written on failure
 * @return 0; -errno, and nothing is left
 *
 * Context: main; EAL is initialised.
 */
int nmx_mux_start_daemon(struct nmx_mux_config *config, unsigned int lcore,
	struct nmx_mux_daemon **ret_daemon, struct nmx_mux_error *ret_error);

/**
 * Go over to another configuration, wholly or not at all.
 *
 * @param config       the daemon's from now on, if it succeeds
 * @param ret_changes  written on success
 * @param ret_error    written on failure; then all is as it was, but that guests whose place was
 *                     wanted by another may have been interrupted
 * @return 0; -ENOTSUP the uplink differs; -errno
 *
 * Context: main.
 */
int nmx_mux_apply_config(struct nmx_mux_daemon *daemon, struct nmx_mux_config *config,
	struct nmx_mux_changes *ret_changes, struct nmx_mux_error *ret_error);

/** End it all: guests see their link go down, what they handed over is forwarded, then all closes.
 */
void nmx_mux_stop_daemon(struct nmx_mux_daemon *daemon);

/* --- For telemetry --- */

/** Keep the guests as they are. Any thread; not for long. */
void nmx_mux_lock_guests(struct nmx_mux_daemon *daemon);
void nmx_mux_unlock_guests(struct nmx_mux_daemon *daemon);

/** The guests, in no order. Context: locked. */
struct nmx_mux_guest *const *nmx_mux_get_guests(
	const struct nmx_mux_daemon *daemon, uint32_t *ret_n);

const struct nmx_mux_uplink *nmx_mux_get_uplink(const struct nmx_mux_daemon *daemon);
const struct nmx_mux_worker *nmx_mux_get_worker(const struct nmx_mux_daemon *daemon);

#endif
