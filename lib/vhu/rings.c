/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Rings: what messages set, in whatever order, and when that is enough. */

#include <errno.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/range.h"
#include "request.h"

/* Bytes of a ring's parts: virtio 1.1/1.2, 2.6, with the event words, and 2.7.10. */
#define DESC_BYTES(size)  (UINT64_C(16) * (size))
#define AVAIL_BYTES(size) (UINT64_C(2) * (size) + 6)
#define USED_BYTES(size)  (UINT64_C(8) * (size) + 6)
#define EVENT_BYTES       UINT64_C(4)

#define DESC_ALIGN  UINT64_C(16)
#define AVAIL_ALIGN UINT64_C(2)
#define USED_ALIGN  UINT64_C(4)
#define EVENT_ALIGN UINT64_C(4)

/** The ring of an index; NULL: there is none. */
static struct nmx_vhu_ring_state *
find_ring(struct nmx_vhu_server *server, uint64_t index)
{
	return index < server->offer->n_rings ? &server->rings[index] : NULL;
}

static struct nmx_vhu_ring_state *
read_state(struct nmx_vhu_server *server, struct nmx_vhu_state *ret_state)
{
	memcpy(ret_state, server->body, sizeof(*ret_state));
	return find_ring(server, ret_state->index);
}

/** Where a ring is by the present table; false: not wholly in it. */
static bool
find_parts(const struct nmx_vhu_server *server, const struct nmx_vhu_ring_state *ring,
	struct nmx_vhu_ring *ret_ring)
{
	const struct nmx_vhu_memory *memory = &server->memory;
	const struct nmx_vhu_addresses *user = &ring->addresses;
	const bool packed = (server->features & NMX_VHU_FEATURE_RING_PACKED) != 0;
	const uint32_t size = ring->size;

	ret_ring->size = size;
	ret_ring->base = ring->base;
	/* Without that bit there is no message to enable rings. */
	ret_ring->enabled = ring->enabled ||
			    !(server->features & NMX_VHU_FEATURE_PROTOCOL_FEATURES);
	return nmx_vhu_find_guest_address(memory, user->desc, DESC_BYTES(size), &ret_ring->desc) &&
	       nmx_vhu_find_guest_address(memory, user->avail,
		       packed ? EVENT_BYTES : AVAIL_BYTES(size), &ret_ring->avail) &&
	       nmx_vhu_find_guest_address(memory, user->used,
		       packed ? EVENT_BYTES : USED_BYTES(size), &ret_ring->used) &&
	       nmx_base_is_aligned(ret_ring->desc, DESC_ALIGN) &&
	       nmx_base_is_aligned(ret_ring->avail, packed ? EVENT_ALIGN : AVAIL_ALIGN) &&
	       nmx_base_is_aligned(ret_ring->used, packed ? EVENT_ALIGN : USED_ALIGN);
}

/** Start a ring that has all it needs. One that hasn't waits. @return 0; -errno of the device */
static int
try_start(struct nmx_vhu_server *server, struct nmx_vhu_ring_state *ring)
{
	struct nmx_vhu_ring parts;
	int ret;

	if (ring->started || !ring->kicked || !ring->addressed || ring->size == 0 ||
		!server->has_features || !find_parts(server, ring, &parts))
		return 0;
	ret = server->handlers->start_ring(
		server->context, (uint16_t)(ring - server->rings), &parts);
	if (ret != 0)
		return ret;
	ring->started = true;
	ring->lost = false;
	ring->desc = parts.desc;
	ring->avail = parts.avail;
	ring->used = parts.used;
	return 0;
}

int
nmx_vhu_settle_rings(struct nmx_vhu_server *server)
{
	int ret = 0, first = 0;

	for (uint32_t i = 0; i < server->offer->n_rings; i++) {
		struct nmx_vhu_ring_state *ring = &server->rings[i];
		struct nmx_vhu_ring parts;

		if (!ring->started) {
			ret = try_start(server, ring);
			first = first != 0 ? first : ret;
			continue;
		}
		if (find_parts(server, ring, &parts) && parts.desc == ring->desc &&
			parts.avail == ring->avail && parts.used == ring->used)
			continue;
		ring->started = ring->kicked = false;
		ring->lost = true;
		server->handlers->lose_ring(server->context, (uint16_t)i);
	}
	return first;
}

bool
nmx_vhu_has_started(const struct nmx_vhu_server *server)
{
	for (uint32_t i = 0; i < server->offer->n_rings; i++)
		if (server->rings[i].started)
			return true;
	return false;
}

/* --- Requests --- */

int
nmx_vhu_set_size(struct nmx_vhu_server *server)
{
	struct nmx_vhu_state state;
	struct nmx_vhu_ring_state *ring = read_state(server, &state);

	if (ring == NULL)
		return -ENXIO;
	if (!nmx_base_is_power_of_two(state.num) || state.num > server->offer->ring_size_max)
		return -EINVAL;
	if (ring->started)
		return ring->size == state.num ? 0 : -EBUSY;
	ring->size = state.num;
	return try_start(server, ring);
}

int
nmx_vhu_set_base(struct nmx_vhu_server *server)
{
	struct nmx_vhu_state state;
	struct nmx_vhu_ring_state *ring = read_state(server, &state);

	if (ring == NULL)
		return -ENXIO;
	if (ring->started)
		return ring->base == state.num ? 0 : -EBUSY;
	ring->base = state.num;
	return try_start(server, ring);
}

int
nmx_vhu_set_addresses(struct nmx_vhu_server *server)
{
	struct nmx_vhu_addresses addresses;
	struct nmx_vhu_ring_state *ring;

	memcpy(&addresses, server->body, sizeof(addresses));
	ring = find_ring(server, addresses.index);
	if (ring == NULL)
		return -ENXIO;
	/* That of a running ring comes again when logging begins and ends. */
	if (ring->started && (addresses.desc != ring->addresses.desc ||
				     addresses.avail != ring->addresses.avail ||
				     addresses.used != ring->addresses.used))
		return -EBUSY;
	ring->addresses = addresses;
	ring->addressed = true;
	return try_start(server, ring);
}

int
nmx_vhu_set_enabled(struct nmx_vhu_server *server)
{
	struct nmx_vhu_state state;
	struct nmx_vhu_ring_state *ring = read_state(server, &state);

	if (ring == NULL)
		return -ENXIO;
	if (state.num > 1)
		return -EINVAL;
	/* virtio-user sends it for rings that are nothing yet, too. */
	ring->enabled = state.num == 1;
	if (!ring->started)
		return try_start(server, ring);
	return server->handlers->enable_ring(server->context, (uint16_t)state.index, ring->enabled);
}

int
nmx_vhu_disable_rings(struct nmx_vhu_server *server)
{
	int ret = 0;

	for (uint32_t i = 0; i < server->offer->n_rings && ret == 0; i++) {
		server->rings[i].enabled = false;
		if (server->rings[i].started)
			ret = server->handlers->enable_ring(server->context, (uint16_t)i, false);
	}
	return ret;
}

int
nmx_vhu_get_base(struct nmx_vhu_server *server)
{
	struct nmx_vhu_state state;
	/* Its number is whatever was in the front end's memory. */
	struct nmx_vhu_ring_state *ring = read_state(server, &state);
	uint32_t base = 0;
	int ret;

	if (ring == NULL)
		return -ENXIO;
	server->reply.state.index = state.index;
	server->reply.state.num = ring->base;
	/* One that was lost may be in use yet, and only the device knows where it was left. */
	if (!ring->started && !ring->lost) {
		ring->kicked = false;
		return 0;
	}
	ret = server->handlers->stop_ring(server->context, (uint16_t)state.index, &base);
	if (ret == 0)
		nmx_vhu_end_ring(server, base);
	return ret;
}

void
nmx_vhu_end_ring(struct nmx_vhu_server *server, uint32_t base)
{
	struct nmx_vhu_ring_state *ring = &server->rings[server->reply.state.index];

	ring->started = ring->kicked = ring->lost = false;
	ring->base = base;
	server->reply.state.num = base;
}

/* --- Descriptors --- */

/**
 * The ring and the descriptor of a message that has one.
 *
 * @param ret_fd  NULL: it says that there is none
 * @return 0; -ENXIO; -EINVAL it makes no sense
 */
static int
read_file(struct nmx_vhu_server *server, struct nmx_vhu_ring_state **ret_ring, int **ret_fd)
{
	uint64_t number;
	bool has_fd;

	memcpy(&number, server->body, sizeof(number));
	*ret_ring = find_ring(server, number & NMX_VHU_FILE_INDEX);
	has_fd = (number & NMX_VHU_FILE_NONE) == 0;
	if (*ret_ring == NULL)
		return -ENXIO;
	if ((number & ~(NMX_VHU_FILE_INDEX | NMX_VHU_FILE_NONE)) != 0 ||
		server->exchange.n_fds != (has_fd ? 1u : 0u) ||
		(has_fd && !nmx_base_is_eventfd(server->exchange.fds[0])))
		return -EINVAL;
	*ret_fd = has_fd ? &server->exchange.fds[0] : NULL;
	return 0;
}

static int
connect_file(struct nmx_vhu_server *server, const struct nmx_vhu_ring_state *ring, int *fd,
	int (*connect)(void *context, uint16_t index, int *fd))
{
	int none = -1;

	return connect(server->context, (uint16_t)(ring - server->rings), fd != NULL ? fd : &none);
}

int
nmx_vhu_set_kick(struct nmx_vhu_server *server)
{
	struct nmx_vhu_ring_state *ring;
	int *fd, ret = read_file(server, &ring, &fd);

	if (ret == 0)
		ret = connect_file(server, ring, fd, server->handlers->connect_kick);
	if (ret != 0)
		return ret;
	ring->kicked = true;
	return try_start(server, ring);
}

int
nmx_vhu_set_call(struct nmx_vhu_server *server)
{
	struct nmx_vhu_ring_state *ring;
	int *fd, ret = read_file(server, &ring, &fd);

	return ret != 0 ? ret : connect_file(server, ring, fd, server->handlers->connect_call);
}

int
nmx_vhu_set_error(struct nmx_vhu_server *server)
{
	struct nmx_vhu_ring_state *ring;
	int *fd;

	/* Nobody reads what it would say: closed. */
	return read_file(server, &ring, &fd);
}
