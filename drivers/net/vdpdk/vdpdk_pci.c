/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The transport of a virtual machine: the device is a PCI function, registers are BAR 0.
 *
 * Theory of operation
 *
 * Device addresses are those that EAL gives to hardware: virtual ones behind an IOMMU (vfio-pci),
 * physical ones without (uio_pci_generic, or vfio-pci's mode without IOMMU). EAL keeps its memory
 * mapped, so there is nothing to hand over.
 *
 * Writes to registers are posted; a read waits for those before it. A function that isn't there any
 * more reads all ones, which no register has. Nothing else tells of that, so the session thread
 * looks now and then. What such a device had is never used again: reads fail as well when a VMM has
 * given a host up that merely stands still.
 *
 * With vfio-pci each Rx queue has a vector, and vector 0 wakes the session thread, through EAL's
 * interrupt thread. uio_pci_generic has none, and so has a device whose operator gave it none:
 * programs poll, the session thread looks more often.
 */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bus_pci_driver.h>
#include <rte_dev.h>
#include <rte_io.h>

#include "lib/dpdk/interrupts.h"
#include "vdpdk.h"
#include "vdpdk_transport.h"

#define GONE UINT32_MAX

/** In configuration space: where the first capability is; MSI-X's number. */
#define CAPABILITIES    0x34
#define CAPABILITY_MSIX 0x11

struct pci {
	struct vdpdk_transport transport;
	struct rte_pci_device *device;
	uint8_t *registers; /* BAR 0 */
	bool ending;        /* reset is asked for */
	bool watches;       /* EAL tells of the device's unplugging */
};

static struct pci *
get_pci(struct vdpdk_transport *transport)
{
	return (struct pci *)transport;
}

/* --- Registers --- */

/** GONE if the function isn't there any more. */
static uint32_t
read32(const struct vdpdk_transport *transport, uint32_t offset)
{
	return rte_read32(((const struct pci *)transport)->registers + offset);
}

static int
read_register(struct vdpdk_transport *transport, uint32_t offset, uint32_t *value)
{
	uint32_t read = read32(transport, offset);

	if (read == GONE)
		return -ENODEV;
	*value = read;
	return 0;
}

static int
write_register(struct vdpdk_transport *transport, uint32_t offset, uint32_t value)
{
	rte_write32(value, get_pci(transport)->registers + offset);
	return 0;
}

static void
ring_doorbell(struct vdpdk_transport *transport, uint16_t q)
{
	rte_write32_relaxed(1, get_pci(transport)->registers + VDPDK_REG_TX_DOORBELL(q));
}

static bool
has_doorbells(const struct vdpdk_transport *transport, uint16_t n)
{
	(void)transport;
	(void)n;
	return true;
}

/* --- Sessions --- */

static int
prepare(struct vdpdk_transport *transport)
{
	(void)transport;
	return 0;
}

static int
open_session(struct vdpdk_transport *transport, const char **ret_reason)
{
	uint32_t magic;

	*ret_reason = "its registers can't be read; see the VMM's messages and the host's log";
	get_pci(transport)->ending = false;
	return read_register(transport, VDPDK_REG_MAGIC, &magic);
}

static void
end_session(struct vdpdk_transport *transport)
{
	get_pci(transport)->ending = true;
	(void)write_register(transport, VDPDK_REG_STATUS, 0);
}

/** A device that was reset reaches nothing; of one that is gone nobody knows. */
static bool
has_ended(const struct vdpdk_transport *transport)
{
	uint32_t status;

	if (!((const struct pci *)transport)->ending)
		return false;
	status = read32(transport, VDPDK_REG_STATUS);
	return status != GONE && (status & VDPDK_STATUS_RESETTING) == 0;
}

static void
close_session(struct vdpdk_transport *transport)
{
	(void)transport;
}

static int
get_watch_fd(const struct vdpdk_transport *transport)
{
	(void)transport;
	return -1;
}

/* --- Interrupts --- */

/** Vector 0. Context: EAL's interrupt thread. */
static void
on_control_vector(void *opaque)
{
	vdpdk_wake_thread(((struct vdpdk_transport *)opaque)->port);
}

/** EAL calls any function below vfio-pci one with MSI-X. */
static bool
has_msix(const struct rte_pci_device *device)
{
	uint8_t capability[2] = { 0, 0 }; /* its number, and where the next one is */
	int n = 0;

	if (rte_intr_type_get(device->intr_handle) != RTE_INTR_HANDLE_VFIO_MSIX ||
		rte_pci_read_config(device, &capability[1], 1, CAPABILITIES) != 1)
		return false;
	/* 48 of them have room; more are a loop. */
	while (capability[1] != 0 && n++ < 48)
		if (rte_pci_read_config(device, capability, 2, capability[1]) != 2 ||
			capability[0] == CAPABILITY_MSIX)
			break;
	return capability[0] == CAPABILITY_MSIX;
}

static int
make_interrupts(struct vdpdk_transport *transport, const int *fds, uint32_t n,
	struct rte_intr_handle **ret_handle)
{
	struct rte_intr_handle *handle = get_pci(transport)->device->intr_handle;
	int ret;

	if (!has_msix(get_pci(transport)->device)) {
		*ret_handle = NULL;
		return 0;
	}
	ret = nmx_dpdk_set_rx_interrupts(
		handle, fds + VDPDK_VECTOR_RX(0), (int)n - VDPDK_VECTOR_RX(0));
	if (ret == 0)
		ret = rte_intr_callback_register(handle, on_control_vector, transport);
	if (ret != 0) {
		rte_intr_vec_list_free(handle);
		return ret;
	}
	transport->has_interrupts = true;
	*ret_handle = handle;
	return rte_intr_enable(handle) == 0 ? 0 : -EIO;
}

static void
destroy_interrupts(struct pci *pci)
{
	struct rte_intr_handle *handle = pci->device->intr_handle;

	if (!pci->transport.has_interrupts)
		return;
	pci->transport.has_interrupts = false;
	(void)rte_intr_disable(handle);
	(void)rte_intr_callback_unregister_sync(handle, on_control_vector, &pci->transport);
	rte_intr_vec_list_free(handle);
	(void)rte_intr_nb_efd_set(handle, 0);
	(void)rte_intr_max_intr_set(handle, 0);
}

/** The vectors stay as they are from one reset of the device to the next. */
static int
connect_vectors(struct vdpdk_transport *transport, const int *fds, uint32_t n)
{
	(void)transport;
	(void)fds;
	(void)n;
	return 0;
}

/* --- Unplugging --- */

/** The kernel wants the device back. Context: EAL's interrupt thread. */
static void
on_device_event(const char *name, enum rte_dev_event_type event, void *opaque)
{
	struct vdpdk_port *port = ((struct vdpdk_transport *)opaque)->port;

	(void)name;
	if (event != RTE_DEV_EVENT_REMOVE)
		return;
	atomic_store(&port->unplugged, true);
	vdpdk_wake_thread(port);
}

/* --- Life --- */

static void
destroy(struct vdpdk_transport *transport)
{
	struct pci *pci = get_pci(transport);

	destroy_interrupts(pci);
	/* -EAGAIN: it is running; it does no more than to set a mark and wake a thread. */
	while (pci->watches && rte_dev_event_callback_unregister(pci->device->device.name,
				       on_device_event, transport) == -EAGAIN)
		usleep(100);
	free(pci);
}

static const struct vdpdk_transport_ops operations = {
	.prepare = prepare,
	.open = open_session,
	.end = end_session,
	.has_ended = has_ended,
	.close = close_session,
	.destroy = destroy,
	.read_register = read_register,
	.write_register = write_register,
	.post_register = write_register,
	.make_interrupts = make_interrupts,
	.connect_vectors = connect_vectors,
	.has_doorbells = has_doorbells,
	.ring_doorbell = ring_doorbell,
	.get_watch_fd = get_watch_fd,
};

struct vdpdk_transport *
vdpdk_create_pci_transport(struct vdpdk_port *port, void *device)
{
	struct pci *pci;

	if (((struct rte_pci_device *)device)->mem_resource[VDPDK_BAR_SIGNAL].addr == NULL)
		return NULL;
	pci = calloc(1, sizeof(*pci));
	if (pci == NULL)
		return NULL;
	pci->device = device;
	pci->registers = pci->device->mem_resource[VDPDK_BAR_SIGNAL].addr;
	pci->transport.ops = &operations;
	pci->transport.port = port;
	pci->transport.uses_iova = true;
	pci->transport.is_pluggable = true;
	pci->transport.polls = true;
	pci->watches = rte_dev_event_callback_register(
			       pci->device->device.name, on_device_event, &pci->transport) == 0;
	return &pci->transport;
}
