/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Counters that a secondary process asks its primary for.
 *
 * Theory of operation
 *
 * A secondary shares the primary's huge pages and reads by itself what lies there. What only the
 * primary can get at (its heap, a lock, the device) it asks for, by EAL's own messages. The
 * primary's message thread answers, under a lock without which no port ends. Where EAL has no
 * messages (--in-memory, --no-shconf) there can be no secondary, and nothing is served.
 */

#ifndef NMX_DPDK_COUNTERS_H
#define NMX_DPDK_COUNTERS_H

#include <stdint.h>
#include <sys/queue.h>

/** More don't fit into a message. */
#define NMX_DPDK_COUNTERS_MAX 24

/** What a port serves; lives as long as it does. */
struct nmx_dpdk_counters {
	LIST_ENTRY(nmx_dpdk_counters) next;
	const char *port; /* its name, which outlives this */
	uint32_t n;       /* numbers, at most NMX_DPDK_COUNTERS_MAX */
	/** Fill in n numbers. Context: EAL's message thread. */
	void (*read)(void *context, uint64_t *ret_numbers);
	void *context;
};

/**
 * Begin to serve. Primary, any thread.
 *
 * @param action  name of the messages, of the driver; a constant
 */
void nmx_dpdk_serve_counters(const char *action, struct nmx_dpdk_counters *counters);

/** End that; waits for an answer under way. Once for each that was begun. */
void nmx_dpdk_end_counters(struct nmx_dpdk_counters *counters);

/**
 * Ask the primary. Secondary, any thread but EAL's message thread.
 *
 * @return 0; -ETIMEDOUT, -ENODEV the primary has no such port; -EPROTO it is of another release;
 *         -errno of EAL. Then the numbers are 0
 */
int nmx_dpdk_ask_counters(const char *action, const char *port, uint64_t *ret_numbers, uint32_t n);

#endif
