/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Devargs, and a plugin's face to the vdev bus. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ethdev_vdev.h>
#include <rte_eal.h>

#include "abi/vdpdk_device.h"
#include "lib/dpdk/devargs.h"
#include "lib/dpdk/port.h"
#include "shell.h"

#define MEM_BYTES_DEFAULT (UINT64_C(64) << 30)

/** What rte_kvargs hands through. */
struct target {
	const struct nmx_guestshell_driver *driver;
	struct nmx_guestport_config *config;
};

struct flag {
	const struct nmx_guestshell_driver *driver;
	bool *ret;
};

static int
parse_queues(const char *key, const char *value, void *args)
{
	struct target *target = args;
	uint64_t n;

	if (nmx_dpdk_parse_number(value, 1, VDPDK_QUEUE_PAIRS_MAX, &n) != 0) {
		SHELL_LOG(target->driver, ERR, "%s=%s is no number of queue pairs; give 1 to %u",
			key, value == NULL ? "" : value, VDPDK_QUEUE_PAIRS_MAX);
		return -EINVAL;
	}
	target->config->n_queue_pairs = (uint16_t)n;
	return 0;
}

static int
parse_mem_max(const char *key, const char *value, void *args)
{
	struct target *target = args;

	if (nmx_dpdk_parse_number(
		    value, 1 << 20, UINT64_C(1) << 40, &target->config->mem_bytes_max) != 0) {
		SHELL_LOG(target->driver, ERR, "%s=%s is no size; give 1M to 1024G", key,
			value == NULL ? "" : value);
		return -EINVAL;
	}
	return 0;
}

static int
parse_mode(const char *key, const char *value, void *args)
{
	static const char *const names[] = {
		[NMX_GUEST_AUTO] = "auto",
		[NMX_GUEST_MAP] = "map",
		[NMX_GUEST_COPY] = "copy",
	};
	struct target *target = args;
	unsigned int i;

	if (nmx_dpdk_parse_word(value, names, RTE_DIM(names), &i) != 0) {
		SHELL_LOG(target->driver, ERR, "%s=%s isn't known; give auto, map or copy", key,
			value == NULL ? "" : value);
		return -EINVAL;
	}
	target->config->lending = (enum nmx_guest_mode)i;
	return 0;
}

static int
parse_flag(const char *key, const char *value, void *args)
{
	struct flag *target = args;
	uint64_t n;

	if (nmx_dpdk_parse_number(value, 0, 1, &n) != 0) {
		SHELL_LOG(target->driver, ERR, "%s=%s is neither 0 nor 1", key,
			value == NULL ? "" : value);
		return -EINVAL;
	}
	*target->ret = n == 1;
	return 0;
}

int
nmx_guestshell_parse_flag(const struct nmx_guestshell_driver *driver, struct rte_kvargs *list,
	const char *key, bool *ret)
{
	struct flag flag = { driver, ret };

	return rte_kvargs_process(list, key, parse_flag, &flag) == 0 ? 0 : -EINVAL;
}

/** The keys as a sentence has them. */
static void
list_keys(const char *const *keys, char *text, size_t bytes)
{
	text[0] = '\0';
	for (; *keys != NULL; keys++) {
		strlcat(text, *keys, bytes);
		strlcat(text, keys[1] == NULL ? "=" : "=, ", bytes);
	}
}

/** Read all of a list. @return 0; -EINVAL after one logged sentence */
static int
parse_list(const struct nmx_guestshell_driver *driver, struct rte_kvargs *list,
	struct nmx_guestport_config *config, char **ret_path, bool *ret_attaches)
{
	struct target target = { driver, config };

	if (rte_kvargs_process(list, driver->path_key, nmx_dpdk_keep_text, ret_path) != 0 ||
		rte_kvargs_process(list, NMX_GUESTSHELL_ARG_QUEUES, parse_queues, &target) != 0 ||
		rte_kvargs_process(list, NMX_GUESTSHELL_ARG_MEM_MAX, parse_mem_max, &target) != 0 ||
		rte_kvargs_process(list, NMX_GUESTSHELL_ARG_MODE, parse_mode, &target) != 0)
		return -EINVAL;
	if (driver->parse(driver, list, config) != 0 ||
		nmx_guestshell_parse_flag(driver, list, NMX_GUESTSHELL_ARG_TX_ZC, ret_attaches) !=
			0)
		return -EINVAL;
	if (*ret_attaches && rte_eal_iova_mode() == RTE_IOVA_PA) {
		SHELL_LOG(driver, ERR,
			"%s=1: devices would know a guest's memory by its physical address, which "
			"nobody knows here; start with --iova-mode=va, or leave it out",
			NMX_GUESTSHELL_ARG_TX_ZC);
		return -EINVAL;
	}
	if (*ret_path == NULL || (*ret_path)[0] == '\0') {
		SHELL_LOG(driver, ERR, "%s= is missing; give the path of the socket",
			driver->path_key);
		return -EINVAL;
	}
	config->path = *ret_path;
	return 0;
}

/** @param ret_path  behind config->path, to be freed on success */
static int
parse_args(const struct nmx_guestshell_driver *driver, const char *text,
	struct nmx_guestport_config *config, char **ret_path, bool *ret_attaches)
{
	struct rte_kvargs *list = rte_kvargs_parse(text == NULL ? "" : text, driver->keys);
	int ret;

	*config = (struct nmx_guestport_config){
		.n_queue_pairs = 1,
		.mem_bytes_max = MEM_BYTES_DEFAULT,
		.mode = 0600,
		.user = (uid_t)-1,
		.group = (gid_t)-1,
	};
	*ret_path = NULL;
	*ret_attaches = false;
	if (list == NULL) {
		char known[128];

		list_keys(driver->keys, known, sizeof(known));
		SHELL_LOG(driver, ERR, "can't read \"%s\"; known are %s", text == NULL ? "" : text,
			known);
		return -EINVAL;
	}
	ret = parse_list(driver, list, config, ret_path, ret_attaches);
	rte_kvargs_free(list);
	if (ret != 0)
		free(*ret_path);
	return ret;
}

/** What a probe hands through. */
struct probe {
	const struct nmx_guestshell_driver *driver;
	struct rte_vdev_device *vdev;
};

static int
init_port(struct rte_eth_dev *dev, void *context)
{
	const struct probe *probe = context;
	struct nmx_guestport_config config;
	bool attaches;
	char *path;
	int ret = parse_args(
		probe->driver, rte_vdev_device_args(probe->vdev), &config, &path, &attaches);

	if (ret != 0)
		return ret;
	ret = nmx_guestshell_init_port(dev, probe->driver, &config, attaches);
	free(path);
	return ret;
}

int
nmx_guestshell_probe(struct rte_vdev_device *vdev, const struct nmx_guestshell_driver *driver)
{
	struct probe probe = { driver, vdev };
	int ret = nmx_dpdk_begin_probe(
		&vdev->device, &nmx_guestshell_view_operations, *driver->logtype, driver->name);

	if (ret != 0)
		return RTE_MIN(ret, 0);
	return nmx_dpdk_end_probe(rte_eth_vdev_allocate(vdev, sizeof(struct nmx_guestshell)),
		init_port, &probe, *driver->logtype, driver->name);
}

int
nmx_guestshell_remove(struct rte_vdev_device *vdev)
{
	return nmx_dpdk_remove_port(rte_vdev_device_name(vdev));
}
