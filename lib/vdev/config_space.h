/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * PCI configuration space: values, and for each bit whether the guest may write it.
 *
 * Capabilities: PCI Express (endpoint, function-level reset) and MSI-X, if there are vectors. No
 * MSI, no interrupt pin, no power management. Sizing a BAR works by its writable bits. Source:
 * PCI 3.0, sections 6.1, 6.7, 6.8.2; PCI Express 3.0, section 7.8.
 */

#ifndef NMX_VDEV_CONFIG_SPACE_H
#define NMX_VDEV_CONFIG_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#define NMX_VDEV_CONFIG_BYTES 4096 /* of the region; all beyond the first 256 reads 0 */

struct nmx_vdev_config_space {
	uint8_t value[256];
	uint8_t writable[256]; /* bit mask a byte */
};

/** What a write asked for beside storing bits. */
struct nmx_vdev_config_events {
	bool bus_master_cleared;
	bool function_reset;
};

/** The values after power-on. @param n_vectors  0: no MSI-X, and no BAR for it */
void nmx_vdev_init_config_space(struct nmx_vdev_config_space *space, uint16_t vendor_id,
	uint16_t device_id, uint16_t n_vectors);

/** Any range below NMX_VDEV_CONFIG_BYTES. */
void nmx_vdev_read_config(
	const struct nmx_vdev_config_space *space, uint64_t offset, uint8_t *data, uint32_t count);

/** Store what is writable; the rest is ignored, as hardware does. */
struct nmx_vdev_config_events nmx_vdev_write_config(
	struct nmx_vdev_config_space *space, uint64_t offset, const uint8_t *data, uint32_t count);

/** COMMAND's bit: the device may reach memory. */
bool nmx_vdev_is_bus_master(const struct nmx_vdev_config_space *space);

#endif
