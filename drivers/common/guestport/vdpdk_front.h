/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The vDPDK front end: what its two files know of each other. Control. */

#ifndef NMX_GUESTPORT_VDPDK_FRONT_H
#define NMX_GUESTPORT_VDPDK_FRONT_H

#include "port.h"

/* vdpdk_device.c */

/** What the device asks of the port. */
extern const struct nmx_vdev_backend nmx_guestport_backend;

/* As in struct nmx_guestport_front. */
void nmx_guestport_end_vdpdk_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index,
	struct guest_ring *ring, bool is_mapped);
void nmx_guestport_report_vdpdk_fault(
	struct nmx_guestport *port, struct guest_ring *ring, bool is_mapped);

#endif
