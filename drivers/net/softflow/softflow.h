/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * net_softflow: a port over any other port, with what a smart NIC has.
 *
 * What there is now: Rx queue mapping for programs that know nothing of it. An Rx queue for which
 * map= names a guest's port fills the lower port's queue with the buffers which that guest posted
 * (drivers/common/rxmap); all else is the lower port's. The program's pool gives a mapped queue its
 * measures, and no mbufs.
 *
 * Control calls that start, stop or set up are made under the recaller's lock (rxmap/recall.h).
 */

#ifndef SOFTFLOW_H
#define SOFTFLOW_H

#include "drivers/common/rxmap/rxmap.h"
#include "drivers/common/wrapport/wrapport.h"

struct nmx_to_guest;

extern int softflow_logtype;

#define SOFTFLOW_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, softflow_logtype, "net_softflow: " format "\n", ##__VA_ARGS__)

#define SOFTFLOW_QUEUES_MAX 64

/** map=<queue>:<guest port>[:<guest queue>] */
struct softflow_target {
	char port[RTE_ETH_NAME_MAX_LEN]; /* empty: the queue isn't mapped */
	uint16_t queue;
};

/** mode=: how mapped queues are begun; telemetry switches each at any time. */
enum softflow_mode {
	SOFTFLOW_MODE_AUTO, /* lend where that can be, copy where not */
	SOFTFLOW_MODE_MAP,  /* don't start where a mapped queue would have to be copied */
	SOFTFLOW_MODE_COPY,
};

/** What devargs say. */
struct softflow_args {
	char *lower; /* NULL: missing */
	enum softflow_mode mode;
	bool tries_tx; /* of each mapped queue's port, with frames */
	struct softflow_target targets[SOFTFLOW_QUEUES_MAX]; /* by Rx queue */
};

/** An Rx queue. */
struct softflow_rx_queue {
	uint16_t lower, index;
	uint16_t port_id;      /* the upper one's, for mbufs */
	struct nmx_rxmap *map; /* NULL: not mapped */
};

struct softflow_tx_queue {
	uint16_t lower, index;
};

/** The port's private data. */
struct softflow_port {
	struct nmx_wrapport wrap; /* first */
	struct softflow_target targets[SOFTFLOW_QUEUES_MAX];
	struct softflow_rx_queue rx[SOFTFLOW_QUEUES_MAX];
	struct softflow_tx_queue tx[SOFTFLOW_QUEUES_MAX];
	enum softflow_mode mode;
	bool tries_tx;
	struct nmx_rxmap_recaller *recaller;
	bool leaks; /* a map is kept for ever */
};

/* softflow_args.c */

/** Read devargs. @return 0 and *args, `lower` to be freed; -EINVAL after one logged sentence */
int softflow_parse_args(const char *text, struct softflow_args *args);

/* softflow_ethdev.c */

/** Fill in an allocated ethdev. @return 0; -errno after one logged sentence */
int softflow_init_port(struct rte_eth_dev *dev, const struct softflow_args *args);

/* softflow_map.c */

/**
 * Make the map of a queue, or the one it has anew.
 *
 * @param pool  the program's
 * @return 0; -errno after one logged sentence
 */
int softflow_make_map(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors, int socket,
	struct rte_mempool *pool);

/**
 * Try the lower port's queues; it has just been started. Logs where frames will be copied.
 *
 * @param n_tx  Tx queues that it has
 * @return 0; -ENOTSUP with mode=map: some will be
 */
int softflow_try_maps(struct softflow_port *port, uint16_t n_tx);

/** End it; if mbufs of it are out, it is kept for ever, and that is logged. */
void softflow_end_map(struct softflow_port *port, uint16_t index);

#endif
