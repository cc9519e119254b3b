/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The guest's driver of fuzz_vdev: what the device finds in the control area.
 *
 * Nothing is in a slot until the device looks: then the hook draws it, so that what a second look
 * would find differs. The device may look at submit_seq, then at the line, then at the body, each
 * once in a step and only in the slot whose doorbell rang.
 */

#include "vdev_rig.h"

/** The hook has no context argument. */
static struct vdev_rig *hooked;

void
vdev_hook_rig(struct vdev_rig *rig)
{
	hooked = rig;
}

/** The operations with their lengths; those behind QUEUE_STOP are drawn less often. */
static const struct {
	uint16_t op, length;
} operations[] = {
	{ VDPDK_OP_QUEUE_STOP, sizeof(struct vdpdk_queue_stop) },
	{ VDPDK_OP_QUEUE_STOP, sizeof(struct vdpdk_queue_stop) },
	{ VDPDK_OP_QUEUE_START, sizeof(struct vdpdk_queue_start) },
	{ VDPDK_OP_QUEUE_START, sizeof(struct vdpdk_queue_start) },
	{ VDPDK_OP_MAC_SET, sizeof(struct vdpdk_mac) },
	{ VDPDK_OP_MTU_SET, sizeof(struct vdpdk_mtu) },
	{ VDPDK_OP_STATS_GET, sizeof(struct vdpdk_stats_get) },
	{ VDPDK_OP_INFO_GET, 0 },
	{ VDPDK_OP_LINK_GET, 0 },
	{ VDPDK_OP_STATS_RESET, 0 },
	{ VDPDK_OP_MAC_ADD, 8 },
	{ VDPDK_OP_FLOW_CREATE, 64 },
};

static uint32_t
draw_seq(struct vdev_rig *rig, uint32_t slot, uint32_t now)
{
	uint8_t draw = fuzz_take8(&rig->input);

	if (draw < 0xe0)
		return rig->model.slot[slot].done_seq + 1;
	if (draw < 0xf0)
		return now;
	return draw < 0xf8 ? rig->model.slot[slot].done_seq + (draw & 3) : fuzz_take32(&rig->input);
}

static void
draw_line(struct vdev_rig *rig, struct vdpdk_slot_driver *line)
{
	uint8_t draw = fuzz_take8(&rig->input), odd = fuzz_take8(&rig->input);
	uint32_t i = (draw >> 1) % (sizeof(operations) / sizeof(operations[0]));

	memset(line, 0, sizeof(*line));
	line->reserved[odd % sizeof(line->reserved)] = odd == 0x41;
	line->op = odd >= 0xf8   ? fuzz_take32(&rig->input)
		   : odd >= 0xf0 ? fuzz_take16(&rig->input)
				 : operations[i].op;
	line->length = (odd & 0x0e) == 0x0e   ? fuzz_choose(&rig->input, 1024)
		       : (odd & 0x0e) == 0x0c ? operations[i].length + 1u - 2u * (odd & 1)
		       : (odd & 0x1e) == 0x0a ? fuzz_take32(&rig->input)
					      : operations[i].length;
	line->flags = odd == 0x20 ? fuzz_take32(&rig->input) : draw & VDPDK_REQUEST_SIGNAL;
}

static uint16_t
draw_queue(struct vdev_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);

	return draw >= 0xf0 ? fuzz_take16(&rig->input) : draw % (rig->grant.n_queue_pairs + 1);
}

static void
draw_queue_start(struct vdev_rig *rig, struct vdpdk_queue_start *start)
{
	uint8_t draw = fuzz_take8(&rig->input);

	start->direction = draw & 1;
	start->index = draw_queue(rig);
	start->flags = draw >> 1 & VDPDK_QUEUE_SCATTER;
	start->n_slots = UINT32_C(1) << fuzz_choose(&rig->input, 16);
	start->ring_address = (uint64_t)draw << (draw >> 2);
}

static void
draw_mtu(struct vdev_rig *rig, struct vdpdk_mtu *mtu)
{
	const uint32_t limits[] = { rig->grant.mtu_min, rig->grant.mtu_max, 65536 + 1500, 1500 };
	uint8_t draw = fuzz_take8(&rig->input);

	mtu->mtu = limits[draw & 3] + (draw >> 2) % 3 - 1;
}

/** A body that makes sense, then perhaps with a byte changed. */
static void
draw_body(struct vdev_rig *rig, uint32_t op, uint8_t *body, size_t size)
{
	union {
		struct vdpdk_queue_start start;
		struct vdpdk_queue_stop stop;
		struct vdpdk_mac mac;
		struct vdpdk_mtu mtu;
		struct vdpdk_stats_get stats;
		uint8_t bytes[VDPDK_REQUEST_BODY_BYTES];
	} all = { .bytes = { 0 } };

	FUZZ_CHECK(size <= sizeof(all));
	if (op == VDPDK_OP_QUEUE_START) {
		draw_queue_start(rig, &all.start);
	} else if (op == VDPDK_OP_QUEUE_STOP) {
		all.stop.direction = fuzz_choose(&rig->input, 3);
		all.stop.index = draw_queue(rig);
	} else if (op == VDPDK_OP_MAC_SET) {
		fuzz_take(&rig->input, all.mac.address, sizeof(all.mac.address));
	} else if (op == VDPDK_OP_MTU_SET) {
		draw_mtu(rig, &all.mtu);
	} else if (op == VDPDK_OP_STATS_GET) {
		all.stats.first_queue = draw_queue(rig);
	}
	if (size > 0 && fuzz_once_in(&rig->input, 4))
		all.bytes[fuzz_choose(&rig->input, (uint32_t)size)] = fuzz_take8(&rig->input);
	memcpy(body, all.bytes, size);
}

static void
serve_slot_load(struct vdev_rig *rig, uint64_t within, uint8_t *to, size_t size)
{
	struct vdev_step *step = &rig->step;

	if (within == offsetof(struct vdpdk_slot, driver.submit_seq)) {
		FUZZ_CHECK(size == sizeof(step->seq) && !step->has_seq);
		memcpy(&step->seq, to, size);
		step->seq = draw_seq(rig, step->slot, step->seq);
		memcpy(to, &step->seq, size);
		step->has_seq = true;
	} else if (within == offsetof(struct vdpdk_slot, driver)) {
		FUZZ_CHECK(size == sizeof(step->line) && step->has_seq && !step->has_line);
		draw_line(rig, &step->line);
		memcpy(to, &step->line, size);
		step->has_line = true;
	} else {
		FUZZ_CHECK(within == offsetof(struct vdpdk_slot, body));
		FUZZ_CHECK(step->has_line && !step->has_body && size == step->line.length);
		draw_body(rig, step->line.op, step->body, size);
		memcpy(to, step->body, size);
		step->has_body = true;
	}
}

void
nmx_shared_hook(void *address, size_t size)
{
	struct vdev_rig *rig = hooked;
	struct vdev_memory *memory;
	uint64_t offset, slot;

	FUZZ_CHECK(rig != NULL && rig->step.slot != NO_SLOT && vdev_model_runs(&rig->model));
	memory = rig->memory;
	offset = (uint64_t)((uintptr_t)address - (uintptr_t)memory->host);
	FUZZ_CHECK(offset < MEMORY_BYTES && size <= MEMORY_BYTES - offset);
	slot = rig->model.area - MEMORY_START +
	       offsetof(struct vdpdk_control_area, slot[rig->step.slot]);
	FUZZ_CHECK(offset >= slot && offset - slot + size <= sizeof(struct vdpdk_slot));
	serve_slot_load(rig, offset - slot, memory->guest + offset, size);
	vdev_expect_bytes(memory, MEMORY_START + offset, memory->guest + offset, size);
}
