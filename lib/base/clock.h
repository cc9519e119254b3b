/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Time for deadlines: monotonic, nanoseconds. */

#ifndef NMX_BASE_CLOCK_H
#define NMX_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NMX_NS_PER_US UINT64_C(1000)
#define NMX_NS_PER_MS UINT64_C(1000000)
#define NMX_NS_PER_S  UINT64_C(1000000000)

/** A deadline that never comes. */
#define NMX_NEVER_NS UINT64_MAX

static inline uint64_t
nmx_base_read_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NMX_NS_PER_S + (uint64_t)now.tv_nsec;
}

/** Milliseconds until a deadline, rounded up, for poll(): 0 if past, -1 for NMX_NEVER_NS. */
static inline int
nmx_base_count_ms_until(uint64_t deadline_ns, uint64_t now_ns)
{
	uint64_t ms;

	if (deadline_ns == NMX_NEVER_NS)
		return -1;
	if (deadline_ns <= now_ns)
		return 0;
	ms = (deadline_ns - now_ns + NMX_NS_PER_MS - 1) / NMX_NS_PER_MS;
	return ms > 1000000 ? 1000000 : (int)ms;
}

#endif
