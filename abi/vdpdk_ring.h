/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Rings: header, descriptors, flags, events.
 *
 * One ring a queue, in guest memory: a header of two lines, then N slots of two 64-bit words.
 * docs/device.md, sections "Rings" and "Events".
 */

#ifndef VDPDK_RING_H
#define VDPDK_RING_H

#include <stdint.h>

#include "vdpdk_layout.h"

#define VDPDK_RING_ALIGN     128
#define VDPDK_RING_SLOTS_MIN 64
#define VDPDK_RING_SLOTS_MAX 4096
/** Data segments of a frame from the guest; an offload record comes on top. */
#define VDPDK_TX_SEGMENTS_MAX 32
/** Slots of a frame to the guest: one that needs more is dropped as too long. */
#define VDPDK_RX_SEGMENTS_MAX 16
/** Bytes of a segment; of a frame at least. */
#define VDPDK_SEGMENT_BYTES_MAX 65535
#define VDPDK_FRAME_BYTES_MIN   14

/* --- Header --- */

/** Line 0, written by the driver. */
struct vdpdk_ring_driver {
	uint32_t event_seq; /* Rx: signal me at the next completion; 0 = no. Tx: reserved, 0 */
	uint8_t reserved[60];
};

/** Line 1, written by the device. */
struct vdpdk_ring_device {
	uint32_t event_seq; /* Tx: ring me at the next submission; 0 = no. Rx: reserved, 0 */
	uint32_t state;     /* one aligned access: VDPDK_QUEUE_STATE_*:16 VDPDK_FAULT_*:16 */
	uint8_t reserved[56];
};

struct vdpdk_ring_header {
	struct vdpdk_ring_driver driver;
	struct vdpdk_ring_device device;
};

#define VDPDK_QUEUE_STATE_STOPPED 0
#define VDPDK_QUEUE_STATE_RUNNING 1
/** QUEUE_STOP, then QUEUE_START clears it. */
#define VDPDK_QUEUE_STATE_ERROR 2

/** The word `state` and its parts. */
#define VDPDK_QUEUE_STATE_WORD(state, fault) ((uint32_t)(state) | (uint32_t)(fault) << 16)
#define VDPDK_QUEUE_STATE(word)              ((uint16_t)(word))
#define VDPDK_QUEUE_FAULT(word)              ((uint16_t)((word) >> 16))

/** Why a queue is in error. */
#define VDPDK_FAULT_NONE      0
#define VDPDK_FAULT_FLAGS     1 /* a flag that is reserved, or not allowed here */
#define VDPDK_FAULT_CHAIN     2 /* a frame of too many slots, or not wholly handed over */
#define VDPDK_FAULT_LENGTH    3 /* an empty segment; a frame too short or over the maximum */
#define VDPDK_FAULT_ADDRESS   4 /* not, or not wholly, in mapped memory of the needed protection */
#define VDPDK_FAULT_RING_GONE 5 /* the ring's own memory was unmapped */

/* --- Slots --- */

/**
 * A descriptor. w1 is the ownership word: one aligned 64-bit access, stored with release after w0,
 * loaded with acquire before w0. AVAIL set: the device's. AVAIL clear: the driver's.
 *
 *   submit         w0 address                 w1 length:16 id:16 flags:16 extra:16
 *   complete, Rx   w0 hash:32 mark:32         w1 length:16 id:16 flags:16 vlan_tci:16
 *   complete, Tx   w0 as it is                w1 status:16 id:16 flags:16 0:16
 *
 * The first named field has the lowest bits.
 */
struct vdpdk_slot_words {
	uint64_t w0;
	uint64_t w1;
};

#define VDPDK_W1_LENGTH(w1)   ((uint16_t)(w1))
#define VDPDK_W1_STATUS(w1)   ((uint16_t)(w1))
#define VDPDK_W1_ID(w1)       ((uint16_t)((w1) >> 16))
#define VDPDK_W1_FLAGS(w1)    ((uint16_t)((w1) >> 32))
#define VDPDK_W1_EXTRA(w1)    ((uint16_t)((w1) >> 48))
#define VDPDK_W1_VLAN_TCI(w1) ((uint16_t)((w1) >> 48))
#define VDPDK_W1(length, id, flags, extra)                               \
	((uint64_t)(uint16_t)(length) | (uint64_t)(uint16_t)(id) << 16 | \
		(uint64_t)(uint16_t)(flags) << 32 | (uint64_t)(uint16_t)(extra) << 48)

/** In w1: VDPDK_FLAG_AVAIL where the word has it. */
#define VDPDK_W1_AVAIL (UINT64_C(1) << 32)

#define VDPDK_FLAG_AVAIL 0x0001
/** The frame goes on in the next slot. Submitted to Rx rings: an error. */
#define VDPDK_FLAG_NEXT 0x0002

/* Submitted to Tx rings. Header lengths for checksums stand in `extra`: l2_len:7 l3_len:9. */
#define VDPDK_FLAG_TX_OFFLOAD       0x0004 /* the second slot is a record. Reserved */
#define VDPDK_FLAG_TX_IPV4_CHECKSUM 0x0008 /* Reserved */
#define VDPDK_FLAG_TX_L4_MASK       0x0030 /* 0 none, 1 TCP, 2 UDP, 3 SCTP checksum. Reserved */
#define VDPDK_FLAG_TX_L4_SHIFT      4

/* Completed in Rx rings. Known and not good is bad; good and not known (L4) is: data intact, field
 * not computed. */
#define VDPDK_FLAG_RX_UNUSED            0x0004 /* the buffer comes back empty; length 0 */
#define VDPDK_FLAG_RX_IP_KNOWN          0x0008 /* Reserved */
#define VDPDK_FLAG_RX_IP_GOOD           0x0010 /* Reserved */
#define VDPDK_FLAG_RX_L4_KNOWN          0x0020 /* Reserved */
#define VDPDK_FLAG_RX_L4_GOOD           0x0040 /* Reserved */
#define VDPDK_FLAG_RX_HASH              0x0080 /* w0 has an RSS hash. Reserved */
#define VDPDK_FLAG_RX_MARK              0x0100 /* w0 has a flow mark. Reserved */
#define VDPDK_FLAG_RX_VLAN              0x0200 /* vlan_tci was stripped. Reserved */
#define VDPDK_FLAG_RX_COALESCED         0x0400 /* mark holds the segment size. Reserved */
#define VDPDK_FLAG_RX_PACKET_TYPE_SHIFT 12     /* 4 bits, 0 = unknown. Reserved */

/** Status of a Tx completion. */
#define VDPDK_TX_DONE    0 /* taken; statistics tell if it was dropped later */
#define VDPDK_TX_ABORTED 1 /* the queue stopped before the frame was taken */

/**
 * A Tx offload record, the second slot of a frame whose first has VDPDK_FLAG_TX_OFFLOAD. Reserved.
 *
 *   w0 l2:7 l3:9 l4:8 mss:16 outer_l3:9 outer_l2:7 0:8
 *   w1 offloads:16 id:16 flags:16 vlan_tci:16
 */
#define VDPDK_RECORD_L2_SHIFT       0
#define VDPDK_RECORD_L3_SHIFT       7
#define VDPDK_RECORD_L4_SHIFT       16
#define VDPDK_RECORD_MSS_SHIFT      24
#define VDPDK_RECORD_OUTER_L3_SHIFT 40
#define VDPDK_RECORD_OUTER_L2_SHIFT 49

#define VDPDK_RECORD_TSO         0x0001 /* Reserved */
#define VDPDK_RECORD_VLAN_INSERT 0x0002 /* Reserved */
/** 0 none, 1 VXLAN, 2 GRE, 3 GENEVE, 4 IP in IP. Reserved. */
#define VDPDK_RECORD_TUNNEL_MASK         0x00f0
#define VDPDK_RECORD_OUTER_IPV4_CHECKSUM 0x0100 /* Reserved */

/** Bytes of a whole ring of n slots. */
#define VDPDK_RING_BYTES(n) \
	(sizeof(struct vdpdk_ring_header) + (n) * sizeof(struct vdpdk_slot_words))

/* --- Layout --- */

VDPDK_ASSERT_SIZE(vdpdk_ring_driver, 64);
VDPDK_ASSERT_OFFSET(vdpdk_ring_driver, event_seq, 0);
VDPDK_ASSERT_OFFSET(vdpdk_ring_driver, reserved, 4);

VDPDK_ASSERT_SIZE(vdpdk_ring_device, 64);
VDPDK_ASSERT_OFFSET(vdpdk_ring_device, event_seq, 0);
VDPDK_ASSERT_OFFSET(vdpdk_ring_device, state, 4);
VDPDK_ASSERT_OFFSET(vdpdk_ring_device, reserved, 8);

VDPDK_ASSERT_SIZE(vdpdk_ring_header, 128);
VDPDK_ASSERT_OFFSET(vdpdk_ring_header, driver, 0);
VDPDK_ASSERT_OFFSET(vdpdk_ring_header, device, 64);

VDPDK_ASSERT_SIZE(vdpdk_slot_words, 16);
VDPDK_ASSERT_OFFSET(vdpdk_slot_words, w0, 0);
VDPDK_ASSERT_OFFSET(vdpdk_slot_words, w1, 8);

#endif
