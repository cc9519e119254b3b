/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Devargs, and the plugin's face to the vdev bus. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_kvargs.h>

#include "abi/vdpdk_device.h"
#include "lib/dpdk/devargs.h"
#include "lib/dpdk/port.h"
#include "vdpdk_host.h"

#define ARG_PATH       "path"
#define ARG_QUEUES     "queues"
#define ARG_MAC        "mac"
#define ARG_MEM_MAX    "mem_max"
#define ARG_INTERRUPTS "interrupts"

#define MEM_BYTES_DEFAULT (UINT64_C(64) << 30)

RTE_LOG_REGISTER(vdpdk_host_logtype, pmd.net.vdpdk_host, NOTICE);

static int
parse_queues(const char *key, const char *value, void *args)
{
	uint64_t n;

	if (nmx_dpdk_parse_number(value, 1, VDPDK_QUEUE_PAIRS_MAX, &n) != 0) {
		HOST_LOG(ERR, "%s=%s is no number of queue pairs; give 1 to %u", key,
			value == NULL ? "" : value, VDPDK_QUEUE_PAIRS_MAX);
		return -EINVAL;
	}
	((struct vdpdk_host_args *)args)->n_queue_pairs = (uint16_t)n;
	return 0;
}

static int
parse_mac(const char *key, const char *value, void *args)
{
	struct rte_ether_addr *mac = &((struct vdpdk_host_args *)args)->guest_mac;

	if (nmx_dpdk_parse_mac(value, mac) != 0) {
		HOST_LOG(ERR, "%s=%s is no unicast MAC address; give one like 02:00:00:00:00:01",
			key, value == NULL ? "" : value);
		return -EINVAL;
	}
	return 0;
}

static int
parse_mem_max(const char *key, const char *value, void *args)
{
	uint64_t *bytes = &((struct vdpdk_host_args *)args)->mem_bytes_max;

	if (nmx_dpdk_parse_number(value, 1 << 20, UINT64_C(1) << 40, bytes) != 0) {
		HOST_LOG(
			ERR, "%s=%s is no size; give 1M to 1024G", key, value == NULL ? "" : value);
		return -EINVAL;
	}
	return 0;
}

static int
parse_interrupts(const char *key, const char *value, void *args)
{
	uint64_t n;

	if (nmx_dpdk_parse_number(value, 0, 1, &n) != 0) {
		HOST_LOG(ERR, "%s=%s is neither 0 nor 1", key, value == NULL ? "" : value);
		return -EINVAL;
	}
	((struct vdpdk_host_args *)args)->without_vectors = n == 0;
	return 0;
}

int
vdpdk_host_parse_args(const char *text, struct vdpdk_host_args *args)
{
	static const char *const keys[] = { ARG_PATH, ARG_QUEUES, ARG_MAC, ARG_MEM_MAX,
		ARG_INTERRUPTS, NULL };
	struct rte_kvargs *list;
	int ret = 0;

	memset(args, 0, sizeof(*args));
	args->n_queue_pairs = 1;
	args->mem_bytes_max = MEM_BYTES_DEFAULT;
	rte_eth_random_addr(args->guest_mac.addr_bytes);
	list = rte_kvargs_parse(text == NULL ? "" : text, keys);
	if (list == NULL) {
		HOST_LOG(ERR,
			"can't read \"%s\"; known are path=, queues=, mac=, mem_max=, interrupts=",
			text == NULL ? "" : text);
		return -EINVAL;
	}
	if (rte_kvargs_process(list, ARG_PATH, nmx_dpdk_keep_text, &args->path) != 0 ||
		rte_kvargs_process(list, ARG_QUEUES, parse_queues, args) != 0 ||
		rte_kvargs_process(list, ARG_MAC, parse_mac, args) != 0 ||
		rte_kvargs_process(list, ARG_MEM_MAX, parse_mem_max, args) != 0 ||
		rte_kvargs_process(list, ARG_INTERRUPTS, parse_interrupts, args) != 0)
		ret = -EINVAL;
	if (ret == 0 && (args->path == NULL || args->path[0] == '\0')) {
		HOST_LOG(ERR, "path= is missing; give the path of the socket to listen on");
		ret = -EINVAL;
	}
	rte_kvargs_free(list);
	if (ret != 0)
		free(args->path);
	return ret;
}

static int
init_port(struct rte_eth_dev *dev, void *vdev)
{
	struct vdpdk_host_args args;
	int ret = vdpdk_host_parse_args(rte_vdev_device_args(vdev), &args);

	if (ret != 0)
		return ret;
	ret = vdpdk_host_init_port(dev, &args);
	free(args.path);
	return ret;
}

static int
probe(struct rte_vdev_device *vdev)
{
	int ret = nmx_dpdk_begin_probe(
		&vdev->device, &vdpdk_host_view_operations, vdpdk_host_logtype, "net_vdpdk_host");

	if (ret != 0)
		return RTE_MIN(ret, 0);
	return nmx_dpdk_end_probe(rte_eth_vdev_allocate(vdev, sizeof(struct vdpdk_host_port)),
		init_port, vdev, vdpdk_host_logtype, "net_vdpdk_host");
}

static int
remove_port(struct rte_vdev_device *vdev)
{
	return nmx_dpdk_remove_port(rte_vdev_device_name(vdev));
}

static struct rte_vdev_driver driver = {
	.probe = probe,
	.remove = remove_port,
};

RTE_PMD_REGISTER_VDEV(net_vdpdk_host, driver);
RTE_PMD_REGISTER_PARAM_STRING(net_vdpdk_host,
	ARG_PATH "=<socket> " ARG_QUEUES "=<1-64> " ARG_MAC "=<guest's MAC> " ARG_MEM_MAX
		 "=<bytes, K, M or G> " ARG_INTERRUPTS "=<0|1>");
