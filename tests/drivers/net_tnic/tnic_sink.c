/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The auditing side: what the application transmits. */

#include "tnic_port.h"

#include <rte_cycles.h>

#include "tnic_chain.h"

int
tnic_set_up_sink(struct tnic_port *port, uint16_t queue_idx)
{
	struct tnic_sink *sink = &port->sinks[queue_idx];
	const struct tnic_config *config = &port->config;
	struct tnic_macs macs = tnic_get_expected_macs(config);
	int ret = 0;

	sink->report = port->handle.report;
	sink->device = &port->device;
	sink->dma = &port->dma;
	sink->queue_idx = queue_idx;
	sink->places = port->config.sends ? NULL : port->places;
	if (port->config.audits && sink->audit.flows == NULL)
		ret = tnic_init_audit(&sink->audit, queue_idx, &macs);
	sink->audit.times = &sink->report->times[queue_idx];
	return ret == 0 ? tnic_set_up_tx_ring(sink, config) : ret;
}

int
tnic_set_up_tx_ring(struct tnic_sink *sink, const struct tnic_config *config)
{
	/* What it keeps until the port is closed outlives a new set-up. */
	if (config->tx_ring == 0 || sink->ring.slots != NULL)
		return 0;
	return tnic_init_tx_ring(
		&sink->ring, config->tx_ring, config->tx_shuffled, config->tx_keep);
}

void
tnic_release_sinks(struct tnic_port *port)
{
	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++) {
		tnic_fini_tx_ring(&port->sinks[i].ring);
		tnic_fini_audit(&port->sinks[i].audit);
	}
}

/** Take up the stream that the sender has begun since the last burst, if it has. */
static void
follow_stream(struct tnic_sink *sink)
{
	struct tnic_auditor_block *block = &sink->report->auditors[sink->queue_idx];
	struct tnic_stream stream;
	struct tnic_tally tally;

	if (atomic_load_explicit(&sink->report->stream.run, memory_order_relaxed) ==
		sink->audit.stream.run)
		return;
	stream = tnic_read_stream(sink->report);
	/* Our predecessor's counts, if a port that has died since has audited this run. */
	if (atomic_load_explicit(&block->run, memory_order_relaxed) == stream.run) {
		tnic_read_tally(block, &tally);
		tnic_join_audit(&sink->audit, &stream, &tally);
	} else {
		tnic_start_audit(&sink->audit, &stream);
		tnic_clear_times(sink->audit.times);
	}
}

/** Where a good frame was found. */
static void
note_place(const struct tnic_sink *sink, const struct tnic_span *span)
{
	const struct tnic_wire_header *header = (const struct tnic_wire_header *)span->data;

	if (span->size >= sizeof(*header))
		tnic_note_place(sink->places, header->flow, header->seq, span->data);
}

/** A NIC behind an IOMMU sends nothing that isn't mapped for it; this one says so. */
static void
check_reach(struct tnic_dma *dma, const struct tnic_span *spans, uint32_t n)
{
	bool reached = true;

	rte_spinlock_lock(&dma->lock);
	for (uint32_t i = 0; i < n; i++)
		reached &= tnic_reaches(dma, spans[i].data, spans[i].size);
	if (!reached && dma->n_faults++ == 0)
		TNIC_LOG(ERR, "a frame to be sent isn't mapped for the device\n");
	rte_spinlock_unlock(&dma->lock);
}

/** Judge a frame. @param n_spans  0: its chain contradicts itself */
static void
judge_frame(struct tnic_sink *sink, const struct tnic_span *spans, uint32_t n_spans, uint64_t bytes)
{
	if (sink->dma->maps_max != 0)
		check_reach(sink->dma, spans, n_spans);
	if (n_spans == 0)
		tnic_audit_malformed(&sink->audit, bytes);
	else if (tnic_audit_frame(&sink->audit, spans, n_spans) == TNIC_GOOD &&
		 sink->places != NULL)
		note_place(sink, &spans[0]);
}

static void
begin_frames(struct tnic_sink *sink)
{
	follow_stream(sink);
	sink->audit.now_tsc = rte_rdtsc();
}

static void
end_frames(struct tnic_sink *sink)
{
	tnic_publish_tally(&sink->report->auditors[sink->queue_idx], sink->audit.stream.run,
		&sink->audit.tally);
}

uint16_t
tnic_post_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct tnic_sink *sink = queue;

	tnic_poll_device(sink->device);
	return atomic_load(&sink->stopped) ? 0 : tnic_post_frames(&sink->ring, mbufs, n);
}

/** Audit what may be read. */
static void
audit_posted(struct tnic_sink *sink)
{
	struct tnic_span spans[TNIC_MAX_CHAIN];
	uint32_t n = tnic_get_posted(&sink->ring, spans);

	if (n == 0)
		return;
	begin_frames(sink);
	for (; n != 0; n = tnic_get_posted(&sink->ring, spans)) {
		judge_frame(sink, spans, spans[0].data != NULL ? n : 0, spans[0].size);
		tnic_finish_posted(&sink->ring, n);
	}
	end_frames(sink);
}

static void
read_posted(struct tnic_sink *sink, bool is_last)
{
	if (sink->lower.pool != NULL)
		tnic_read_to_lower(sink, is_last);
	else
		audit_posted(sink);
}

void
tnic_send_posted(struct tnic_sink *sink)
{
	if (sink->ring.n == 0)
		return;
	read_posted(sink, false);
	tnic_look_at_tx(&sink->ring);
}

void
tnic_start_sink(struct tnic_sink *sink)
{
	atomic_store(&sink->stopped, false);
}

void
tnic_stop_sink(struct tnic_sink *sink)
{
	atomic_store(&sink->stopped, true);
	if (sink->ring.n == 0)
		return;
	tnic_look_at_tx(&sink->ring);
	read_posted(sink, true);
	tnic_stop_tx_ring(&sink->ring);
}

uint16_t
tnic_audit_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct tnic_sink *sink = queue;
	struct tnic_span spans[TNIC_MAX_CHAIN];

	begin_frames(sink);
	for (uint16_t i = 0; i < n; i++)
		judge_frame(sink, spans, tnic_collect_spans(mbufs[i], spans), mbufs[i]->pkt_len);
	/* Free first: what an acknowledgement lets the sender send may need these mbufs. */
	rte_pktmbuf_free_bulk(mbufs, n);
	end_frames(sink);
	return n;
}

uint16_t
tnic_discard_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct tnic_sink *sink = queue;
	struct tnic_sender_block *block = &sink->report->senders[sink->queue_idx];
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < n; i++)
		bytes += mbufs[i]->pkt_len;
	rte_pktmbuf_free_bulk(mbufs, n);
	tnic_add_to_word(&block->unexpected, n);
	tnic_add_to_word(&block->unexpected_bytes, bytes);
	return n;
}
