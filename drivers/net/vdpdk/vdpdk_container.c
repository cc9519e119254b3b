/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The transport of a container: the driver itself is the vfio-user client.
 *
 * Theory of operation
 *
 * Device addresses are this process' virtual addresses; EAL's memory is handed over by its files.
 * Where EAL's memory can change, each page is a map of its own, since it may go alone; where it
 * can't, pages that follow each other in one file are one map.
 *
 * The list of files is taken before `lock` is (EAL's lock is needed for it), and is of use only if
 * EAL's memory hasn't changed since. A callback that finds `lock` taken by a session that is being
 * opened waits, and then adds to it.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_memory.h>

#include "lib/base/fd.h"
#include "lib/dpdk/interrupts.h"
#include "lib/stream/path.h"
#include "lib/vfu/client.h"
#include "vdpdk.h"
#include "vdpdk_transport.h"

/** How long each answer of the host is waited for, as QEMU does. */
#define REPLY_TIMEOUT_MS 5000

#define COMMAND_OFFSET 0x04
#define COMMAND_MEMORY 0x0002
#define COMMAND_MASTER 0x0004

struct container {
	struct vdpdk_transport transport;
	pthread_mutex_t lock;          /* round all use of the client, and what follows */
	struct nmx_vfu_client *client; /* NULL: closed */
	bool ending;                   /* end() was called: nothing is asked any more */
	uint64_t memory_changes;       /* EAL's, so far */
	int doorbells[VDPDK_QUEUE_PAIRS_MAX];
	/* The list of files; of libc's heap. Without the lock: of whoever opens. */
	struct nmx_vfu_memory *memory;
	uint32_t n, room;
	uint64_t memory_seen; /* changes when it was taken */
	struct rte_intr_handle *interrupts;
};

static struct container *
get_container(struct vdpdk_transport *transport)
{
	return (struct container *)transport;
}

/* --- Memory --- */

static int
describe_segment(const struct rte_memseg *segment, struct nmx_vfu_memory *ret)
{
	size_t offset;
	int fd = rte_memseg_get_fd_thread_unsafe(segment);

	if (fd < 0 || rte_memseg_get_fd_offset_thread_unsafe(segment, &offset) != 0)
		return -ENOTSUP;
	ret->range.start = segment->addr_64;
	ret->range.size = segment->len;
	ret->offset = offset;
	ret->fd = fd;
	return 0;
}

static bool
continues(const struct nmx_vfu_memory *last, const struct nmx_vfu_memory *next)
{
	return last->fd == next->fd && last->range.start + last->range.size == next->range.start &&
	       last->offset + last->range.size == next->offset;
}

static int
add_segment(const struct rte_memseg_list *list, const struct rte_memseg *segment, void *opaque)
{
	struct container *container = opaque;
	struct nmx_vfu_memory next;

	if (list->external)
		return 0;
	if (describe_segment(segment, &next) != 0)
		return -ENOTSUP;
	if (container->transport.port->memory_is_fixed && container->n > 0 &&
		continues(&container->memory[container->n - 1], &next)) {
		container->memory[container->n - 1].range.size += next.range.size;
		return 0;
	}
	if (container->n == container->room) {
		uint32_t room = container->room == 0 ? 64 : 2 * container->room;
		void *memory = reallocarray(container->memory, room, sizeof(next));

		if (memory == NULL)
			return -ENOMEM;
		container->memory = memory;
		container->room = room;
	}
	container->memory[container->n++] = next;
	return 0;
}

static int
prepare(struct vdpdk_transport *transport)
{
	struct container *container = get_container(transport);

	pthread_mutex_lock(&container->lock);
	container->memory_seen = container->memory_changes;
	pthread_mutex_unlock(&container->lock);
	container->n = 0;
	return rte_memseg_walk(add_segment, container);
}

/** Context: lock held, a session is there. */
static int
map_segments(struct container *container, const void *start, size_t bytes)
{
	uint32_t failed;
	int ret = 0;

	for (size_t done = 0; done < bytes && ret == 0;) {
		const struct rte_memseg *segment = rte_mem_virt2memseg(
			(const uint8_t *)start + done, NULL);
		struct nmx_vfu_memory memory;

		if (segment == NULL || describe_segment(segment, &memory) != 0)
			return -ENOTSUP;
		ret = nmx_vfu_map_memory(container->client, &memory, 1, &failed);
		done += segment->len;
	}
	return ret;
}

/** Context: lock held, a session is there. */
static int
unmap_segments(struct container *container, const void *start, size_t bytes)
{
	int ret = 0;

	for (size_t done = 0; done < bytes && ret == 0;) {
		const struct rte_memseg *segment = rte_mem_virt2memseg(
			(const uint8_t *)start + done, NULL);
		struct nmx_range range;

		if (segment == NULL)
			return -EFAULT;
		range.start = segment->addr_64;
		range.size = segment->len;
		ret = nmx_vfu_unmap_memory(container->client, range);
		done += segment->len;
	}
	return ret;
}

/** Tell the session, if there is one, of a change of memory. */
static int
follow(struct vdpdk_transport *transport, const void *start, size_t bytes,
	int (*change)(struct container *container, const void *start, size_t bytes))
{
	struct container *container = get_container(transport);
	int ret = 0;

	pthread_mutex_lock(&container->lock);
	container->memory_changes++;
	if (container->client != NULL && !container->ending)
		ret = change(container, start, bytes);
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static int
map(struct vdpdk_transport *transport, const void *start, size_t bytes)
{
	return follow(transport, start, bytes, map_segments);
}

static int
unmap(struct vdpdk_transport *transport, const void *start, size_t bytes)
{
	return follow(transport, start, bytes, unmap_segments);
}

/* --- Opening --- */

static int
enable_device(struct container *container, const char **ret_reason)
{
	const uint16_t command = COMMAND_MEMORY | COMMAND_MASTER;
	uint32_t ids = 0, class = 0;
	int ret = nmx_vfu_check_device(container->client);

	*ret_reason = "it serves no vDPDK device; correct path=";
	if (ret == 0)
		ret = nmx_vfu_read_region(
			container->client, NMX_VFU_REGION_CONFIG, 0x00, &ids, sizeof(ids));
	if (ret == 0)
		ret = nmx_vfu_read_region(
			container->client, NMX_VFU_REGION_CONFIG, 0x08, &class, sizeof(class));
	if (ret == 0 && class >> 8 != VDPDK_PCI_CLASS)
		ret = -ENODEV;
	if (ret == 0)
		ret = nmx_vfu_write_region(container->client, NMX_VFU_REGION_CONFIG, COMMAND_OFFSET,
			&command, sizeof(command));
	return ret;
}

static int
map_all(struct container *container, const char **ret_reason)
{
	uint32_t failed = 0;
	int ret = nmx_vfu_map_memory(container->client, container->memory, container->n, &failed);

	if (ret == -ENOSPC)
		*ret_reason = "it won't map so much memory; give EAL less or larger pages, or "
			      "raise mem_max= there";
	else if (ret != 0)
		*ret_reason = "it can't map this process' memory";
	return ret;
}

/** Put the host's doorbells in their places. */
static int
get_doorbells(struct container *container, const char **ret_reason)
{
	struct nmx_vfu_bell bells[VDPDK_QUEUE_PAIRS_MAX];
	uint32_t n = 0;
	int ret = nmx_vfu_get_doorbells(
		container->client, VDPDK_BAR_SIGNAL, bells, RTE_DIM(bells), &n);

	*ret_reason = "it offers no doorbells";
	if (ret != 0)
		return ret;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t q = (bells[i].offset - VDPDK_REG_TX_DOORBELL(0)) / 4;

		if (q < RTE_DIM(container->doorbells) && container->doorbells[q] < 0 &&
			bells[i].offset == VDPDK_REG_TX_DOORBELL(q))
			container->doorbells[q] = nmx_base_take_fd(&bells[i].fd);
		nmx_base_close_fd(&bells[i].fd);
	}
	return 0;
}

/** Context: lock held. */
static void
forget_session(struct container *container)
{
	nmx_vfu_destroy_client(container->client);
	container->client = NULL;
	container->ending = false;
	nmx_base_close_fds(container->doorbells, RTE_DIM(container->doorbells));
}

/** Context: lock held. */
static int
open_client(struct container *container, const char **ret_reason)
{
	const struct vdpdk_port *port = container->transport.port;
	int fd, ret;

	if (container->memory_seen != container->memory_changes)
		return -EAGAIN;
	fd = nmx_stream_connect_path(port->args.path);
	if (fd < 0) {
		*ret_reason = nmx_stream_explain_connect(fd);
		return fd;
	}
	*ret_reason = "it doesn't speak vfio-user, or serves somebody else; see path=";
	ret = nmx_vfu_create_client(&fd, REPLY_TIMEOUT_MS, port->stop_fd, &container->client);
	if (ret != 0)
		return ret;
	ret = enable_device(container, ret_reason);
	if (ret == 0)
		ret = map_all(container, ret_reason);
	if (ret == 0)
		ret = get_doorbells(container, ret_reason);
	if (ret != 0)
		forget_session(container); /* no queue was started: nothing is reached */
	return ret;
}

static int
open_session(struct vdpdk_transport *transport, const char **ret_reason)
{
	struct container *container = get_container(transport);
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = open_client(container, ret_reason);
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static void
end_session(struct vdpdk_transport *transport)
{
	struct container *container = get_container(transport);

	pthread_mutex_lock(&container->lock);
	container->ending = true;
	nmx_vfu_end_client(container->client);
	pthread_mutex_unlock(&container->lock);
}

/** The host closes its end when it reaches nothing any more, or the kernel does for it. */
static bool
has_ended(const struct vdpdk_transport *transport)
{
	return nmx_vfu_has_ended(((const struct container *)transport)->client);
}

static void
close_session(struct vdpdk_transport *transport)
{
	struct container *container = get_container(transport);

	pthread_mutex_lock(&container->lock);
	forget_session(container);
	pthread_mutex_unlock(&container->lock);
}

/* --- Registers --- */

static int
make_interrupts(struct vdpdk_transport *transport, const int *fds, uint32_t n,
	struct rte_intr_handle **ret_handle)
{
	struct container *container = get_container(transport);

	container->interrupts = nmx_dpdk_make_rx_interrupts(
		fds + VDPDK_VECTOR_RX(0), (int)n - VDPDK_VECTOR_RX(0), sizeof(uint64_t));
	*ret_handle = container->interrupts;
	return container->interrupts == NULL ? -ENOMEM : 0;
}

static int
connect_vectors(struct vdpdk_transport *transport, const int *fds, uint32_t n)
{
	struct container *container = get_container(transport);
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = nmx_vfu_connect_vectors(container->client, NMX_VFU_IRQ_MSIX, 0, fds, n);
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static int
read_register(struct vdpdk_transport *transport, uint32_t offset, uint32_t *value)
{
	struct container *container = get_container(transport);
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = nmx_vfu_read_region(
		container->client, VDPDK_BAR_SIGNAL, offset, value, sizeof(*value));
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static int
write_register(struct vdpdk_transport *transport, uint32_t offset, uint32_t value)
{
	struct container *container = get_container(transport);
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = nmx_vfu_write_region(
		container->client, VDPDK_BAR_SIGNAL, offset, &value, sizeof(value));
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static int
post_register(struct vdpdk_transport *transport, uint32_t offset, uint32_t value)
{
	struct container *container = get_container(transport);
	int ret;

	pthread_mutex_lock(&container->lock);
	ret = nmx_vfu_post_region(
		container->client, VDPDK_BAR_SIGNAL, offset, &value, sizeof(value));
	pthread_mutex_unlock(&container->lock);
	return ret;
}

static bool
has_doorbells(const struct vdpdk_transport *transport, uint16_t n)
{
	const struct container *container = (const struct container *)transport;

	for (uint16_t q = 0; q < n; q++)
		if (container->doorbells[q] < 0)
			return false;
	return true;
}

static void
ring_doorbell(struct vdpdk_transport *transport, uint16_t q)
{
	const uint64_t one = 1;

	/* The host's eventfd, non-blocking; full means that it is awake. */
	if (write(get_container(transport)->doorbells[q], &one, sizeof(one)) < 0)
		return;
}

static int
get_watch_fd(const struct vdpdk_transport *transport)
{
	const struct container *container = (const struct container *)transport;

	return container->client == NULL ? -1 : nmx_vfu_get_fd(container->client);
}

static void
destroy(struct vdpdk_transport *transport)
{
	struct container *container = get_container(transport);

	close_session(transport);
	pthread_mutex_destroy(&container->lock);
	nmx_dpdk_free_rx_interrupts(container->interrupts);
	free(container->memory);
	free(container);
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
	.post_register = post_register,
	.make_interrupts = make_interrupts,
	.connect_vectors = connect_vectors,
	.has_doorbells = has_doorbells,
	.ring_doorbell = ring_doorbell,
	.map = map,
	.unmap = unmap,
	.get_watch_fd = get_watch_fd,
};

struct vdpdk_transport *
vdpdk_create_container_transport(struct vdpdk_port *port, void *device)
{
	struct container *container = calloc(1, sizeof(*container));

	(void)device;
	if (container == NULL)
		return NULL;
	container->transport.ops = &operations;
	container->transport.port = port;
	container->transport.shares_files = true;
	container->transport.has_interrupts = true;
	pthread_mutex_init(&container->lock, NULL);
	for (uint32_t i = 0; i < RTE_DIM(container->doorbells); i++)
		container->doorbells[i] = -1;
	return &container->transport;
}
