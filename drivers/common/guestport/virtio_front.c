/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Guests with a virtio network device: the vhost-user side of their sessions. Control.
 *
 * Theory of operation
 *
 * lib/vhu says when a ring has all that it needs, and by then its memory is mapped. Ring 2 i is the
 * guest's Rx queue i, 2 i + 1 its Tx queue i. What stops a ring, or takes memory away, waits for
 * data threads as with any guest; the front end waits for its answer. A ring that is started anew
 * at once, or whose memory is mapped anew, waits for its former run's end and for the memory.
 *
 * There is no device here: configuration space, the control queue and resets are the front end's
 * (QEMU, virtio-user). docs/virtio.md has the features.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/base/fd.h"
#include "lib/ring/split_header.h"
#include "virtio_front.h"

/* Virtio's feature bits: virtio 1.1/1.2, 5.1.3 and 6. */
#define FEATURE_CSUM           (UINT64_C(1) << 0)
#define FEATURE_GUEST_CSUM     (UINT64_C(1) << 1)
#define FEATURE_MTU            (UINT64_C(1) << 3)
#define FEATURE_GUEST_TSO4     (UINT64_C(1) << 7)
#define FEATURE_GUEST_TSO6     (UINT64_C(1) << 8)
#define FEATURE_HOST_TSO4      (UINT64_C(1) << 11)
#define FEATURE_HOST_TSO6      (UINT64_C(1) << 12)
#define FEATURE_MRG_RXBUF      (UINT64_C(1) << 15)
#define FEATURE_CTRL_VQ        (UINT64_C(1) << 17)
#define FEATURE_CTRL_RX        (UINT64_C(1) << 18)
#define FEATURE_GUEST_ANNOUNCE (UINT64_C(1) << 21)
#define FEATURE_MQ             (UINT64_C(1) << 22)
#define FEATURE_ANY_LAYOUT     (UINT64_C(1) << 27)
#define FEATURE_INDIRECT_DESC  (UINT64_C(1) << 28)
#define FEATURE_EVENT_IDX      (UINT64_C(1) << 29)
#define FEATURE_VERSION_1      (UINT64_C(1) << 32)
#define FEATURE_RING_PACKED    (UINT64_C(1) << 34)

/** The guest's Rx queues are even. */
static uint16_t
get_direction(uint16_t index)
{
	return index % 2 == 0 ? VDPDK_DIRECTION_RX : VDPDK_DIRECTION_TX;
}

static struct guest_ring *
find_ring(struct nmx_guestport *port, uint16_t index)
{
	return nmx_guestport_get_ring(port, get_direction(index), index / 2);
}

/** The link is there while the first pair of queues is. */
static void
update_link(struct nmx_guestport *port)
{
	atomic_store(&port->linked, port->n_queue_pairs > 0 &&
					    atomic_load(&port->to_guest[0].active) != NULL &&
					    atomic_load(&port->from_guest[0].active) != NULL);
}

/* --- Requests --- */

/** What headers may ask for in a direction: NMX_RING_MAY_*. */
static uint32_t
get_may(uint64_t features, uint16_t direction)
{
	const bool to_guest = direction == VDPDK_DIRECTION_RX;
	uint32_t may = 0;

	if (features & (to_guest ? FEATURE_GUEST_CSUM : FEATURE_CSUM))
		may |= NMX_RING_MAY_CSUM;
	if (features & (to_guest ? FEATURE_GUEST_TSO4 : FEATURE_HOST_TSO4))
		may |= NMX_RING_MAY_TSO4;
	if (features & (to_guest ? FEATURE_GUEST_TSO6 : FEATURE_HOST_TSO6))
		may |= NMX_RING_MAY_TSO6;
	return may;
}

static int
on_set_features(void *context, uint64_t features)
{
	struct nmx_guestport *port = context;

	port->virtio->features = features;
	atomic_store_explicit(
		&port->to_guest_may, get_may(features, VDPDK_DIRECTION_RX), memory_order_relaxed);
	return 0;
}

static enum ring_kind
get_kind(uint64_t features)
{
	if (features & FEATURE_RING_PACKED)
		return RING_PACKED;
	return features & (FEATURE_VERSION_1 | FEATURE_MRG_RXBUF) ? RING_SPLIT : RING_SPLIT_LEGACY;
}

/** True if a guest may not look at the numbers in answers: DPDK's vectorized driver doesn't. */
static bool
is_ordered(uint64_t features)
{
	return (features & (FEATURE_MRG_RXBUF | FEATURE_RING_PACKED)) == 0;
}

/** @return 0; -errno */
static int
start_ring(struct nmx_guestport *port, uint16_t index, const struct nmx_vhu_ring *ring)
{
	const uint64_t features = port->virtio->features;
	struct ring_plan plan = {
		.kind = get_kind(features),
		.n_slots = ring->size,
		.base = ring->base,
		.n_parts = 3,
		.parts = { { ring->desc, NMX_SPLIT_DESC_BYTES(ring->size) },
			{ ring->avail, NMX_SPLIT_AVAIL_BYTES(ring->size) },
			{ ring->used, NMX_SPLIT_USED_BYTES(ring->size) } },
		.scatter = (features & FEATURE_MRG_RXBUF) != 0,
		.ordered = is_ordered(features),
		.event_idx = (features & FEATURE_EVENT_IDX) != 0,
		.may = get_may(features, get_direction(index)),
		.enabled = ring->enabled,
	};
	int ret;

	if (plan.kind == RING_PACKED) {
		plan.parts[1].size = plan.parts[2].size = sizeof(struct nmx_packed_event);
	}
	ret = nmx_guestport_start_ring(port, get_direction(index), index / 2, &plan);
	update_link(port);
	return ret;
}

static int
on_start_ring(void *context, uint16_t index, const struct nmx_vhu_ring *ring)
{
	struct nmx_guestport *port = context;
	struct virtio_ring *own = &port->virtio->rings[index];

	if (port->lending == NMX_GUEST_MAP && is_ordered(port->virtio->features)) {
		if (nmx_guestport_may_log(port))
			PORT_LOG(port, ERR,
				"the guest isn't served: with mode=map its buffers are to be lent, "
				"and it takes answers in order only; give it mrg_rxbuf=on or "
				"packed rings, or leave mode=map out");
		return -EPERM;
	}
	if (get_kind(port->virtio->features) == RING_PACKED &&
		!nmx_ring_check_packed_base(ring->base, ring->size))
		return -EINVAL;
	own->wanted = *ring;
	own->waits = own->is_new = find_ring(port, index) != NULL;
	return own->waits ? 0 : start_ring(port, index, ring);
}

/** Start the rings that have waited long enough. */
static void
start_waiting(struct nmx_guestport *port)
{
	for (uint16_t i = 0; i < 2 * port->n_queue_pairs; i++) {
		struct virtio_ring *own = &port->virtio->rings[i];
		int ret;

		if (!own->waits || find_ring(port, i) != NULL)
			continue;
		ret = start_ring(port, i, &own->wanted);
		own->waits = ret != 0;
		if (ret != 0 && ret != -EFAULT)
			nmx_guestport_end_session(port, "there is no memory for a ring");
	}
}

/** Rings whose memory isn't where it was stop, and go on where it is, if it is. */
static void
check_memory(struct nmx_guestport *port)
{
	for (uint16_t i = 0; i < 2 * port->n_queue_pairs; i++) {
		const struct guest_ring *ring = find_ring(port, i);

		if (ring == NULL || ring->draining || nmx_guestport_is_mapped(port, ring))
			continue;
		nmx_guestport_stop_ring(port, get_direction(i), i / 2);
		port->virtio->rings[i].waits = true;
		port->virtio->rings[i].is_new = false;
	}
	update_link(port);
}

static int
on_enable_ring(void *context, uint16_t index, bool enabled)
{
	struct nmx_guestport *port = context;

	port->virtio->rings[index].wanted.enabled = enabled;
	if (!port->virtio->rings[index].waits && find_ring(port, index) != NULL)
		nmx_guestport_enable_ring(port, get_direction(index), index / 2, enabled);
	update_link(port);
	return 0;
}

static int
on_stop_ring(void *context, uint16_t index, uint32_t *ret_base)
{
	struct nmx_guestport *port = context;
	struct guest_ring *ring = find_ring(port, index);

	port->virtio->rings[index].waits = false;
	*ret_base = port->virtio->rings[index].base;
	if (ring == NULL)
		return 0;
	ring->awaited = true;
	nmx_guestport_stop_ring(port, get_direction(index), index / 2);
	update_link(port);
	port->virtio->stopping = index;
	nmx_guestport_park(port, PARKED_STOP, ring->grace);
	return NMX_VHU_LATER;
}

static void
on_lose_ring(void *context, uint16_t index)
{
	struct nmx_guestport *port = context;

	port->virtio->rings[index].waits = false;
	if (find_ring(port, index) != NULL)
		nmx_guestport_stop_ring(port, get_direction(index), index / 2);
	update_link(port);
}

/** The guest's own eventfd takes its place beside the session's doorbell: see open_doorbell(). */
static int
on_connect_kick(void *context, uint16_t index, int *fd)
{
	struct nmx_guestport *port = context;
	struct nmx_from_guest *queue = &port->from_guest[index / 2];
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	if (get_direction(index) == VDPDK_DIRECTION_RX)
		return 0; /* nobody waits for buffers */
	if (queue->kick >= 0)
		(void)epoll_ctl(queue->wake_fd, EPOLL_CTL_DEL, queue->kick, NULL);
	nmx_base_close_fd(&queue->kick);
	if (*fd < 0)
		return 0;
	if (epoll_ctl(queue->wake_fd, EPOLL_CTL_ADD, *fd, &event) != 0)
		return -errno;
	queue->kick = nmx_base_take_fd(fd);
	return 0;
}

static int
on_connect_call(void *context, uint16_t index, int *fd)
{
	struct nmx_guestport *port = context;
	int ret = nmx_guestport_swap_vectors(port, index, 1, *fd < 0 ? NULL : fd);

	if (ret < 0)
		return ret;
	/* A signal on its way into the former one is lost: see vectors.c. */
	port->owes_replaced = true;
	if (nmx_guestport_has_rings(port))
		port->vector_grace = nmx_base_ask_grace(&port->grace);
	else
		nmx_guestport_settle_vectors(port);
	return 0;
}

static void
limit_frames(struct nmx_guestport *port, uint32_t bytes_max)
{
	atomic_store_explicit(&port->to_guest_bytes_max, bytes_max, memory_order_relaxed);
}

static int
on_set_mtu(void *context, uint16_t mtu)
{
	limit_frames(context, mtu + NMX_FRAME_OVERHEAD_BYTES);
	return 0;
}

static const struct nmx_vhu_handlers handlers = {
	.set_features = on_set_features,
	.set_memory = nmx_guestport_set_table,
	.start_ring = on_start_ring,
	.enable_ring = on_enable_ring,
	.stop_ring = on_stop_ring,
	.lose_ring = on_lose_ring,
	.connect_kick = on_connect_kick,
	.connect_call = on_connect_call,
	.set_mtu = on_set_mtu,
};

/* --- The port's life --- */

static int
create(struct nmx_guestport *port, const struct nmx_guestport_config *config)
{
	struct virtio_front *virtio = calloc(1, sizeof(*virtio));

	if (virtio == NULL)
		return -ENOMEM;
	virtio->offer = (struct nmx_vhu_offer){
		.features = FEATURE_MTU | FEATURE_MRG_RXBUF | FEATURE_CTRL_VQ | FEATURE_CTRL_RX |
			    FEATURE_GUEST_ANNOUNCE | FEATURE_MQ | FEATURE_ANY_LAYOUT |
			    FEATURE_INDIRECT_DESC | FEATURE_EVENT_IDX | FEATURE_VERSION_1 |
			    FEATURE_RING_PACKED,
		.protocol_features = NMX_VHU_PROTOCOL_MQ | NMX_VHU_PROTOCOL_REPLY_ACK |
				     NMX_VHU_PROTOCOL_NET_MTU,
		.n_rings = (uint16_t)(2 * port->n_queue_pairs),
		.ring_size_max = NMX_VHU_RING_SIZE_MAX,
		.mtu_max = NMX_MTU_MAX,
	};
	if (config->offloads & NMX_OFFLOAD_CSUM)
		virtio->offer.features |= FEATURE_CSUM | FEATURE_GUEST_CSUM;
	if (config->offloads & NMX_OFFLOAD_TSO)
		virtio->offer.features |= FEATURE_HOST_TSO4 | FEATURE_HOST_TSO6 |
					  FEATURE_GUEST_TSO4 | FEATURE_GUEST_TSO6;
	nmx_guestport_init_table(&virtio->memory);
	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		port->to_guest[i].bell.vector = (uint16_t)(2 * i);
		port->from_guest[i].bell.vector = (uint16_t)(2 * i + 1);
	}
	port->virtio = virtio;
	return 0;
}

static void
destroy(struct nmx_guestport *port)
{
	free(port->virtio);
}

/** Front ends have no place for it, unless they give a channel back, which isn't asked for. */
static void
set_polled(struct nmx_guestport *port, bool polled)
{
	(void)port;
	(void)polled;
}

static void
get_counters(const struct nmx_guestport *port, struct nmx_guestport_counters *ret)
{
	(void)port;
	(void)ret;
}

/* --- Sessions --- */

static int
begin(struct nmx_guestport *port, uint64_t now_ns)
{
	(void)now_ns;
	limit_frames(port, NMX_FRAME_BYTES_MAX);
	return nmx_vhu_create_server(&port->socket.transport, &port->virtio->offer, &handlers, port,
		&port->virtio->server);
}

static unsigned int
fini(struct nmx_guestport *port, int *ret_fds)
{
	unsigned int n = nmx_vhu_destroy_server(port->virtio->server, ret_fds);

	port->virtio->server = NULL;
	port->virtio->features = 0;
	nmx_guestport_drop_table(port);
	memset(port->virtio->rings, 0, sizeof(port->virtio->rings));
	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		int none = -1;

		(void)on_connect_kick(port, (uint16_t)(2 * i + 1), &none);
	}
	return n;
}

static int
serve(struct nmx_guestport *port, uint64_t now_ns)
{
	return nmx_vhu_serve(port->virtio->server, now_ns);
}

static const char *
get_reason(const struct nmx_guestport *port)
{
	return nmx_vhu_get_reason(port->virtio->server);
}

static bool
wants_input(const struct nmx_guestport *port)
{
	return nmx_vhu_wants_input(port->virtio->server);
}

static bool
wants_output(const struct nmx_guestport *port)
{
	return nmx_vhu_wants_output(port->virtio->server);
}

static uint64_t
get_deadline_ns(const struct nmx_guestport *port)
{
	return nmx_vhu_get_deadline_ns(port->virtio->server);
}

/**
 * Where a ring's next run begins, and nothing is given back to the guest: behind the last answer
 * that the guest has seen. What was fetched beyond that is fetched again, unless buffers are lent
 * from the ring: then answers are in any order, which ones are missing can't be told by a place,
 * and none is to be used twice. So what is out is lost to the guest until it resets the device.
 */
static uint32_t
get_base(const struct nmx_guestport *port, uint16_t number, const struct guest_ring *ring)
{
	const struct nmx_packed_host *packed = &ring->half.packed;
	const bool lends = get_direction(number) == VDPDK_DIRECTION_RX &&
			   atomic_load(&port->to_guest[number / 2].map) != NULL;
	uint16_t used;

	if (ring->kind != RING_PACKED)
		return (uint16_t)ring->half.window.comp;
	used = nmx_ring_get_packed_position(
		packed, ring->cut_off ? ring->cut_seq : packed->used_seq);
	return NMX_PACKED_BASE(
		lends ? nmx_ring_get_packed_position(packed, packed->avail_seq) : used, used);
}

/** The same, and all that it has is given back. */
static uint32_t
return_buffers(struct guest_ring *ring)
{
	if (ring->attach != NULL)
		nmx_guestport_answer_attached(ring);
	return ring->kind == RING_PACKED ? nmx_ring_return_packed(&ring->half.packed)
					 : nmx_ring_return_split(&ring->half.split);
}

static void
answer(struct nmx_guestport *port)
{
	struct virtio_front *virtio = port->virtio;
	struct guest_ring *ring;
	int ret = 0;

	if (port->parked == PARKED_UNMAP) {
		ret = nmx_guestport_finish_table(port);
		nmx_vhu_answer(virtio->server, ret, 0);
		if (ret != 0)
			nmx_guestport_end_session(port, "its memory can't be mapped");
		else
			start_waiting(port);
		return;
	}
	/* By force: the ring isn't through yet. */
	ring = find_ring(port, virtio->stopping);
	ring->awaited = false;
	nmx_vhu_answer(virtio->server, 0, get_base(port, virtio->stopping, ring));
}

static void
halt(struct nmx_guestport *port)
{
	atomic_store(&port->linked, false);
	for (uint16_t i = 0; i < 2 * port->n_queue_pairs; i++)
		port->virtio->rings[i].waits = false;
	nmx_guestport_drop_rings(port);
}

static bool
is_halted(const struct nmx_guestport *port)
{
	(void)port;
	return true;
}

static void
finish_reset(struct nmx_guestport *port)
{
	(void)port;
}

static void
tell_removal(struct nmx_guestport *port)
{
	(void)port;
}

/** The end of the connection is what tells the guest. */
static bool
is_held(const struct nmx_guestport *port)
{
	(void)port;
	return false;
}

static bool
is_running(const struct nmx_guestport *port)
{
	(void)port;
	return true;
}

/** Nothing in the ring tells the guest: its queue stands still, and the log says why. */
static void
report_fault(struct nmx_guestport *port, struct guest_ring *ring, bool is_mapped)
{
	(void)ring;
	(void)is_mapped;
	update_link(port);
}

static void
end_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index, struct guest_ring *ring,
	bool is_mapped)
{
	const uint16_t number = (uint16_t)(2 * index + (direction == VDPDK_DIRECTION_TX));
	struct virtio_ring *own = &port->virtio->rings[number];
	/* Who waits for memory to come back: it is withdrawn, and goes when all its rings have. */
	const bool reaches_guest = (is_mapped || own->waits) && !ring->cut_off && !ring->given_up;

	own->base = reaches_guest ? return_buffers(ring) : get_base(port, number, ring);
	if (own->waits && !own->is_new)
		own->wanted.base = own->base;
	if (ring->awaited) {
		nmx_vhu_answer(port->virtio->server, 0, own->base);
		port->answered = true;
	}
	start_waiting(port);
}

const struct nmx_guestport_front nmx_guestport_virtio = {
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
	.resume = start_waiting,
	.report_fault = report_fault,
	.end_ring = end_ring,
};
