/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "vdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

/** STATUS bits that the driver writes. */
#define DRIVER_BITS (VDPDK_STATUS_FEATURES_OK | VDPDK_STATUS_RUNNING)

static uint16_t
count_vectors(const struct nmx_vdev *vdev)
{
	return vdev->grant.without_vectors ? 0
					   : (uint16_t)VDPDK_VECTOR_RX(vdev->grant.n_queue_pairs);
}

/** What every reset returns to, but for configuration space. */
static void
forget_driver(struct nmx_vdev *vdev)
{
	vdev->driver_features = 0;
	vdev->area_register = 0;
	vdev->area = 0;
	vdev->generation++;
	memset(vdev->slots, 0, sizeof(vdev->slots));
	memcpy(vdev->mac, vdev->grant.mac, sizeof(vdev->mac));
	vdev->mtu = vdev->grant.mtu;
	vdev->n_queue_errors = 0;
}

static void
init_config(struct nmx_vdev *vdev)
{
	nmx_vdev_init_config_space(
		&vdev->config, vdev->grant.vendor_id, vdev->grant.device_id, count_vectors(vdev));
}

int
nmx_vdev_create(const struct nmx_vdev_grant *grant, const struct nmx_vdev_backend *backend,
	void *context, struct nmx_vdev **ret_vdev)
{
	struct nmx_vdev *vdev = calloc(1, sizeof(*vdev));

	if (vdev == NULL)
		return -ENOMEM;
	vdev->grant = *grant;
	vdev->backend = backend;
	vdev->context = context;
	init_config(vdev);
	forget_driver(vdev);
	*ret_vdev = vdev;
	return 0;
}

void
nmx_vdev_destroy(struct nmx_vdev *vdev)
{
	free(vdev);
}

void
nmx_vdev_attach(struct nmx_vdev *vdev, struct nmx_mem *mem)
{
	vdev->mem = mem;
	vdev->status &= ~VDPDK_STATUS_REMOVED;
}

void
nmx_vdev_describe(const struct nmx_vdev *vdev, struct nmx_vfu_device *ret_device)
{
	const uint32_t flags = NMX_VFU_REGION_READABLE | NMX_VFU_REGION_WRITABLE;

	memset(ret_device, 0, sizeof(*ret_device));
	ret_device->region[VDPDK_BAR_SIGNAL].flags = flags;
	ret_device->region[VDPDK_BAR_SIGNAL].size = VDPDK_BAR_SIGNAL_BYTES;
	if (!vdev->grant.without_vectors) {
		ret_device->region[VDPDK_BAR_MSIX].flags = flags;
		ret_device->region[VDPDK_BAR_MSIX].size = VDPDK_BAR_MSIX_BYTES;
	}
	ret_device->region[NMX_VFU_REGION_CONFIG].flags = flags;
	ret_device->region[NMX_VFU_REGION_CONFIG].size = NMX_VDEV_CONFIG_BYTES;
	ret_device->n_vectors[NMX_VFU_IRQ_MSIX] = count_vectors(vdev);
	ret_device->n_vectors[NMX_VFU_IRQ_ERR] = 1;
	ret_device->n_vectors[NMX_VFU_IRQ_REQ] = 1;
	ret_device->dma_maps_max = vdev->grant.dma_maps_max;
}

/* --- STATUS --- */

bool
nmx_vdev_is_running(const struct nmx_vdev *vdev)
{
	const uint32_t mask = VDPDK_STATUS_RUNNING | VDPDK_STATUS_FAILED | VDPDK_STATUS_RESETTING;

	return (vdev->status & mask) == VDPDK_STATUS_RUNNING;
}

bool
nmx_vdev_is_held(const struct nmx_vdev *vdev)
{
	return (vdev->status & (DRIVER_BITS | VDPDK_STATUS_FAILED)) != 0 ||
	       nmx_vdev_is_bus_master(&vdev->config);
}

bool
nmx_vdev_is_resetting(const struct nmx_vdev *vdev)
{
	return (vdev->status & VDPDK_STATUS_RESETTING) != 0;
}

uint64_t
nmx_vdev_get_features(const struct nmx_vdev *vdev)
{
	return nmx_vdev_is_running(vdev) ? vdev->driver_features : 0;
}

void
nmx_vdev_fail(struct nmx_vdev *vdev)
{
	vdev->status |= VDPDK_STATUS_FAILED;
	vdev->counters.failures++;
	vdev->backend->halt(vdev->context);
	vdev->backend->signal(vdev->context, VDPDK_VECTOR_CONTROL);
}

static void
begin_reset(struct nmx_vdev *vdev)
{
	/* Also what was written while an earlier reset was under way. */
	forget_driver(vdev);
	if (nmx_vdev_is_resetting(vdev))
		return;
	vdev->counters.resets++;
	vdev->status = (vdev->status & VDPDK_STATUS_REMOVED) | VDPDK_STATUS_RESETTING;
	if (vdev->backend->reset(vdev->context))
		nmx_vdev_finish_reset(vdev);
}

bool
nmx_vdev_reset(struct nmx_vdev *vdev)
{
	init_config(vdev);
	begin_reset(vdev);
	return !nmx_vdev_is_resetting(vdev);
}

void
nmx_vdev_finish_reset(struct nmx_vdev *vdev)
{
	vdev->status &= ~VDPDK_STATUS_RESETTING;
}

static void
begin_running(struct nmx_vdev *vdev)
{
	vdev->area = vdev->area_register;
	if (!nmx_vdev_is_bus_master(&vdev->config) || !nmx_vdev_check_area(vdev, vdev->area)) {
		nmx_vdev_fail(vdev);
		return;
	}
	vdev->status |= VDPDK_STATUS_RUNNING;
	vdev->backend->run(vdev->context);
	nmx_vdev_show_link(vdev);
}

void
nmx_vdev_write_status(struct nmx_vdev *vdev, uint32_t value)
{
	if (value == 0) {
		begin_reset(vdev);
		return;
	}
	if ((vdev->status & ~DRIVER_BITS) != 0 || value == vdev->status) {
		vdev->counters.ignored_writes += value != vdev->status;
		return;
	}
	if (vdev->status == 0 && value == VDPDK_STATUS_FEATURES_OK) {
		/* Refused: the bit reads back clear, and the driver may choose again. */
		if ((vdev->driver_features & ~vdev->grant.features) == 0)
			vdev->status = VDPDK_STATUS_FEATURES_OK;
	} else if (vdev->status == VDPDK_STATUS_FEATURES_OK && value == DRIVER_BITS) {
		begin_running(vdev);
	} else {
		nmx_vdev_fail(vdev);
	}
}

/* --- Regions --- */

static int
write_config(struct nmx_vdev *vdev, const struct nmx_vfu_access *access, const uint8_t *data)
{
	struct nmx_vdev_config_events events = nmx_vdev_write_config(
		&vdev->config, access->offset, data, access->count);

	if (events.function_reset)
		init_config(vdev);
	if (!events.function_reset && !events.bus_master_cleared)
		return 0;
	begin_reset(vdev);
	return nmx_vdev_is_resetting(vdev) ? NMX_VFU_LATER : 0;
}

static bool
is_register_access(const struct nmx_vfu_access *access)
{
	return access->count == 4 && nmx_base_is_aligned(access->offset, 4);
}

int
nmx_vdev_read(struct nmx_vdev *vdev, const struct nmx_vfu_access *access, uint8_t *data)
{
	uint32_t value;

	memset(data, 0, access->count);
	switch (access->region) {
	case VDPDK_BAR_SIGNAL:
		if (is_register_access(access)) {
			value = nmx_vdev_read_register(vdev, access->offset);
			memcpy(data, &value, sizeof(value));
		}
		return 0;
	case VDPDK_BAR_MSIX:
		return 0;
	case NMX_VFU_REGION_CONFIG:
		nmx_vdev_read_config(&vdev->config, access->offset, data, access->count);
		return 0;
	default:
		return -EINVAL;
	}
}

int
nmx_vdev_write(struct nmx_vdev *vdev, const struct nmx_vfu_access *access, const uint8_t *data)
{
	uint32_t value;

	switch (access->region) {
	case VDPDK_BAR_SIGNAL:
		if (!is_register_access(access)) {
			vdev->counters.ignored_writes++;
			return 0;
		}
		memcpy(&value, data, sizeof(value));
		nmx_vdev_write_register(vdev, access->offset, value);
		return 0;
	case VDPDK_BAR_MSIX: /* the VMM's own: it keeps the table, and never asks */
		vdev->counters.ignored_writes++;
		return 0;
	case NMX_VFU_REGION_CONFIG:
		return write_config(vdev, access, data);
	default:
		return -EINVAL;
	}
}

/* --- What the host tells the guest --- */

void
nmx_vdev_set_link(struct nmx_vdev *vdev, bool up, uint32_t speed_mbps)
{
	if (vdev->link_up == up && vdev->link_speed_mbps == speed_mbps)
		return;
	vdev->link_up = up;
	vdev->link_speed_mbps = speed_mbps;
	vdev->link_generation++;
	if (!nmx_vdev_is_running(vdev))
		return;
	nmx_vdev_show_link(vdev);
	vdev->backend->signal(vdev->context, VDPDK_VECTOR_CONTROL);
}

void
nmx_vdev_report_fault(struct nmx_vdev *vdev)
{
	if (!nmx_vdev_is_running(vdev))
		return;
	vdev->n_queue_errors++;
	nmx_vdev_show_queue_errors(vdev);
	vdev->backend->signal(vdev->context, VDPDK_VECTOR_CONTROL);
}

void
nmx_vdev_remove(struct nmx_vdev *vdev)
{
	vdev->status |= VDPDK_STATUS_REMOVED;
	nmx_vdev_set_link(vdev, false, vdev->link_speed_mbps);
	vdev->backend->signal(vdev->context, VDPDK_VECTOR_CONTROL);
}

const struct nmx_vdev_counters *
nmx_vdev_get_counters(const struct nmx_vdev *vdev)
{
	return &vdev->counters;
}
