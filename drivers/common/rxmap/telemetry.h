/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Maps in telemetry: /nicmux/maps, /nicmux/map,NAME; and /nicmux/map_lend,NAME and
 * /nicmux/map_copy,NAME, which switch one. Private to this folder.
 */

#ifndef NMX_RXMAP_TELEMETRY_H
#define NMX_RXMAP_TELEMETRY_H

struct nmx_rxmap;

/** Show a map by its pool's name, and hide it again. */
void nmx_rxmap_show_in_telemetry(struct nmx_rxmap *map);
void nmx_rxmap_hide_in_telemetry(struct nmx_rxmap *map);

#endif
