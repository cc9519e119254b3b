/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The one place that knows of differences between DPDK's releases.
 *
 * Built and tested on 22.11; the guest's driver is made for 24.11, too. Drivers see
 * structures whose layout is fixed within one year.month only, so a plugin serves the release it
 * was built for and says so about any other.
 */

#ifndef NMX_DPDK_COMPAT_H
#define NMX_DPDK_COMPAT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_thread.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "DPDK 22.11 or later is needed."
#endif

/** Where an mbuf has its buffer's address as a device must be told it, in modes PA and VA alike. */
#if (defined(RTE_IOVA_IN_MBUF) && RTE_IOVA_IN_MBUF) || (defined(RTE_IOVA_AS_PA) && RTE_IOVA_AS_PA)
#define NMX_DPDK_MBUF_IOVA_OFFSET offsetof(struct rte_mbuf, buf_iova)
#else
/* A build without physical addresses: mode VA is all there is. */
#define NMX_DPDK_MBUF_IOVA_OFFSET offsetof(struct rte_mbuf, buf_addr)
#endif

/** Control threads have been EAL's own kind of threads since 23.11. */
#define NMX_DPDK_HAS_CONTROL_THREADS (RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0))

/** What a control thread's function returns; 0 will do, and nobody looks. */
#if NMX_DPDK_HAS_CONTROL_THREADS
typedef uint32_t nmx_dpdk_thread_result;
#else
typedef void *nmx_dpdk_thread_result;
#endif

/**
 * Start a thread that EAL keeps off the program's lcores; to be joined.
 *
 * @param name  at most 15 characters
 * @return 0; -errno
 */
static inline int
nmx_dpdk_start_control_thread(pthread_t *ret_thread, const char *name,
	nmx_dpdk_thread_result (*run)(void *), void *opaque)
{
#if NMX_DPDK_HAS_CONTROL_THREADS
	rte_thread_t thread;
	int ret = rte_thread_create_control(&thread, name, run, opaque);

	if (ret == 0)
		*ret_thread = (pthread_t)thread.opaque_id;
#else
	int ret = rte_ctrl_thread_create(ret_thread, name, NULL, run, opaque);
#endif
	/* The sign of an error was not always what is documented. */
	return ret < 0 ? ret : -ret;
}

/** What the plugin was built for, for messages. */
#define NMX_DPDK_BUILT_FOR RTE_STR(RTE_VER_YEAR) "." RTE_STR(RTE_VER_MONTH)

/** True if the running DPDK is of the release that this file was compiled for. */
static inline bool
nmx_dpdk_is_built_for(void)
{
	return rte_version_year() == RTE_VER_YEAR && rte_version_month() == RTE_VER_MONTH;
}

#endif
