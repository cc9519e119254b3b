/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What is known of an uplink's device before it is tried.
 *
 * A device that reads and writes memory by itself needs a guest's to be mapped for it, and then
 * takes each buffer's address as its driver finds it in the mbuf. In mode VA that is the address
 * in this process; in mode PA the pages of a guest would have to be found, and kept from moving.
 * Some drivers look at an mbuf's pool instead, for a key, or for a pool in hardware: their devices
 * would be told nothing of a guest's memory, or write somewhere else. A port over other ports
 * hands its pool on to devices that aren't known here.
 *
 * A driver that gets a frame's VLAN tag beside the frame may put it back, in front of where the
 * frame lies. That is headroom to the driver, and to the guest the end of another buffer.
 */

#include "uplink.h"

#include <errno.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_vfio.h>

#include "loans.h"

/** Beginnings of drivers' names. */
static const char *const over_others[] = { "net_bonding", "net_failsafe", "net_softflow",
	"net_netvsc", "net_vdev_netvsc" };
static const char *const know_pools[] = { "mlx5", "net_mlx", "net_mana", "net_cn", "net_octeontx",
	"net_thunderx", "net_dpaa" };

/** They insert tags, unless they are told to strip them. */
static const char *const insert_tags[] = { "net_af_packet" };

static bool
is_one_of(const char *name, const char *const *beginnings, size_t n)
{
	for (size_t i = 0; name != NULL && i < n; i++)
		if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

static bool
strips_tags(uint16_t port)
{
	struct rte_eth_conf conf;

	return rte_eth_dev_conf_get(port, &conf) == 0 &&
	       (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0;
}

static bool
is_of_vdev_bus(const struct rte_device *device)
{
	return strcmp(rte_bus_name(rte_dev_bus(device)), "vdev") == 0;
}

enum nmx_rxmap_verdict
nmx_rxmap_judge_device(uint16_t port)
{
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(port, &info) != 0 || info.device == NULL ||
		is_one_of(info.driver_name, over_others, RTE_DIM(over_others)))
		return NMX_RXMAP_UNKNOWN_DEVICE;
	if (is_one_of(info.driver_name, insert_tags, RTE_DIM(insert_tags)) && !strips_tags(port))
		return NMX_RXMAP_INSERTS_TAGS;
	if (is_of_vdev_bus(info.device))
		return NMX_RXMAP_UNTRIED;
	if (is_one_of(info.driver_name, know_pools, RTE_DIM(know_pools)))
		return NMX_RXMAP_KNOWS_POOLS;
	return rte_eal_iova_mode() == RTE_IOVA_VA ? NMX_RXMAP_UNTRIED : NMX_RXMAP_NEEDS_VA;
}

/* rte_dev_dma_map() wants all memory in EAL's tables first, which have room for a few areas. Below
 * it are these two ways.
 */

static int
map_in_container(void *unused, void *host, uint64_t size)
{
	const uint64_t address = (uintptr_t)host;

	(void)unused;
	rte_errno = 0;
	if (rte_vfio_container_dma_map(RTE_VFIO_DEFAULT_CONTAINER_FD, address, address, size) == 0)
		return 0;
	return rte_errno > 0 ? -rte_errno : -EIO;
}

static void
unmap_in_container(void *unused, void *host, uint64_t size)
{
	const uint64_t address = (uintptr_t)host;

	(void)unused;
	/* It fails if the container is gone, and all its mappings with it. */
	(void)rte_vfio_container_dma_unmap(RTE_VFIO_DEFAULT_CONTAINER_FD, address, address, size);
}

static const struct rte_vdev_driver *
get_vdev_driver(const struct rte_device *device)
{
	return container_of(rte_dev_driver(device), const struct rte_vdev_driver, driver);
}

static int
map_for_vdev(void *device, void *host, uint64_t size)
{
	rte_errno = 0;
	if (get_vdev_driver(device)->dma_map(
		    RTE_DEV_TO_VDEV((struct rte_device *)device), host, (uintptr_t)host, size) == 0)
		return 0;
	return rte_errno > 0 ? -rte_errno : -EIO;
}

static void
unmap_for_vdev(void *device, void *host, uint64_t size)
{
	const struct rte_vdev_driver *driver = get_vdev_driver(device);

	if (driver->dma_unmap != NULL)
		(void)driver->dma_unmap(
			RTE_DEV_TO_VDEV((struct rte_device *)device), host, (uintptr_t)host, size);
}

bool
nmx_rxmap_get_device_domain(uint16_t port, struct nmx_mem_domain *ret_domain)
{
	/* Whatever has no way of its own is in EAL's one container. */
	static const struct nmx_mem_domain container = {
		.key = "container",
		.map = map_in_container,
		.unmap = unmap_in_container,
	};
	struct rte_eth_dev_info info;

	if (nmx_rxmap_judge_device(port) != NMX_RXMAP_UNTRIED ||
		rte_eth_dev_info_get(port, &info) != 0)
		return false;
	if (!is_of_vdev_bus(info.device)) {
		*ret_domain = container;
		return true;
	}
	if (get_vdev_driver(info.device)->dma_map == NULL)
		return false;
	*ret_domain = (struct nmx_mem_domain){
		.key = info.device,
		.device = info.device,
		.map = map_for_vdev,
		.unmap = unmap_for_vdev,
	};
	return true;
}

bool
nmx_rxmap_get_domain(const struct nmx_rxmap *map, struct nmx_mem_domain *ret_domain)
{
	const enum nmx_rxmap_verdict verdict = (enum nmx_rxmap_verdict)atomic_load(&map->verdict);

	/* What is never lent needn't be pinned. */
	if (verdict != NMX_RXMAP_UNTRIED && !nmx_rxmap_is_fit(verdict))
		return false;
	return nmx_rxmap_get_device_domain(map->uplink.port, ret_domain);
}
