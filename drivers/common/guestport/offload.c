/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "offload.h"

#include <errno.h>
#include <stddef.h>

#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "lib/ring/split_chain.h"
#include "lib/ring/split_header.h"
#include "port.h"

static_assert(NMX_LARGE_BYTES_MAX == NMX_SPLIT_FRAME_BYTES_MAX, "what a ring lets through");

/* --- Checksums of mbufs --- */

/** Write two bytes at an offset; they may be in two segments. The frame is longer. */
static void
store16(struct rte_mbuf *mbuf, uint32_t offset, uint16_t value)
{
	const uint8_t *bytes = (const uint8_t *)&value;

	for (unsigned int i = 0; i < sizeof(value); i++, offset++) {
		for (; offset >= mbuf->data_len; mbuf = mbuf->next)
			offset -= mbuf->data_len;
		*rte_pktmbuf_mtod_offset(mbuf, uint8_t *, offset) = bytes[i];
	}
}

/**
 * Complete a checksum: where it is to be, the sum of the pseudo header stands.
 *
 * @return false: it would be outside of the frame
 */
static bool
complete(struct rte_mbuf *mbuf, uint32_t start, uint32_t offset)
{
	uint16_t sum;

	if (start + offset + sizeof(sum) > mbuf->pkt_len ||
		rte_raw_cksum_mbuf(mbuf, start, mbuf->pkt_len - start, &sum) != 0)
		return false;
	/* Of the two zeroes the one that UDP has: RFC 768. */
	store16(mbuf, start + offset, sum == UINT16_MAX ? sum : (uint16_t)~sum);
	return true;
}

/* --- From the guest --- */

/** True if the checksum is where a program expects it, by the frame's own headers. */
static bool
is_in_place(const struct nmx_split_net_header *header, uint32_t type,
	const struct rte_net_hdr_lens *lengths)
{
	if (header->csum_start != lengths->l2_len + lengths->l3_len)
		return false;
	switch (type & RTE_PTYPE_L4_MASK) {
	case RTE_PTYPE_L4_TCP:
		return header->csum_offset == offsetof(struct rte_tcp_hdr, cksum);
	case RTE_PTYPE_L4_UDP:
		return header->csum_offset == offsetof(struct rte_udp_hdr, dgram_cksum);
	default:
		return false;
	}
}

/** True if a frame that is to be cut is what its header says, and comes to frames that may be. */
static bool
is_cuttable(const struct nmx_split_net_header *header, uint32_t type,
	const struct rte_net_hdr_lens *lengths, uint32_t bytes_max)
{
	const uint32_t header_bytes = lengths->l2_len + lengths->l3_len + lengths->l4_len;
	const bool is_v4 = RTE_ETH_IS_IPV4_HDR(type) != 0, is_v6 = RTE_ETH_IS_IPV6_HDR(type) != 0;

	return (type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP &&
	       header_bytes + header->gso_size <= bytes_max &&
	       (header->gso_type == NMX_SPLIT_NET_GSO_TCPV4 ? is_v4 : is_v6);
}

bool
nmx_guestport_fulfil(const struct nmx_split_net_header *header, uint32_t takes, uint32_t bytes_max,
	struct rte_mbuf *mbuf)
{
	struct rte_net_hdr_lens lengths = { 0 };
	const uint32_t type = rte_net_get_ptype(
		mbuf, &lengths, RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK);
	const bool in_place = is_in_place(header, type, &lengths);

	mbuf->packet_type = type;
	mbuf->tx_offload = 0;
	if (header->gso_type != NMX_SPLIT_NET_GSO_NONE) {
		if (!(takes & NMX_OFFLOAD_TSO) || !in_place ||
			!is_cuttable(header, type, &lengths, bytes_max))
			return false;
		mbuf->ol_flags |= RTE_MBUF_F_RX_LRO;
		mbuf->tso_segsz = header->gso_size;
	}
	if (!(takes & NMX_OFFLOAD_CSUM) || !in_place)
		return complete(mbuf, header->csum_start, header->csum_offset);
	mbuf->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	return true;
}

/* --- To the guest --- */

/** Where a frame's L4 header has its checksum; 0: none that we know, or it is in a tunnel. */
static uint16_t
get_csum_offset(uint64_t flags)
{
	if (flags & RTE_MBUF_F_TX_TUNNEL_MASK)
		return 0;
	if ((flags & RTE_MBUF_F_TX_TCP_SEG) ||
		(flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM)
		return offsetof(struct rte_tcp_hdr, cksum);
	return (flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM
		       ? offsetof(struct rte_udp_hdr, dgram_cksum)
		       : 0;
}

/** True if the lengths of the headers that a request tells are within the frame's first segment. */
static bool
has_headers(const struct rte_mbuf *mbuf)
{
	const uint32_t csum_start = (uint32_t)mbuf->l2_len + mbuf->l3_len;
	uint32_t bytes = csum_start + get_csum_offset(mbuf->ol_flags) + sizeof(uint16_t);

	if (mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		bytes = RTE_MAX(bytes, csum_start + mbuf->l4_len);
	return mbuf->l2_len != 0 && mbuf->l3_len != 0 && bytes <= mbuf->data_len;
}

bool
nmx_guestport_make_request(
	const struct rte_mbuf *mbuf, uint32_t may, struct nmx_split_net_header *ret)
{
	const uint64_t flags = mbuf->ol_flags;
	const bool is_v4 = (flags & RTE_MBUF_F_TX_IPV4) != 0;

	*ret = (struct nmx_split_net_header){
		.flags = NMX_SPLIT_NET_NEEDS_CSUM,
		.csum_start = (uint16_t)(mbuf->l2_len + mbuf->l3_len),
		.csum_offset = get_csum_offset(flags),
	};
	if ((flags & RTE_MBUF_F_TX_IP_CKSUM) || ret->csum_offset == 0 || !has_headers(mbuf))
		return false;
	if (flags & RTE_MBUF_F_TX_TCP_SEG) {
		if (!(flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)))
			return false;
		ret->gso_type = is_v4 ? NMX_SPLIT_NET_GSO_TCPV4 : NMX_SPLIT_NET_GSO_TCPV6;
		ret->gso_size = mbuf->tso_segsz;
		ret->header_length = (uint16_t)(ret->csum_start + mbuf->l4_len);
	}
	return nmx_ring_judge_request(ret, may) == VDPDK_FAULT_NONE;
}

/* --- Preparing --- */

/** True if the lengths told reach around an IP header that is there. */
static bool
has_ip(const struct rte_mbuf *mbuf)
{
	const struct rte_ipv4_hdr *ip;

	if ((uint32_t)mbuf->l2_len + mbuf->l3_len > mbuf->data_len)
		return false;
	if (mbuf->ol_flags & RTE_MBUF_F_TX_IPV6)
		return mbuf->l3_len >= sizeof(struct rte_ipv6_hdr);
	if (!(mbuf->ol_flags & RTE_MBUF_F_TX_IPV4) || mbuf->l3_len < sizeof(*ip))
		return false;
	ip = rte_pktmbuf_mtod_offset(mbuf, const struct rte_ipv4_hdr *, mbuf->l2_len);
	return rte_ipv4_hdr_len(ip) == mbuf->l3_len;
}

static void
compute_ip_checksum(struct rte_mbuf *mbuf)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(
		mbuf, struct rte_ipv4_hdr *, mbuf->l2_len);

	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	mbuf->ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
}

/** Put the pseudo header's sum where the checksum is to be, with the length: 5.1.6.2. */
static void
put_pseudo_sum(struct rte_mbuf *mbuf)
{
	/* Without that flag the length is in it, whatever is to be cut. */
	const uint64_t flags = mbuf->ol_flags & ~RTE_MBUF_F_TX_TCP_SEG;
	const void *ip = rte_pktmbuf_mtod_offset(mbuf, void *, mbuf->l2_len);
	uint16_t sum = mbuf->ol_flags & RTE_MBUF_F_TX_IPV4 ? rte_ipv4_phdr_cksum(ip, flags)
							   : rte_ipv6_phdr_cksum(ip, flags);

	store16(mbuf, mbuf->l2_len + mbuf->l3_len + get_csum_offset(mbuf->ol_flags), sum);
}

int
nmx_guestport_prepare(const struct nmx_to_guest *queue, struct rte_mbuf *mbuf)
{
	const uint32_t may = atomic_load_explicit(&queue->port->to_guest_may, memory_order_relaxed);
	const uint64_t flags = mbuf->ol_flags;
	struct nmx_split_net_header header;

	if (!(flags & OFFLOAD_REQUESTS))
		return 0;
	if (!has_ip(mbuf))
		return -EINVAL;
	if (flags & RTE_MBUF_F_TX_IP_CKSUM) {
		compute_ip_checksum(mbuf);
		if (!(mbuf->ol_flags & OFFLOAD_REQUESTS))
			return 0;
	}
	if (get_csum_offset(flags) == 0)
		return -ENOTSUP;
	if (!has_headers(mbuf))
		return -EINVAL;
	put_pseudo_sum(mbuf);
	if (nmx_guestport_make_request(mbuf, may, &header))
		return 0;
	if (flags & RTE_MBUF_F_TX_TCP_SEG)
		return -ENOTSUP;
	if (!complete(mbuf, mbuf->l2_len + mbuf->l3_len, get_csum_offset(flags)))
		return -EINVAL;
	mbuf->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
	return 0;
}
