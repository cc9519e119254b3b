/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The one place that knows of differences between DPDK's releases.
 *
 * Built and tested on 22.11. Drivers see structures whose layout is fixed within one year.month
 * only, so a plugin serves the release it was built for and says so about any other.
 */

#ifndef NMX_DPDK_COMPAT_H
#define NMX_DPDK_COMPAT_H

#include <stdbool.h>
#include <stddef.h>

#include <rte_mbuf.h>
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

/** What the plugin was built for, for messages. */
#define NMX_DPDK_BUILT_FOR RTE_STR(RTE_VER_YEAR) "." RTE_STR(RTE_VER_MONTH)

/** True if the running DPDK is of the release that this file was compiled for. */
static inline bool
nmx_dpdk_is_built_for(void)
{
	return rte_version_year() == RTE_VER_YEAR && rte_version_month() == RTE_VER_MONTH;
}

#endif
