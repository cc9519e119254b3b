/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What is left of a frame for others to do: its checksum, and the cutting of a large one.
 *
 * Theory of operation
 *
 * Virtio guests and programs know the same two, under other names. Each says beforehand whether it
 * takes such frames: guests by features, programs by ethdev's offloads.
 *
 *                  a net header has         an mbuf has
 *   from the guest NEEDS_CSUM           ->  RX_L4_CKSUM_NONE  or the checksum is computed here
 *                  GSO_TCPV4, _TCPV6    ->  RX_LRO            or the frame is dropped: too long
 *   to the guest   NEEDS_CSUM           <-  TX_TCP_CKSUM, TX_UDP_CKSUM
 *                  GSO_TCPV4, _TCPV6    <-  TX_TCP_SEG
 *
 * To a guest that doesn't take it, nmx_guestport_prepare() computes the checksum, or refuses. That
 * writes to the mbuf, so it is a step of its own that programs call before they send
 * (rte_eth_tx_prepare()). A burst drops what wasn't prepared.
 *
 * A header says where the checksum is; an mbuf doesn't, programs look for it where TCP and UDP have
 * it. So what is in another place, a tunnel's for instance, is computed here.
 *
 * Requests are rare among frames of DPDK's guests, and each is worth a function call: bursts only
 * look whether there is one.
 */

#ifndef NMX_GUESTPORT_OFFLOAD_H
#define NMX_GUESTPORT_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "lib/ring/split_layout.h"

/** What an mbuf to a guest may ask for. */
#define OFFLOAD_REQUESTS (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM)

/** Longest frame to be cut that a guest gets: its answer's length, with the net header, has 16
 * bits. */
#define OFFLOAD_BYTES_MAX (UINT16_MAX - NMX_SPLIT_NET_BYTES)

/**
 * Do to a frame from the guest what its header asks for, or leave it to the program.
 *
 * @param header     judged: nmx_ring_judge_request()
 * @param takes      what the program does itself: NMX_OFFLOAD_*
 * @param bytes_max  of a frame that isn't to be cut, and of those that it is cut into
 * @param mbuf       the frame, the caller's alone
 * @return false: it can't be done to this frame
 */
bool nmx_guestport_fulfil(const struct nmx_split_net_header *header, uint32_t takes,
	uint32_t bytes_max, struct rte_mbuf *mbuf);

/**
 * Find the header of a frame to the guest. Pure.
 *
 * @param mbuf  asks for something: OFFLOAD_REQUESTS
 * @param may   what the guest takes: NMX_RING_MAY_*
 * @param ret   its n_buffers is the caller's
 * @return false: the guest doesn't take it, or it makes no sense
 */
bool nmx_guestport_make_request(
	const struct rte_mbuf *mbuf, uint32_t may, struct nmx_split_net_header *ret);

#endif
