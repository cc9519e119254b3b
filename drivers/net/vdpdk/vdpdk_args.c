/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Devargs. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>

#include "lib/dpdk/devargs.h"
#include "vdpdk.h"

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

int
vdpdk_parse_args(const char *text, bool has_path, struct vdpdk_args *args)
{
	static const char *const keys[] = { VDPDK_ARG_QUEUES, VDPDK_ARG_MAC, VDPDK_ARG_PATH, NULL };
	static const char *const pci_keys[] = { VDPDK_ARG_QUEUES, VDPDK_ARG_MAC, NULL };
	struct rte_kvargs *list = rte_kvargs_parse(
		text == NULL ? "" : text, has_path ? keys : pci_keys);
	int ret = 0;

	memset(args, 0, sizeof(*args));
	if (list == NULL) {
		VDPDK_LOG(ERR,
			"can't read \"%s\"; known are %squeues=, mac=", text == NULL ? "" : text,
			has_path ? "path=, " : "");
		return -EINVAL;
	}
	if (rte_kvargs_process(list, VDPDK_ARG_PATH, nmx_dpdk_keep_text, &args->path) != 0 ||
		rte_kvargs_process(list, VDPDK_ARG_QUEUES, parse_queues, args) != 0 ||
		rte_kvargs_process(list, VDPDK_ARG_MAC, parse_mac, args) != 0)
		ret = -EINVAL;
	if (ret == 0 && has_path && (args->path == NULL || args->path[0] == '\0')) {
		VDPDK_LOG(ERR, "path= is missing; give the path of the host's socket");
		ret = -EINVAL;
	}
	rte_kvargs_free(list);
	if (ret != 0)
		free(args->path);
	return ret;
}
