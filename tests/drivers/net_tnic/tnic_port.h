/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The test NIC's port: what its ethdev, its queues and its statistics share.
 *
 * Theory of operation
 *
 * The application receives from a *source*, which makes frames, and transmits into a *sink*, which
 * audits or only counts and frees them. Source and sink of a queue are each used by one data thread
 * at a time, and share nothing with each other but the report's file. A sink with a Tx ring is only
 * filled by that thread; the *device* audits, in whatever thread polls the port then. Their state
 * lives as long as the port, not as long as the queue: an application that stops the port, sets its
 * queues up anew and starts it goes on with the same stream. A stream ends when the number of Rx
 * queues changes: flows would change their queues.
 *
 * With lower= there is no stream: a source writes what another port receives, and a sink sends by
 * it (tnic_lower.h). There is no report then, and what is said of them here isn't used.
 *
 * The control thread touches sources and sinks only while the port is stopped. Statistics are read
 * from the report's file, by any thread.
 */

#ifndef TNIC_PORT_H
#define TNIC_PORT_H

#include <ethdev_driver.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "drivers/common/wrapport/wrapport.h"
#include "tnic_args.h"
#include "tnic_audit.h"
#include "tnic_device.h"
#include "tnic_dma.h"
#include "tnic_lower.h"
#include "tnic_pace.h"
#include "tnic_places.h"
#include "tnic_report.h"

extern int tnic_logtype;

#define TNIC_LOG(level, ...) rte_log(RTE_LOG_##level, tnic_logtype, "net_tnic: " __VA_ARGS__)

/**
 * A source that wasn't polled for TNIC_IDLE_MS keeps quiet for TNIC_QUIET_MS when it is again.
 *
 * Programs may drain their queues before they start to forward, as testpmd does without
 * --no-flush-rx: it polls until nothing comes, waits 10 ms, and polls once more. What they throw
 * away there would count as lost, and shut the window for ever. A program that polls ten times a
 * second or less gets nothing.
 */
#define TNIC_IDLE_MS  100
#define TNIC_QUIET_MS 100

/** Of a queue, as the statistics show them. */
enum tnic_counter {
	TNIC_COUNTER_SENT,
	TNIC_COUNTER_SENT_BYTES,
	TNIC_COUNTER_NO_MBUF,
	TNIC_COUNTER_UNEXPECTED,
	TNIC_COUNTER_UNEXPECTED_BYTES,
	TNIC_COUNTER_ACKNOWLEDGED,
	TNIC_COUNTER_RECEIVED,
	TNIC_COUNTER_RECEIVED_BYTES,
	TNIC_COUNTER_LOST,
	TNIC_COUNTER_GOOD,
	TNIC_COUNTER_DOUBLED,
	TNIC_COUNTER_REORDERED,
	TNIC_COUNTER_STALE,
	TNIC_COUNTER_CHANGED,
	TNIC_COUNTER_FOREIGN,
	TNIC_COUNTER_MISPLACED,
	TNIC_COUNTER_MALFORMED,
	TNIC_N_COUNTERS
};

/** One Rx queue. Written by its data thread; by the control thread while the port is stopped. */
struct tnic_source {
	const struct tnic_config *config;
	struct tnic_sender_block *block;
	const struct tnic_auditor_block *auditor;
	struct rte_mempool *pool; /* of the application */
	struct tnic_ring ring;
	struct tnic_lower_queue lower;
	struct tnic_dma *dma;      /* the port's */
	struct tnic_place *places; /* NULL: not noted */
	struct tnic_device *device;
	_Atomic bool stopped; /* the queue is */
	uint32_t n_stops;
	uint64_t *next_seqs; /* of flow queue_idx + i * n_queues */
	uint64_t sent;       /* frames, all flows */
	uint64_t share;      /* frames that it may send */
	uint64_t polled_tsc; /* last burst; 0 none since the port's start */
	uint64_t quiet_until_tsc;
	uint64_t idle_cycles; /* TNIC_IDLE_MS and TNIC_QUIET_MS in cycles of the TSC */
	uint64_t quiet_cycles;
	struct tnic_pace pace;
	struct tnic_random random;
	uint32_t run;
	uint32_t n_flows; /* of this queue */
	uint32_t n_queues;
	uint32_t room; /* bytes in an mbuf of the pool */
	uint16_t queue_idx;
	uint16_t port_id;
} __rte_cache_aligned;

/**
 * One Tx queue. Written by its data thread, or, if it has a ring, by who has the device's lock; by
 * the control thread while the port is stopped.
 */
struct tnic_sink {
	struct tnic_tx_ring ring;
	struct tnic_lower_queue lower;
	_Atomic bool stopped; /* the queue is, if it has a ring */
	struct tnic_device *device;
	struct tnic_dma *dma;
	struct tnic_report *report;
	struct tnic_audit audit;   /* not used if the port only sends */
	struct tnic_place *places; /* NULL: not noted */
	uint16_t queue_idx;
} __rte_cache_aligned;

struct tnic_port {
	struct nmx_wrapport wrap; /* first; used with lower= */
	struct tnic_config config;
	struct tnic_report_handle handle;
	struct tnic_place *places; /* NULL: there are none */
	struct tnic_dma dma;
	struct tnic_device device;
	struct rte_ether_addr mac;
	uint32_t run; /* of the stream that we send; 0 not begun */
	uint16_t n_run_queues;
	uint64_t base[TNIC_MAX_QUEUES][TNIC_N_COUNTERS]; /* at the last reset of the statistics */
	struct tnic_source sources[TNIC_MAX_QUEUES];
	struct tnic_sink sinks[TNIC_MAX_QUEUES];
};

/* tnic_source.c */

/**
 * Get a source ready for frames from a pool. What it has sent is kept.
 *
 * @return 0; -ENOMEM. Context: control thread, port stopped.
 */
int tnic_set_up_source(
	struct tnic_port *port, uint16_t queue_idx, uint16_t port_id, struct rte_mempool *pool);

/** Begin the port's stream with n sources. Context: control thread, port stopped. */
void tnic_begin_sources(struct tnic_port *port, uint16_t n_queues);

/** Let the sources take their next poll for the first. Context: control thread, port stopped. */
void tnic_rearm_sources(struct tnic_port *port);

/** Context: control thread, port stopped. */
void tnic_release_sources(struct tnic_port *port);

/**
 * eth_rx_burst: make up to n frames, as many as window, rate, total and pool allow.
 *
 * Context: the queue's data thread; no lock, no system call.
 */
uint16_t tnic_receive_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/** eth_rx_burst of a port that doesn't send. */
uint16_t tnic_receive_nothing(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/* tnic_posted.c */

/** Get a ring ready for a pool, if the port has rings. @return 0; -ENOMEM */
int tnic_set_up_posted(struct tnic_source *source, struct rte_mempool *pool);

/** Free what is posted, and forget the ring. */
void tnic_release_posted(struct tnic_source *source);

/** Start a queue, or stop it, as the ring's kind is. @return 0; -ENOMEM; -EBUSY it refuses */
int tnic_start_source(struct tnic_source *source);
int tnic_stop_source(struct tnic_source *source);

/**
 * Make mbufs of posted buffers what rte_pktmbuf_alloc_bulk() gives, but for where frames go.
 *
 * @param ret_segments, ret_spans  room for n; where the NIC is to write, sizes aren't set
 * @return false: there aren't as many, or the NIC doesn't reach one
 */
bool tnic_take_posted(struct tnic_source *source, struct rte_mbuf **ret_segments,
	struct tnic_span *ret_spans, uint32_t n);

/** The NIC may write the rest of its buffers. */
void tnic_spoil_rest(const struct tnic_source *source, const struct tnic_span *spans, uint32_t n);

/* tnic_queues.c */

/** Start all queues with the port, and stop them. @return 0; -ENOMEM; -errno */
int tnic_start_queues(struct rte_eth_dev *dev);
void tnic_stop_queues(struct rte_eth_dev *dev);

/* The ethdev's operations of these names. Sources and sinks stay until the port is closed. */

int tnic_start_rx_queue(struct rte_eth_dev *dev, uint16_t queue_idx);
int tnic_stop_rx_queue(struct rte_eth_dev *dev, uint16_t queue_idx);
int tnic_start_tx_queue(struct rte_eth_dev *dev, uint16_t queue_idx);
int tnic_stop_tx_queue(struct rte_eth_dev *dev, uint16_t queue_idx);
void tnic_release_queue(struct rte_eth_dev *dev, uint16_t queue_idx);
int tnic_clean_tx_queue(void *queue, uint32_t n);

/* tnic_sink.c */

/** Get a sink ready. What it has counted is kept. @return 0; -ENOMEM. Context: as a source's. */
int tnic_set_up_sink(struct tnic_port *port, uint16_t queue_idx);

/** Context: control thread, port stopped. */
void tnic_release_sinks(struct tnic_port *port);

/** Get its ring ready, if the port has Tx rings. @return 0; -ENOMEM */
int tnic_set_up_tx_ring(struct tnic_sink *sink, const struct tnic_config *config);

/** eth_tx_burst: audit and free n frames. Context: the queue's data thread. */
uint16_t tnic_audit_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/** The same with a ring: post n frames, or fewer. Context: the queue's data thread. */
uint16_t tnic_post_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/** Audit, or send, what a ring has had for a while. Context: any thread with the device's lock. */
void tnic_send_posted(struct tnic_sink *sink);

/**
 * Start a queue, or stop it: what it has is sent, and given back as tx_keep= says.
 *
 * Context: control thread; the device's lock, or the port is stopped.
 */
void tnic_start_sink(struct tnic_sink *sink);
void tnic_stop_sink(struct tnic_sink *sink);

/** eth_tx_burst of a port that only sends: count and free. Context: the queue's data thread. */
uint16_t tnic_discard_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n);

/* tnic_stats.c: the ethdev's operations of these names. Context: any thread. */

int tnic_get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats);
int tnic_reset_stats(struct rte_eth_dev *dev);
int tnic_get_xstats(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n);
int tnic_get_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n);

#endif
