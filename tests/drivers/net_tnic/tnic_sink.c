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
	struct tnic_macs macs = tnic_get_expected_macs(&port->config);
	int ret = 0;

	sink->report = port->handle.report;
	sink->queue_idx = queue_idx;
	sink->places = port->config.sends ? NULL : port->places;
	if (port->config.audits && sink->audit.flows == NULL)
		ret = tnic_init_audit(&sink->audit, queue_idx, &macs);
	sink->audit.times = &sink->report->times[queue_idx];
	return ret;
}

void
tnic_release_sinks(struct tnic_port *port)
{
	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++)
		tnic_fini_audit(&port->sinks[i].audit);
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

uint16_t
tnic_audit_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct tnic_sink *sink = queue;
	struct tnic_audit *audit = &sink->audit;
	struct tnic_span spans[TNIC_MAX_CHAIN];

	follow_stream(sink);
	audit->now_tsc = rte_rdtsc();
	for (uint16_t i = 0; i < n; i++) {
		uint32_t n_spans = tnic_collect_spans(mbufs[i], spans);

		if (n_spans == 0)
			tnic_audit_malformed(audit, mbufs[i]->pkt_len);
		else if (tnic_audit_frame(audit, spans, n_spans) == TNIC_GOOD &&
			 sink->places != NULL)
			note_place(sink, &spans[0]);
	}
	/* Free first: what an acknowledgement lets the sender send may need these mbufs. */
	rte_pktmbuf_free_bulk(mbufs, n);
	tnic_publish_tally(
		&sink->report->auditors[sink->queue_idx], audit->stream.run, &audit->tally);
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
