/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Devargs, and the plugin's face to the vdev bus. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_kvargs.h>

#include "lib/dpdk/devargs.h"
#include "lib/dpdk/port.h"
#include "softflow.h"

#define ARG_LOWER "lower"
#define ARG_MAP   "map"
#define ARG_MODE  "mode"
#define ARG_TX    "tx_trial"

RTE_LOG_REGISTER(softflow_logtype, pmd.net.softflow, NOTICE);

/** Cut the part of *rest off that ends at ':' or at the end; NULL: there is none. */
static const char *
take_part(char **rest)
{
	char *part = *rest, *end;

	if (part == NULL)
		return NULL;
	end = strchr(part, ':');
	*rest = end == NULL ? NULL : end + 1;
	if (end != NULL)
		*end = '\0';
	return part;
}

static int
parse_map(const char *key, const char *value, void *args)
{
	char text[128], *rest = text;
	const char *queue, *port, *guest_queue;
	struct softflow_target *target;
	uint64_t n, k = 0;

	snprintf(text, sizeof(text), "%s", value == NULL ? "" : value);
	queue = take_part(&rest);
	port = take_part(&rest);
	guest_queue = take_part(&rest);
	if (nmx_dpdk_parse_number(queue, 0, SOFTFLOW_QUEUES_MAX - 1, &n) != 0 || port == NULL ||
		port[0] == '\0' || strlen(port) >= sizeof(target->port) || rest != NULL ||
		(guest_queue != NULL &&
			nmx_dpdk_parse_number(guest_queue, 0, SOFTFLOW_QUEUES_MAX - 1, &k) != 0)) {
		SOFTFLOW_LOG(ERR,
			"%s=%s can't be read; give <Rx queue>:<guest's port>[:<its queue>], as in "
			"map=0:net_vdpdk_host0",
			key, value == NULL ? "" : value);
		return -EINVAL;
	}
	target = &((struct softflow_args *)args)->targets[n];
	if (target->port[0] != '\0') {
		SOFTFLOW_LOG(ERR, "%s= names queue %u twice; a queue has one guest", key,
			(unsigned int)n);
		return -EINVAL;
	}
	snprintf(target->port, sizeof(target->port), "%s", port);
	target->queue = (uint16_t)k;
	return 0;
}

static int
parse_mode(const char *key, const char *value, void *args)
{
	static const char *const names[] = {
		[SOFTFLOW_MODE_AUTO] = "auto",
		[SOFTFLOW_MODE_MAP] = "map",
		[SOFTFLOW_MODE_COPY] = "copy",
	};

	unsigned int i;

	if (nmx_dpdk_parse_word(value, names, RTE_DIM(names), &i) != 0) {
		SOFTFLOW_LOG(ERR, "%s=%s isn't known; give auto, map or copy", key,
			value == NULL ? "" : value);
		return -EINVAL;
	}
	((struct softflow_args *)args)->mode = (enum softflow_mode)i;
	return 0;
}

static int
parse_tx_trial(const char *key, const char *value, void *args)
{
	uint64_t n;

	if (nmx_dpdk_parse_number(value, 0, 1, &n) != 0) {
		SOFTFLOW_LOG(ERR,
			"%s=%s can't be read; give 1, for a trial that sends frames, or 0", key,
			value == NULL ? "" : value);
		return -EINVAL;
	}
	((struct softflow_args *)args)->tries_tx = n == 1;
	return 0;
}

/** Read what is left of devargs without what was in brackets. */
static int
parse_pairs(const char *text, struct softflow_args *args)
{
	static const char *const keys[] = { ARG_LOWER, ARG_MAP, ARG_MODE, ARG_TX, NULL };
	struct rte_kvargs *list = rte_kvargs_parse(text, keys);
	int ret = 0;

	if (list == NULL) {
		SOFTFLOW_LOG(ERR,
			"can't read \"%s\"; known are lower=, map=, mode= and tx_trial=", text);
		return -EINVAL;
	}
	if (rte_kvargs_process(list, ARG_LOWER, nmx_dpdk_keep_text, &args->lower) != 0 ||
		rte_kvargs_process(list, ARG_MAP, parse_map, args) != 0 ||
		rte_kvargs_process(list, ARG_MODE, parse_mode, args) != 0 ||
		rte_kvargs_process(list, ARG_TX, parse_tx_trial, args) != 0)
		ret = -EINVAL;
	rte_kvargs_free(list);
	return ret;
}

int
softflow_parse_args(const char *text, struct softflow_args *args)
{
	char *rest = strdup(text == NULL ? "" : text), *bracketed = NULL;
	int ret = -ENOMEM;

	memset(args, 0, sizeof(*args));
	if (rest != NULL)
		ret = nmx_dpdk_take_brackets(rest, ARG_LOWER, &bracketed);
	if (ret != 0)
		SOFTFLOW_LOG(ERR, "no memory to read devargs");
	else
		ret = parse_pairs(rest, args);
	free(rest);
	if (ret == 0 && bracketed != NULL) {
		free(args->lower);
		args->lower = bracketed;
		bracketed = NULL;
	}
	free(bracketed);
	if (ret == 0 && (args->lower == NULL || args->lower[0] == '\0')) {
		SOFTFLOW_LOG(ERR, "lower= is missing; name the port below, as in lower=net_null0");
		ret = -EINVAL;
	}
	if (ret != 0)
		free(args->lower);
	return ret;
}

static int
init_port(struct rte_eth_dev *dev, void *vdev)
{
	struct softflow_args args;
	int ret = softflow_parse_args(rte_vdev_device_args(vdev), &args);

	if (ret != 0)
		return ret;
	ret = softflow_init_port(dev, &args);
	free(args.lower);
	return ret;
}

static int
probe(struct rte_vdev_device *vdev)
{
	/* Its queues have their memory here: a secondary has nothing to look at. */
	static const struct eth_dev_ops view = {
		.dev_close = nmx_dpdk_close_view,
		.link_update = nmx_dpdk_keep_link,
	};
	int ret = nmx_dpdk_begin_probe(&vdev->device, &view, softflow_logtype, "net_softflow");

	if (ret != 0)
		return RTE_MIN(ret, 0);
	return nmx_dpdk_end_probe(rte_eth_vdev_allocate(vdev, sizeof(struct softflow_port)),
		init_port, vdev, softflow_logtype, "net_softflow");
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

RTE_PMD_REGISTER_VDEV(net_softflow, driver);
RTE_PMD_REGISTER_PARAM_STRING(net_softflow,
	ARG_LOWER "=<port|[devargs]> " ARG_MAP "=<queue>:<guest's port>[:<its queue>] " ARG_MODE
		  "=auto|map|copy " ARG_TX "=0|1");
