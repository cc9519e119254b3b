/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "flow_hash.h"

#include <stdbool.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_thash.h>

/** The key that Microsoft's specification of RSS gives with its examples, as most NICs have it. */
static const uint8_t key[40] = {
	0x6d,
	0x5a,
	0x56,
	0xda,
	0x25,
	0x5b,
	0x0e,
	0xc2,
	0x41,
	0x67,
	0x25,
	0x3d,
	0x43,
	0xa3, //
	0x8f,
	0xb0,
	0xd0,
	0xca,
	0x2b,
	0xcb,
	0xae,
	0x7b,
	0x30,
	0xb4,
	0x77,
	0xcb,
	0x2d,
	0xa3, //
	0x80,
	0x30,
	0xf2,
	0x0c,
	0x6a,
	0x42,
	0xb7,
	0x3b,
	0xbe,
	0xac,
	0x01,
	0xfa,
};

/** What is left to read of a frame's head. */
struct view {
	const uint8_t *at;
	uint32_t left;
};

/** Take n bytes. @return NULL: there are fewer */
static const void *
take(struct view *view, uint32_t n)
{
	const uint8_t *at = view->at;

	if (n > view->left)
		return NULL;
	view->at += n;
	view->left -= n;
	return at;
}

/** The ports of TCP and UDP as one word in host order; false: there are none. */
static bool
read_ports(struct view *view, uint8_t protocol, uint32_t *ret)
{
	const void *ports;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return false;
	ports = take(view, sizeof(*ret));
	if (ports == NULL)
		return false;
	memcpy(ret, ports, sizeof(*ret));
	*ret = rte_be_to_cpu_32(*ret);
	return true;
}

static uint32_t
hash_ipv4(struct view *view)
{
	const struct rte_ipv4_hdr *header = take(view, sizeof(*header));
	uint32_t tuple[3], n = 2;

	if (header == NULL || (header->version_ihl >> 4) != 4 || (header->version_ihl & 15) < 5)
		return 0;
	memcpy(tuple, &header->src_addr, 2 * sizeof(tuple[0]));
	tuple[0] = rte_be_to_cpu_32(tuple[0]);
	tuple[1] = rte_be_to_cpu_32(tuple[1]);
	if ((rte_be_to_cpu_16(header->fragment_offset) &
		    (RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) == 0 &&
		take(view, (header->version_ihl & 15u) * 4 - sizeof(*header)) != NULL &&
		read_ports(view, header->next_proto_id, &tuple[2]))
		n = 3;
	return rte_softrss(tuple, n, key);
}

/** Without extension headers: behind those, by addresses only. */
static uint32_t
hash_ipv6(struct view *view)
{
	const struct rte_ipv6_hdr *header = take(view, sizeof(*header));
	uint32_t tuple[9], n = 8;

	if (header == NULL)
		return 0;
	memcpy(tuple, header->src_addr, 8 * sizeof(tuple[0]));
	for (uint32_t i = 0; i < 8; i++)
		tuple[i] = rte_be_to_cpu_32(tuple[i]);
	if (read_ports(view, header->proto, &tuple[8]))
		n = 9;
	return rte_softrss(tuple, n, key);
}

uint32_t
nmx_mux_hash_flow(const struct rte_mbuf *mbuf)
{
	const struct rte_ether_hdr *header;
	struct view view;
	uint16_t type;

	if (mbuf->ol_flags & RTE_MBUF_F_RX_RSS_HASH)
		return mbuf->hash.rss;
	view = (struct view){ rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len };
	header = take(&view, sizeof(*header));
	type = header == NULL ? 0 : rte_be_to_cpu_16(header->ether_type);
	for (int tags = 0; tags < 2 && (type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ);
		tags++) {
		const struct rte_vlan_hdr *tag = take(&view, sizeof(*tag));

		type = tag == NULL ? 0 : rte_be_to_cpu_16(tag->eth_proto);
	}
	if (type == RTE_ETHER_TYPE_IPV4)
		return hash_ipv4(&view);
	return type == RTE_ETHER_TYPE_IPV6 ? hash_ipv6(&view) : 0;
}
