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

#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "DPDK 22.11 or later is needed."
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
