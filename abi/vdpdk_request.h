/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Requests of the control area: numbers, bodies, answers.
 *
 * A body is exactly as long as its structure. An operation that stands here and isn't there yet is
 * answered with VDPDK_ANSWER_NOT_SUPPORTED; a number that doesn't stand here with
 * VDPDK_ANSWER_UNKNOWN. docs/device.md, "Requests".
 */

#ifndef VDPDK_REQUEST_H
#define VDPDK_REQUEST_H

#include <stdint.h>

#include "vdpdk_control.h"
#include "vdpdk_layout.h"

/* --- Operations --- */

#define VDPDK_OP_INFO_GET 0x0001 /* -> struct vdpdk_info */

#define VDPDK_OP_QUEUE_START 0x0101 /* struct vdpdk_queue_start */
#define VDPDK_OP_QUEUE_STOP  0x0102 /* struct vdpdk_queue_stop */

#define VDPDK_OP_MAC_SET     0x0201 /* struct vdpdk_mac */
#define VDPDK_OP_MAC_ADD     0x0202
#define VDPDK_OP_MAC_DEL     0x0203
#define VDPDK_OP_MC_LIST     0x0204
#define VDPDK_OP_PROMISC     0x0205
#define VDPDK_OP_ALLMULTI    0x0206
#define VDPDK_OP_MTU_SET     0x0207 /* struct vdpdk_mtu */
#define VDPDK_OP_VLAN_FILTER 0x0208
#define VDPDK_OP_LINK_GET    0x0209 /* -> struct vdpdk_link */
#define VDPDK_OP_STATS_GET   0x020a /* struct vdpdk_stats_get -> struct vdpdk_stats */
#define VDPDK_OP_STATS_RESET 0x020b /* no body */

#define VDPDK_OP_RSS_SET 0x0301
#define VDPDK_OP_RSS_GET 0x0302

#define VDPDK_OP_FLOW_VALIDATE 0x0401
#define VDPDK_OP_FLOW_CREATE   0x0402
#define VDPDK_OP_FLOW_DESTROY  0x0403
#define VDPDK_OP_FLOW_FLUSH    0x0404
#define VDPDK_OP_FLOW_QUERY    0x0405
#define VDPDK_OP_FLOW_ISOLATE  0x0406

/* --- Status of an answer --- */

#define VDPDK_ANSWER_OK            0
#define VDPDK_ANSWER_UNKNOWN       1 /* no such operation */
#define VDPDK_ANSWER_NOT_SUPPORTED 2 /* known, not offered by this device */
#define VDPDK_ANSWER_INVALID       3 /* length, index, flag or value out of range */
#define VDPDK_ANSWER_STATE         4 /* not in this state: already started, or not started */
#define VDPDK_ANSWER_BUSY          5 /* hardware keeps buffers: reset the device to go on */
#define VDPDK_ANSWER_ADDRESS       6 /* not, or not wholly, in mapped memory */
#define VDPDK_ANSWER_NO_MEMORY     7 /* the host is short of memory */
#define VDPDK_ANSWER_NO_SPACE      8 /* a table or quota is full */
#define VDPDK_ANSWER_NOT_FOUND     9
#define VDPDK_ANSWER_EXISTS        10
#define VDPDK_ANSWER_DENIED        11 /* against the operator's policy */
#define VDPDK_ANSWER_IO            12 /* the hardware below failed */

/* --- INFO_GET --- */

/** What the device grants; fixed between two resets, but for mtu and mac. */
struct vdpdk_info {
	uint16_t n_queue_pairs;
	uint16_t mtu_min, mtu_max, mtu; /* bytes of layer 3; mtu: in force now */
	uint32_t rx_frame_max;          /* bytes without FCS, to the guest */
	uint32_t tx_frame_max;          /* from the guest */
	uint32_t tso_frame_max;         /* 0: no TSO */
	uint8_t mac[6];                 /* in force now */
	uint8_t reserved0[6];
	uint64_t rx_offloads, tx_offloads; /* none defined yet */
	uint64_t rss_types;                /* none defined yet */
	uint64_t flow_abilities;           /* none defined yet */
	uint8_t reserved1[64];
};

/* --- QUEUE_START, QUEUE_STOP --- */

#define VDPDK_DIRECTION_RX 0 /* to the guest */
#define VDPDK_DIRECTION_TX 1 /* from the guest */

/** Rx: a frame may take several buffers. Needs VDPDK_FEATURE_RX_SCATTER. */
#define VDPDK_QUEUE_SCATTER UINT32_C(0x0001)

/** The driver has zeroed header and slots before; both sides' counters start at 0. */
struct vdpdk_queue_start {
	uint16_t direction;
	uint16_t index;
	uint32_t flags;        /* VDPDK_QUEUE_* */
	uint64_t ring_address; /* of struct vdpdk_ring_header, aligned to VDPDK_RING_ALIGN */
	uint32_t n_slots;      /* 2^k, VDPDK_RING_SLOTS_MIN to the device's largest */
	uint32_t reserved;
};

struct vdpdk_queue_stop {
	uint16_t direction;
	uint16_t index;
	uint32_t reserved;
};

/* --- Port --- */

struct vdpdk_mac {
	uint8_t address[6]; /* unicast, not zero */
	uint8_t reserved[2];
};

struct vdpdk_mtu {
	uint32_t mtu; /* mtu_min to mtu_max */
	uint32_t reserved;
};

/** The same word as in page 0 of the control area. */
struct vdpdk_link {
	uint64_t link;
};

#define VDPDK_STATS_QUEUES 8

struct vdpdk_stats_get {
	uint32_t first_queue; /* the answer tells of this one and those after it */
	uint32_t reserved;
};

/**
 * Since the last reset of device or statistics. Rx and Tx are the guest's. A host that never drops
 * for a reason leaves its counter 0: frames that find no buffer, say, may stay where they are.
 */
struct vdpdk_queue_stats {
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_no_buffer; /* dropped: fewer buffers posted than the frame needed */
	uint64_t rx_too_long;  /* dropped: longer than the buffer, or than the MTU allows */
	uint64_t rx_errors;    /* dropped: malformed when they reached the device */
	uint64_t tx_frames, tx_bytes;
	uint64_t tx_too_long; /* dropped: longer than what receives them can take */
	uint64_t tx_denied;   /* dropped: against the operator's policy */
	uint64_t tx_errors;   /* dropped: nobody could take them */
	uint64_t reserved[2];
};

struct vdpdk_stats {
	uint32_t n_queues; /* entries that count, from first_queue on */
	uint32_t reserved;
	struct vdpdk_queue_stats queue[VDPDK_STATS_QUEUES];
};

/* --- Layout --- */

VDPDK_ASSERT_SIZE(vdpdk_info, 128);
VDPDK_ASSERT_OFFSET(vdpdk_info, n_queue_pairs, 0);
VDPDK_ASSERT_OFFSET(vdpdk_info, mtu_min, 2);
VDPDK_ASSERT_OFFSET(vdpdk_info, mtu_max, 4);
VDPDK_ASSERT_OFFSET(vdpdk_info, mtu, 6);
VDPDK_ASSERT_OFFSET(vdpdk_info, rx_frame_max, 8);
VDPDK_ASSERT_OFFSET(vdpdk_info, tx_frame_max, 12);
VDPDK_ASSERT_OFFSET(vdpdk_info, tso_frame_max, 16);
VDPDK_ASSERT_OFFSET(vdpdk_info, mac, 20);
VDPDK_ASSERT_OFFSET(vdpdk_info, reserved0, 26);
VDPDK_ASSERT_OFFSET(vdpdk_info, rx_offloads, 32);
VDPDK_ASSERT_OFFSET(vdpdk_info, tx_offloads, 40);
VDPDK_ASSERT_OFFSET(vdpdk_info, rss_types, 48);
VDPDK_ASSERT_OFFSET(vdpdk_info, flow_abilities, 56);
VDPDK_ASSERT_OFFSET(vdpdk_info, reserved1, 64);

VDPDK_ASSERT_SIZE(vdpdk_queue_start, 24);
VDPDK_ASSERT_OFFSET(vdpdk_queue_start, direction, 0);
VDPDK_ASSERT_OFFSET(vdpdk_queue_start, index, 2);
VDPDK_ASSERT_OFFSET(vdpdk_queue_start, flags, 4);
VDPDK_ASSERT_OFFSET(vdpdk_queue_start, ring_address, 8);
VDPDK_ASSERT_OFFSET(vdpdk_queue_start, n_slots, 16);
VDPDK_ASSERT_OFFSET(vdpdk_queue_start, reserved, 20);

VDPDK_ASSERT_SIZE(vdpdk_queue_stop, 8);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stop, direction, 0);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stop, index, 2);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stop, reserved, 4);

VDPDK_ASSERT_SIZE(vdpdk_mac, 8);
VDPDK_ASSERT_OFFSET(vdpdk_mac, address, 0);
VDPDK_ASSERT_OFFSET(vdpdk_mac, reserved, 6);

VDPDK_ASSERT_SIZE(vdpdk_mtu, 8);
VDPDK_ASSERT_OFFSET(vdpdk_mtu, mtu, 0);
VDPDK_ASSERT_OFFSET(vdpdk_mtu, reserved, 4);

VDPDK_ASSERT_SIZE(vdpdk_link, 8);
VDPDK_ASSERT_OFFSET(vdpdk_link, link, 0);

VDPDK_ASSERT_SIZE(vdpdk_stats_get, 8);
VDPDK_ASSERT_OFFSET(vdpdk_stats_get, first_queue, 0);
VDPDK_ASSERT_OFFSET(vdpdk_stats_get, reserved, 4);

VDPDK_ASSERT_SIZE(vdpdk_queue_stats, 96);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, rx_frames, 0);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, rx_bytes, 8);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, rx_no_buffer, 16);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, rx_too_long, 24);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, rx_errors, 32);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, tx_frames, 40);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, tx_bytes, 48);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, tx_too_long, 56);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, tx_denied, 64);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, tx_errors, 72);
VDPDK_ASSERT_OFFSET(vdpdk_queue_stats, reserved, 80);

VDPDK_ASSERT_SIZE(vdpdk_stats, 776);
VDPDK_ASSERT_OFFSET(vdpdk_stats, n_queues, 0);
VDPDK_ASSERT_OFFSET(vdpdk_stats, reserved, 4);
VDPDK_ASSERT_OFFSET(vdpdk_stats, queue, 8);

static_assert(sizeof(struct vdpdk_stats) <= VDPDK_REQUEST_BODY_BYTES, "fits into a body");

#endif
