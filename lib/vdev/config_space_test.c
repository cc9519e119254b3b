/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** What a device shows whose driver is to poll; one with vectors is in vdev_test.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/vdev/vdev.h"

static const struct nmx_vdev_grant polled = {
	.vendor_id = VDPDK_PCI_VENDOR_ID,
	.device_id = VDPDK_PCI_DEVICE_ID,
	.n_queue_pairs = 10,
	.without_vectors = true,
};

static void
a_device_without_vectors_has_no_msix(void **unused)
{
	const struct nmx_vfu_access express = { NMX_VFU_REGION_CONFIG, 4, 0x40 };
	const struct nmx_vfu_access bar = { NMX_VFU_REGION_CONFIG, 4, 0x10 + 4 * VDPDK_BAR_MSIX };
	const uint32_t ones = UINT32_MAX;
	struct nmx_vfu_device device;
	struct nmx_vdev *vdev;
	uint32_t value;

	(void)unused;
	assert_int_equal(nmx_vdev_create(&polled, NULL, NULL, &vdev), 0);
	nmx_vdev_describe(vdev, &device);
	assert_int_equal(device.n_vectors[NMX_VFU_IRQ_MSIX], 0);
	assert_int_equal(device.region[VDPDK_BAR_MSIX].size, 0);
	assert_int_equal(nmx_vdev_read(vdev, &express, (uint8_t *)&value), 0);
	assert_int_equal(value & 0xffff, 0x0010); /* the last capability */
	assert_int_equal(nmx_vdev_write(vdev, &bar, (const uint8_t *)&ones), 0);
	assert_int_equal(nmx_vdev_read(vdev, &bar, (uint8_t *)&value), 0);
	assert_int_equal(value, 0);
	nmx_vdev_destroy(vdev);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_without_vectors_has_no_msix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
