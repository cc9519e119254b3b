/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The sending side: what the application receives. */

#include "tnic_port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "tnic_shape.h"

int
tnic_set_up_source(
	struct tnic_port *port, uint16_t queue_idx, uint16_t port_id, struct rte_mempool *pool)
{
	struct tnic_source *source = &port->sources[queue_idx];
	struct tnic_report *report = port->handle.report;

	if (source->next_seqs == NULL) {
		source->next_seqs = calloc(port->config.n_flows, sizeof(*source->next_seqs));
		if (source->next_seqs == NULL)
			return -ENOMEM;
	}
	source->config = &port->config;
	source->block = &report->senders[queue_idx];
	source->auditor = &report->auditors[queue_idx];
	source->pool = pool;
	source->dma = &port->dma;
	source->device = &port->device;
	source->places = port->places;
	source->idle_cycles = rte_get_tsc_hz() / 1000 * TNIC_IDLE_MS;
	source->quiet_cycles = rte_get_tsc_hz() / 1000 * TNIC_QUIET_MS;
	source->room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
	source->queue_idx = queue_idx;
	source->port_id = port_id;
	return tnic_set_up_posted(source, pool);
}

/** Flows of queue q: q, q + n_queues, ... below n_flows. */
static uint32_t
count_flows(uint32_t queue_idx, uint32_t n_queues, uint32_t n_flows)
{
	return queue_idx < n_flows ? (n_flows - queue_idx - 1) / n_queues + 1 : 0;
}

/** How many queues have flows and may send. */
static uint32_t
count_senders(const struct tnic_config *config, uint32_t n_queues)
{
	uint32_t end = RTE_MIN(n_queues, config->n_flows);

	return end > config->first_queue ? end - config->first_queue : 0;
}

/** The total is shared evenly by the queues that send. */
static uint64_t
get_share(const struct tnic_config *config, uint32_t queue_idx, uint32_t n_queues)
{
	uint32_t n = count_senders(config, n_queues);
	uint32_t number = queue_idx - config->first_queue;

	if (queue_idx < config->first_queue || number >= n)
		return 0;
	if (config->frames == 0)
		return UINT64_MAX;
	return config->frames / n + (number < config->frames % n ? 1 : 0);
}

void
tnic_begin_sources(struct tnic_port *port, uint16_t n_queues)
{
	const struct tnic_config *config = &port->config;

	port->run = tnic_begin_stream(
		port->handle.report, n_queues, config->n_flows, config->frames, config->window);
	port->n_run_queues = n_queues;
	for (uint16_t i = 0; i < n_queues; i++) {
		struct tnic_source *source = &port->sources[i];

		memset(source->next_seqs, 0, config->n_flows * sizeof(*source->next_seqs));
		source->sent = 0;
		source->share = get_share(config, i, n_queues);
		tnic_init_pace(&source->pace, config->rate, rte_get_tsc_hz(),
			RTE_MAX(count_senders(config, n_queues), 1u));
		source->random.state = tnic_mix(config->seed + (i + 1) * TNIC_RANDOM_STEP);
		source->run = port->run;
		source->n_queues = n_queues;
		source->n_flows = count_flows(i, n_queues, config->n_flows);
	}
}

void
tnic_rearm_sources(struct tnic_port *port)
{
	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++)
		port->sources[i].polled_tsc = 0;
}

void
tnic_release_sources(struct tnic_port *port)
{
	for (unsigned int i = 0; i < TNIC_MAX_QUEUES; i++) {
		tnic_release_posted(&port->sources[i]);
		free(port->sources[i].next_seqs);
		port->sources[i].next_seqs = NULL;
	}
}

/** See TNIC_IDLE_MS. */
static bool
is_quiet(struct tnic_source *source)
{
	uint64_t now_tsc = rte_rdtsc();

	if (source->polled_tsc == 0 || now_tsc - source->polled_tsc > source->idle_cycles)
		source->quiet_until_tsc = now_tsc + source->quiet_cycles;
	source->polled_tsc = now_tsc;
	return now_tsc < source->quiet_until_tsc;
}

/** How many frames may be sent now. */
static uint16_t
count_allowed(struct tnic_source *source, uint16_t n)
{
	const struct tnic_auditor_block *auditor = source->auditor;
	uint64_t left = source->share - source->sent, acknowledged = 0, in_flight;

	if (source->config->window != 0) {
		/* Acquire: pairs with tnic_publish_tally(); the count is then of our run. */
		if (atomic_load_explicit(&auditor->run, memory_order_acquire) == source->run)
			acknowledged = atomic_load_explicit(
				&auditor->acknowledged, memory_order_relaxed);
		in_flight = source->sent > acknowledged ? source->sent - acknowledged : 0;
		if (in_flight >= source->config->window)
			return 0;
		left = RTE_MIN(left, source->config->window - in_flight);
	}
	left = RTE_MIN(left, tnic_count_due(&source->pace, source->polled_tsc));
	return (uint16_t)RTE_MIN(left, n);
}

/**
 * Chain mbufs to a frame of this shape.
 *
 * @param spans   its segments; written, but where they are if they are posted ones
 */
static void
chain_mbufs(struct rte_mbuf **segments, const struct tnic_shape *shape, uint16_t port_id,
	struct tnic_span *spans, bool posted)
{
	for (uint32_t i = 0; i < shape->n_segments; i++) {
		struct rte_mbuf *mbuf = segments[i];

		mbuf->data_len = shape->segment[i];
		mbuf->next = i + 1 < shape->n_segments ? segments[i + 1] : NULL;
		if (!posted)
			spans[i].data = rte_pktmbuf_mtod(mbuf, uint8_t *);
		spans[i].size = mbuf->data_len;
	}
	segments[0]->nb_segs = (uint16_t)shape->n_segments;
	segments[0]->pkt_len = shape->size;
	segments[0]->port = port_id;
	segments[0]->packet_type = RTE_PTYPE_L2_ETHER;
}

/** Make one frame. @return NULL if the pool hasn't enough mbufs */
static struct rte_mbuf *
make_frame(struct tnic_source *source)
{
	const bool posted = source->ring.n != 0;
	struct rte_mbuf *segments[TNIC_MAX_SEGMENTS];
	struct tnic_span spans[TNIC_MAX_SEGMENTS];
	struct tnic_shape shape;
	struct tnic_range flows = { 0, source->n_flows - 1 };
	struct tnic_identity identity = { .run = source->run };
	uint32_t flow_idx;

	tnic_draw_shape(&source->random, source->config->sizes, source->config->segments,
		posted ? source->ring.buffer_bytes : source->room, &shape);
	if (posted ? !tnic_take_posted(source, segments, spans, shape.n_segments)
		   : rte_pktmbuf_alloc_bulk(source->pool, segments, shape.n_segments) != 0)
		return NULL;
	chain_mbufs(segments, &shape, source->port_id, spans, posted);
	flow_idx = tnic_draw_from(&source->random, flows);
	identity.flow = source->queue_idx + flow_idx * source->n_queues;
	identity.seq = source->next_seqs[flow_idx]++;
	identity.sent_tsc = rte_rdtsc();
	tnic_build_frame(&identity, &source->config->macs, spans, shape.n_segments);
	if (source->places != NULL)
		tnic_note_place(source->places, identity.flow, identity.seq, spans[0].data);
	if (posted && source->config->spoils)
		tnic_spoil_rest(source, spans, shape.n_segments);
	return segments[0];
}

/** Count made frames into the report: the caller is the block's only writer. */
static void
count_sent(struct tnic_sender_block *block, struct rte_mbuf **mbufs, uint16_t n)
{
	uint64_t min = atomic_load_explicit(&block->size_min, memory_order_relaxed);
	uint64_t max = atomic_load_explicit(&block->size_max, memory_order_relaxed);
	uint64_t bytes = 0;

	if (n == 0)
		return;
	for (uint16_t i = 0; i < n; i++) {
		uint64_t size = mbufs[i]->pkt_len;

		min = min == 0 ? size : RTE_MIN(min, size);
		max = RTE_MAX(max, size);
		bytes += size;
	}
	atomic_store_explicit(&block->size_min, min, memory_order_relaxed);
	atomic_store_explicit(&block->size_max, max, memory_order_relaxed);
	tnic_add_to_word(&block->bytes, bytes);
	tnic_add_to_word(&block->sent, n);
}

/** As drivers do: a ring counts each refill that failed, though frames may come for a while. */
static void
count_no_mbuf(struct tnic_source *source)
{
	tnic_add_to_word(&source->block->no_mbuf, source->ring.n == 0 ? 1 : source->ring.failures);
	source->ring.failures = 0;
}

uint16_t
tnic_receive_burst(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct tnic_source *source = queue;
	uint16_t n_made = 0, allowed;

	tnic_poll_device(source->device);
	allowed = is_quiet(source) || atomic_load(&source->stopped) ||
				  atomic_load(&source->device->link_is_down)
			  ? 0
			  : count_allowed(source, n);

	while (n_made < allowed) {
		struct rte_mbuf *mbuf = make_frame(source);

		if (mbuf == NULL) {
			count_no_mbuf(source);
			break;
		}
		mbufs[n_made++] = mbuf;
	}
	if (source->ring.failures != 0)
		count_no_mbuf(source);
	tnic_spend_due(&source->pace, n_made);
	source->sent += n_made;
	count_sent(source->block, mbufs, n_made);
	return n_made;
}

uint16_t
tnic_receive_nothing(void *queue, struct rte_mbuf **mbufs, uint16_t n)
{
	struct tnic_source *source = queue;

	RTE_SET_USED(mbufs);
	RTE_SET_USED(n);
	tnic_poll_device(source->device);
	return 0;
}
