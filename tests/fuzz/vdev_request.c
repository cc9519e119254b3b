/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Requests of fuzz_vdev, judged from the bytes that the hook handed to the device.
 */

#include "vdev_rig.h"

#define OWN_ANSWER     (UINT32_MAX - 1) /* good, the device answers it */
#define BACKEND_ANSWER (UINT32_MAX - 2) /* good, the backend's matter */

static bool
is_queue_start_good(const struct vdev_rig *rig)
{
	const bool scatters = (rig->model.features & VDPDK_FEATURE_RX_SCATTER) != 0;
	struct vdpdk_queue_start start;

	memcpy(&start, rig->step.body, sizeof(start));
	if (start.flags == VDPDK_QUEUE_SCATTER && (start.direction != 0 || !scatters))
		return false;
	return start.direction <= 1 && start.index < rig->grant.n_queue_pairs && start.flags <= 1 &&
	       start.ring_address % VDPDK_RING_ALIGN == 0 && start.reserved == 0 &&
	       __builtin_popcount(start.n_slots) == 1 && start.n_slots >= VDPDK_RING_SLOTS_MIN &&
	       start.n_slots <= UINT32_C(1) << rig->grant.ring_max_log2;
}

static bool
is_queue_stop_good(const struct vdev_rig *rig)
{
	struct vdpdk_queue_stop stop;

	memcpy(&stop, rig->step.body, sizeof(stop));
	return stop.direction <= 1 && stop.index < rig->grant.n_queue_pairs && stop.reserved == 0;
}

static bool
is_mac_good(const struct vdev_rig *rig)
{
	uint64_t mac; /* the address in its 48 low bits */

	memcpy(&mac, rig->step.body, sizeof(mac));
	return mac != 0 && mac < UINT64_C(1) << 48 && (mac & 1) == 0;
}

static bool
is_mtu_good(const struct vdev_rig *rig)
{
	struct vdpdk_mtu mtu;

	memcpy(&mtu, rig->step.body, sizeof(mtu));
	return mtu.mtu >= rig->grant.mtu_min && mtu.mtu <= rig->grant.mtu_max && mtu.reserved == 0;
}

static bool
is_stats_get_good(const struct vdev_rig *rig)
{
	struct vdpdk_stats_get get;

	memcpy(&get, rig->step.body, sizeof(get));
	return get.first_queue < rig->grant.n_queue_pairs && get.reserved == 0;
}

static const struct {
	uint32_t op, length;
	uint32_t good;
	bool (*is_good)(const struct vdev_rig *rig); /* NULL: whenever its length is right */
} operations[] = {
	{ VDPDK_OP_INFO_GET, 0, OWN_ANSWER, NULL },
	{ VDPDK_OP_LINK_GET, 0, OWN_ANSWER, NULL },
	{ VDPDK_OP_STATS_GET, 8, BACKEND_ANSWER, is_stats_get_good },
	{ VDPDK_OP_STATS_RESET, 0, BACKEND_ANSWER, NULL },
	{ VDPDK_OP_QUEUE_START, 24, BACKEND_ANSWER, is_queue_start_good },
	{ VDPDK_OP_QUEUE_STOP, 8, BACKEND_ANSWER, is_queue_stop_good },
	{ VDPDK_OP_MAC_SET, 8, BACKEND_ANSWER, is_mac_good },
	{ VDPDK_OP_MTU_SET, 8, BACKEND_ANSWER, is_mtu_good },
};

/** The known operations that this device doesn't offer, by range. */
static bool
is_reserved_op(uint32_t op)
{
	return (op >= VDPDK_OP_MAC_ADD && op <= VDPDK_OP_ALLMULTI) || op == VDPDK_OP_VLAN_FILTER ||
	       op == VDPDK_OP_RSS_SET || op == VDPDK_OP_RSS_GET ||
	       (op >= VDPDK_OP_FLOW_VALIDATE && op <= VDPDK_OP_FLOW_ISOLATE);
}

static uint32_t
judge(const struct vdev_rig *rig)
{
	const struct vdpdk_slot_driver *line = &rig->step.line;

	for (size_t i = 0; i < sizeof(line->reserved); i++)
		if (line->reserved[i] != 0)
			return VDPDK_ANSWER_INVALID;
	if ((line->flags & ~VDPDK_REQUEST_SIGNAL) != 0)
		return VDPDK_ANSWER_INVALID;
	if (is_reserved_op(line->op))
		return VDPDK_ANSWER_NOT_SUPPORTED;
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (operations[i].op != line->op)
			continue;
		if (line->length != operations[i].length)
			return VDPDK_ANSWER_INVALID;
		FUZZ_CHECK(line->length == 0 || rig->step.has_body);
		if (operations[i].is_good != NULL && !operations[i].is_good(rig))
			return VDPDK_ANSWER_INVALID;
		return operations[i].good;
	}
	return VDPDK_ANSWER_UNKNOWN;
}

bool
vdev_is_request_for_backend(const struct vdev_rig *rig, uint32_t op)
{
	return rig->step.has_line && rig->step.line.op == op && judge(rig) == BACKEND_ANSWER;
}

/* --- Answers --- */

void
vdev_model_answers(
	struct vdev_rig *rig, uint32_t slot, uint32_t answer, const void *body, uint32_t length)
{
	struct vdpdk_slot_device line = { .status = answer, .length = length };
	struct vdev_model *model = &rig->model;
	uint64_t at = model->area + offsetof(struct vdpdk_control_area, slot) +
		      slot * sizeof(struct vdpdk_slot);

	model->slot[slot].busy = false;
	model->counters.refused_requests += answer != VDPDK_ANSWER_OK;
	if (!vdev_model_reaches_area(rig))
		return;
	line.done_seq = ++model->slot[slot].done_seq;
	vdev_expect_bytes(rig->memory, at + offsetof(struct vdpdk_slot, device), &line,
		offsetof(struct vdpdk_slot_device, reserved));
	vdev_expect_bytes(rig->memory, at + offsetof(struct vdpdk_slot, body), body, length);
}

static void
answer_info(struct vdev_rig *rig)
{
	struct vdpdk_info info = {
		.n_queue_pairs = rig->grant.n_queue_pairs,
		.mtu_min = rig->grant.mtu_min,
		.mtu_max = rig->grant.mtu_max,
		.mtu = rig->model.mtu,
		.rx_frame_max = rig->grant.rx_frame_max,
		.tx_frame_max = rig->grant.tx_frame_max,
	};

	memcpy(info.mac, rig->model.mac, sizeof(info.mac));
	vdev_model_answers(rig, rig->step.slot, VDPDK_ANSWER_OK, &info, sizeof(info));
}

static void
answer_stats(struct vdev_rig *rig)
{
	struct vdpdk_stats stats = { 0 };
	struct vdpdk_stats_get get;

	memcpy(&get, rig->step.body, sizeof(get));
	while (stats.n_queues < VDPDK_STATS_QUEUES &&
		get.first_queue + stats.n_queues < rig->grant.n_queue_pairs) {
		struct vdpdk_queue_stats *queue = &stats.queue[stats.n_queues];

		queue->rx_frames = get.first_queue + stats.n_queues;
		queue->tx_errors = ~queue->rx_frames;
		stats.n_queues++;
	}
	FUZZ_CHECK(rig->step.n_calls == stats.n_queues);
	vdev_model_answers(rig, rig->step.slot, VDPDK_ANSWER_OK, &stats, sizeof(stats));
}

/** What the device answers itself, or puts together. */
static void
answer_own(struct vdev_rig *rig)
{
	uint64_t link = vdev_model_link_word(&rig->model);

	switch (rig->step.line.op) {
	case VDPDK_OP_INFO_GET:
		answer_info(rig);
		break;
	case VDPDK_OP_LINK_GET:
		vdev_model_answers(rig, rig->step.slot, VDPDK_ANSWER_OK, &link, sizeof(link));
		break;
	case VDPDK_OP_STATS_GET:
		answer_stats(rig);
		break;
	default:
		FUZZ_CHECK(rig->step.line.op == VDPDK_OP_STATS_RESET && rig->step.n_calls == 1);
		vdev_model_answers(rig, rig->step.slot, VDPDK_ANSWER_OK, NULL, 0);
	}
}

static void
answer_backend(struct vdev_rig *rig)
{
	const struct vdev_step *step = &rig->step;
	struct vdev_model *model = &rig->model;

	FUZZ_CHECK(step->n_calls == 1);
	if (step->is_answered)
		return;
	if (step->answer == NMX_VDEV_LATER) {
		model->slot[step->slot].busy = true;
		return;
	}
	if (step->answer == VDPDK_ANSWER_OK && step->line.op == VDPDK_OP_MAC_SET)
		memcpy(model->mac, step->body, sizeof(model->mac));
	if (step->answer == VDPDK_ANSWER_OK && step->line.op == VDPDK_OP_MTU_SET)
		memcpy(&model->mtu, step->body, sizeof(model->mtu));
	vdev_model_answers(rig, step->slot, step->answer, NULL, 0);
}

static void
take_good_seq(struct vdev_rig *rig)
{
	const struct vdev_step *step = &rig->step;
	const bool wants_signal = (step->line.flags & VDPDK_REQUEST_SIGNAL) != 0;
	uint32_t answer;

	FUZZ_CHECK(step->has_line);
	answer = judge(rig);
	rig->model.counters.requests++;
	rig->model.slot[step->slot].wants_signal = wants_signal;
	if (answer == OWN_ANSWER || step->line.op == VDPDK_OP_STATS_GET ||
		step->line.op == VDPDK_OP_STATS_RESET) {
		if (answer == OWN_ANSWER || answer == BACKEND_ANSWER) {
			answer_own(rig);
			FUZZ_CHECK(step->n_signals == wants_signal);
			return;
		}
	}
	if (answer == BACKEND_ANSWER) {
		answer_backend(rig);
	} else {
		FUZZ_CHECK(step->n_calls == 0);
		vdev_model_answers(rig, step->slot, answer, NULL, 0);
	}
	FUZZ_CHECK(step->n_signals == (wants_signal && !rig->model.slot[step->slot].busy));
}

void
vdev_model_rings(struct vdev_rig *rig, uint32_t slot)
{
	if (!vdev_model_runs(&rig->model) || slot >= VDPDK_CONTROL_SLOTS ||
		rig->model.slot[slot].busy)
		rig->model.counters.ignored_doorbells++;
	else if (vdev_model_reaches_area(rig))
		rig->step.slot = slot;
}

void
vdev_model_takes_request(struct vdev_rig *rig)
{
	const struct vdev_step *step = &rig->step;
	uint32_t slot = step->slot;

	FUZZ_CHECK(step->has_seq == (slot != NO_SLOT));
	if (slot == NO_SLOT)
		return;
	/* Answered within the call: then the model's number has moved on already. */
	if (step->seq == rig->model.slot[slot].done_seq + !step->is_answered) {
		take_good_seq(rig);
	} else {
		FUZZ_CHECK(!step->has_line && step->n_calls == 0);
		rig->model.counters.ignored_doorbells++;
	}
	vdev_check_bytes(rig->memory,
		rig->model.area + offsetof(struct vdpdk_control_area, slot) +
			slot * sizeof(struct vdpdk_slot),
		sizeof(struct vdpdk_slot));
}
