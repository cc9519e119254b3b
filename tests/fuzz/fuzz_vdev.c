/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device without a NIC against a guest, a client and a backend that do anything in any order.
 *
 * Theory of operation
 *
 * The input is a grant and a sequence of steps: reads and writes of regions, memory that comes and
 * goes, what the host tells the guest, late answers, resets that last. vdev_rig.h says what is
 * checked. docs/device.md, sections "PCI function", "Registers", "Control area" and "Requests".
 */

#include "vdev_rig.h"

/* --- Regions --- */

/** True if what the register would do is defined now. */
static bool
is_defined_write(const struct vdev_rig *rig, uint64_t offset)
{
	bool keeps = offset == VDPDK_REG_DRIVER_FEATURES_LOW ||
		     offset == VDPDK_REG_DRIVER_FEATURES_HIGH ||
		     offset == VDPDK_REG_CONTROL_AREA_LOW || offset == VDPDK_REG_CONTROL_AREA_HIGH;

	return !keeps || !(rig->model.status & VDPDK_STATUS_RESETTING);
}

static void
set_half(uint64_t *word, bool high, uint32_t value)
{
	memcpy((uint8_t *)word + (high ? 4 : 0), &value, sizeof(value));
}

static void
expect_tx_doorbell(struct vdev_rig *rig, uint64_t offset)
{
	uint32_t queue = (uint32_t)(offset - VDPDK_REG_TX_DOORBELL(0)) / 4;

	if (vdev_model_runs(&rig->model) && queue < rig->grant.n_queue_pairs)
		rig->step.tx_doorbell = queue;
	else
		rig->model.counters.ignored_doorbells++;
}

/** Tell the model of an aligned write of four bytes. */
static void
expect_register(struct vdev_rig *rig, uint64_t offset, uint32_t value)
{
	struct vdev_model *model = &rig->model;

	switch (offset) {
	case VDPDK_REG_STATUS:
		vdev_model_writes_status(rig, value);
		break;
	case VDPDK_REG_DRIVER_FEATURES_LOW:
	case VDPDK_REG_DRIVER_FEATURES_HIGH:
		if (model->status == 0)
			set_half(&model->features, offset & 4, value);
		else
			model->counters.ignored_writes++;
		break;
	case VDPDK_REG_CONTROL_AREA_LOW:
	case VDPDK_REG_CONTROL_AREA_HIGH:
		set_half(&model->area_register, offset & 4, value);
		break;
	case VDPDK_REG_CONTROL_DOORBELL:
		vdev_model_rings(rig, value);
		break;
	default:
		if (offset >= VDPDK_REG_TX_DOORBELL(0) &&
			offset < VDPDK_REG_TX_DOORBELL(VDPDK_QUEUE_PAIRS_MAX))
			expect_tx_doorbell(rig, offset);
		else
			model->counters.ignored_writes++;
	}
}

static void
expect_write(struct vdev_rig *rig, const struct nmx_vfu_access *access, const uint8_t *data)
{
	uint32_t value;

	if (access->region == NMX_VFU_REGION_CONFIG) {
		vdev_model_writes_config(rig, access->offset, data, access->count);
	} else if (access->region == VDPDK_BAR_SIGNAL) {
		memcpy(&value, data, sizeof(value));
		if (access->count == 4 && access->offset % 4 == 0)
			expect_register(rig, access->offset, value);
		else
			rig->model.counters.ignored_writes++;
	} else if (access->region == VDPDK_BAR_MSIX) {
		rig->model.counters.ignored_writes++;
	}
}

static bool
is_region(uint32_t region)
{
	return region == VDPDK_BAR_SIGNAL || region == VDPDK_BAR_MSIX ||
	       region == NMX_VFU_REGION_CONFIG;
}

/** What a write that has been made is to be answered. */
static int
expect_answer(const struct vdev_rig *rig, const struct nmx_vfu_access *access)
{
	const struct vdev_step *step = &rig->step;

	if (!is_region(access->region))
		return -EINVAL;
	if (step->config_resets && !(step->has_reset && step->reset_is_done))
		return NMX_VFU_LATER;
	return 0;
}

static void
write_region(struct vdev_rig *rig, const struct nmx_vfu_access *access, const uint8_t *data)
{
	int ret;

	if (access->region == VDPDK_BAR_SIGNAL && !is_defined_write(rig, access->offset))
		return;
	vdev_begin_step(rig);
	expect_write(rig, access, data);
	ret = nmx_vdev_write(rig->vdev, access, data);
	FUZZ_CHECK(ret == expect_answer(rig, access));
	vdev_model_takes_request(rig);
	FUZZ_CHECK(rig->step.n_tx_doorbells == (rig->step.tx_doorbell != UINT32_MAX));
	vdev_end_step(rig);
}

static void
write_register(struct vdev_rig *rig, uint64_t offset, uint32_t value)
{
	const struct nmx_vfu_access access = { VDPDK_BAR_SIGNAL, 4, offset };

	write_region(rig, &access, (const uint8_t *)&value);
}

static void
draw_access(struct vdev_rig *rig, struct nmx_vfu_access *access)
{
	static const uint32_t regions[] = { VDPDK_BAR_SIGNAL, NMX_VFU_REGION_CONFIG,
		VDPDK_BAR_SIGNAL, NMX_VFU_REGION_CONFIG, VDPDK_BAR_MSIX, 1, 8, NMX_VFU_N_REGIONS };
	uint8_t draw = fuzz_take8(&rig->input);

	access->region = regions[draw & 7];
	access->count = draw & 8 ? 4 : 1 + (draw >> 4);
	access->offset = draw & 8 ? 4 * fuzz_take8(&rig->input) : fuzz_take16(&rig->input);
	access->offset %= 4096 - access->count + 1;
}

static void
write_anything(struct vdev_rig *rig)
{
	struct nmx_vfu_access access;
	uint8_t data[16];

	draw_access(rig, &access);
	fuzz_take(&rig->input, data, sizeof(data));
	write_region(rig, &access, data);
}

static uint32_t
get_register(const struct vdev_rig *rig, uint64_t offset)
{
	switch (offset) {
	case VDPDK_REG_MAGIC:
		return VDPDK_MAGIC;
	case VDPDK_REG_ABI:
		return VDPDK_ABI_MAJOR << 16 | VDPDK_ABI_MINOR;
	case VDPDK_REG_STATUS:
		return rig->model.status;
	case VDPDK_REG_FEATURES_LOW:
		return (uint32_t)rig->grant.features;
	case VDPDK_REG_QUEUE_PAIRS:
		return rig->grant.n_queue_pairs;
	case VDPDK_REG_RING_SIZES:
		return rig->grant.ring_max_log2 | rig->grant.ring_recommended_log2 << 8;
	default:
		return 0;
	}
}

static void
read_anything(struct vdev_rig *rig)
{
	struct nmx_vfu_access access;
	uint8_t data[16], expected[16] = { 0 };
	int ret;

	draw_access(rig, &access);
	vdev_begin_step(rig);
	ret = nmx_vdev_read(rig->vdev, &access, data);
	if (access.region == VDPDK_BAR_SIGNAL && access.count == 4 && access.offset % 4 == 0) {
		uint32_t value = get_register(rig, access.offset);

		memcpy(expected, &value, sizeof(value));
	}
	for (uint32_t i = 0; i < access.count && access.region == NMX_VFU_REGION_CONFIG; i++)
		if (access.offset + i < CONFIG_BYTES)
			expected[i] = rig->model.config[access.offset + i];
	FUZZ_CHECK(ret == (is_region(access.region) ? 0 : -EINVAL));
	FUZZ_CHECK(ret != 0 || memcmp(data, expected, access.count) == 0);
	vdev_end_step(rig);
}

/* --- The driver --- */

static void
write_status(struct vdev_rig *rig)
{
	static const uint32_t values[] = { STATUS_READY, STATUS_RUNNING, 0, VDPDK_STATUS_RUNNING,
		VDPDK_STATUS_FAILED, STATUS_RUNNING | VDPDK_STATUS_REMOVED };
	uint8_t draw = fuzz_take8(&rig->input);

	write_register(rig, VDPDK_REG_STATUS,
		draw >= 0xf0 ? fuzz_take32(&rig->input)
			     : values[draw % (sizeof(values) / sizeof(values[0]))]);
}

static void
write_features(struct vdev_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);

	if (draw & 4)
		write_register(rig, VDPDK_REG_DRIVER_FEATURES_HIGH, draw >> 3);
	else
		write_register(rig, VDPDK_REG_DRIVER_FEATURES_LOW,
			draw & 2 ? draw >> 3 : draw & VDPDK_FEATURE_RX_SCATTER);
}

static void
write_area(struct vdev_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);
	uint64_t address = MEMORY_START + draw % 4 * NMX_MEM_PAGE_BYTES;

	if (draw >= 0xe0) /* beyond, before, crooked, anywhere */
		address = (draw & 3) == 0   ? fuzz_take64(&rig->input)
			  : (draw & 3) == 1 ? address + 64
			  : (draw & 3) == 2 ? MEMORY_START - NMX_MEM_PAGE_BYTES
					    : MEMORY_START + PIECE_BYTES;
	write_register(rig, VDPDK_REG_CONTROL_AREA_LOW, (uint32_t)address);
	write_register(rig, VDPDK_REG_CONTROL_AREA_HIGH, (uint32_t)(address >> 32));
}

static void
set_master(struct vdev_rig *rig, bool on)
{
	const struct nmx_vfu_access access = { NMX_VFU_REGION_CONFIG, 1, 4 };
	const uint8_t command = on ? 6 : 2;

	write_region(rig, &access, &command);
}

static void
finish_reset(struct vdev_rig *rig)
{
	vdev_begin_step(rig);
	rig->model.status &= ~VDPDK_STATUS_RESETTING;
	nmx_vdev_finish_reset(rig->vdev);
	vdev_end_step(rig);
}

/** As a driver starts; not every one resets first. */
static void
start_driver(struct vdev_rig *rig, bool resets)
{
	set_master(rig, true);
	if (resets)
		write_register(rig, VDPDK_REG_STATUS, 0);
	finish_reset(rig);
	write_features(rig);
	write_register(rig, VDPDK_REG_STATUS, STATUS_READY);
	write_area(rig);
	write_register(rig, VDPDK_REG_STATUS, STATUS_RUNNING);
}

static void
bring_up(struct vdev_rig *rig)
{
	start_driver(rig, true);
}

static void
ring_control(struct vdev_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);

	write_register(rig, VDPDK_REG_CONTROL_DOORBELL,
		draw >= 0xf8   ? fuzz_take32(&rig->input)
		: draw >= 0xf0 ? VDPDK_CONTROL_SLOTS
			       : draw % 4 * 5);
}

static void
ring_tx(struct vdev_rig *rig)
{
	uint32_t queue = fuzz_choose(&rig->input, VDPDK_QUEUE_PAIRS_MAX);

	write_register(rig, VDPDK_REG_TX_DOORBELL(queue), queue);
}

static void
toggle_master(struct vdev_rig *rig)
{
	set_master(rig, fuzz_choose(&rig->input, 2) != 0);
}

/* --- The client --- */

static void
remap(struct vdev_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);

	vdev_begin_step(rig);
	vdev_map_piece(rig->memory, draw & 1, draw & 8 ? 3 : draw >> 1 & 3);
	/* Told at once, as after an unmap, or found out by the device. */
	if (draw & 0x80) {
		(void)vdev_model_reaches_area(rig);
		nmx_vdev_check_memory(rig->vdev);
	}
	vdev_end_step(rig);
}

static void
reset_device(struct vdev_rig *rig)
{
	bool is_done;

	vdev_begin_step(rig);
	vdev_model_powers_on(rig);
	vdev_model_resets(rig);
	is_done = nmx_vdev_reset(rig->vdev);
	FUZZ_CHECK(is_done == !nmx_vdev_is_resetting(rig->vdev));
	vdev_end_step(rig);
}

static void
attach(struct vdev_rig *rig, bool on)
{
	vdev_begin_step(rig);
	rig->model.attached = on;
	rig->model.status &= ~VDPDK_STATUS_REMOVED;
	nmx_vdev_attach(rig->vdev, on ? rig->memory->mem : NULL);
	vdev_end_step(rig);
}

/* --- The host --- */

static void
set_link(struct vdev_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);
	uint32_t speed = draw & 2 ? fuzz_take32(&rig->input) : 10000;

	vdev_begin_step(rig);
	vdev_model_sets_link(rig, draw & 1, speed);
	nmx_vdev_set_link(rig->vdev, draw & 1, speed);
	vdev_end_step(rig);
}

static void
report_fault(struct vdev_rig *rig)
{
	vdev_begin_step(rig);
	vdev_model_reports_fault(rig);
	nmx_vdev_report_fault(rig->vdev);
	vdev_end_step(rig);
}

static void
remove_device(struct vdev_rig *rig)
{
	vdev_begin_step(rig);
	rig->model.status |= VDPDK_STATUS_REMOVED;
	vdev_model_sets_link(rig, false, rig->model.link_speed);
	nmx_vdev_remove(rig->vdev);
	FUZZ_CHECK(rig->step.n_signals > 0);
	vdev_end_step(rig);
}

/** Answer by any ticket of this or a former life, used or not. */
static void
use_ticket(struct vdev_rig *rig)
{
	uint32_t n = rig->n_tickets < N_TICKETS ? rig->n_tickets : N_TICKETS;
	uint8_t draw = fuzz_take8(&rig->input);
	const struct vdev_ticket *ticket;
	bool is_good, signals;
	uint32_t slot;

	if (n == 0)
		return;
	ticket = &rig->tickets[(rig->n_tickets - 1 - (draw >> 2) % n) % N_TICKETS];
	slot = ticket->ticket.slot;
	vdev_begin_step(rig);
	is_good = ticket->life == rig->model.life && rig->model.slot[slot].busy &&
		  rig->model.slot[slot].done_seq == ticket->done_seq;
	signals = is_good && rig->model.slot[slot].wants_signal;
	if (is_good)
		vdev_model_answers(rig, slot, draw & 3, NULL, 0);
	nmx_vdev_answer(rig->vdev, ticket->ticket, draw & 3);
	if (vdev_model_runs(&rig->model))
		FUZZ_CHECK(rig->step.n_signals == signals);
	vdev_end_step(rig);
}

/** Write registers whose new values the model isn't told of: a reset takes them back. */
static void
scribble(struct vdev_rig *rig)
{
	const struct nmx_vfu_access features = { VDPDK_BAR_SIGNAL, 4,
		VDPDK_REG_DRIVER_FEATURES_LOW };
	const struct nmx_vfu_access area = { VDPDK_BAR_SIGNAL, 4, VDPDK_REG_CONTROL_AREA_LOW };
	const uint32_t unknown_features = ~0u, good_area = (uint32_t)MEMORY_START;

	(void)nmx_vdev_write(rig->vdev, &features, (const uint8_t *)&unknown_features);
	(void)nmx_vdev_write(rig->vdev, &area, (const uint8_t *)&good_area);
	rig->model.counters.ignored_writes += rig->model.status != 0;
}

/** The client goes, perhaps in the middle of a reset, and another comes. */
static void
change_client(struct vdev_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);

	/* Whatever is written now, the next client's device is as after power-on. */
	scribble(rig);
	reset_device(rig);
	if (draw & 1) /* of a queue that is being stopped */
		report_fault(rig);
	if (nmx_vdev_is_resetting(rig->vdev))
		finish_reset(rig);
	attach(rig, false);
	set_link(rig);
	attach(rig, true);
	if (draw & 2) { /* without naming features or an area */
		set_master(rig, true);
		write_register(rig, VDPDK_REG_STATUS, STATUS_READY);
		write_register(rig, VDPDK_REG_STATUS, STATUS_RUNNING);
	} else {
		start_driver(rig, false);
	}
}

/* --- The run --- */

static void
draw_grant(struct vdev_rig *rig)
{
	static const uint16_t n_queue_pairs[] = { 10, 1, 8, VDPDK_QUEUE_PAIRS_MAX };
	uint8_t draw = fuzz_take8(&rig->input);

	rig->grant = (struct nmx_vdev_grant){
		.vendor_id = VDPDK_PCI_VENDOR_ID,
		.device_id = VDPDK_PCI_DEVICE_ID,
		.n_queue_pairs = n_queue_pairs[draw & 3],
		.ring_max_log2 = 12 - (draw >> 4) % 7,
		.ring_recommended_log2 = 6,
		.features = draw & 4 ? 0 : VDPDK_FEATURE_RX_SCATTER,
		.rx_frame_max = 9728,
		.tx_frame_max = 9000,
		.mtu_min = 68,
		.mtu_max = draw & 8 ? UINT16_MAX : 9000,
		.mtu = 1500,
		.mac = { 2, 0, 0, 0, 0, 1 },
		.dma_maps_max = 16,
	};
}

static void
start(struct vdev_rig *rig)
{
	struct nmx_vfu_device device;

	draw_grant(rig);
	vdev_begin_step(rig);
	FUZZ_CHECK(nmx_vdev_create(&rig->grant, &vdev_backend, rig, &rig->vdev) == 0);
	vdev_init_model(rig);
	nmx_vdev_describe(rig->vdev, &device);
	for (uint32_t i = 0; i < NMX_VFU_N_REGIONS; i++) {
		FUZZ_CHECK(device.region[i].size == (is_region(i) ? 4096 : 0));
		FUZZ_CHECK((device.region[i].flags != 0) == is_region(i));
	}
	FUZZ_CHECK(device.n_vectors[NMX_VFU_IRQ_MSIX] == 1u + rig->grant.n_queue_pairs);
	attach(rig, true);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct vdev_rig * rig) = { ring_control, ring_control,
		ring_control, use_ticket, use_ticket, bring_up, write_status, write_features,
		write_area, ring_tx, write_anything, read_anything, remap, set_link, report_fault,
		remove_device, reset_device, finish_reset, change_client, toggle_master };
	struct vdev_rig rig = { .input = fuzz_open_input(data, size) };

	rig.memory = vdev_open_memory();
	vdev_hook_rig(&rig);
	start(&rig);
	bring_up(&rig);
	while (!fuzz_is_over(&rig.input))
		steps[fuzz_choose(&rig.input, sizeof(steps) / sizeof(steps[0]))](&rig);
	vdev_check_all(&rig);
	nmx_vdev_destroy(rig.vdev);
	vdev_hook_rig(NULL);
	return 0;
}
