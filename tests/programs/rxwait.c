/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-rxwait [EAL options] -- FRAMES [SEED [swap]]: a program that lives on Rx interrupts.
 *
 * On port 0, queue 0: arms, waits without a time-out, never polls in between, and sends back each
 * frame it gets. A windowed sender sends the next frame as soon as it has this one back; so this
 * one goes back at a random moment round arming, before or after, and the next comes before, during
 * and after it. With "swap" its addresses are swapped before. A lost wake-up stops the program for
 * good. Prints "waiting" when it is ready, and
 * at the end "received FRAMES waits WAITS"; a line of input ends it then.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_interrupts.h>
#include <rte_random.h>

#include "port.h"

#define MBUFS     8191
#define IDLE_US   60
#define BURST_MAX 32

/**
 * Start the port, with its interrupt in this thread's epoll instance.
 *
 * @return 0; -ENODEV no port, or it doesn't start; -ENOTSUP it has no Rx interrupts; -errno
 */
static int
start(void)
{
	static const struct port_wants wants = {
		.conf = { .intr_conf = { .rxq = 1 } },
		.n_slots = 1024,
		.n_mbufs = MBUFS,
		.n_cached = 256,
	};

	int ret;

	if (start_port(&wants) == NULL)
		return -ENODEV;
	ret = rte_eth_dev_rx_intr_ctl_q(0, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL);
	/* A port that refuses the one must not seem to grant the other: who arms, sleeps. */
	if (ret != 0 && rte_eth_dev_rx_intr_enable(0, 0) != ret)
		return -EPROTO;
	return ret;
}

/** Frames that are to be sent back. */
struct held {
	struct rte_mbuf *mbufs[BURST_MAX];
	uint16_t n;
};

static bool swaps;

static void
swap_addresses(struct rte_mbuf *mbuf)
{
	struct rte_ether_hdr *header = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
	struct rte_ether_addr source = header->src_addr;

	header->src_addr = header->dst_addr;
	header->dst_addr = source;
}

static void
send_back(struct held *held)
{
	uint16_t sent = 0;

	for (uint16_t i = 0; swaps && i < held->n; i++)
		swap_addresses(held->mbufs[i]);
	while (sent < held->n)
		sent += rte_eth_tx_burst(0, 0, held->mbufs + sent, held->n - sent);
	held->n = 0;
}

/** Arm and wait; what is held goes back at a random moment before or after arming. */
static bool
arm_and_wait(struct held *held)
{
	struct rte_epoll_event event;

	if (rte_rand() & 1) {
		send_back(held);
		rte_delay_us_block((unsigned int)rte_rand_max(IDLE_US));
	}
	rte_eth_dev_rx_intr_enable(0, 0);
	send_back(held);
	return rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, -1) == 1;
}

/** Take what is there, all of it; the last burst is held. @return frames */
static uint64_t
drain(struct held *held)
{
	uint64_t total = 0;
	uint16_t n;

	if (held->n == 0 && (n = rte_eth_rx_burst(0, 0, held->mbufs, BURST_MAX)) > 0) {
		held->n = n;
		total += n;
	}
	return total;
}

int
main(int argc, char **argv)
{
	uint64_t wanted, received = 0, waits = 0;
	struct held held = { .n = 0 };
	int used = rte_eal_init(argc, argv), ret;

	if (used < 0 || argc - used < 2) {
		fprintf(stderr, "nmx-rxwait: bad arguments: [EAL] -- FRAMES [SEED [swap]]\n");
		return 1;
	}
	ret = start();
	if (ret != 0) {
		fprintf(stderr, "nmx-rxwait: no port with Rx interrupts: %s\n", strerror(-ret));
		rte_eal_cleanup();
		return 1;
	}
	wanted = strtoull(argv[used + 1], NULL, 0);
	if (argc - used > 2)
		rte_srand(strtoull(argv[used + 2], NULL, 0));
	swaps = argc - used > 3;
	printf("waiting\n");
	fflush(stdout);
	while (received < wanted) {
		waits += arm_and_wait(&held);
		rte_eth_dev_rx_intr_disable(0, 0);
		received += drain(&held);
	}
	send_back(&held);
	printf("received %lu waits %lu\n", (unsigned long)received, (unsigned long)waits);
	fflush(stdout);
	/* What was sent back last may still be on its way: the port stays until a line says so. */
	(void)getchar();
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	rte_eal_cleanup();
	return 0;
}
