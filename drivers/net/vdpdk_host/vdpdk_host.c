/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** net_vdpdk_host: a guest with the vDPDK device as an ethdev port. */

#include <errno.h>
#include <string.h>

#include "drivers/common/guestshell/shell.h"
#include "lib/dpdk/devargs.h"

#define ARG_PATH       "path"
#define ARG_MAC        "mac"
#define ARG_INTERRUPTS "interrupts"

RTE_LOG_REGISTER(vdpdk_host_logtype, pmd.net.vdpdk_host, NOTICE);

static const struct nmx_guestshell_driver host;

static int
parse_mac(const char *key, const char *value, void *args)
{

	if (nmx_dpdk_parse_mac(value, args) != 0) {
		SHELL_LOG(&host, ERR,
			"%s=%s is no unicast MAC address; give one like 02:00:00:00:00:01", key,
			value == NULL ? "" : value);
		return -EINVAL;
	}
	return 0;
}

static int
parse(const struct nmx_guestshell_driver *driver, struct rte_kvargs *list,
	struct nmx_guestport_config *config)
{
	struct rte_ether_addr mac;
	bool interrupts = true;

	rte_eth_random_addr(mac.addr_bytes);
	if (rte_kvargs_process(list, ARG_MAC, parse_mac, &mac) != 0 ||
		nmx_guestshell_parse_flag(driver, list, ARG_INTERRUPTS, &interrupts) != 0)
		return -EINVAL;
	config->kind = NMX_GUEST_VDPDK;
	memcpy(config->mac, mac.addr_bytes, sizeof(config->mac));
	config->without_vectors = !interrupts;
	return 0;
}

static const char *const keys[] = { ARG_PATH, NMX_GUESTSHELL_ARG_QUEUES, ARG_MAC,
	NMX_GUESTSHELL_ARG_MEM_MAX, ARG_INTERRUPTS, NMX_GUESTSHELL_ARG_TX_ZC,
	NMX_GUESTSHELL_ARG_MODE, NULL };

static const struct nmx_guestshell_driver host = {
	.name = "net_vdpdk_host",
	.logtype = &vdpdk_host_logtype,
	.keys = keys,
	.parse = parse,
	.path_key = ARG_PATH,
};

static int
probe(struct rte_vdev_device *vdev)
{
	return nmx_guestshell_probe(vdev, &host);
}

static struct rte_vdev_driver driver = {
	.probe = probe,
	.remove = nmx_guestshell_remove,
};

RTE_PMD_REGISTER_VDEV(net_vdpdk_host, driver);
RTE_PMD_REGISTER_PARAM_STRING(net_vdpdk_host, ARG_PATH
	"=<socket> " NMX_GUESTSHELL_ARG_QUEUES "=<1-64> " ARG_MAC
	"=<guest's MAC> " NMX_GUESTSHELL_ARG_MEM_MAX "=<bytes, K, M or G> " ARG_INTERRUPTS
	"=<0|1> " NMX_GUESTSHELL_ARG_TX_ZC "=<0|1> " NMX_GUESTSHELL_ARG_MODE "=<auto|map|copy>");
