/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Requests: what each must be, and its execution on the private copy. */

#include <string.h>

#include "device.h"

static uint32_t
execute_info_get(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	struct vdpdk_info info = {
		.n_queue_pairs = vdev->grant.n_queue_pairs,
		.mtu_min = vdev->grant.mtu_min,
		.mtu_max = vdev->grant.mtu_max,
		.mtu = vdev->mtu,
		.rx_frame_max = vdev->grant.rx_frame_max,
		.tx_frame_max = vdev->grant.tx_frame_max,
	};

	memcpy(info.mac, vdev->mac, sizeof(info.mac));
	memcpy(request->body, &info, sizeof(info));
	request->length = sizeof(info);
	return VDPDK_ANSWER_OK;
}

static bool
check_queue(const struct nmx_vdev *vdev, uint16_t direction, uint16_t index)
{
	return direction <= VDPDK_DIRECTION_TX && index < vdev->grant.n_queue_pairs;
}

static bool
check_queue_start(const struct nmx_vdev *vdev, const struct vdpdk_queue_start *start)
{
	bool may_scatter = start->direction == VDPDK_DIRECTION_RX &&
			   (vdev->driver_features & VDPDK_FEATURE_RX_SCATTER) != 0;

	if (!check_queue(vdev, start->direction, start->index) || start->reserved != 0)
		return false;
	if ((start->flags & ~VDPDK_QUEUE_SCATTER) != 0 ||
		((start->flags & VDPDK_QUEUE_SCATTER) != 0 && !may_scatter))
		return false;
	return nmx_base_is_power_of_two(start->n_slots) && start->n_slots >= VDPDK_RING_SLOTS_MIN &&
	       start->n_slots <= UINT32_C(1) << vdev->grant.ring_max_log2 &&
	       nmx_base_is_aligned(start->ring_address, VDPDK_RING_ALIGN);
}

static uint32_t
execute_queue_start(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	struct vdpdk_queue_start start;
	struct nmx_vdev_queue queue;

	memcpy(&start, request->body, sizeof(start));
	if (!check_queue_start(vdev, &start))
		return VDPDK_ANSWER_INVALID;
	queue.direction = start.direction;
	queue.index = start.index;
	queue.scatter = (start.flags & VDPDK_QUEUE_SCATTER) != 0;
	queue.n_slots = start.n_slots;
	queue.ring_address = start.ring_address;
	request->length = 0;
	return vdev->backend->start_queue(vdev->context, &queue);
}

static uint32_t
execute_queue_stop(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	struct vdpdk_queue_stop stop;

	memcpy(&stop, request->body, sizeof(stop));
	if (!check_queue(vdev, stop.direction, stop.index) || stop.reserved != 0)
		return VDPDK_ANSWER_INVALID;
	request->length = 0;
	return vdev->backend->stop_queue(
		vdev->context, stop.direction, stop.index, request->ticket);
}

static uint32_t
execute_mac_set(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	static const uint8_t zero[6];
	struct vdpdk_mac mac;
	uint32_t answer;

	memcpy(&mac, request->body, sizeof(mac));
	if ((mac.address[0] & 1) != 0 || memcmp(mac.address, zero, sizeof(zero)) == 0 ||
		memcmp(mac.reserved, zero, sizeof(mac.reserved)) != 0)
		return VDPDK_ANSWER_INVALID;
	answer = vdev->backend->set_mac(vdev->context, mac.address);
	if (answer == VDPDK_ANSWER_OK)
		memcpy(vdev->mac, mac.address, sizeof(vdev->mac));
	request->length = 0;
	return answer;
}

static uint32_t
execute_mtu_set(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	struct vdpdk_mtu mtu;
	uint32_t answer;

	memcpy(&mtu, request->body, sizeof(mtu));
	if (mtu.mtu < vdev->grant.mtu_min || mtu.mtu > vdev->grant.mtu_max || mtu.reserved != 0)
		return VDPDK_ANSWER_INVALID;
	answer = vdev->backend->set_mtu(vdev->context, (uint16_t)mtu.mtu);
	if (answer == VDPDK_ANSWER_OK)
		vdev->mtu = (uint16_t)mtu.mtu;
	request->length = 0;
	return answer;
}

static uint32_t
execute_link_get(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	struct vdpdk_link link = { nmx_vdev_get_link_word(vdev) };

	memcpy(request->body, &link, sizeof(link));
	request->length = sizeof(link);
	return VDPDK_ANSWER_OK;
}

static uint32_t
execute_stats_get(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	struct vdpdk_stats_get get;
	struct vdpdk_stats stats = { 0 };

	memcpy(&get, request->body, sizeof(get));
	if (get.first_queue >= vdev->grant.n_queue_pairs || get.reserved != 0)
		return VDPDK_ANSWER_INVALID;
	while (stats.n_queues < VDPDK_STATS_QUEUES &&
		get.first_queue + stats.n_queues < vdev->grant.n_queue_pairs) {
		vdev->backend->get_stats(vdev->context,
			(uint16_t)(get.first_queue + stats.n_queues), &stats.queue[stats.n_queues]);
		stats.n_queues++;
	}
	memcpy(request->body, &stats, sizeof(stats));
	request->length = sizeof(stats);
	return VDPDK_ANSWER_OK;
}

static uint32_t
execute_stats_reset(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	vdev->backend->reset_stats(vdev->context);
	request->length = 0;
	return VDPDK_ANSWER_OK;
}

typedef uint32_t (*execute_function)(struct nmx_vdev *vdev, struct nmx_vdev_request *request);

/** Length of the body and what executes it; NULL: known, not offered by this device. */
static const struct {
	uint32_t op;
	uint32_t length;
	execute_function execute;
} operations[] = {
	{ VDPDK_OP_INFO_GET, 0, execute_info_get },
	{ VDPDK_OP_QUEUE_START, sizeof(struct vdpdk_queue_start), execute_queue_start },
	{ VDPDK_OP_QUEUE_STOP, sizeof(struct vdpdk_queue_stop), execute_queue_stop },
	{ VDPDK_OP_MAC_SET, sizeof(struct vdpdk_mac), execute_mac_set },
	{ VDPDK_OP_MTU_SET, sizeof(struct vdpdk_mtu), execute_mtu_set },
	{ VDPDK_OP_LINK_GET, 0, execute_link_get },
	{ VDPDK_OP_STATS_GET, sizeof(struct vdpdk_stats_get), execute_stats_get },
	{ VDPDK_OP_STATS_RESET, 0, execute_stats_reset },
	{ VDPDK_OP_MAC_ADD, 0, NULL },
	{ VDPDK_OP_MAC_DEL, 0, NULL },
	{ VDPDK_OP_MC_LIST, 0, NULL },
	{ VDPDK_OP_PROMISC, 0, NULL },
	{ VDPDK_OP_ALLMULTI, 0, NULL },
	{ VDPDK_OP_VLAN_FILTER, 0, NULL },
	{ VDPDK_OP_RSS_SET, 0, NULL },
	{ VDPDK_OP_RSS_GET, 0, NULL },
	{ VDPDK_OP_FLOW_VALIDATE, 0, NULL },
	{ VDPDK_OP_FLOW_CREATE, 0, NULL },
	{ VDPDK_OP_FLOW_DESTROY, 0, NULL },
	{ VDPDK_OP_FLOW_FLUSH, 0, NULL },
	{ VDPDK_OP_FLOW_QUERY, 0, NULL },
	{ VDPDK_OP_FLOW_ISOLATE, 0, NULL },
};

uint32_t
nmx_vdev_execute(struct nmx_vdev *vdev, struct nmx_vdev_request *request)
{
	const unsigned int n = sizeof(operations) / sizeof(operations[0]);
	unsigned int i = 0;

	while (i < n && operations[i].op != request->op)
		i++;
	if (i == n)
		return VDPDK_ANSWER_UNKNOWN;
	if (operations[i].execute == NULL)
		return VDPDK_ANSWER_NOT_SUPPORTED;
	if (request->length != operations[i].length)
		return VDPDK_ANSWER_INVALID;
	return operations[i].execute(vdev, request);
}
