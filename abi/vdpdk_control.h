/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The control area: link state and request slots, in guest memory.
 *
 * The driver zeroes the area, writes its address to CONTROL_AREA and sets RUNNING; the device's
 * numbers start at 0. docs/device.md, section "Control area".
 */

#ifndef VDPDK_CONTROL_H
#define VDPDK_CONTROL_H

#include <stdint.h>

#include "vdpdk_layout.h"

#define VDPDK_CONTROL_ALIGN      4096
#define VDPDK_CONTROL_SLOTS      16
#define VDPDK_REQUEST_BODY_BYTES 896
/** How long the driver waits for an answer before it calls the port broken. */
#define VDPDK_REQUEST_TIMEOUT_MS 5000

/** Page 0, written by the device only. */
struct vdpdk_control_page {
	uint64_t link; /* one aligned access: VDPDK_LINK_* */
	uint32_t n_queue_errors;
	uint8_t reserved[4084];
};

/** link: counts changes, so that a driver sees a link that went down and came up again. */
#define VDPDK_LINK_GENERATION(word) ((uint32_t)(word))
#define VDPDK_LINK_SPEED_MBPS(word) ((uint32_t)((word) >> 32) & UINT32_C(0x7fffffff))
#define VDPDK_LINK_IS_UP(word)      ((uint32_t)((word) >> 63))
#define VDPDK_LINK(generation, speed_mbps, up)                                                    \
	((uint64_t)(uint32_t)(generation) | (uint64_t)((speed_mbps)&UINT32_C(0x7fffffff)) << 32 | \
		(uint64_t)((up) ? 1 : 0) << 63)

/** A slot's first line, written by the driver. */
struct vdpdk_slot_driver {
	uint32_t op;     /* VDPDK_OP_* */
	uint32_t length; /* of the body, bytes */
	uint32_t flags;  /* VDPDK_REQUEST_* */
	uint32_t submit_seq;
	uint8_t reserved[48];
};

/** A slot's second line, written by the device. */
struct vdpdk_slot_device {
	uint32_t status; /* VDPDK_ANSWER_* */
	uint32_t length; /* of the answer in the body, bytes */
	uint32_t done_seq;
	uint8_t reserved[52];
};

/**
 * A request slot. It is free when submit_seq equals done_seq. To submit, the driver fills line and
 * body, stores submit_seq + 1 with release, and writes the slot's number to CONTROL_DOORBELL. The
 * device copies line and body once, executes, writes answer and status, and stores done_seq =
 * submit_seq with release.
 */
struct vdpdk_slot {
	struct vdpdk_slot_driver driver;
	struct vdpdk_slot_device device;
	uint8_t body[VDPDK_REQUEST_BODY_BYTES]; /* the request's until submitted, the answer's after
						 */
};

/** In one region of guest memory, aligned to VDPDK_CONTROL_ALIGN. */
struct vdpdk_control_area {
	struct vdpdk_control_page page;
	struct vdpdk_slot slot[VDPDK_CONTROL_SLOTS];
};

/** The device signals vector 0 when it has answered. */
#define VDPDK_REQUEST_SIGNAL UINT32_C(0x0001)

/* --- Layout --- */

VDPDK_ASSERT_SIZE(vdpdk_control_page, 4096);
VDPDK_ASSERT_OFFSET(vdpdk_control_page, link, 0);
VDPDK_ASSERT_OFFSET(vdpdk_control_page, n_queue_errors, 8);
VDPDK_ASSERT_OFFSET(vdpdk_control_page, reserved, 12);

VDPDK_ASSERT_SIZE(vdpdk_slot_driver, 64);
VDPDK_ASSERT_OFFSET(vdpdk_slot_driver, op, 0);
VDPDK_ASSERT_OFFSET(vdpdk_slot_driver, length, 4);
VDPDK_ASSERT_OFFSET(vdpdk_slot_driver, flags, 8);
VDPDK_ASSERT_OFFSET(vdpdk_slot_driver, submit_seq, 12);
VDPDK_ASSERT_OFFSET(vdpdk_slot_driver, reserved, 16);

VDPDK_ASSERT_SIZE(vdpdk_slot_device, 64);
VDPDK_ASSERT_OFFSET(vdpdk_slot_device, status, 0);
VDPDK_ASSERT_OFFSET(vdpdk_slot_device, length, 4);
VDPDK_ASSERT_OFFSET(vdpdk_slot_device, done_seq, 8);
VDPDK_ASSERT_OFFSET(vdpdk_slot_device, reserved, 12);

VDPDK_ASSERT_SIZE(vdpdk_slot, 1024);
VDPDK_ASSERT_OFFSET(vdpdk_slot, driver, 0);
VDPDK_ASSERT_OFFSET(vdpdk_slot, device, 64);
VDPDK_ASSERT_OFFSET(vdpdk_slot, body, 128);

VDPDK_ASSERT_SIZE(vdpdk_control_area, 20480);
VDPDK_ASSERT_OFFSET(vdpdk_control_area, page, 0);
VDPDK_ASSERT_OFFSET(vdpdk_control_area, slot, 4096);

#endif
