/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** An mbuf chain as spans of bytes. */

#ifndef TNIC_CHAIN_H
#define TNIC_CHAIN_H

#include <stdint.h>

#include <rte_mbuf.h>

#include "tnic_frame.h"

/** Segments of a chain; longer ones are malformed. No NIC takes as many. */
#define TNIC_MAX_CHAIN 256

/**
 * Take the chain's segments as spans, if the chain is what it says it is.
 *
 * No trust in it: a program under test has made it. Each segment holds a byte or more, lies in its
 * mbuf's room, and their number and sum are those in the first mbuf.
 *
 * @param spans  room for TNIC_MAX_CHAIN
 * @return number of spans; 0 if the chain contradicts itself
 */
static inline uint32_t
tnic_collect_spans(const struct rte_mbuf *mbuf, struct tnic_span *spans)
{
	const struct rte_mbuf *segment = mbuf;
	uint64_t left = mbuf->pkt_len; /* wraps if the segments hold more */
	uint32_t n = 0;

	for (; segment != NULL && n < TNIC_MAX_CHAIN; segment = segment->next) {
		if (segment->data_len == 0 ||
			(uint32_t)segment->data_off + segment->data_len > segment->buf_len)
			return 0;
		left -= segment->data_len;
		spans[n++] = (struct tnic_span){ rte_pktmbuf_mtod(segment, uint8_t *),
			segment->data_len };
	}
	return segment == NULL && left == 0 && n == mbuf->nb_segs ? n : 0;
}

#endif
