/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Guests with the vDPDK device: the vfio-user side of their sessions. Control. */

#include <string.h>

#include "lib/base/fd.h"
#include "vdpdk_front.h"

/* --- Requests --- */

static int
on_map(void *context, const struct nmx_vfu_map *map, int *fd)
{
	const struct nmx_mem_map wanted = { map->range, map->offset, map->protection };

	return nmx_guestport_map(context, &wanted, fd);
}

static int
on_unmap(void *context, const struct nmx_range *range)
{
	struct nmx_guestport *port = context;
	int ret = 0;

	if (range == NULL)
		nmx_mem_unmap_all(port->mem);
	else
		ret = nmx_mem_unmap(port->mem, *range);
	if (ret != 0)
		return ret;
	return nmx_guestport_let_go(port) ? NMX_VFU_LATER : 0;
}

static int
on_read_region(void *context, const struct nmx_vfu_access *access, uint8_t *data)
{
	return nmx_vdev_read(((struct nmx_guestport *)context)->vdev, access, data);
}

/** Park the present request until the device's reset is done. */
static int
park_reset(struct nmx_guestport *port)
{
	nmx_guestport_park(port, PARKED_RESET, port->reset_grace);
	return NMX_VFU_LATER;
}

static int
on_write_region(void *context, const struct nmx_vfu_access *access, const uint8_t *data)
{
	struct nmx_guestport *port = context;
	int ret = nmx_vdev_write(port->vdev, access, data);

	return ret == NMX_VFU_LATER ? park_reset(port) : ret;
}

static int
on_connect_vectors(void *context, uint32_t index, uint32_t start, uint32_t count, int *fds)
{
	struct nmx_guestport *port = context;
	int ret;

	if (index != NMX_VFU_IRQ_MSIX)
		return 0; /* errors and requests to go: never signalled */
	ret = nmx_guestport_swap_vectors(port, start, count, fds);
	if (ret > 0 && nmx_guestport_has_rings(port)) {
		port->vector_grace = nmx_base_ask_grace(&port->grace);
		nmx_guestport_park(port, PARKED_VECTORS, port->vector_grace);
		return NMX_VFU_LATER;
	}
	if (!nmx_guestport_has_rings(port))
		nmx_guestport_settle_vectors(port);
	return ret < 0 ? ret : 0;
}

static int
on_trigger_vector(void *context, uint32_t index, uint32_t vector)
{
	if (index == NMX_VFU_IRQ_MSIX)
		nmx_guestport_signal_vector(context, (uint16_t)vector);
	return 0;
}

static int
on_reset(void *context)
{
	struct nmx_guestport *port = context;

	return nmx_vdev_reset(port->vdev) ? 0 : park_reset(port);
}

static uint32_t
on_list_doorbells(void *context, uint32_t region, struct nmx_vfu_doorbell *list, uint32_t room)
{
	struct nmx_guestport *port = context;
	uint32_t n = 0;

	if (region != VDPDK_BAR_SIGNAL)
		return 0;
	for (; n < port->n_queue_pairs && n < room; n++) {
		list[n].offset = VDPDK_REG_TX_DOORBELL(n);
		list[n].size = 4;
		list[n].fd = port->from_guest[n].doorbell;
	}
	return n;
}

static const struct nmx_vfu_handlers handlers = {
	.map = on_map,
	.unmap = on_unmap,
	.read_region = on_read_region,
	.write_region = on_write_region,
	.connect_vectors = on_connect_vectors,
	.trigger_vector = on_trigger_vector,
	.reset = on_reset,
	.list_doorbells = on_list_doorbells,
};

/* --- The port's life --- */

static void
init_grant(const struct nmx_guestport_config *config, struct nmx_vdev_grant *grant)
{
	*grant = (struct nmx_vdev_grant){
		.vendor_id = VDPDK_PCI_VENDOR_ID,
		.device_id = VDPDK_PCI_DEVICE_ID,
		.n_queue_pairs = config->n_queue_pairs,
		.ring_max_log2 = 12,
		.ring_recommended_log2 = 10,
		.features = VDPDK_FEATURE_RX_SCATTER,
		.rx_frame_max = NMX_FRAME_BYTES_MAX,
		.tx_frame_max = NMX_FRAME_BYTES_MAX,
		.mtu_min = NMX_MTU_MIN,
		.mtu_max = NMX_MTU_MAX,
		.mtu = NMX_MTU_DEFAULT,
		.dma_maps_max = 16384,
		.without_vectors = config->without_vectors,
	};
	memcpy(grant->mac, config->mac, sizeof(grant->mac));
}

static int
create(struct nmx_guestport *port, const struct nmx_guestport_config *config)
{
	struct nmx_vdev_grant grant;
	int ret;

	init_grant(config, &grant);
	ret = nmx_vdev_create(&grant, &nmx_guestport_backend, port, &port->vdev);
	if (ret != 0)
		return ret;
	nmx_vdev_describe(port->vdev, &port->device);
	for (uint16_t i = 0; i < port->n_queue_pairs; i++)
		port->to_guest[i].bell.vector = VDPDK_VECTOR_RX(i);
	return 0;
}

static void
destroy(struct nmx_guestport *port)
{
	nmx_vdev_destroy(port->vdev);
}

static void
set_polled(struct nmx_guestport *port, bool polled)
{
	nmx_vdev_set_link(port->vdev, polled, NMX_LINK_SPEED_MBPS);
}

static void
get_counters(const struct nmx_guestport *port, struct nmx_guestport_counters *ret)
{
	const struct nmx_vdev_counters *device = nmx_vdev_get_counters(port->vdev);

	ret->resets = device->resets;
	ret->requests = device->requests;
	ret->refused_requests = device->refused_requests;
	ret->ignored_writes = device->ignored_writes;
	ret->ignored_doorbells = device->ignored_doorbells;
}

/* --- Sessions --- */

static int
begin(struct nmx_guestport *port, uint64_t now_ns)
{
	int ret = nmx_vfu_create_server(
		&port->socket.transport, &port->device, &handlers, port, now_ns, &port->server);

	if (ret == 0)
		nmx_vdev_attach(port->vdev, port->mem);
	return ret;
}

static unsigned int
fini(struct nmx_guestport *port, int *ret_fds)
{
	unsigned int n;

	nmx_vdev_attach(port->vdev, NULL);
	n = nmx_vfu_destroy_server(port->server, ret_fds);
	port->server = NULL;
	return n;
}

static int
serve(struct nmx_guestport *port, uint64_t now_ns)
{
	return nmx_vfu_serve(port->server, now_ns);
}

static const char *
get_reason(const struct nmx_guestport *port)
{
	return nmx_vfu_get_reason(port->server);
}

static bool
wants_input(const struct nmx_guestport *port)
{
	return nmx_vfu_wants_input(port->server);
}

static bool
wants_output(const struct nmx_guestport *port)
{
	return nmx_vfu_wants_output(port->server);
}

static uint64_t
get_deadline_ns(const struct nmx_guestport *port)
{
	return nmx_vfu_get_deadline_ns(port->server);
}

static void
answer(struct nmx_guestport *port)
{
	nmx_vfu_answer(port->server, 0);
}

static void
halt(struct nmx_guestport *port)
{
	(void)nmx_vdev_reset(port->vdev);
}

static bool
is_halted(const struct nmx_guestport *port)
{
	return !nmx_vdev_is_resetting(port->vdev);
}

static void
finish_reset(struct nmx_guestport *port)
{
	nmx_vdev_finish_reset(port->vdev);
}

static void
tell_removal(struct nmx_guestport *port)
{
	nmx_vdev_remove(port->vdev);
}

static bool
is_held(const struct nmx_guestport *port)
{
	return nmx_vdev_is_held(port->vdev);
}

static bool
is_running(const struct nmx_guestport *port)
{
	return nmx_vdev_is_running(port->vdev);
}

static void
check_memory(struct nmx_guestport *port)
{
	nmx_vdev_check_memory(port->vdev);
	/* A device that has just failed has no rings, as far as its driver is concerned. */
	if (nmx_vdev_is_running(port->vdev))
		nmx_guestport_check_rings(port);
}

static void
resume(struct nmx_guestport *port)
{
	(void)port; /* a driver that finds its device failed starts anew */
}

const struct nmx_guestport_front nmx_guestport_vdpdk = {
	.create = create,
	.destroy = destroy,
	.set_polled = set_polled,
	.get_counters = get_counters,
	.begin = begin,
	.fini = fini,
	.serve = serve,
	.get_reason = get_reason,
	.wants_input = wants_input,
	.wants_output = wants_output,
	.get_deadline_ns = get_deadline_ns,
	.answer = answer,
	.halt = halt,
	.is_halted = is_halted,
	.finish_reset = finish_reset,
	.tell_removal = tell_removal,
	.is_held = is_held,
	.is_running = is_running,
	.check_memory = check_memory,
	.resume = resume,
	.report_fault = nmx_guestport_report_vdpdk_fault,
	.end_ring = nmx_guestport_end_vdpdk_ring,
};
