/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "config_space.h"

#include <string.h>

#include "abi/vdpdk_device.h"

#define COMMAND            0x04
#define COMMAND_MEMORY     0x0002
#define COMMAND_MASTER     0x0004
#define COMMAND_WRITABLE   0x0547 /* I/O, memory, master, parity, SERR, INTx disable */
#define STATUS_CAPABILITY  0x0010
#define CAPABILITY_EXPRESS 0x40
#define CAPABILITY_MSIX    0x80
#define DEVICE_CONTROL     (CAPABILITY_EXPRESS + 0x08)
#define DEVICE_CONTROL_FLR 0x8000

/** A field of up to four bytes. */
struct field {
	uint8_t offset, size;
	uint32_t value, writable;
};

static void
set_field(struct nmx_vdev_config_space *space, const struct field *field)
{
	for (unsigned int i = 0; i < field->size; i++) {
		space->value[field->offset + i] = (uint8_t)(field->value >> 8 * i);
		space->writable[field->offset + i] = (uint8_t)(field->writable >> 8 * i);
	}
}

static uint16_t
get_word(const struct nmx_vdev_config_space *space, unsigned int offset)
{
	return (uint16_t)(space->value[offset] | space->value[offset + 1] << 8);
}

void
nmx_vdev_init_config_space(struct nmx_vdev_config_space *space, uint16_t vendor_id,
	uint16_t device_id, uint16_t n_vectors)
{
	const struct field fields[] = {
		{ 0x00, 2, vendor_id, 0 },
		{ 0x02, 2, device_id, 0 },
		{ COMMAND, 2, 0, COMMAND_WRITABLE },
		{ 0x06, 2, STATUS_CAPABILITY, 0 },
		{ 0x08, 4, VDPDK_PCI_CLASS << 8 | VDPDK_ABI_MAJOR, 0 },
		{ 0x0c, 1, 0, 0xff }, /* cache line size */
		{ 0x10 + 4 * VDPDK_BAR_SIGNAL, 4, 0, ~(VDPDK_BAR_SIGNAL_BYTES - 1u) },
		{ 0x2c, 2, vendor_id, 0 },
		{ 0x2e, 2, device_id, 0 },
		{ 0x34, 1, CAPABILITY_EXPRESS, 0 },
		{ 0x3c, 1, 0, 0xff }, /* interrupt line */

		{ CAPABILITY_EXPRESS, 2, 0x10, 0 },
		{ CAPABILITY_EXPRESS + 0x02, 2, 0x0002, 0 },     /* version 2, endpoint */
		{ CAPABILITY_EXPRESS + 0x04, 4, 0x10008000, 0 }, /* FLR, role-based errors */
		{ DEVICE_CONTROL, 2, 0, 0x7fff },
		{ CAPABILITY_EXPRESS + 0x0c, 4, 0x00000011, 0 }, /* 2.5 GT/s, one lane */
		{ CAPABILITY_EXPRESS + 0x10, 2, 0, 0x0fff },
		{ CAPABILITY_EXPRESS + 0x12, 2, 0x0011, 0 },
		{ CAPABILITY_EXPRESS + 0x28, 2, 0, 0xffff },
	};
	const struct field msix[] = {
		{ CAPABILITY_EXPRESS + 0x01, 1, CAPABILITY_MSIX, 0 }, /* the next one */
		{ 0x10 + 4 * VDPDK_BAR_MSIX, 4, 0, ~(VDPDK_BAR_MSIX_BYTES - 1u) },
		{ CAPABILITY_MSIX, 2, 0x11, 0 },
		{ CAPABILITY_MSIX + 0x02, 2, n_vectors - 1u, 0xc000 },
		{ CAPABILITY_MSIX + 0x04, 4, VDPDK_MSIX_TABLE_OFFSET | VDPDK_BAR_MSIX, 0 },
		{ CAPABILITY_MSIX + 0x08, 4, VDPDK_MSIX_PBA_OFFSET | VDPDK_BAR_MSIX, 0 },
	};

	memset(space, 0, sizeof(*space));
	for (unsigned int i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		set_field(space, &fields[i]);
	for (unsigned int i = 0; n_vectors > 0 && i < sizeof(msix) / sizeof(msix[0]); i++)
		set_field(space, &msix[i]);
}

void
nmx_vdev_read_config(
	const struct nmx_vdev_config_space *space, uint64_t offset, uint8_t *data, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		data[i] = offset + i < sizeof(space->value) ? space->value[offset + i] : 0;
}

struct nmx_vdev_config_events
nmx_vdev_write_config(
	struct nmx_vdev_config_space *space, uint64_t offset, const uint8_t *data, uint32_t count)
{
	const uint64_t reset_byte = DEVICE_CONTROL + 1;
	struct nmx_vdev_config_events events = { false, false };
	bool was_master = nmx_vdev_is_bus_master(space);

	for (uint32_t i = 0; i < count && offset + i < sizeof(space->value); i++) {
		uint8_t mask = space->writable[offset + i], *value = &space->value[offset + i];

		*value = (uint8_t)((*value & ~mask) | (data[i] & mask));
		if (offset + i == reset_byte && (data[i] & DEVICE_CONTROL_FLR >> 8) != 0)
			events.function_reset = true;
	}
	events.bus_master_cleared = was_master && !nmx_vdev_is_bus_master(space);
	return events;
}

bool
nmx_vdev_is_bus_master(const struct nmx_vdev_config_space *space)
{
	return (get_word(space, COMMAND) & COMMAND_MASTER) != 0;
}
