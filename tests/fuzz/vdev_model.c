/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The model of fuzz_vdev: STATUS, registers, configuration space, page 0 of the control area.
 *
 * What is told to the model before a call into the device changes it at once; only how long a reset
 * lasts is known afterwards. Where the contract leaves the device a choice, the model has a range
 * (counters of ignored writes) or the steps keep away (registers written during a reset).
 */

#include "vdev_rig.h"

#define CONFIG_USED    0x90 /* behind it all is 0 */
#define COMMAND        0x04
#define COMMAND_MASTER 0x04
#define FLR_BYTE       0x49 /* of the Express capability's device control, upper half */
#define FLR_BIT        0x80

/** The bits that a guest may set, by byte; all others are fixed. */
static uint8_t
get_writable(uint64_t offset)
{
	static const uint8_t writable[CONFIG_BYTES] = {
		[COMMAND] = 0x47,
		[COMMAND + 1] = 0x05,
		[0x0c] = 0xff,
		[0x10 + 4 * VDPDK_BAR_SIGNAL + 1] = 0xf0,
		[0x10 + 4 * VDPDK_BAR_SIGNAL + 2] = 0xff,
		[0x10 + 4 * VDPDK_BAR_SIGNAL + 3] = 0xff,
		[0x10 + 4 * VDPDK_BAR_MSIX + 1] = 0xf0,
		[0x10 + 4 * VDPDK_BAR_MSIX + 2] = 0xff,
		[0x10 + 4 * VDPDK_BAR_MSIX + 3] = 0xff,
		[0x3c] = 0xff,
		[0x48] = 0xff,
		[FLR_BYTE] = 0x7f,
		[0x50] = 0xff,
		[0x51] = 0x0f,
		[0x68] = 0xff,
		[0x69] = 0xff,
		[0x83] = 0xc0,
	};

	return writable[offset];
}

static void
read_config(struct vdev_rig *rig, uint32_t start, uint32_t size, uint8_t *config)
{
	const struct nmx_vfu_access access = { NMX_VFU_REGION_CONFIG, size, start };

	FUZZ_CHECK(nmx_vdev_read(rig->vdev, &access, config) == 0);
}

static void
forget_driver(struct vdev_rig *rig)
{
	struct vdev_model *model = &rig->model;

	model->features = 0;
	model->area_register = model->area = 0;
	memset(model->slot, 0, sizeof(model->slot));
	memcpy(model->mac, rig->grant.mac, sizeof(model->mac));
	model->mtu = rig->grant.mtu;
	model->n_queue_errors = 0;
	model->life++;
}

void
vdev_init_model(struct vdev_rig *rig)
{
	memset(&rig->model, 0, sizeof(rig->model));
	read_config(rig, 0, CONFIG_USED, rig->model.power_on);
	memcpy(rig->model.config, rig->model.power_on, CONFIG_BYTES);
	forget_driver(rig);
}

/* --- STATUS --- */

bool
vdev_model_runs(const struct vdev_model *model)
{
	return (model->status & ~VDPDK_STATUS_REMOVED) == STATUS_RUNNING;
}

static void
fail(struct vdev_rig *rig)
{
	rig->model.status |= VDPDK_STATUS_FAILED;
	rig->model.counters.failures++;
}

bool
vdev_model_reaches_area(struct vdev_rig *rig)
{
	if (!vdev_model_runs(&rig->model))
		return false;
	if (vdev_has_area(rig->memory, rig->model.area))
		return true;
	fail(rig);
	return false;
}

void
vdev_model_resets(struct vdev_rig *rig)
{
	struct vdev_model *model = &rig->model;

	forget_driver(rig);
	if (model->status & VDPDK_STATUS_RESETTING)
		return;
	rig->step.may_reset = true;
	model->counters.resets++;
	model->status = (model->status & VDPDK_STATUS_REMOVED) | VDPDK_STATUS_RESETTING;
}

static void
begin_running(struct vdev_rig *rig)
{
	struct vdev_model *model = &rig->model;

	if (!(model->config[COMMAND] & COMMAND_MASTER) || !model->attached ||
		!vdev_has_area(rig->memory, model->area_register)) {
		fail(rig);
		return;
	}
	model->area = model->area_register;
	model->status |= VDPDK_STATUS_RUNNING;
	rig->step.may_run = true;
	vdev_model_shows_link(rig);
}

void
vdev_model_writes_status(struct vdev_rig *rig, uint32_t value)
{
	struct vdev_model *model = &rig->model;

	if (value == 0) {
		vdev_model_resets(rig);
	} else if (value == model->status) {
		return;
	} else if ((model->status & ~STATUS_RUNNING) != 0) {
		model->counters.ignored_writes++;
	} else if (model->status == 0 && value == STATUS_READY) {
		if ((model->features & ~rig->grant.features) == 0)
			model->status = STATUS_READY;
	} else if (model->status == STATUS_READY && value == STATUS_RUNNING) {
		begin_running(rig);
	} else {
		fail(rig);
	}
}

/* --- Configuration space --- */

void
vdev_model_powers_on(struct vdev_rig *rig)
{
	memcpy(rig->model.config, rig->model.power_on, CONFIG_BYTES);
	rig->step.config_start = 0;
	rig->step.config_size = CONFIG_USED;
}

void
vdev_model_writes_config(struct vdev_rig *rig, uint64_t offset, const uint8_t *data, uint32_t count)
{
	uint8_t *config = rig->model.config;
	bool was_master = (config[COMMAND] & COMMAND_MASTER) != 0, resets = false;

	rig->step.config_start = (uint32_t)offset;
	rig->step.config_size = offset < CONFIG_BYTES ? count : 0;
	for (uint32_t i = 0; i < count && offset + i < CONFIG_BYTES; i++) {
		uint8_t mask = get_writable(offset + i), *byte = &config[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | (data[i] & mask));
		resets = resets || (offset + i == FLR_BYTE && (data[i] & FLR_BIT) != 0);
	}
	if (resets)
		vdev_model_powers_on(rig);
	rig->step.config_resets = resets || (was_master && !(config[COMMAND] & COMMAND_MASTER));
	if (rig->step.config_resets)
		vdev_model_resets(rig);
}

/* --- Page 0 --- */

uint64_t
vdev_model_link_word(const struct vdev_model *model)
{
	return VDPDK_LINK(model->link_generation, model->link_speed, model->link_up);
}

void
vdev_model_shows_link(struct vdev_rig *rig)
{
	uint64_t word = vdev_model_link_word(&rig->model);

	if (vdev_model_reaches_area(rig))
		vdev_expect_bytes(rig->memory,
			rig->model.area + offsetof(struct vdpdk_control_area, page.link), &word,
			sizeof(word));
}

void
vdev_model_sets_link(struct vdev_rig *rig, bool up, uint32_t speed)
{
	struct vdev_model *model = &rig->model;

	if (model->link_up == up && model->link_speed == speed)
		return;
	model->link_up = up;
	model->link_speed = speed;
	model->link_generation++;
	vdev_model_shows_link(rig);
}

void
vdev_model_reports_fault(struct vdev_rig *rig)
{
	struct vdev_model *model = &rig->model;

	if (!vdev_model_runs(model))
		return; /* of a queue of a former life */
	model->n_queue_errors++;
	if (vdev_model_reaches_area(rig))
		vdev_expect_bytes(rig->memory,
			model->area + offsetof(struct vdpdk_control_area, page.n_queue_errors),
			&model->n_queue_errors, sizeof(model->n_queue_errors));
}

/* --- After a step --- */

void
vdev_begin_step(struct vdev_rig *rig)
{
	struct vdev_step *step = &rig->step;

	step->slot = NO_SLOT;
	step->has_seq = step->has_line = step->has_body = false;
	step->may_run = step->has_run = step->may_reset = step->has_reset = false;
	step->config_resets = false;
	step->is_answered = false;
	step->config_size = 0;
	step->tx_doorbell = UINT32_MAX;
	step->n_tx_doorbells = step->n_calls = step->n_signals = 0;
}

static void
check_counters(const struct vdev_rig *rig)
{
	const struct nmx_vdev_counters *is = nmx_vdev_get_counters(rig->vdev);
	const struct nmx_vdev_counters *expected = &rig->model.counters;

	FUZZ_CHECK(is->requests == expected->requests);
	FUZZ_CHECK(is->refused_requests == expected->refused_requests);
	FUZZ_CHECK(is->ignored_doorbells == expected->ignored_doorbells);
	FUZZ_CHECK(is->failures == expected->failures && rig->n_halts == expected->failures);
	FUZZ_CHECK(is->resets == expected->resets);
	FUZZ_CHECK(is->ignored_writes == expected->ignored_writes);
}

static void
check_config(struct vdev_rig *rig, uint32_t start, uint32_t size)
{
	uint8_t config[CONFIG_BYTES];

	if (size > CONFIG_BYTES - start)
		size = CONFIG_BYTES - start;
	read_config(rig, start, size, config);
	FUZZ_CHECK(memcmp(config, rig->model.config + start, size) == 0);
}

void
vdev_end_step(struct vdev_rig *rig)
{
	const struct nmx_vfu_access access = { VDPDK_BAR_SIGNAL, 4, VDPDK_REG_STATUS };
	struct vdev_model *model = &rig->model;
	const struct vdev_step *step = &rig->step;
	bool runs = vdev_model_runs(model);
	uint32_t status;

	FUZZ_CHECK(step->has_run == step->may_run && step->has_reset == step->may_reset);
	if (step->has_reset && step->reset_is_done)
		model->status &= ~VDPDK_STATUS_RESETTING;
	FUZZ_CHECK(nmx_vdev_read(rig->vdev, &access, (uint8_t *)&status) == 0);
	FUZZ_CHECK(status == model->status);
	FUZZ_CHECK(nmx_vdev_is_running(rig->vdev) == runs);
	FUZZ_CHECK(nmx_vdev_is_resetting(rig->vdev) ==
		   ((model->status & VDPDK_STATUS_RESETTING) != 0));
	FUZZ_CHECK(nmx_vdev_get_features(rig->vdev) == (runs ? model->features : 0));
	FUZZ_CHECK(
		!(model->status & STATUS_READY) || (model->features & ~rig->grant.features) == 0);
	check_counters(rig);
	if (step->config_size > 0)
		check_config(rig, step->config_start, step->config_size);
	if (runs)
		vdev_check_bytes(rig->memory, model->area, 64);
}

void
vdev_check_all(struct vdev_rig *rig)
{
	check_config(rig, 0, CONFIG_BYTES);
	vdev_check_memory(rig->memory);
}
