/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-pulses [EAL options] -- FRAMES PAUSE_US [SEED]: single IPv4 frames to a router behind port 0.
 *
 * One frame is under way at a time: the next goes when this one is back and a random pause of up to
 * PAUSE_US is over. So a router that sleeps for want of frames gets them when it sleeps, when it is
 * about to, and when it doesn't; and one that isn't woken loses the stream. A frame that is back
 * bears the router's mark (another destination MAC, a time to live less by one), and is the same
 * otherwise; anything else that comes is passed over.
 *
 * Prints "ready" when the port is up, begins at a line of input, and says "returned FRAMES" at the
 * end, or "lost NUMBER" if one isn't back after PATIENCE_S. A further line ends it.
 */

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_random.h>
#include <rte_udp.h>

#include "port.h"

#define MBUFS      2047
#define FRAME_MIN  60
#define FRAME_MAX  1514
#define PATIENCE_S 10
#define POLL_US    20
#define TTL        64

/** A frame's head. */
struct head {
	struct rte_ether_hdr ether;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	uint64_t number;
};

static_assert(offsetof(struct head, udp) == 34, "as on the wire");

/* From 198.51.100.1, to a network that l3fwd-power routes to port 0. */
#define SOURCE      RTE_IPV4(198, 51, 100, 1)
#define DESTINATION RTE_IPV4(1, 1, 1, 1)

static struct rte_mempool *pool;
/* What was sent last; its bytes behind the head are those of the frames before. */
static union {
	struct head head;
	uint8_t bytes[FRAME_MAX];
} frame;

/** Make frame `number`. @return its size */
static uint16_t
make_frame(uint64_t number)
{
	uint16_t size = (uint16_t)(FRAME_MIN + rte_rand_max(FRAME_MAX - FRAME_MIN + 1));
	uint16_t ip_size = (uint16_t)(size - sizeof(frame.head.ether));
	uint16_t udp_size = (uint16_t)(ip_size - sizeof(frame.head.ip));

	frame.head = (struct head){
		.ether = {
			.dst_addr = { { 0x02, 0, 0, 0, 0, 1 } },
			.src_addr = { { 0x02, 0, 0, 0, 0, 2 } },
			.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4),
		},
		.ip = {
			.version_ihl = RTE_IPV4_VHL_DEF,
			.total_length = rte_cpu_to_be_16(ip_size),
			.time_to_live = TTL,
			.next_proto_id = IPPROTO_UDP,
			.src_addr = rte_cpu_to_be_32(SOURCE),
			.dst_addr = rte_cpu_to_be_32(DESTINATION),
		},
		.udp = { .dgram_len = rte_cpu_to_be_16(udp_size) },
		.number = number,
	};
	frame.head.ip.hdr_checksum = rte_ipv4_cksum(&frame.head.ip);
	for (uint16_t i = sizeof(frame.head); i < size; i++)
		frame.bytes[i]++;
	return size;
}

static void
send_frame(uint16_t size)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	memcpy(rte_pktmbuf_append(mbuf, size), frame.bytes, size);
	while (rte_eth_tx_burst(0, 0, &mbuf, 1) == 0)
		;
}

/** Is it the frame that was sent, as a router passes it on? */
static bool
is_back(const struct rte_mbuf *mbuf, uint16_t size)
{
	const struct head *head = rte_pktmbuf_mtod(mbuf, const struct head *);
	const size_t behind = offsetof(struct head, ip.src_addr);

	return mbuf->nb_segs == 1 && mbuf->pkt_len == size &&
	       memcmp(head, frame.bytes, RTE_ETHER_ADDR_LEN) != 0 &&
	       head->ip.time_to_live == TTL - 1 &&
	       memcmp((const uint8_t *)head + behind, frame.bytes + behind, size - behind) == 0;
}

static bool
wait_for_frame(uint16_t size)
{
	uint64_t deadline = rte_get_timer_cycles() + PATIENCE_S * rte_get_timer_hz();
	struct rte_mbuf *mbuf;
	bool found = false;

	while (!found && rte_get_timer_cycles() < deadline) {
		if (rte_eth_rx_burst(0, 0, &mbuf, 1) == 0) {
			rte_delay_us_sleep(POLL_US);
			continue;
		}
		found = is_back(mbuf, size);
		rte_pktmbuf_free(mbuf);
	}
	return found;
}

/** @return the first that is lost; n: none */
static uint64_t
exchange_frames(uint64_t n, uint64_t pause_us)
{
	for (uint64_t number = 0; number < n; number++) {
		uint16_t size = make_frame(number);

		send_frame(size);
		if (!wait_for_frame(size))
			return number;
		rte_delay_us_sleep((unsigned int)rte_rand_max(pause_us + 1));
	}
	return n;
}

int
main(int argc, char **argv)
{
	static const struct port_wants wants = { .n_slots = 256, .n_mbufs = MBUFS };
	int used = rte_eal_init(argc, argv);
	uint64_t wanted, returned;

	if (used < 0 || argc - used < 3 || (pool = start_port(&wants)) == NULL) {
		fprintf(stderr, "nmx-pulses: no port, or bad arguments: [EAL] -- FRAMES PAUSE_US "
				"[SEED]\n");
		return 1;
	}
	wanted = strtoull(argv[used + 1], NULL, 0);
	if (argc - used > 3)
		rte_srand(strtoull(argv[used + 3], NULL, 0));
	printf("ready\n");
	fflush(stdout);
	(void)getchar();
	returned = exchange_frames(wanted, strtoull(argv[used + 2], NULL, 0));
	printf("%s %lu\n", returned == wanted ? "returned" : "lost", (unsigned long)returned);
	fflush(stdout);
	(void)getchar();
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	rte_eal_cleanup();
	return returned != wanted;
}
