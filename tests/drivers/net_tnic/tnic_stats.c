/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Statistics, read from the report's file: those of ethdev are the port's own, the extended ones
 * are the stream's, whichever port counts them.
 *
 * A reset sets a base from which is counted; the file, which tests read, is left alone.
 */

#include "tnic_port.h"

#include <errno.h>

enum block_kind {
	BLOCK_SENDER,
	BLOCK_AUDITOR,
};

struct counter {
	const char *name;
	enum block_kind block;
	size_t offset; /* of a 64-bit word in the block */
};

#define OF_SENDER(field)     BLOCK_SENDER, offsetof(struct tnic_sender_block, field)
#define OF_AUDITOR(field)    BLOCK_AUDITOR, offsetof(struct tnic_auditor_block, field)
#define OF_ARRIVALS(arrival) OF_AUDITOR(arrivals) + (arrival) * sizeof(uint64_t)

static const struct counter counters[] = {
	[TNIC_COUNTER_SENT] = { "sent", OF_SENDER(sent) },
	[TNIC_COUNTER_SENT_BYTES] = { "sent_bytes", OF_SENDER(bytes) },
	[TNIC_COUNTER_NO_MBUF] = { "no_mbuf", OF_SENDER(no_mbuf) },
	[TNIC_COUNTER_UNEXPECTED] = { "unexpected", OF_SENDER(unexpected) },
	[TNIC_COUNTER_UNEXPECTED_BYTES] = { "unexpected_bytes", OF_SENDER(unexpected_bytes) },
	[TNIC_COUNTER_ACKNOWLEDGED] = { "acknowledged", OF_AUDITOR(acknowledged) },
	[TNIC_COUNTER_RECEIVED] = { "received", OF_AUDITOR(received) },
	[TNIC_COUNTER_RECEIVED_BYTES] = { "received_bytes", OF_AUDITOR(bytes) },
	[TNIC_COUNTER_LOST] = { "lost", OF_AUDITOR(gaps) },
	[TNIC_COUNTER_GOOD] = { "good", OF_ARRIVALS(TNIC_GOOD) },
	[TNIC_COUNTER_DOUBLED] = { "doubled", OF_ARRIVALS(TNIC_DOUBLED) },
	[TNIC_COUNTER_REORDERED] = { "reordered", OF_ARRIVALS(TNIC_REORDERED) },
	[TNIC_COUNTER_STALE] = { "stale", OF_ARRIVALS(TNIC_STALE) },
	[TNIC_COUNTER_CHANGED] = { "changed", OF_ARRIVALS(TNIC_CHANGED) },
	[TNIC_COUNTER_FOREIGN] = { "foreign", OF_ARRIVALS(TNIC_FOREIGN) },
	[TNIC_COUNTER_MISPLACED] = { "misplaced", OF_ARRIVALS(TNIC_MISPLACED) },
	[TNIC_COUNTER_MALFORMED] = { "malformed", OF_ARRIVALS(TNIC_MALFORMED) },
};

static_assert(RTE_DIM(counters) == TNIC_N_COUNTERS, "a row for each counter");
static_assert(TNIC_MAX_QUEUES <= RTE_ETHDEV_QUEUE_STAT_CNTRS, "ethdev has room for each queue");

/** What the file says of a queue; 0 in an auditor's block of another run. */
static uint64_t
read_word(const struct tnic_report *report, unsigned int queue_idx, enum tnic_counter counter)
{
	const struct tnic_auditor_block *auditor = &report->auditors[queue_idx];
	const char *block = (const char *)&report->senders[queue_idx];

	if (counters[counter].block == BLOCK_AUDITOR) {
		block = (const char *)auditor;
		if (atomic_load_explicit(&auditor->run, memory_order_acquire) !=
			atomic_load_explicit(&report->stream.run, memory_order_relaxed))
			return 0;
	}
	return atomic_load_explicit(
		(const _Atomic uint64_t *)(const void *)(block + counters[counter].offset),
		memory_order_relaxed);
}

/** The same since the last reset. */
static uint64_t
read_counter(const struct tnic_port *port, unsigned int queue_idx, enum tnic_counter counter)
{
	uint64_t base = port->base[queue_idx][counter];
	uint64_t n = read_word(port->handle.report, queue_idx, counter);

	/* Less than at the reset: a new stream has begun, or a gap has been filled. */
	return n >= base ? n - base : n;
}

static uint64_t
sum_counter(const struct tnic_port *port, enum tnic_counter counter)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++)
		sum += read_counter(port, i, counter);
	return sum;
}

int
tnic_get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	const struct tnic_port *port = dev->data->dev_private;
	bool sends = port->config.sends, audits = port->config.audits;
	enum tnic_counter frames = audits ? TNIC_COUNTER_RECEIVED : TNIC_COUNTER_UNEXPECTED;
	enum tnic_counter bytes = audits ? TNIC_COUNTER_RECEIVED_BYTES
					 : TNIC_COUNTER_UNEXPECTED_BYTES;

	for (unsigned int i = 0; sends && i < dev->data->nb_rx_queues; i++) {
		stats->q_ipackets[i] = read_counter(port, i, TNIC_COUNTER_SENT);
		stats->q_ibytes[i] = read_counter(port, i, TNIC_COUNTER_SENT_BYTES);
		stats->ipackets += stats->q_ipackets[i];
		stats->ibytes += stats->q_ibytes[i];
		stats->rx_nombuf += read_counter(port, i, TNIC_COUNTER_NO_MBUF);
	}
	for (unsigned int i = 0; i < dev->data->nb_tx_queues; i++) {
		stats->q_opackets[i] = read_counter(port, i, frames);
		stats->q_obytes[i] = read_counter(port, i, bytes);
		stats->opackets += stats->q_opackets[i];
		stats->obytes += stats->q_obytes[i];
	}
	return 0;
}

int
tnic_reset_stats(struct rte_eth_dev *dev)
{
	struct tnic_port *port = dev->data->dev_private;

	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++)
		for (enum tnic_counter counter = 0; counter < TNIC_N_COUNTERS; counter++)
			port->base[i][counter] = read_word(port->handle.report, i, counter);
	return 0;
}

int
tnic_get_xstats(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n)
{
	const struct tnic_port *port = dev->data->dev_private;

	if (xstats == NULL || n < TNIC_N_COUNTERS)
		return TNIC_N_COUNTERS;
	for (enum tnic_counter counter = 0; counter < TNIC_N_COUNTERS; counter++) {
		xstats[counter].id = counter;
		xstats[counter].value = sum_counter(port, counter);
	}
	return TNIC_N_COUNTERS;
}

int
tnic_get_xstats_names(struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n)
{
	RTE_SET_USED(dev);
	if (names == NULL || n < TNIC_N_COUNTERS)
		return TNIC_N_COUNTERS;
	for (enum tnic_counter counter = 0; counter < TNIC_N_COUNTERS; counter++)
		snprintf(names[counter].name, sizeof(names[counter].name), "%s",
			counters[counter].name);
	return TNIC_N_COUNTERS;
}
