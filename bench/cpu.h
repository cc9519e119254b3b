/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Threads that stay on a CPU, and the clocks they read. */

#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <time.h>

/** Stay on one CPU from now on. @return 0; an errno */
static inline int
stay_on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static inline uint64_t
read_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static inline uint64_t
read_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/** What a spinning thread does between two looks. */
static inline void
relax(void)
{
	__builtin_ia32_pause();
}

#endif
