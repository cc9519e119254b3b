/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Which flow a frame is of, for guests with several queues. */

#ifndef NMX_MUX_FLOW_HASH_H
#define NMX_MUX_FLOW_HASH_H

#include <stdint.h>

#include <rte_mbuf.h>

/**
 * A hash that is the same for all frames of a flow: the NIC's, if it gave one; else Toeplitz with
 * Microsoft's key over addresses, and ports of TCP and UDP, of IPv4 and IPv6, behind up to two VLAN
 * tags; else 0. Fragments hash by their addresses, so that they stay together.
 *
 * Only the mbuf's first segment is read.
 */
uint32_t nmx_mux_hash_flow(const struct rte_mbuf *mbuf);

#endif
