/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The mempool below a map. Private to this folder. */

#ifndef NMX_RXMAP_POOL_H
#define NMX_RXMAP_POOL_H

#include "loans.h"

/** Make map->pool. @return 0; -errno, map->pool may be there */
int nmx_rxmap_make_pool(struct nmx_rxmap *map, const struct nmx_rxmap_config *config);

/** The last reference to a shown frame's buffer is gone. Any thread. */
void nmx_rxmap_note_buffer_back(struct rte_mbuf *shell);

#endif
