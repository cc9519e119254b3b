/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The frames of a port over another: each is copied once. */

#include "tnic_lower.h"

#include <string.h>

#include <rte_ethdev.h>

#include "tnic_chain.h"
#include "tnic_port.h"

/** Of an mbuf's flags, those that say where its data is: they aren't the frame's. */
#define FLAGS_OF_MBUF (RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT)

static void
count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- To the program --- */

void
tnic_drop_waiting(struct tnic_lower_queue *queue)
{
	while (queue->first < queue->end)
		rte_pktmbuf_free(queue->waiting[queue->first++]);
}

/** The frame whose turn it is; NULL: there is none. */
static struct rte_mbuf *
get_waiting(struct tnic_lower_queue *queue)
{
	if (queue->first == queue->end) {
		queue->first = 0;
		queue->end = rte_eth_rx_burst(
			queue->port, queue->index, queue->waiting, TNIC_LOWER_BURST);
	}
	return queue->first < queue->end ? queue->waiting[queue->first] : NULL;
}

/** Take an mbuf, and where its frame is to be written. @return NULL: there is none */
static struct rte_mbuf *
take_buffer(struct tnic_source *source, struct tnic_span *span)
{
	struct rte_mbuf *mbuf;

	if (source->ring.n != 0)
		return tnic_take_posted(source, &mbuf, span, 1) ? mbuf : NULL;
	mbuf = rte_pktmbuf_alloc(source->pool);
	if (mbuf != NULL)
		span->data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	return mbuf;
}

static void
copy_segments(const struct rte_mbuf *frame, uint8_t *to)
{
	for (; frame != NULL; frame = frame->next) {
		memcpy(to, rte_pktmbuf_mtod(frame, const void *), frame->data_len);
		to += frame->data_len;
	}
}

/** A frame of another test NIC says who it is. */
static void
note_place(const struct tnic_source *source, const struct tnic_span *span)
{
	const struct tnic_wire_header *header = (const struct tnic_wire_header *)span->data;

	if (span->size >= sizeof(*header) && header->magic == TNIC_FRAME_MAGIC)
		tnic_note_place(source->places, header->flow, header->seq, span->data);
}

/** Write a frame into a buffer of the program's. @return NULL: there is none now */
static struct rte_mbuf *
write_frame(struct tnic_source *source, const struct rte_mbuf *frame)
{
	struct tnic_span span = { .size = frame->pkt_len };
	struct rte_mbuf *mbuf = take_buffer(source, &span);

	if (mbuf == NULL)
		return NULL;
	copy_segments(frame, span.data);
	mbuf->data_len = (uint16_t)frame->pkt_len;
	mbuf->pkt_len = frame->pkt_len;
	mbuf->next = NULL;
	mbuf->port = source->port_id;
	mbuf->ol_flags = frame->ol_flags & ~FLAGS_OF_MBUF;
	mbuf->packet_type = frame->packet_type;
	mbuf->vlan_tci = frame->vlan_tci;
	mbuf->hash = frame->hash;
	if (source->places != NULL)
		note_place(source, &span);
	if (source->ring.n != 0 && source->config->spoils)
		tnic_spoil_rest(source, &span, 1);
	return mbuf;
}

uint16_t
tnic_receive_lower(void *context, struct rte_mbuf **mbufs, uint16_t n)
{
	struct tnic_source *source = context;
	struct tnic_lower_queue *queue = &source->lower;
	const uint32_t room = source->ring.n != 0 ? source->ring.buffer_bytes : source->room;
	struct rte_mbuf *frame;
	uint16_t n_done = 0;

	tnic_poll_device(source->device);
	if (atomic_load(&source->stopped) || atomic_load(&source->device->link_is_down))
		return 0;
	while (n_done < n && (frame = get_waiting(queue)) != NULL) {
		if (frame->pkt_len > room) {
			count(&queue->n_errors);
		} else {
			mbufs[n_done] = write_frame(source, frame);
			if (mbufs[n_done] == NULL) {
				count(&queue->n_no_mbuf);
				break;
			}
			n_done++;
		}
		rte_pktmbuf_free(frame);
		queue->first++;
	}
	return n_done;
}

/* --- From the program --- */

static uint32_t
sum_spans(const struct tnic_span *spans, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += spans[i].size;
	return sum;
}

/**
 * Copy a frame as it is now, and send it. What can never be sent is counted.
 *
 * @param n  spans; 0: its chain contradicts itself
 * @return false: not now
 */
static bool
send_frame(struct tnic_lower_queue *queue, const struct tnic_span *spans, uint32_t n)
{
	struct rte_mbuf *mbuf;

	if (n == 0 || sum_spans(spans, n) > TNIC_FRAME_MAX_BYTES) {
		count(&queue->n_errors);
		return true;
	}
	mbuf = rte_pktmbuf_alloc(queue->pool);
	if (mbuf == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++)
		memcpy(rte_pktmbuf_append(mbuf, (uint16_t)spans[i].size), spans[i].data,
			spans[i].size);
	if (rte_eth_tx_burst(queue->port, queue->index, &mbuf, 1) == 1)
		return true;
	rte_pktmbuf_free(mbuf);
	return false;
}

void
tnic_read_to_lower(struct tnic_sink *sink, bool is_last)
{
	struct tnic_span spans[TNIC_MAX_CHAIN];
	uint32_t n;

	while ((n = tnic_get_posted(&sink->ring, spans)) != 0) {
		if (!send_frame(&sink->lower, spans, spans[0].data != NULL ? n : 0)) {
			if (!is_last)
				return;
			count(&sink->lower.n_errors);
		}
		tnic_finish_posted(&sink->ring, n);
	}
}

uint16_t
tnic_transmit_lower(void *context, struct rte_mbuf **mbufs, uint16_t n)
{
	struct tnic_sink *sink = context;
	struct tnic_span spans[TNIC_MAX_CHAIN];
	uint16_t n_sent = 0;

	/* A link that is down makes a ring wait. Here is none, and what isn't taken may be lost. */
	if (atomic_load(&sink->stopped))
		return 0;
	for (; n_sent < n; n_sent++)
		if (!send_frame(&sink->lower, spans, tnic_collect_spans(mbufs[n_sent], spans)))
			break;
	rte_pktmbuf_free_bulk(mbufs, n_sent);
	return n_sent;
}
