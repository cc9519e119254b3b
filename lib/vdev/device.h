/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The device's inner state; private to this folder. */

#ifndef NMX_VDEV_DEVICE_H
#define NMX_VDEV_DEVICE_H

#include "config_space.h"
#include "vdev.h"

/** What the device knows of a request slot, whatever the guest's memory says. */
struct nmx_vdev_slot {
	uint32_t done_seq;
	bool busy;         /* executing; a ticket is out */
	bool wants_signal; /* of the request under way */
};

struct nmx_vdev {
	struct nmx_vdev_grant grant;
	const struct nmx_vdev_backend *backend;
	void *context;
	struct nmx_mem *mem;
	struct nmx_vdev_config_space config;
	struct nmx_vdev_counters counters;

	uint32_t status; /* VDPDK_STATUS_* */
	uint64_t driver_features;
	uint64_t area_register; /* CONTROL_AREA as written */
	uint64_t area;          /* latched with RUNNING */
	uint32_t generation;    /* of tickets */
	struct nmx_vdev_slot slots[VDPDK_CONTROL_SLOTS];

	uint8_t mac[6]; /* in force */
	uint16_t mtu;
	uint32_t link_generation, link_speed_mbps;
	bool link_up;
	uint32_t n_queue_errors;
};

/* vdev.c */

/** The driver is in breach: FAILED until it resets. */
void nmx_vdev_fail(struct nmx_vdev *vdev);
/** The driver wrote STATUS. */
void nmx_vdev_write_status(struct nmx_vdev *vdev, uint32_t value);

/* registers.c: BAR0. */
uint32_t nmx_vdev_read_register(const struct nmx_vdev *vdev, uint64_t offset);
void nmx_vdev_write_register(struct nmx_vdev *vdev, uint64_t offset, uint32_t value);

/* control_area.c */

/** True if a control area can be at the address. */
bool nmx_vdev_check_area(const struct nmx_vdev *vdev, uint64_t address);
/** Store the link word in page 0. */
void nmx_vdev_show_link(struct nmx_vdev *vdev);
/** Store the count of queue errors in page 0. */
void nmx_vdev_show_queue_errors(struct nmx_vdev *vdev);
/** The word that page 0 and LINK_GET have. */
uint64_t nmx_vdev_get_link_word(const struct nmx_vdev *vdev);
/** The driver rang the control doorbell. */
void nmx_vdev_take_request(struct nmx_vdev *vdev, uint32_t slot);

/* requests.c */

/** A request's private copy; its body becomes the answer's. */
struct nmx_vdev_request {
	uint32_t op;
	uint32_t length; /* in: of the request; out: of the answer */
	struct nmx_vdev_ticket ticket;
	_Alignas(8) uint8_t body[VDPDK_REQUEST_BODY_BYTES];
};

/** Check and execute: VDPDK_ANSWER_* or NMX_VDEV_LATER. */
uint32_t nmx_vdev_execute(struct nmx_vdev *vdev, struct nmx_vdev_request *request);

#endif
