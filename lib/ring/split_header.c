/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "lib/ring/split_header.h"

/** What must be negotiated for a type of large frame; 0: there is no such type. */
static uint32_t
get_needed(uint8_t gso_type)
{
	switch (gso_type) {
	case NMX_SPLIT_NET_GSO_TCPV4:
		return NMX_RING_MAY_TSO4;
	case NMX_SPLIT_NET_GSO_TCPV6:
		return NMX_RING_MAY_TSO6;
	default:
		return 0;
	}
}

uint16_t
nmx_ring_judge_request(const struct nmx_split_net_header *header, uint32_t may)
{
	const bool needs_csum = (header->flags & NMX_SPLIT_NET_NEEDS_CSUM) != 0;

	if (needs_csum && !(may & NMX_RING_MAY_CSUM))
		return VDPDK_FAULT_FLAGS;
	if (header->gso_type == NMX_SPLIT_NET_GSO_NONE)
		return VDPDK_FAULT_NONE;
	/* A frame can't be cut without new checksums. */
	return needs_csum && header->gso_size != 0 && (may & get_needed(header->gso_type)) != 0
		       ? VDPDK_FAULT_NONE
		       : VDPDK_FAULT_FLAGS;
}
