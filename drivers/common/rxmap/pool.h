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

/** A shell's own room. */
static inline uint8_t *
nmx_rxmap_get_home(struct rte_mbuf *shell)
{
	return (uint8_t *)nmx_rxmap_get_private(shell) + sizeof(struct nmx_rxmap_private);
}

/** True if a shell points at something other than its own room. */
static inline bool
nmx_rxmap_is_away(struct rte_mbuf *shell)
{
	return shell->buf_addr != nmx_rxmap_get_home(shell);
}

#endif
