/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** BAR0. docs/device.md, section "Registers". */

#include "device.h"

#define DOORBELLS_END VDPDK_REG_TX_DOORBELL(VDPDK_QUEUE_PAIRS_MAX)

static uint64_t
set_low(uint64_t word, uint32_t value)
{
	return (word & ~UINT64_C(0xffffffff)) | value;
}

static uint64_t
set_high(uint64_t word, uint32_t value)
{
	return (word & UINT64_C(0xffffffff)) | (uint64_t)value << 32;
}

uint32_t
nmx_vdev_read_register(const struct nmx_vdev *vdev, uint64_t offset)
{
	const struct nmx_vdev_grant *grant = &vdev->grant;

	switch (offset) {
	case VDPDK_REG_MAGIC:
		return VDPDK_MAGIC;
	case VDPDK_REG_ABI:
		return VDPDK_ABI_MAJOR << 16 | VDPDK_ABI_MINOR;
	case VDPDK_REG_STATUS:
		return vdev->status;
	case VDPDK_REG_FEATURES_LOW:
		return (uint32_t)grant->features;
	case VDPDK_REG_FEATURES_HIGH:
		return (uint32_t)(grant->features >> 32);
	case VDPDK_REG_QUEUE_PAIRS:
		return grant->n_queue_pairs;
	case VDPDK_REG_RING_SIZES:
		return VDPDK_RING_SIZES(grant->ring_max_log2, grant->ring_recommended_log2);
	default:
		return 0;
	}
}

/** Features are chosen before FEATURES_OK: what was judged stays as it was judged. */
static void
write_features(struct nmx_vdev *vdev, uint64_t features)
{
	if (vdev->status == 0)
		vdev->driver_features = features;
	else
		vdev->counters.ignored_writes++;
}

static void
write_tx_doorbell(struct nmx_vdev *vdev, uint64_t index)
{
	if (!nmx_vdev_is_running(vdev) || index >= vdev->grant.n_queue_pairs)
		vdev->counters.ignored_doorbells++;
	else
		vdev->backend->ring_doorbell(vdev->context, (uint16_t)index);
}

void
nmx_vdev_write_register(struct nmx_vdev *vdev, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VDPDK_REG_STATUS:
		nmx_vdev_write_status(vdev, value);
		break;
	case VDPDK_REG_DRIVER_FEATURES_LOW:
		write_features(vdev, set_low(vdev->driver_features, value));
		break;
	case VDPDK_REG_DRIVER_FEATURES_HIGH:
		write_features(vdev, set_high(vdev->driver_features, value));
		break;
	case VDPDK_REG_CONTROL_AREA_LOW:
		vdev->area_register = set_low(vdev->area_register, value);
		break;
	case VDPDK_REG_CONTROL_AREA_HIGH:
		vdev->area_register = set_high(vdev->area_register, value);
		break;
	case VDPDK_REG_CONTROL_DOORBELL:
		nmx_vdev_take_request(vdev, value);
		break;
	default:
		if (offset >= VDPDK_REG_TX_DOORBELL(0) && offset < DOORBELLS_END)
			write_tx_doorbell(vdev, (offset - VDPDK_REG_TX_DOORBELL(0)) / 4);
		else
			vdev->counters.ignored_writes++;
	}
}
