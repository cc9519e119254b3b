/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The plugin's faces to EAL's buses: a virtual device in a container, a PCI function in a VM. */

#include <bus_pci_driver.h>
#include <bus_vdev_driver.h>
#include <ethdev_pci.h>
#include <ethdev_vdev.h>

#include "lib/dpdk/port.h"
#include "vdpdk.h"
#include "vdpdk_transport.h"

RTE_LOG_REGISTER(vdpdk_logtype, pmd.net.vdpdk, NOTICE);

static int
begin_probe(struct rte_device *device)
{
	return nmx_dpdk_begin_probe(device, &vdpdk_view_operations, vdpdk_logtype, "net_vdpdk");
}

/** What a port is made of. */
struct source {
	const char *devargs; /* may be NULL */
	bool in_container;
	vdpdk_make_transport make;
	void *device; /* for that */
};

static int
init_port(struct rte_eth_dev *dev, void *context)
{
	const struct source *source = context;
	struct vdpdk_args args;
	int ret = vdpdk_parse_args(source->devargs, source->in_container, &args);

	return ret == 0 ? vdpdk_init_port(dev, &args, source->make, source->device) : ret;
}

static int
end_probe(struct rte_eth_dev *dev, struct source source)
{
	return nmx_dpdk_end_probe(dev, init_port, &source, vdpdk_logtype, "net_vdpdk");
}

/* --- Containers --- */

static int
probe_vdev(struct rte_vdev_device *vdev)
{
	const struct source source = {
		.devargs = rte_vdev_device_args(vdev),
		.in_container = true,
		.make = vdpdk_create_container_transport,
	};
	int ret = begin_probe(&vdev->device);

	if (ret != 0)
		return RTE_MIN(ret, 0);
	return end_probe(rte_eth_vdev_allocate(vdev, sizeof(struct vdpdk_port)), source);
}

static int
remove_vdev(struct rte_vdev_device *vdev)
{
	return nmx_dpdk_remove_port(rte_vdev_device_name(vdev));
}

static struct rte_vdev_driver vdev_driver = {
	.probe = probe_vdev,
	.remove = remove_vdev,
};

RTE_PMD_REGISTER_VDEV(net_vdpdk, vdev_driver);
RTE_PMD_REGISTER_PARAM_STRING(net_vdpdk,
	VDPDK_ARG_PATH "=<socket> " VDPDK_ARG_QUEUES "=<1-64> " VDPDK_ARG_MAC "=<MAC address>");

/* --- Virtual machines --- */

/** A primary's port of a function whose registers are mapped. */
static int
make_pci_port(struct rte_pci_device *pci)
{
	const struct rte_devargs *devargs = pci->device.devargs;
	const struct source source = {
		.devargs = devargs == NULL ? NULL : devargs->args,
		.make = vdpdk_create_pci_transport,
		.device = pci,
	};

	return end_probe(rte_eth_dev_pci_allocate(pci, sizeof(struct vdpdk_port)), source);
}

static int
probe_pci(struct rte_pci_driver *driver, struct rte_pci_device *pci)
{
	int ret = begin_probe(&pci->device);

	(void)driver;
	if (ret != 0)
		return RTE_MIN(ret, 0);
	/* Not left to the bus: a secondary's view has no use for registers. */
	ret = rte_pci_map_device(pci);
	if (ret != 0) {
		/* 1: another kernel driver has it, and the next program may want it. */
		if (ret < 0)
			VDPDK_LOG(ERR, "can't reach the registers of %s; see EAL's messages",
				pci->device.name);
		return ret;
	}
	ret = make_pci_port(pci);
	if (ret != 0)
		rte_pci_unmap_device(pci);
	return ret;
}

static int
remove_pci(struct rte_pci_device *pci)
{
	int ret = nmx_dpdk_remove_port(pci->device.name);

	if (ret == 0 && rte_eal_process_type() == RTE_PROC_PRIMARY)
		rte_pci_unmap_device(pci);
	return ret;
}

static const struct rte_pci_id pci_ids[] = {
	{ RTE_PCI_DEVICE(VDPDK_PCI_VENDOR_ID, VDPDK_PCI_DEVICE_ID) },
	{ .vendor_id = 0 },
};

static struct rte_pci_driver pci_driver = {
	.id_table = pci_ids,
	.drv_flags = RTE_PCI_DRV_INTR_LSC | RTE_PCI_DRV_INTR_RMV,
	.probe = probe_pci,
	.remove = remove_pci,
};

RTE_PMD_REGISTER_PCI(net_vdpdk_pci, pci_driver);
RTE_PMD_REGISTER_PCI_TABLE(net_vdpdk_pci, pci_ids);
RTE_PMD_REGISTER_KMOD_DEP(net_vdpdk_pci, "* vfio-pci | uio_pci_generic");
RTE_PMD_REGISTER_PARAM_STRING(
	net_vdpdk_pci, VDPDK_ARG_QUEUES "=<1-64> " VDPDK_ARG_MAC "=<MAC address>");
