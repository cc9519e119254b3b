/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A packed ring in guest memory: descriptors, which are answers as well, and two event words.
 *
 * The flags NEXT, WRITE and INDIRECT, the net header and the faults are those of a split ring:
 * split_layout.h. Source: virtio 1.1 2.7, virtio 1.2 2.8 "Packed Virtqueues"; the numbers here are
 * those of 1.1. All little endian.
 */

#ifndef NMX_RING_PACKED_LAYOUT_H
#define NMX_RING_PACKED_LAYOUT_H

#include "lib/ring/split_layout.h"

/** Queue size. 2.7: at most 32768. 2.7.10.1 allows any number; here it is 2^k. */
#define NMX_PACKED_SLOTS_MAX 32768

/* 2.7.10.1: alignments of the three parts. */
#define NMX_PACKED_DESC_ALIGN  16
#define NMX_PACKED_EVENT_ALIGN 4

/* --- Descriptors: 2.7.13 --- */

/**
 * A descriptor, written by the driver, and overwritten by the device when a buffer is used: then
 * `address` says nothing. w1 is length:32 id:16 flags:16, lowest bits first.
 */
struct nmx_packed_desc {
	uint64_t address;
	uint64_t w1;
};

#define NMX_PACKED_W1_LENGTH(w1) ((uint32_t)(w1))
#define NMX_PACKED_W1_ID(w1)     ((uint16_t)((w1) >> 32))
#define NMX_PACKED_W1_FLAGS(w1)  ((uint16_t)((w1) >> 48))
#define NMX_PACKED_W1(length, id, flags)                                 \
	((uint64_t)(uint32_t)(length) | (uint64_t)(uint16_t)(id) << 32 | \
		(uint64_t)(uint16_t)(flags) << 48)

/* Beside NMX_SPLIT_FLAG_*. NEXT: the chain goes on in the next descriptor, the last of which has
 * the id. WRITE in an answer: the device wrote, and the length says how much. */
#define NMX_PACKED_FLAG_AVAIL 0x0080
#define NMX_PACKED_FLAG_USED  0x8000

/* --- Positions: 2.7.1 --- */

/** A position is idx:15 wrap:1; the wrap bit is set in the first lap, clear in the second. */
#define NMX_PACKED_POSITION_IDX  0x7fff
#define NMX_PACKED_POSITION_WRAP 0x8000

/** Of vhost-user's SET_VRING_BASE and GET_VRING_BASE: what is next to fetch, what to answer. */
#define NMX_PACKED_BASE(avail, used) \
	((uint32_t)(uint16_t)(avail) | (uint32_t)(uint16_t)(used) << 16)
#define NMX_PACKED_BASE_NEW NMX_PACKED_BASE(NMX_PACKED_POSITION_WRAP, NMX_PACKED_POSITION_WRAP)

/* --- Event suppression: 2.7.10, 2.7.14 --- */

/** What a side asks the other one for: position:16 kind:2, lowest bits first; the rest is 0. */
struct nmx_packed_event {
	uint32_t word;
};

#define NMX_PACKED_EVENT(position, kind) ((uint32_t)(uint16_t)(position) | (uint32_t)(kind) << 16)
#define NMX_PACKED_EVENT_POSITION(word)  ((uint16_t)(word))
#define NMX_PACKED_EVENT_KIND(word)      ((word) >> 16 & 3)

#define NMX_PACKED_EVENT_ENABLE  0
#define NMX_PACKED_EVENT_DISABLE 1
#define NMX_PACKED_EVENT_DESC    2 /* at the position; with VIRTIO_F_EVENT_IDX only */

#define NMX_PACKED_DESC_BYTES(n) ((uint64_t)(n) * sizeof(struct nmx_packed_desc))

/* --- Layout --- */

static_assert(sizeof(struct nmx_packed_desc) == 16, "2.7.13");
static_assert(offsetof(struct nmx_packed_desc, w1) == 8, "2.7.13");
static_assert(sizeof(struct nmx_packed_event) == 4, "2.7.14");
/* A table's place and size are found as in a split ring. */
static_assert(sizeof(struct nmx_packed_desc) == sizeof(struct nmx_split_desc), "2.7.7");

#endif
