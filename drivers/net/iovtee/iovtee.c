/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** net_iovtee: a guest with a virtio network device, over vhost-user, as an ethdev port. */

#include <errno.h>

#include "drivers/common/guestshell/shell.h"

#define ARG_IFACE  "iface"
#define ARG_CLIENT "client"
#define ARG_CSUM   "csum"
#define ARG_TSO    "tso"

RTE_LOG_REGISTER(iovtee_logtype, pmd.net.iovtee, NOTICE);

static int
parse(const struct nmx_guestshell_driver *driver, struct rte_kvargs *list,
	struct nmx_guestport_config *config)
{
	bool csum = false, tso = false;

	config->kind = NMX_GUEST_VIRTIO;
	if (nmx_guestshell_parse_flag(driver, list, ARG_CLIENT, &config->connects) != 0 ||
		nmx_guestshell_parse_flag(driver, list, ARG_CSUM, &csum) != 0 ||
		nmx_guestshell_parse_flag(driver, list, ARG_TSO, &tso) != 0)
		return -EINVAL;
	/* What is cut gets new checksums. */
	if (csum || tso)
		config->offloads |= NMX_OFFLOAD_CSUM;
	if (tso)
		config->offloads |= NMX_OFFLOAD_TSO;
	return 0;
}

static const char *const keys[] = { ARG_IFACE, ARG_CLIENT, NMX_GUESTSHELL_ARG_QUEUES,
	NMX_GUESTSHELL_ARG_MEM_MAX, NMX_GUESTSHELL_ARG_TX_ZC, NMX_GUESTSHELL_ARG_MODE, ARG_CSUM,
	ARG_TSO, NULL };

static const struct nmx_guestshell_driver iovtee = {
	.name = "net_iovtee",
	.logtype = &iovtee_logtype,
	.keys = keys,
	.parse = parse,
	.path_key = ARG_IFACE,
};

static int
probe(struct rte_vdev_device *vdev)
{
	return nmx_guestshell_probe(vdev, &iovtee);
}

static struct rte_vdev_driver driver = {
	.probe = probe,
	.remove = nmx_guestshell_remove,
};

RTE_PMD_REGISTER_VDEV(net_iovtee, driver);
RTE_PMD_REGISTER_PARAM_STRING(net_iovtee, ARG_IFACE
	"=<socket> " ARG_CLIENT "=<0|1> " NMX_GUESTSHELL_ARG_QUEUES
	"=<1-64> " NMX_GUESTSHELL_ARG_MEM_MAX "=<bytes, K, M or G> " NMX_GUESTSHELL_ARG_TX_ZC
	"=<0|1> " NMX_GUESTSHELL_ARG_MODE "=<auto|map|copy> " ARG_CSUM "=<0|1> " ARG_TSO "=<0|1>");
