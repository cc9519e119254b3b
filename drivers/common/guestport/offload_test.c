/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Requests of mbufs to a guest: what a burst drops, whoever sends it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/ring/split_header.h"
#include "offload.h"
#include "port.h"

#define V4   RTE_MBUF_F_TX_IPV4
#define V6   RTE_MBUF_F_TX_IPV6
#define TCP  RTE_MBUF_F_TX_TCP_CKSUM
#define UDP  RTE_MBUF_F_TX_UDP_CKSUM
#define SCTP RTE_MBUF_F_TX_SCTP_CKSUM
#define TSO  RTE_MBUF_F_TX_TCP_SEG

enum { CSUM = NMX_RING_MAY_CSUM, TSO4 = NMX_RING_MAY_TSO4, TSO6 = NMX_RING_MAY_TSO6 };
enum { L2 = 14, L3 = 20, L4 = 20, BYTES = 200 };

/** An mbuf of one segment with an IPv4 header of 20 bytes, and what it asks for. */
struct frame {
	struct rte_mbuf mbuf;
	uint8_t bytes[BYTES];
};

static void
make_frame(struct frame *frame, uint64_t flags)
{
	memset(frame, 0, sizeof(*frame));
	frame->mbuf.buf_addr = frame->bytes;
	frame->mbuf.buf_len = frame->mbuf.data_len = BYTES;
	frame->mbuf.pkt_len = BYTES;
	frame->mbuf.nb_segs = 1;
	frame->mbuf.ol_flags = flags;
	frame->mbuf.l2_len = L2;
	frame->mbuf.l3_len = L3;
	frame->mbuf.l4_len = L4;
	frame->mbuf.tso_segsz = 100;
	frame->bytes[L2] = 0x45;
	frame->bytes[L2 + 3] = BYTES - L2;
}

static void
requests_are_what_the_guest_takes(void **unused)
{
	static const struct {
		uint64_t flags;
		uint32_t may;
		bool good;
	} cases[] = {
		{ V4 | TCP, CSUM, true },
		{ V6 | UDP, CSUM, true },
		{ V4 | TCP, 0, false },
		{ V4 | SCTP, CSUM, false },
		{ V4 | TCP | RTE_MBUF_F_TX_IP_CKSUM, CSUM, false }, /* unprepared */
		{ V4 | TCP | RTE_MBUF_F_TX_TUNNEL_VXLAN, CSUM, false },
		{ V4 | TSO, CSUM | TSO4, true },
		{ V6 | TSO, CSUM | TSO6, true },
		{ V4 | TSO, CSUM | TSO6, false },
		{ V4 | TSO, CSUM, false },
		{ V4 | TSO, TSO4, false },
		{ TSO, CSUM | TSO4 | TSO6, false },
	};

	(void)unused;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		struct nmx_split_net_header header;
		struct frame frame;

		make_frame(&frame, cases[i].flags);
		assert_int_equal(nmx_guestport_make_request(&frame.mbuf, cases[i].may, &header),
			cases[i].good);
		if (!cases[i].good)
			continue;
		assert_int_equal(header.flags, NMX_SPLIT_NET_NEEDS_CSUM);
		assert_int_equal(header.csum_start, L2 + L3);
		assert_int_equal(header.csum_offset, cases[i].flags & UDP & ~TCP ? 6 : 16);
		assert_int_equal(header.gso_size, cases[i].flags & TSO ? 100 : 0);
	}
}

static void
lengths_are_within_the_first_segment(void **unused)
{
	struct nmx_split_net_header header;
	struct frame frame;

	(void)unused;
	make_frame(&frame, V4 | TCP);
	frame.mbuf.data_len = L2 + L3 + 16 + 2;
	assert_true(nmx_guestport_make_request(&frame.mbuf, CSUM, &header));
	frame.mbuf.data_len--;
	assert_false(nmx_guestport_make_request(&frame.mbuf, CSUM, &header));
	make_frame(&frame, V4 | TSO);
	frame.mbuf.data_len = L2 + L3 + L4;
	assert_true(nmx_guestport_make_request(&frame.mbuf, CSUM | TSO4, &header));
	frame.mbuf.data_len--;
	assert_false(nmx_guestport_make_request(&frame.mbuf, CSUM | TSO4, &header));
	make_frame(&frame, V4 | TCP);
	frame.mbuf.l2_len = 0;
	assert_false(nmx_guestport_make_request(&frame.mbuf, CSUM, &header));
	make_frame(&frame, V4 | TSO);
	frame.mbuf.tso_segsz = 0;
	assert_false(nmx_guestport_make_request(&frame.mbuf, CSUM | TSO4, &header));
}

static void
preparing_refuses_what_isnt_there(void **unused)
{
	static const struct {
		uint64_t flags;
		uint16_t l3_len;
		uint8_t version_and_length;
		int ret;
	} cases[] = {
		{ 0, 0, 0, 0 },
		{ V4 | TCP, L3, 0x45, 0 },
		{ V4 | RTE_MBUF_F_TX_IP_CKSUM, L3, 0x45, 0 },
		{ TCP, L3, 0x45, -EINVAL },
		{ V4 | TCP, 19, 0x45, -EINVAL },
		{ V4 | TCP, L3, 0x4f, -EINVAL },
		{ V4 | TCP, 24, 0x45, -EINVAL },
		{ V6 | TCP, 39, 0x60, -EINVAL },
		{ V6 | TCP, BYTES - L2, 0x60, -EINVAL },
		{ V4 | SCTP, L3, 0x45, -ENOTSUP },
		{ V4 | TSO, L3, 0x45, -ENOTSUP },
	};
	static struct nmx_guestport port;
	const struct nmx_to_guest queue = { .port = &port };

	(void)unused;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		struct frame frame;

		make_frame(&frame, cases[i].flags);
		frame.mbuf.l3_len = cases[i].l3_len;
		frame.bytes[L2] = cases[i].version_and_length;
		assert_int_equal(nmx_guestport_prepare(&queue, &frame.mbuf), cases[i].ret);
		/* To a guest that takes nothing all is done. */
		if (cases[i].ret == 0)
			assert_int_equal(frame.mbuf.ol_flags & OFFLOAD_REQUESTS, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_what_the_guest_takes),
		cmocka_unit_test(lengths_are_within_the_first_segment),
		cmocka_unit_test(preparing_refuses_what_isnt_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
