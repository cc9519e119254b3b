/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Mapped queues: their maps, and whose buffers these lend. */

#include <errno.h>
#include <stdio.h>

#include "drivers/common/guestport/guestport.h"
#include "softflow.h"

/** Mbufs that a program may have in its hands, beside what the lower queue holds. */
#define IN_HAND_MIN 512
#define IN_HAND_MAX 4096

/** The guest's queue that a target means. @return NULL after one logged sentence */
static struct nmx_to_guest *
find_guest(const struct softflow_target *target)
{
	struct nmx_guestport *guest = nmx_guestport_find(target->port);

	if (guest == NULL) {
		SOFTFLOW_LOG(ERR,
			"map= names %s, which is no guest's port of this process; make that first",
			target->port);
		return NULL;
	}
	if (target->queue >= nmx_guestport_count_queue_pairs(guest)) {
		SOFTFLOW_LOG(ERR,
			"map= names queue %u of %s, which has %u; see its queues=", target->queue,
			target->port, nmx_guestport_count_queue_pairs(guest));
		return NULL;
	}
	return nmx_guestport_get_to_guest(guest, target->queue);
}

void
softflow_end_map(struct softflow_port *port, uint16_t index)
{
	struct softflow_rx_queue *queue = &port->rx[index];
	struct rte_mempool *pool;

	if (queue->map == NULL)
		return;
	pool = nmx_rxmap_get_pool(queue->map);
	if (nmx_guestport_stop_lending_to(queue->map) == 0 && rte_mempool_full(pool)) {
		nmx_rxmap_destroy(queue->map);
	} else {
		SOFTFLOW_LOG(WARNING,
			"%u mbufs of Rx queue %u haven't come back; its pool is kept for ever, "
			"free them before the port is closed",
			rte_mempool_in_use_count(pool), index);
		port->leaks = true;
	}
	queue->map = NULL;
}

int
softflow_try_maps(struct softflow_port *port, uint16_t n_tx)
{
	int ret = 0;

	for (uint16_t i = 0; i < SOFTFLOW_QUEUES_MAX; i++) {
		enum nmx_rxmap_verdict verdict;

		if (port->rx[i].map == NULL)
			continue;
		/* A driver's Tx queues are alike. */
		if (port->tries_tx && n_tx > 0)
			(void)nmx_rxmap_try_tx(port->rx[i].map, 0);
		verdict = nmx_rxmap_try_uplink(port->rx[i].map);
		if (nmx_rxmap_is_fit(verdict))
			continue;
		if (port->mode == SOFTFLOW_MODE_MAP)
			ret = -ENOTSUP;
		SOFTFLOW_LOG(WARNING,
			"Rx queue %u of the port below isn't filled with the guest's buffers: %s; "
			"%s",
			i, nmx_rxmap_explain_verdict(verdict),
			ret != 0 ? "with mode=map that isn't allowed" : "frames are copied");
	}
	return ret;
}

/** Why nmx_guestport_lend_to() failed, and what to do. */
static const char *
explain_failure(int error)
{
	switch (error) {
	case -EEXIST:
		return "the guest's queue is mapped to another one; a guest's queue has one";
	case -ENOSPC:
		return "the guest's queues are mapped to too many devices; use fewer";
	case -ENOMEM:
		return "no memory; give EAL more";
	}
	return "a burst to the guest doesn't end; see what that lcore does";
}

static int
create_map(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors, int socket,
	struct rte_mempool *pool, struct nmx_rxmap **ret_map)
{
	static _Atomic unsigned int serial;
	struct softflow_port *port = dev->data->dev_private;
	char name[RTE_MEMPOOL_NAMESIZE];
	uint32_t in_hand = RTE_MAX(pool->size, (uint32_t)IN_HAND_MIN);
	const struct nmx_rxmap_config config = {
		.name = name,
		.port = port->wrap.lower,
		.queue = index,
		.n_shells = n_descriptors + RTE_MIN(in_hand, (uint32_t)IN_HAND_MAX),
		.room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM,
		.socket = socket,
		.shown = true,
		.recaller = port->recaller,
	};
	const char *reason;
	int ret;

	/* Unlike that of a pool that is kept for ever. */
	snprintf(name, sizeof(name), "softflow%u_%u_%u", dev->data->port_id, index, serial++);
	ret = nmx_rxmap_create(&config, ret_map, &reason);
	if (ret != 0)
		SOFTFLOW_LOG(
			ERR, "can't map Rx queue %u: %s (%s)", index, reason, rte_strerror(-ret));
	return ret;
}

int
softflow_make_map(struct rte_eth_dev *dev, uint16_t index, uint16_t n_descriptors, int socket,
	struct rte_mempool *pool)
{
	struct softflow_port *port = dev->data->dev_private;
	const struct softflow_target *target = &port->targets[index];
	struct softflow_rx_queue *queue = &port->rx[index];
	struct nmx_to_guest *guest = find_guest(target);
	int ret;

	if (guest == NULL)
		return -ENODEV;
	softflow_end_map(port, index);
	ret = create_map(dev, index, n_descriptors, socket, pool, &queue->map);
	if (ret != 0)
		return ret;
	nmx_rxmap_set_lending(queue->map, port->mode != SOFTFLOW_MODE_COPY);
	ret = nmx_guestport_lend_to(guest, queue->map);
	if (ret != 0) {
		SOFTFLOW_LOG(ERR, "can't map Rx queue %u: %s", index, explain_failure(ret));
		softflow_end_map(port, index);
	}
	return ret;
}
