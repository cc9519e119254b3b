/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * EAL's memory as the device sees it.
 *
 * In a container a device address is a virtual address, whatever IOVA mode EAL picked. Memory is
 * reachable if its pages have files, which the host maps; an address range of EAL's is either all
 * of such pages or none. As a PCI function the device has the addresses that EAL gives to hardware,
 * and EAL itself sees to it that all of its memory is reachable. In both cases no further ranges
 * appear after EAL's start.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_memory.h>
#include <rte_memzone.h>

#include "vdpdk.h"
#include "vdpdk_transport.h"

static int
add_range(const struct rte_memseg_list *list, void *opaque)
{
	struct vdpdk_port *port = opaque;
	struct vdpdk_range *range = &port->ranges[port->n_ranges];

	if (list->external || list->len == 0)
		return 0;
	range->start = (uintptr_t)list->base_va;
	range->bytes = list->len;
	port->n_ranges++;
	return 0;
}

/** Whether pages have files; one tells for all. */
static int
probe_file(const struct rte_memseg_list *list, const struct rte_memseg *segment, void *opaque)
{
	bool *has_files = opaque;

	if (list->external)
		return 0;
	*has_files = rte_memseg_get_fd_thread_unsafe(segment) >= 0;
	return 1;
}

int
vdpdk_find_ranges(struct vdpdk_port *port)
{
	bool has_files = false;

	rte_memseg_walk(probe_file, &has_files);
	if (port->transport->shares_files && !has_files) {
		VDPDK_LOG(ERR, "EAL's memory has no files to share with the host; "
			       "use huge pages, --in-memory, or --no-huge on a kernel with memfd");
		return -ENOTSUP;
	}
	port->n_ranges = 0;
	rte_memseg_list_walk(add_range, port);
	return 0;
}

bool
vdpdk_is_reachable(const struct vdpdk_port *port, const void *start, size_t bytes)
{
	for (uint32_t i = 0; i < port->n_ranges; i++) {
		uintptr_t offset = (uintptr_t)start - port->ranges[i].start;

		if (offset < port->ranges[i].bytes && bytes <= port->ranges[i].bytes - offset)
			return true;
	}
	return false;
}

int
vdpdk_allocate_shared(const struct vdpdk_port *port, size_t bytes, unsigned int align,
	unsigned int socket, struct vdpdk_shared *ret)
{
	static atomic_uint number; /* what a stuck port keeps has its name for ever */
	char name[RTE_MEMZONE_NAMESIZE];
	const struct rte_memzone *zone;

	snprintf(name, sizeof(name), "vdpdk_%u", atomic_fetch_add(&number, 1));
	zone = rte_memzone_reserve_aligned(
		name, bytes, (int)socket, RTE_MEMZONE_IOVA_CONTIG, align);
	if (zone == NULL)
		return -ENOMEM;
	ret->start = zone->addr;
	ret->address = port->transport->uses_iova ? zone->iova : (uintptr_t)zone->addr;
	ret->zone = zone;
	return 0;
}

void
vdpdk_free_shared(struct vdpdk_shared *shared)
{
	if (shared->zone != NULL)
		rte_memzone_free(shared->zone);
	memset(shared, 0, sizeof(*shared));
}

struct pool_check {
	const struct vdpdk_port *port;
	bool good;
};

static void
check_chunk(struct rte_mempool *pool, void *opaque, struct rte_mempool_memhdr *chunk,
	unsigned int index)
{
	struct pool_check *check = opaque;

	(void)pool;
	(void)index;
	check->good = check->good && vdpdk_is_reachable(check->port, chunk->addr, chunk->len);
}

bool
vdpdk_check_pool(const struct vdpdk_port *port, struct rte_mempool *pool)
{
	struct pool_check check = { .port = port, .good = true };

	if (rte_pktmbuf_priv_flags(pool) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF)
		check.good = false;
	else
		rte_mempool_mem_iter(pool, check_chunk, &check);
	if (!check.good)
		PORT_LOG(port, ERR,
			"the host can't reach the buffers of pool %s; "
			"make the pool of EAL's own memory",
			pool->name);
	return check.good;
}

/* --- Changes --- */

/**
 * Context: EAL's memory lock is held, for writing; the memory is there in both cases. What is freed
 * goes when this returns.
 */
static void
on_memory_event(enum rte_mem_event event, const void *start, size_t bytes, void *opaque)
{
	struct vdpdk_port *port = opaque;
	int ret = 0;

	if (!vdpdk_is_reachable(port, start, bytes))
		return;
	if (event == RTE_MEM_EVENT_ALLOC)
		ret = port->transport->ops->map(port->transport, start, bytes);
	else if (event == RTE_MEM_EVENT_FREE)
		ret = port->transport->ops->unmap(port->transport, start, bytes);
	if (ret == 0 || atomic_load(&port->lost))
		return;
	PORT_LOG(port, ERR, "the host doesn't follow a change of memory (%s); connecting anew",
		rte_strerror(-ret));
	vdpdk_lose_session(port);
}

int
vdpdk_watch_memory(struct vdpdk_port *port)
{
	int ret;

	if (!port->transport->shares_files)
		return 0;
	ret = rte_mem_event_callback_register(port->name, on_memory_event, port);
	if (ret == 0)
		return 0;
	if (rte_errno != ENOTSUP)
		return -rte_errno;
	port->memory_is_fixed = true;
	return 0;
}

void
vdpdk_unwatch_memory(struct vdpdk_port *port)
{
	if (port->transport->shares_files && !port->memory_is_fixed)
		rte_mem_event_callback_unregister(port->name, port);
}
