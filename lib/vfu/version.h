/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The payload of VERSION: two numbers and the capabilities as JSON, both ways.
 *
 * Source: vfio-user, "VFIO_USER_VERSION".
 */

#ifndef NMX_VFU_VERSION_H
#define NMX_VFU_VERSION_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/** What one side, as a receiver, can take. */
struct nmx_vfu_capabilities {
	uint32_t msg_fds_max;    /* descriptors in one message */
	uint32_t data_bytes_max; /* of one region access */
	uint32_t dma_maps_max;
};

/**
 * Write a payload with our version number.
 *
 * @return its length; 0 if `size` is too small
 */
size_t nmx_vfu_format_version(
	const struct nmx_vfu_capabilities *capabilities, uint8_t *buffer, size_t size);

/**
 * Read a peer's payload.
 *
 * @param payload           hostile
 * @param ret_version       the numbers
 * @param ret_capabilities  with the protocol's defaults for what isn't said
 * @return 0; -EINVAL malformed. Unknown keys are ignored
 */
int nmx_vfu_parse_version(const uint8_t *payload, size_t size, struct nmx_vfu_version *ret_version,
	struct nmx_vfu_capabilities *ret_capabilities);

#endif
