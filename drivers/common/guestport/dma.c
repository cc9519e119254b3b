/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Guests' memory for uplinks whose devices write to it themselves (lib/mem/dma.h).
 *
 * Theory of operation
 *
 * A queue that lends to such an uplink enters its domain for as long as it does, in whatever
 * address space the guest of the moment has; so does one whose frames such a device sends in place.
 * From then on the control thread maps the guest's memory for the device, piece by piece, in turns
 * in which it has nothing to do for that guest; so no guest waits for it, and what isn't mapped
 * yet, or can't be, isn't lent. Control, all of it.
 */

#include <rte_errno.h>

#include "drivers/common/rxmap/tx_queue.h"
#include "drivers/common/rxmap/uplink.h"
#include "port.h"

/** The domain of one queue of twice n_queue_pairs. */
static const struct nmx_mem_domain *
get_domain(const struct nmx_guestport *port, uint32_t i)
{
	return i % 2 == 0 ? &port->to_guest[i / 2].domain : &port->from_guest[i / 2].domain;
}

/** Different ones of the port's queues. */
static uint32_t
count_domains(const struct nmx_guestport *port)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < 2u * port->n_queue_pairs; i++) {
		const void *key = get_domain(port, i)->key;
		uint32_t j = 0;

		while (get_domain(port, j)->key != key)
			j++;
		n += key != NULL && j == i;
	}
	return n;
}

void
nmx_guestport_init_domain(struct nmx_from_guest *queue)
{
	if (!nmx_rxmap_get_device_domain(queue->tx->uplink.port, &queue->domain))
		queue->domain.key = NULL;
}

int
nmx_guestport_enter_domain(struct nmx_to_guest *queue, const struct nmx_rxmap *map)
{
	struct nmx_guestport *port = queue->port;
	int ret = 0;

	if (!nmx_rxmap_get_domain(map, &queue->domain))
		return 0;
	/* An address space that comes later has room for as many. */
	if (count_domains(port) > NMX_MEM_DOMAINS_MAX)
		ret = -ENOSPC;
	else if (port->mem != NULL)
		ret = nmx_mem_enter_domain(port->mem, &queue->domain);
	if (ret != 0)
		queue->domain.key = NULL;
	return ret;
}

static void
leave_domain(struct nmx_guestport *port, struct nmx_mem_domain *domain)
{
	if (domain->key == NULL)
		return;
	if (port->mem != NULL)
		nmx_mem_leave_domain(port->mem, domain->key);
	domain->key = NULL;
}

void
nmx_guestport_leave_domain(struct nmx_to_guest *queue)
{
	leave_domain(queue->port, &queue->domain);
}

void
nmx_guestport_leave_tx_domain(struct nmx_from_guest *queue)
{
	leave_domain(queue->port, &queue->domain);
}

int
nmx_guestport_enter_domains(struct nmx_guestport *port)
{
	int ret = 0;

	port->told_dma = false;
	for (uint32_t i = 0; ret == 0 && i < 2u * port->n_queue_pairs; i++)
		if (get_domain(port, i)->key != NULL)
			ret = nmx_mem_enter_domain(port->mem, get_domain(port, i));
	return ret;
}

/** Once a session: it may go on for as long as it likes with copies. */
static void
tell_refusal(struct nmx_guestport *port)
{
	struct nmx_mem_dma_counts counts;

	if (port->told_dma)
		return;
	nmx_mem_count_dma(port->mem, &counts);
	if (counts.refused_maps == 0 || !nmx_guestport_may_log(port))
		return;
	port->told_dma = true;
	PORT_LOG(port, WARNING,
		"%u maps of the guest's memory can't be mapped for the uplink's device (%s): what "
		"comes there is copied; see the limit of locked memory, dma_entry_limit of "
		"vfio_iommu_type1, or give the guest huge pages",
		counts.refused_maps, rte_strerror(-counts.error));
}

bool
nmx_guestport_needs_dma(const struct nmx_guestport *port)
{
	/* What is replaced in a view has a grace period of its own. */
	return port->mem != NULL && !port->ending && port->reclaim_grace == NO_GRACE &&
	       nmx_mem_needs_dma(port->mem);
}

void
nmx_guestport_advance_dma(struct nmx_guestport *port)
{
	bool was_busy = port->has_mapped;

	port->has_mapped = false;
	/* Maps come by the thousand: when there are none for a turn, all are done at once. */
	if (was_busy || !nmx_guestport_needs_dma(port))
		return;
	if (!nmx_mem_advance_dma(port->mem))
		tell_refusal(port);
	if (nmx_mem_needs_reclaim(port->mem))
		port->reclaim_grace = nmx_base_ask_grace(&port->grace);
}
