/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Asking for cache lines ahead of their use. Hints: nothing but time depends on them. */

#ifndef NMX_BASE_PREFETCH_H
#define NMX_BASE_PREFETCH_H

#include "shared.h"

/** Of the machines that DPDK runs on, nearly all. */
#define NMX_CACHE_LINE_BYTES 64

/**
 * Ask for a line that will be written to, perhaps after it was read: it comes over from another
 * CPU once, and that one's copy ends, instead of once to be read and once more to be written.
 */
static inline void
nmx_base_prefetch_to_write(const NMX_SHARED void *p)
{
#if defined(__x86_64__)
	/* The compiler's own makes this a prefetch for reading, unless it builds for CPUs that are
	 * known to have it. Those without it take it for nothing. */
	__asm__ volatile("prefetchw (%0)" : : "r"(NMX_SHARED_PLAIN(const void, p)));
#else
	__builtin_prefetch(NMX_SHARED_PLAIN(const void, p), 1);
#endif
}

#endif
