/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Frames of a guest's, looked at where they lie.
 *
 * Theory of operation
 *
 * Each planned frame (from_guest.h) is described by a chain of mbufs that own nothing, *shells*:
 * the first points at a private copy of the frame's first HEAD_BYTES, the others at the rest in the
 * guest's memory. So whatever reads mbufs can judge and copy the frame, and what it judges, the
 * headers, the guest can't change any more. The rest is read once, by the copy that delivers it.
 *
 * The queue's bracket stays open from nmx_guestport_open_peek() to nmx_guestport_close_peek(): the
 * memory stays mapped as long, and a grace period waits as long. All segments are translated before
 * a frame is shown, so that nothing can fail afterwards.
 *
 * A frame can also be sent as it is shown, from the guest's memory: it is attached (attach.h), with
 * the private copy for its head.
 */

#include <errno.h>

#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "drivers/common/rxmap/tx_queue.h"
#include "from_guest_attach.h"

#define HEAD_BYTES NMX_PEEK_HEAD_BYTES
/** Enough for a burst of frames of one segment each, and for one frame of any kind. */
#define SHELLS_MAX (2 * BURST_MAX + VDPDK_TX_SEGMENTS_MAX)

struct nmx_peek {
	struct burst burst;
	struct chunk chunk;
	uint16_t n_shells; /* in use */
	uint32_t attached; /* a bit for each frame that is */
	uint8_t heads[BURST_MAX][HEAD_BYTES] __rte_cache_aligned;
	struct rte_mbuf shells[SHELLS_MAX];
};

int
nmx_guestport_create_peek(struct nmx_peek **ret_peek)
{
	struct nmx_peek *peek = rte_zmalloc("nmx_peek", sizeof(*peek), RTE_CACHE_LINE_SIZE);

	if (peek == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < SHELLS_MAX; i++) {
		struct rte_mbuf *shell = &peek->shells[i];

		rte_mbuf_refcnt_set(shell, 1);
		shell->port = RTE_MBUF_PORT_INVALID;
	}
	*ret_peek = peek;
	return 0;
}

void
nmx_guestport_destroy_peek(struct nmx_peek *peek)
{
	rte_free(peek);
}

/** A shell for some bytes; there is one. */
static inline struct rte_mbuf *
take_shell(struct nmx_peek *peek, void *start, uint32_t bytes)
{
	struct rte_mbuf *shell = &peek->shells[peek->n_shells++];

	shell->buf_addr = start;
	shell->data_off = 0;
	shell->buf_len = shell->data_len = (uint16_t)bytes;
	shell->next = NULL;
	return shell;
}

/** The first shell of a frame, over its head, which is filled in later. */
static inline struct rte_mbuf *
begin_frame(struct nmx_peek *peek, uint16_t index, const struct frame *frame)
{
	struct rte_mbuf *shell = take_shell(
		peek, peek->heads[index], RTE_MIN(frame->bytes, (uint32_t)HEAD_BYTES));

	shell->nb_segs = 1;
	shell->pkt_len = frame->bytes;
	return shell;
}

/** Describe a frame that lies in one piece. */
static inline struct rte_mbuf *
show_plain(struct nmx_peek *peek, uint16_t index, const struct frame *frame)
{
	struct rte_mbuf *head = begin_frame(peek, index, frame);

	rte_memcpy(peek->heads[index], NMX_SHARED_PLAIN(void, frame->first), head->data_len);
	if (frame->bytes > HEAD_BYTES) {
		head->next = take_shell(peek, NMX_SHARED_PLAIN(void, frame->first + HEAD_BYTES),
			frame->bytes - HEAD_BYTES);
		head->nb_segs = 2;
	}
	return head;
}

/** Describe a frame of several segments. @return NULL: the guest's fault, kept in the burst */
static struct rte_mbuf *
show_chain(struct nmx_peek *peek, uint16_t index, const struct frame *frame)
{
	struct rte_mbuf *head = begin_frame(peek, index, frame), *last = head;
	uint32_t copied = 0;

	for (uint32_t i = 0; i < frame->n_segments; i++) {
		NMX_SHARED uint8_t *from;
		uint32_t bytes, n;

		if (!find_segment(&peek->burst, frame, i, &from, &bytes))
			return NULL;
		n = RTE_MIN(bytes, head->data_len - copied);
		nmx_base_copy_from_shared(&peek->heads[index][copied], from, n);
		copied += n;
		if (n == bytes)
			continue;
		last->next = take_shell(peek, NMX_SHARED_PLAIN(void, from + n), bytes - n);
		last = last->next;
		head->nb_segs++;
	}
	return head;
}

/** Describe the planned frames; stops at one that has a fault, or no shells left for it. */
static inline uint16_t
show_frames(struct nmx_peek *peek, struct rte_mbuf **ret_mbufs)
{
	struct chunk *chunk = &peek->chunk;

	peek->n_shells = 0;
	for (uint16_t i = 0; i < chunk->n; i++) {
		const struct frame *frame = &chunk->frames[i];
		bool fits = peek->n_shells + frame->n_segments + 1 <= SHELLS_MAX;

		if (unlikely(!fits))
			ret_mbufs[i] = NULL;
		else if (likely(frame->n_segments == 1))
			ret_mbufs[i] = show_plain(peek, i, frame);
		else
			ret_mbufs[i] = show_chain(peek, i, frame);
		if (unlikely(ret_mbufs[i] == NULL)) {
			/* What was found behind it is judged anew, behind it. */
			if (!fits)
				peek->burst.fault = VDPDK_FAULT_NONE;
			cut_chunk(chunk, i);
			return i;
		}
		peek->burst.bytes += frame->bytes;
	}
	return chunk->n;
}

/** Plan a chunk. */
static inline __rte_always_inline void
plan_burst(struct nmx_peek *peek, uint16_t n, const enum ring_kind kind)
{
	struct burst *burst = &peek->burst;

	claim_ring(burst->ring, n, kind);
	burst->fault = fetch_frames(burst->ring, n, kind);
	claim_used(burst->ring, n, kind);
	plan_chunk(burst, &peek->chunk, n, kind);
	check_headers(burst, &peek->chunk, kind);
}

static __rte_noinline void
take_attached_back(const struct burst *burst)
{
	nmx_guestport_answer_attached(burst->ring);
	if (unlikely(nmx_guestport_is_attach_old(burst->ring->attach)) && burst->queue->tx != NULL)
		nmx_rxmap_recall(&burst->queue->tx->uplink);
}

uint16_t
nmx_guestport_open_peek(struct nmx_peek *peek, struct nmx_from_guest *queue,
	struct rte_mbuf **ret_mbufs, uint16_t n)
{
	struct burst *burst = &peek->burst;

	nmx_base_enter_bracket(&queue->bracket);
	*burst = (struct burst){ .queue = queue };
	burst->ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	if (unlikely(burst->ring == NULL)) {
		nmx_base_leave_bracket(&queue->bracket);
		return 0;
	}
	begin_burst(burst);
	peek->attached = 0;
	if (unlikely(burst->ring->attach != NULL))
		take_attached_back(burst);
	CALL_BY_KIND(burst->ring, plan_burst, peek, RTE_MIN(n, BURST_MAX));
	n = show_frames(peek, ret_mbufs);
	burst->frames = n;
	if (n == 0)
		nmx_guestport_close_peek(peek);
	return n;
}

static_assert(HEAD_BYTES == ATTACH_HEAD_BYTES, "a shown head is one to be sent");

/** Number of the frame that a shell is the first one of. */
static inline uint16_t
get_frame_number(const struct nmx_peek *peek, const struct rte_mbuf *head)
{
	return (uint16_t)(((const uint8_t *)head->buf_addr - peek->heads[0]) / HEAD_BYTES);
}

uint32_t
nmx_guestport_attach_shown(
	struct nmx_peek *peek, struct rte_mbuf *const *shown, struct rte_mbuf **mbufs, uint16_t n)
{
	struct burst *burst = &peek->burst;
	struct attach_entry *entries[BURST_MAX];
	struct rte_mbuf *tails[BURST_MAX];
	uint32_t wanted = 0, which, which_shown = 0, next = 0;

	if (burst->ring->attach == NULL || !may_attach(burst))
		return 0;
	for (uint16_t i = 0; i < n; i++)
		wanted |= UINT32_C(1) << get_frame_number(peek, shown[i]);
	which = choose_frames(burst, &peek->chunk, wanted & ~peek->attached, entries, tails);
	for (uint16_t i = 0; i < n; i++) {
		uint16_t number = get_frame_number(peek, shown[i]);

		if (!(which >> number & 1))
			continue;
		attach_frame(burst, &peek->chunk.frames[number], peek->heads[number], entries[next],
			mbufs[i], tails[next]);
		which_shown |= UINT32_C(1) << i;
		next++;
	}
	burst->attached += next;
	peek->attached |= which;
	return which_shown;
}

/** Answer what was shown, and end the burst. */
static inline __rte_always_inline void
close_burst(struct nmx_peek *peek, const enum ring_kind kind)
{
	struct burst *burst = &peek->burst;

	if (likely(burst->ring->attach == NULL))
		answer_read(burst->ring, peek->chunk.n_slots, kind);
	else
		answer_chunk(burst->ring, &peek->chunk, peek->attached);
	burst->drops[NMX_FROM_GUEST_TOO_LONG] += peek->chunk.n_drops;
	end_burst(burst, kind);
}

void
nmx_guestport_close_peek(struct nmx_peek *peek)
{
	CALL_BY_KIND(peek->burst.ring, close_burst, peek);
	nmx_base_leave_bracket(&peek->burst.queue->bracket);
}
