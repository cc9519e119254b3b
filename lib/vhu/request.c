/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "request.h"

#include <errno.h>
#include <string.h>

static uint64_t
read_number(const struct nmx_vhu_server *server)
{
	uint64_t number;

	memcpy(&number, server->body, sizeof(number));
	return number;
}

/* --- Features --- */

static int
get_features(struct nmx_vhu_server *server)
{
	server->reply.number = server->offer->features | NMX_VHU_FEATURE_PROTOCOL_FEATURES;
	return 0;
}

static int
set_features(struct nmx_vhu_server *server)
{
	uint64_t features = read_number(server), before = server->features;
	int ret;

	if (features & ~(server->offer->features | NMX_VHU_FEATURE_PROTOCOL_FEATURES))
		return -EINVAL;
	if (nmx_vhu_has_started(server) && ((features ^ before) & ~NMX_VHU_FEATURE_LOG_ALL) != 0)
		return -EBUSY;
	ret = server->handlers->set_features(
		server->context, features & ~NMX_VHU_FEATURE_PROTOCOL_FEATURES);
	if (ret != 0)
		return ret;
	server->features = features;
	server->has_features = true;
	return nmx_vhu_settle_rings(server);
}

static int
get_protocol_features(struct nmx_vhu_server *server)
{
	server->reply.number = server->offer->protocol_features;
	return 0;
}

static int
set_protocol_features(struct nmx_vhu_server *server)
{
	uint64_t features = read_number(server);

	if (features & ~server->offer->protocol_features)
		return -EINVAL;
	server->protocol_features = features;
	return 0;
}

/* --- The rest --- */

/** Nothing is to be done, and nothing depends on it. */
static int
ignore(struct nmx_vhu_server *server)
{
	(void)server;
	return 0;
}

/** Pairs, for a network device. */
static int
get_queue_num(struct nmx_vhu_server *server)
{
	server->reply.number = server->offer->n_rings / 2;
	return 0;
}

static int
set_mtu(struct nmx_vhu_server *server)
{
	uint64_t mtu = read_number(server);

	if (mtu == 0 || mtu > server->offer->mtu_max)
		return -EINVAL;
	return server->handlers->set_mtu(server->context, (uint16_t)mtu);
}

/** What a request must have before its fields are looked at. */
static const struct {
	int (*execute)(struct nmx_vhu_server *server);
	uint32_t size_min;
	uint32_t fds_max;
	uint64_t protocol_feature; /* that must have been agreed on; 0: none */
	uint32_t reply_size;       /* of what it asks for; 0: nothing */
} requests[] = {
	[NMX_VHU_GET_FEATURES] = { get_features, 0, 0, 0, sizeof(uint64_t) },
	[NMX_VHU_SET_FEATURES] = { set_features, sizeof(uint64_t), 0, 0, 0 },
	/* There is one owner: who is connected. */
	[NMX_VHU_SET_OWNER] = { ignore, 0, 0, 0, 0 },
	[NMX_VHU_RESET_OWNER] = { nmx_vhu_disable_rings, 0, 0, 0, 0 },
	[NMX_VHU_SET_MEM_TABLE] = { nmx_vhu_set_table, 0, NMX_VHU_REGIONS_MAX, 0, 0 },
	[NMX_VHU_SET_VRING_NUM] = { nmx_vhu_set_size, sizeof(struct nmx_vhu_state), 0, 0, 0 },
	[NMX_VHU_SET_VRING_ADDR] = { nmx_vhu_set_addresses, sizeof(struct nmx_vhu_addresses), 0, 0,
		0 },
	[NMX_VHU_SET_VRING_BASE] = { nmx_vhu_set_base, sizeof(struct nmx_vhu_state), 0, 0, 0 },
	[NMX_VHU_GET_VRING_BASE] = { nmx_vhu_get_base, sizeof(struct nmx_vhu_state), 0, 0,
		sizeof(struct nmx_vhu_state) },
	[NMX_VHU_SET_VRING_KICK] = { nmx_vhu_set_kick, sizeof(uint64_t), 1, 0, 0 },
	[NMX_VHU_SET_VRING_CALL] = { nmx_vhu_set_call, sizeof(uint64_t), 1, 0, 0 },
	[NMX_VHU_SET_VRING_ERR] = { nmx_vhu_set_error, sizeof(uint64_t), 1, 0, 0 },
	[NMX_VHU_GET_PROTOCOL_FEATURES] = { get_protocol_features, 0, 0, 0, sizeof(uint64_t) },
	[NMX_VHU_SET_PROTOCOL_FEATURES] = { set_protocol_features, sizeof(uint64_t), 0, 0, 0 },
	[NMX_VHU_GET_QUEUE_NUM] = { get_queue_num, 0, 0, NMX_VHU_PROTOCOL_MQ, sizeof(uint64_t) },
	[NMX_VHU_SET_VRING_ENABLE] = { nmx_vhu_set_enabled, sizeof(struct nmx_vhu_state), 0, 0, 0 },
	[NMX_VHU_NET_SET_MTU] = { set_mtu, sizeof(uint64_t), 0, NMX_VHU_PROTOCOL_NET_MTU, 0 },
};

#define N_REQUESTS (sizeof(requests) / sizeof(requests[0]))

uint32_t
nmx_vhu_get_reply_size(uint32_t request)
{
	return request < N_REQUESTS ? requests[request].reply_size : 0;
}

int
nmx_vhu_execute(struct nmx_vhu_server *server)
{
	uint32_t request = server->header.request;
	uint64_t needed;

	if (request >= N_REQUESTS || requests[request].execute == NULL)
		return -ENOSYS;
	needed = requests[request].protocol_feature;
	if ((server->protocol_features & needed) != needed)
		return -ENOSYS;
	if (server->header.size < requests[request].size_min ||
		server->exchange.n_fds > requests[request].fds_max)
		return -EINVAL;
	memset(&server->reply, 0, sizeof(server->reply));
	return requests[request].execute(server);
}

void
nmx_vhu_finish(struct nmx_vhu_server *server, int result, uint32_t base)
{
	if (result != 0)
		return;
	if (server->header.request == NMX_VHU_SET_MEM_TABLE)
		nmx_vhu_adopt_table(server);
	else if (server->header.request == NMX_VHU_GET_VRING_BASE)
		nmx_vhu_end_ring(server, base);
}
