/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** How an uplink's device reaches memory. Private to drivers/common. */

#ifndef NMX_RXMAP_UPLINK_H
#define NMX_RXMAP_UPLINK_H

#include "lib/mem/dma.h"
#include "rxmap.h"

/**
 * Whether buffers may be lent to a port's device at all, as far as can be said before a trial.
 *
 * @return NMX_RXMAP_UNTRIED: they may be; or why not
 */
enum nmx_rxmap_verdict nmx_rxmap_judge_device(uint16_t port);

/**
 * The domain that guests' memory is to be mapped in for a port's device.
 *
 * @return false: none; its device is a program, which sees what this process sees, or isn't fit
 */
bool nmx_rxmap_get_device_domain(uint16_t port, struct nmx_mem_domain *ret_domain);

/** The same of a map's uplink; false, too, if nothing will be lent to it. */
bool nmx_rxmap_get_domain(const struct nmx_rxmap *map, struct nmx_mem_domain *ret_domain);

#endif
