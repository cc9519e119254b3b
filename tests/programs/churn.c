/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-churn [EAL options] -- ROUNDS: memory that comes and goes under load.
 *
 * One lcore sends every frame of port 0 back; while there is a pool of the round, in a copy made
 * from that pool. The main lcore makes a pool, lets it be used, and frees it, again and again:
 * EAL's memory grows and shrinks, and what is new is used at once. Prints "running", and at the end
 * "rounds ROUNDS copied FRAMES".
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_launch.h>

#include "port.h"

#define MBUFS       16383
#define ROUND_MBUFS 4095
#define ROUND_US    20000
#define BURST_MAX   32

/** What the two lcores share. */
static struct {
	_Atomic(struct rte_mempool *) pool; /* of the round; NULL between rounds */
	atomic_uint seen; /* rounds of the loop below: to know that it has let go */
	atomic_ulong copied;
	atomic_bool stop;
} shared;

static const struct port_wants wants = {
	.conf = { .rxmode.mtu = RTE_ETHER_MTU },
	.n_slots = 1024,
	.n_mbufs = MBUFS,
	.n_cached = 256,
};

static void
send_back(struct rte_mbuf **mbufs, uint16_t n)
{
	struct rte_mempool *pool = atomic_load(&shared.pool);
	uint16_t sent = 0;

	for (uint16_t i = 0; pool != NULL && i < n; i++) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(mbufs[i], pool, 0, UINT32_MAX);

		if (copy == NULL)
			continue;
		rte_pktmbuf_free(mbufs[i]);
		mbufs[i] = copy;
		atomic_fetch_add(&shared.copied, 1);
	}
	while (sent < n)
		sent += rte_eth_tx_burst(0, 0, mbufs + sent, n - sent);
}

static int
run(void *unused)
{
	struct rte_mbuf *mbufs[BURST_MAX];

	(void)unused;
	while (!atomic_load(&shared.stop)) {
		uint16_t n = rte_eth_rx_burst(0, 0, mbufs, BURST_MAX);

		if (n > 0)
			send_back(mbufs, n);
		atomic_fetch_add(&shared.seen, 1);
	}
	return 0;
}

/** One round: a pool comes, is used, and goes once all its mbufs are back. */
static int
play_round(unsigned int round)
{
	char name[32];
	struct rte_mempool *pool;
	unsigned int seen;

	snprintf(name, sizeof(name), "round%u", round);
	pool = rte_pktmbuf_pool_create(name, ROUND_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (pool == NULL)
		return -1;
	atomic_store(&shared.pool, pool);
	rte_delay_us_sleep(ROUND_US);
	atomic_store(&shared.pool, NULL);
	seen = atomic_load(&shared.seen);
	while (atomic_load(&shared.seen) - seen < 2)
		rte_delay_us_sleep(100);
	/* The last copies come back as the Tx ring turns. */
	while (rte_mempool_avail_count(pool) < ROUND_MBUFS)
		rte_delay_us_sleep(100);
	rte_mempool_free(pool);
	return 0;
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	unsigned int rounds;

	if (used < 0 || argc - used < 2 || start_port(&wants) == NULL) {
		fprintf(stderr, "nmx-churn: no port, or bad arguments: [EAL] -- ROUNDS\n");
		return 1;
	}
	rounds = (unsigned int)strtoul(argv[used + 1], NULL, 0);
	rte_eal_remote_launch(run, NULL, rte_get_next_lcore(-1, 1, 0));
	printf("running\n");
	fflush(stdout);
	for (unsigned int i = 0; i < rounds; i++)
		if (play_round(i) != 0)
			return 1;
	printf("rounds %u copied %lu\n", rounds, atomic_load(&shared.copied));
	fflush(stdout);
	getchar(); /* goes on sending back until its starter is done */
	atomic_store(&shared.stop, true);
	rte_eal_mp_wait_lcore();
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	rte_eal_cleanup();
	return 0;
}
