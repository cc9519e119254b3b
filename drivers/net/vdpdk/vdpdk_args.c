/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Devargs, and the plugin's face to the vdev bus: the device of a container. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_kvargs.h>

#include "lib/dpdk/compat.h"
#include "lib/dpdk/devargs.h"
#include "lib/dpdk/vdev_port.h"
#include "vdpdk.h"

#define ARG_PATH   "path"
#define ARG_QUEUES "queues"
#define ARG_MAC    "mac"

RTE_LOG_REGISTER(vdpdk_logtype, pmd.net.vdpdk, NOTICE);

static int
parse_path(const char *key, const char *value, void *args)
{
	char **path = &((struct vdpdk_args *)args)->path;

	(void)key;
	free(*path);
	*path = strdup(value == NULL ? "" : value);
	return *path == NULL ? -ENOMEM : 0;
}

static int
parse_queues(const char *key, const char *value, void *args)
{
	uint64_t n;

	if (nmx_dpdk_parse_number(value, 1, VDPDK_QUEUE_PAIRS_MAX, &n) != 0) {
		VDPDK_LOG(ERR, "%s=%s is no number of queue pairs; give 1 to %u", key,
			value == NULL ? "" : value, VDPDK_QUEUE_PAIRS_MAX);
		return -EINVAL;
	}
	((struct vdpdk_args *)args)->n_queue_pairs = (uint16_t)n;
	return 0;
}

static int
parse_mac(const char *key, const char *value, void *opaque)
{
	struct vdpdk_args *args = opaque;

	if (nmx_dpdk_parse_mac(value, &args->mac) != 0) {
		VDPDK_LOG(ERR, "%s=%s is no unicast MAC address; give one like 02:00:00:00:00:01",
			key, value == NULL ? "" : value);
		return -EINVAL;
	}
	args->has_mac = true;
	return 0;
}

/** Read devargs. @return 0 and *args, its path to be freed; -EINVAL after one logged sentence */
static int
parse_args(const char *text, struct vdpdk_args *args)
{
	static const char *const keys[] = { ARG_PATH, ARG_QUEUES, ARG_MAC, NULL };
	struct rte_kvargs *list = rte_kvargs_parse(text == NULL ? "" : text, keys);
	int ret = 0;

	memset(args, 0, sizeof(*args));
	if (list == NULL) {
		VDPDK_LOG(ERR, "can't read \"%s\"; known are path=, queues=, mac=",
			text == NULL ? "" : text);
		return -EINVAL;
	}
	if (rte_kvargs_process(list, ARG_PATH, parse_path, args) != 0 ||
		rte_kvargs_process(list, ARG_QUEUES, parse_queues, args) != 0 ||
		rte_kvargs_process(list, ARG_MAC, parse_mac, args) != 0)
		ret = -EINVAL;
	if (ret == 0 && (args->path == NULL || args->path[0] == '\0')) {
		VDPDK_LOG(ERR, "path= is missing; give the path of the host's socket");
		ret = -EINVAL;
	}
	rte_kvargs_free(list);
	if (ret != 0)
		free(args->path);
	return ret;
}

static int
check_release(void)
{
	if (!nmx_dpdk_is_built_for()) {
		VDPDK_LOG(ERR, "built for DPDK " NMX_DPDK_BUILT_FOR ", but this is %s; rebuild",
			rte_version());
		return -ENOTSUP;
	}
	return 0;
}

/** A secondary process: the port is there, made by the primary. */
static int
attach_view(struct rte_vdev_device *vdev)
{
	int ret = nmx_dpdk_attach_view(vdev, &vdpdk_view_operations);

	if (ret != 0)
		VDPDK_LOG(ERR, "the primary has no port %s; let it make the port first",
			rte_vdev_device_name(vdev));
	return ret;
}

static int
probe(struct rte_vdev_device *vdev)
{
	struct vdpdk_args args;
	struct rte_eth_dev *dev;
	int ret = check_release();

	if (ret == 0 && rte_eal_process_type() != RTE_PROC_PRIMARY)
		return attach_view(vdev);
	if (ret == 0)
		ret = parse_args(rte_vdev_device_args(vdev), &args);
	if (ret != 0)
		return ret;
	dev = rte_eth_vdev_allocate(vdev, sizeof(struct vdpdk_port));
	if (dev == NULL) {
		VDPDK_LOG(ERR, "no room for another port; this DPDK has %u", RTE_MAX_ETHPORTS);
		free(args.path);
		return -ENOSPC;
	}
	ret = vdpdk_init_port(dev, &args);
	if (ret != 0)
		rte_eth_dev_release_port(dev);
	else
		rte_eth_dev_probing_finish(dev);
	return ret;
}

static struct rte_vdev_driver driver = {
	.probe = probe,
	.remove = nmx_dpdk_remove_port,
};

RTE_PMD_REGISTER_VDEV(net_vdpdk, driver);
RTE_PMD_REGISTER_PARAM_STRING(
	net_vdpdk, ARG_PATH "=<socket> " ARG_QUEUES "=<1-64> " ARG_MAC "=<MAC address>");
