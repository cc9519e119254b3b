/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The backend of fuzz_vdev: checks what it is called with and draws what it answers.
 */

#include "vdev_rig.h"

/** A call for the step's request. */
static struct vdev_step *
note_call(struct vdev_rig *rig, uint32_t op)
{
	FUZZ_CHECK(vdev_model_runs(&rig->model) && rig->step.slot != NO_SLOT);
	FUZZ_CHECK(nmx_vdev_is_running(rig->vdev));
	FUZZ_CHECK(vdev_is_request_for_backend(rig, op));
	rig->step.n_calls++;
	return &rig->step;
}

static uint32_t
draw_answer(struct vdev_rig *rig)
{
	uint8_t draw = fuzz_take8(&rig->input);

	return rig->step.answer = draw < 0xa0 ? VDPDK_ANSWER_OK : draw % (VDPDK_ANSWER_IO + 1);
}

static void
on_run(void *context)
{
	struct vdev_rig *rig = context;

	FUZZ_CHECK(rig->step.may_run && !rig->step.has_run);
	FUZZ_CHECK(nmx_vdev_get_features(rig->vdev) == rig->model.features);
	rig->step.has_run = true;
}

static uint32_t
on_start(void *context, const struct nmx_vdev_queue *queue)
{
	struct vdev_rig *rig = context;
	struct vdpdk_queue_start asked;

	memcpy(&asked, note_call(rig, VDPDK_OP_QUEUE_START)->body, sizeof(asked));
	FUZZ_CHECK(queue->direction == asked.direction && queue->index == asked.index);
	FUZZ_CHECK(queue->n_slots == asked.n_slots && queue->ring_address == asked.ring_address);
	FUZZ_CHECK(queue->scatter == (asked.flags == VDPDK_QUEUE_SCATTER));
	FUZZ_CHECK(queue->direction <= VDPDK_DIRECTION_TX);
	FUZZ_CHECK(queue->index < rig->grant.n_queue_pairs);
	FUZZ_CHECK(queue->n_slots >= VDPDK_RING_SLOTS_MIN);
	FUZZ_CHECK(queue->n_slots <= UINT32_C(1) << rig->grant.ring_max_log2);
	FUZZ_CHECK(__builtin_popcount(queue->n_slots) == 1);
	FUZZ_CHECK(queue->ring_address % VDPDK_RING_ALIGN == 0);
	FUZZ_CHECK(!queue->scatter || queue->direction == VDPDK_DIRECTION_RX);
	FUZZ_CHECK(!queue->scatter || (rig->model.features & VDPDK_FEATURE_RX_SCATTER) != 0);
	return draw_answer(rig);
}

static uint32_t
on_stop(void *context, uint16_t direction, uint16_t index, struct nmx_vdev_ticket ticket)
{
	struct vdev_rig *rig = context;
	struct vdev_step *step = note_call(rig, VDPDK_OP_QUEUE_STOP);
	const struct vdev_ticket given = { ticket, rig->model.life,
		rig->model.slot[step->slot].done_seq };
	struct vdpdk_queue_stop asked;
	uint8_t draw;

	memcpy(&asked, step->body, sizeof(asked));
	FUZZ_CHECK(direction == asked.direction && index == asked.index);
	FUZZ_CHECK(direction <= VDPDK_DIRECTION_TX && index < rig->grant.n_queue_pairs);
	draw = fuzz_take8(&rig->input);
	if (draw & 1)
		return draw_answer(rig);
	rig->tickets[rig->n_tickets++ % N_TICKETS] = given;
	if (draw >= 0xe0) { /* done before it returns */
		step->is_answered = true;
		vdev_model_answers(rig, step->slot, draw_answer(rig), NULL, 0);
		nmx_vdev_answer(rig->vdev, ticket, step->answer);
	}
	return step->answer = NMX_VDEV_LATER;
}

static uint32_t
on_mac(void *context, const uint8_t mac[6])
{
	struct vdev_rig *rig = context;

	FUZZ_CHECK(memcmp(mac, note_call(rig, VDPDK_OP_MAC_SET)->body, 6) == 0);
	FUZZ_CHECK((mac[0] & 1) == 0);
	FUZZ_CHECK((mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0);
	return draw_answer(rig);
}

static uint32_t
on_mtu(void *context, uint16_t mtu)
{
	struct vdev_rig *rig = context;
	struct vdpdk_mtu asked;

	memcpy(&asked, note_call(rig, VDPDK_OP_MTU_SET)->body, sizeof(asked));
	FUZZ_CHECK(mtu == asked.mtu);
	FUZZ_CHECK(mtu >= rig->grant.mtu_min && mtu <= rig->grant.mtu_max);
	return draw_answer(rig);
}

static void
on_stats(void *context, uint16_t index, struct vdpdk_queue_stats *stats)
{
	struct vdev_rig *rig = context;
	struct vdpdk_stats_get asked;

	memcpy(&asked, note_call(rig, VDPDK_OP_STATS_GET)->body, sizeof(asked));
	FUZZ_CHECK(index == asked.first_queue + rig->step.n_calls - 1);
	FUZZ_CHECK(index < rig->grant.n_queue_pairs);
	stats->rx_frames = index;
	stats->tx_errors = ~(uint64_t)index;
}

static void
on_stats_reset(void *context)
{
	(void)note_call(context, VDPDK_OP_STATS_RESET);
}

static void
on_doorbell(void *context, uint16_t index)
{
	struct vdev_rig *rig = context;

	FUZZ_CHECK(vdev_model_runs(&rig->model));
	FUZZ_CHECK(index == rig->step.tx_doorbell && index < rig->grant.n_queue_pairs);
	rig->step.n_tx_doorbells++;
}

static void
on_signal(void *context, uint16_t vector)
{
	struct vdev_rig *rig = context;

	FUZZ_CHECK(vector == VDPDK_VECTOR_CONTROL);
	rig->step.n_signals++;
}

static void
on_halt(void *context)
{
	struct vdev_rig *rig = context;

	FUZZ_CHECK(!nmx_vdev_is_running(rig->vdev));
	rig->n_halts++;
}

static bool
on_reset(void *context)
{
	struct vdev_rig *rig = context;

	FUZZ_CHECK(rig->step.may_reset && !rig->step.has_reset);
	FUZZ_CHECK(!nmx_vdev_is_running(rig->vdev) && nmx_vdev_is_resetting(rig->vdev));
	rig->step.has_reset = true;
	rig->step.reset_is_done = fuzz_choose(&rig->input, 2) == 0;
	return rig->step.reset_is_done;
}

const struct nmx_vdev_backend vdev_backend = {
	.run = on_run,
	.start_queue = on_start,
	.stop_queue = on_stop,
	.set_mac = on_mac,
	.set_mtu = on_mtu,
	.get_stats = on_stats,
	.reset_stats = on_stats_reset,
	.ring_doorbell = on_doorbell,
	.signal = on_signal,
	.halt = on_halt,
	.reset = on_reset,
};
