/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A split ring in guest memory: descriptors, what is available, what is used, the net header.
 *
 * Source: virtio 1.1/1.2, 2.6/2.7 "Split Virtqueues" and 5.1.6 "Device Operation" of the network
 * device. All little endian.
 */

#ifndef NMX_RING_SPLIT_LAYOUT_H
#define NMX_RING_SPLIT_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/** Queue size: 2^k. 2.6: at most 32768. */
#define NMX_SPLIT_SLOTS_MAX 32768

/* 2.6: alignments of the three parts. */
#define NMX_SPLIT_DESC_ALIGN  16
#define NMX_SPLIT_AVAIL_ALIGN 2
#define NMX_SPLIT_USED_ALIGN  4

/* --- Descriptors: 2.6.5 --- */

/** A descriptor, written by the driver. w1 is length:32 flags:16 next:16, lowest bits first. */
struct nmx_split_desc {
	uint64_t address;
	uint64_t w1;
};

#define NMX_SPLIT_W1_LENGTH(w1) ((uint32_t)(w1))
#define NMX_SPLIT_W1_FLAGS(w1)  ((uint16_t)((w1) >> 32))
#define NMX_SPLIT_W1_NEXT(w1)   ((uint16_t)((w1) >> 48))
#define NMX_SPLIT_W1(length, flags, next)                                   \
	((uint64_t)(uint32_t)(length) | (uint64_t)(uint16_t)(flags) << 32 | \
		(uint64_t)(uint16_t)(next) << 48)

#define NMX_SPLIT_FLAG_NEXT     0x0001 /* goes on in the descriptor `next` */
#define NMX_SPLIT_FLAG_WRITE    0x0002 /* the device writes it; otherwise it reads it */
#define NMX_SPLIT_FLAG_INDIRECT 0x0004 /* it holds a table of descriptors: 2.6.5.3 */

/* --- What the driver makes available: 2.6.6 --- */

struct nmx_split_avail {
	uint16_t flags;
	uint16_t idx;    /* free-running: where the next head goes */
	uint16_t ring[]; /* N heads; behind them `used_event`, 2.6.7 */
};

#define NMX_SPLIT_AVAIL_NO_INTERRUPT 0x0001

/* --- What the device has used: 2.6.8 --- */

struct nmx_split_used_elem {
	uint32_t id;    /* head */
	uint32_t bytes; /* that the device wrote, from the chain's first writable byte on */
};

struct nmx_split_used {
	uint16_t flags;
	uint16_t idx;                      /* free-running: where the next element goes */
	struct nmx_split_used_elem ring[]; /* N; behind them `avail_event`, 2.6.10 */
};

#define NMX_SPLIT_USED_NO_NOTIFY 0x0001

/** Bytes of the three parts, n slots; the event words are always counted in. */
#define NMX_SPLIT_DESC_BYTES(n)  ((uint64_t)(n) * sizeof(struct nmx_split_desc))
#define NMX_SPLIT_AVAIL_BYTES(n) (sizeof(struct nmx_split_avail) + ((uint64_t)(n) + 1) * 2)
#define NMX_SPLIT_USED_BYTES(n) \
	(sizeof(struct nmx_split_used) + (uint64_t)(n) * sizeof(struct nmx_split_used_elem) + 2)

/* --- Net header: 5.1.6 --- */

struct nmx_split_net_header {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_length;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t n_buffers; /* with VIRTIO_F_VERSION_1 or VIRTIO_NET_F_MRG_RXBUF only */
};

#define NMX_SPLIT_NET_BYTES        12
#define NMX_SPLIT_NET_BYTES_LEGACY 10 /* without n_buffers */

#define NMX_SPLIT_NET_NEEDS_CSUM 0x01
#define NMX_SPLIT_NET_DATA_VALID 0x02

#define NMX_SPLIT_NET_GSO_NONE  0
#define NMX_SPLIT_NET_GSO_TCPV4 1
#define NMX_SPLIT_NET_GSO_TCPV6 4

/* --- Faults, beside VDPDK_FAULT_*: what no vDPDK ring can have --- */

#define NMX_SPLIT_FAULT_IDX 0x100 /* avail->idx is behind, or more than N ahead */
#define NMX_SPLIT_FAULT_ID  0x101 /* a head or a `next` that is no descriptor */

/* --- Layout --- */

static_assert(sizeof(struct nmx_split_desc) == 16, "2.6.5");
static_assert(sizeof(struct nmx_split_avail) == 4, "2.6.6");
static_assert(offsetof(struct nmx_split_avail, idx) == 2, "2.6.6");
static_assert(offsetof(struct nmx_split_avail, ring) == 4, "2.6.6");
static_assert(sizeof(struct nmx_split_used_elem) == 8, "2.6.8");
static_assert(offsetof(struct nmx_split_used, idx) == 2, "2.6.8");
static_assert(offsetof(struct nmx_split_used, ring) == 4, "2.6.8");
static_assert(sizeof(struct nmx_split_net_header) == NMX_SPLIT_NET_BYTES, "5.1.6");
static_assert(
	offsetof(struct nmx_split_net_header, n_buffers) == NMX_SPLIT_NET_BYTES_LEGACY, "5.1.6");

#endif
