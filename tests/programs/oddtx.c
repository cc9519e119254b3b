/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-oddtx [EAL options]: mbufs that are out of the ordinary, sent at port 0, whose peer reflects.
 *
 * For each kind of mbuf a line "KIND same" (it came back, byte by byte), "KIND dropped" (it did
 * not, and was consumed) or "KIND refused" (an error, as it should be); then the port's extended
 * statistics that aren't 0, "name value".
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "port.h"

#define FRAME_BYTES 1000
#define HEAP        "nmx-oddtx"
#define HEAP_BYTES  (16u << 20)

static struct rte_mempool *pool;
static uint8_t pattern[FRAME_BYTES];
static struct rte_mbuf_ext_shared_info shared;

static struct rte_mbuf *
make_plain(void)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	memcpy(rte_pktmbuf_append(mbuf, FRAME_BYTES), pattern, FRAME_BYTES);
	return mbuf;
}

static void
ignore_free(void *address, void *opaque)
{
	(void)address;
	(void)opaque;
}

/** Data in memory that EAL knows nothing of. */
static struct rte_mbuf *
make_external(void)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	shared.free_cb = ignore_free;
	rte_mbuf_ext_refcnt_set(&shared, 1);
	rte_pktmbuf_attach_extbuf(mbuf, pattern, RTE_BAD_IOVA, sizeof(pattern), &shared);
	rte_pktmbuf_append(mbuf, FRAME_BYTES);
	return mbuf;
}

/** A clone: its data belongs to another mbuf. */
static struct rte_mbuf *
make_clone(void)
{
	struct rte_mbuf *mbuf = make_plain(), *clone = rte_pktmbuf_clone(mbuf, pool);

	rte_pktmbuf_free(mbuf);
	return clone;
}

/** Two segments, the second in memory that EAL knows nothing of. */
static struct rte_mbuf *
make_half_external(void)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *tail = make_external();

	memcpy(rte_pktmbuf_append(head, 100), pattern, 100);
	rte_pktmbuf_adj(tail, 100);
	rte_pktmbuf_chain(head, tail);
	return head;
}

static struct rte_mbuf *
make_zero_length(void)
{
	return rte_pktmbuf_alloc(pool);
}

/** A chain with nothing in its middle. */
static struct rte_mbuf *
make_hollow(void)
{
	struct rte_mbuf *head = make_plain();

	rte_pktmbuf_chain(head, rte_pktmbuf_alloc(pool));
	return head;
}

static struct rte_mbuf *
make_runt(void)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	rte_pktmbuf_append(mbuf, 13);
	return mbuf;
}

/** More segments than a frame may have. */
static struct rte_mbuf *
make_centipede(void)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(pool);

	rte_pktmbuf_append(head, 20);
	for (int i = 0; i < 32; i++) {
		struct rte_mbuf *leg = rte_pktmbuf_alloc(pool);

		rte_pktmbuf_append(leg, 20);
		rte_pktmbuf_chain(head, leg);
	}
	return head;
}

static bool
is_same(const struct rte_mbuf *mbuf)
{
	uint8_t copy[FRAME_BYTES];
	const void *bytes;

	if (mbuf->pkt_len != FRAME_BYTES)
		return false;
	bytes = rte_pktmbuf_read(mbuf, 0, FRAME_BYTES, copy);
	return memcmp(bytes, pattern, FRAME_BYTES) == 0;
}

/** Send one, wait for its reflection. */
static void
try_frame(const char *kind, struct rte_mbuf *mbuf)
{
	uint64_t end = rte_get_timer_cycles() + rte_get_timer_hz() / 2;
	struct rte_mbuf *back = NULL;

	if (rte_eth_tx_burst(0, 0, &mbuf, 1) != 1) {
		printf("%s not consumed\n", kind);
		return;
	}
	while (back == NULL && rte_get_timer_cycles() < end)
		rte_eth_rx_burst(0, 0, &back, 1);
	if (back == NULL)
		printf("%s dropped\n", kind);
	else
		printf("%s %s\n", kind, is_same(back) ? "same" : "changed");
	rte_pktmbuf_free(back);
}

/** A pool in memory without a file: sending from it works, receiving into it is refused. */
static void
try_external_heap(void)
{
	void *memory = mmap(
		NULL, HEAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rte_mempool *own = pool, *foreign;
	int ret;

	if (memory == MAP_FAILED || rte_malloc_heap_create(HEAP) != 0 ||
		rte_malloc_heap_memory_add(HEAP, memory, HEAP_BYTES, NULL, 0, 4096) != 0)
		return;
	foreign = rte_pktmbuf_pool_create(
		"foreign", 511, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, rte_malloc_heap_get_socket(HEAP));
	if (foreign == NULL)
		return;
	pool = foreign;
	try_frame("external-heap", make_plain());
	pool = own;
	rte_eth_dev_stop(0);
	ret = rte_eth_rx_queue_setup(0, 0, 256, 0, NULL, foreign);
	printf("external-heap-rx %s\n", ret == -ENOTSUP ? "refused" : "accepted");
	fflush(stdout);
}

static const struct port_wants wants = {
	.conf = { .txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS },
	.n_slots = 256,
	.n_mbufs = 4095,
};

static void
show_statistics(void)
{
	struct rte_eth_xstat_name names[128];
	struct rte_eth_xstat values[128];
	int n = rte_eth_xstats_get_names(0, names, 128);

	if (n <= 0 || rte_eth_xstats_get(0, values, 128) != n)
		return;
	for (int i = 0; i < n; i++)
		if (values[i].value != 0)
			printf("%s %lu\n", names[i].name, (unsigned long)values[i].value);
}

int
main(int argc, char **argv)
{
	if (rte_eal_init(argc, argv) >= 0)
		pool = start_port(&wants);
	if (pool == NULL) {
		fprintf(stderr, "nmx-oddtx: no port\n");
		return 1;
	}
	for (int i = 0; i < FRAME_BYTES; i++)
		pattern[i] = (uint8_t)(i * 7 + i / 256);
	try_frame("plain", make_plain());
	try_frame("external", make_external());
	try_frame("clone", make_clone());
	try_frame("half-external", make_half_external());
	try_frame("zero-length", make_zero_length());
	try_frame("hollow", make_hollow());
	try_frame("runt", make_runt());
	try_frame("centipede", make_centipede());
	try_frame("plain-again", make_plain());
	show_statistics();
	try_external_heap();
	printf("leaked %u\n", rte_eth_dev_close(0) == 0 ? rte_mempool_in_use_count(pool) : 9999);
	rte_eal_cleanup();
	return 0;
}
