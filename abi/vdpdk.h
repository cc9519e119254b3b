/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The vDPDK device: the whole contract between guest and host.
 *
 * Include this header to write a driver or a device, for any operating system, in C11 or C++11. It
 * needs nothing but the standard headers below. The prose is docs/device.md; each header here names
 * the section that it encodes.
 *
 * Conventions of all headers of this folder:
 *  - Every number is little endian. Every structure is laid out without compiler padding, and that
 * is asserted.
 *  - "Driver" is the guest's side, "device" the host's. Each field says who writes it; the other
 * side only reads.
 *  - A constant that ends in _BIT is a bit number; without it, a mask or a value.
 *  - Reserved bits and bytes are written as zero. A device refuses a request or descriptor with a
 * reserved bit set.
 */

#ifndef VDPDK_H
#define VDPDK_H

#include "vdpdk_control.h"
#include "vdpdk_device.h"
#include "vdpdk_request.h"
#include "vdpdk_ring.h"

#endif
