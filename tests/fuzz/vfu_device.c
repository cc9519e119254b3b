/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device of fuzz_vfu: judges what it is called with by the request as the client sent it, and
 * draws what it says.
 */

#include <fcntl.h>
#include <unistd.h>

#include "vfu_rig.h"

#define RW (NMX_VFU_REGION_READABLE | NMX_VFU_REGION_WRITABLE)

/** Regions of all sorts: small, read only, write only, huge. */
const struct nmx_vfu_device vfu_device = {
	.region[0] = { RW, 4096 },
	.region[1] = { NMX_VFU_REGION_READABLE, 64 },
	.region[2] = { NMX_VFU_REGION_WRITABLE, 64 },
	.region[4] = { RW, UINT64_MAX },
	.region[NMX_VFU_REGION_CONFIG] = { RW, 256 },
	.n_vectors[NMX_VFU_IRQ_MSIX] = N_VECTORS,
	.n_vectors[NMX_VFU_IRQ_ERR] = 1,
	.dma_maps_max = 100,
};

void
vfu_init_device(struct vfu_rig *rig)
{
	memset(rig->map_fds, -1, sizeof(rig->map_fds));
	memset(rig->vector_fds, -1, sizeof(rig->vector_fds));
}

static void
drop_fd(int *fd)
{
	if (*fd >= 0)
		FUZZ_CHECK(close(*fd) == 0);
	*fd = -1;
}

void
vfu_end_device(struct vfu_rig *rig)
{
	for (unsigned int i = 0; i < N_MAPS; i++)
		drop_fd(&rig->map_fds[i]);
	for (unsigned int i = 0; i < N_VECTORS; i++)
		drop_fd(&rig->vector_fds[i]);
}

/** Take a descriptor over, which must be open and not ours yet. */
static void
take_fd(struct vfu_rig *rig, int *place, int *fd)
{
	drop_fd(place);
	FUZZ_CHECK(*fd >= 0 && fcntl(*fd, F_GETFD) >= 0);
	for (unsigned int i = 0; i < N_MAPS; i++)
		FUZZ_CHECK(rig->map_fds[i] != *fd);
	for (unsigned int i = 0; i < N_VECTORS; i++)
		FUZZ_CHECK(rig->vector_fds[i] != *fd);
	*place = *fd;
	*fd = -1;
}

/** A call; it must be for the request under way, and the first unless there may be more. */
static const void *
note_call(struct vfu_rig *rig, uint16_t command, bool is_first)
{
	struct vfu_request *request = rig->request;

	FUZZ_CHECK(rig->may_call && rig->versioned);
	FUZZ_CHECK(request->is_whole && !request->is_parked && rig->n_messages == 1);
	FUZZ_CHECK(request->header.command == command && vfu_is_well_formed(request));
	FUZZ_CHECK((request->n_calls == 0) == is_first);
	request->n_calls++;
	return request->body;
}

static int
draw_result(struct vfu_rig *rig, bool may_be_late)
{
	static const int errors[] = { -EINVAL, -EEXIST, -ENOENT, -ENOSPC, -EACCES, -ENOMEM };
	uint8_t draw = fuzz_take8(&rig->input);

	rig->request->result = draw < 0x80 ? 0 : errors[draw % 6];
	if (may_be_late && draw >= 0x60 && draw < 0xa0) {
		rig->request->is_parked = true;
		return NMX_VFU_LATER;
	}
	return rig->request->result;
}

static int
on_map(void *context, const struct nmx_vfu_map *map, int *fd)
{
	struct vfu_rig *rig = context;
	struct nmx_vfu_dma_map asked;
	uint8_t draw;

	memcpy(&asked, note_call(rig, NMX_VFU_DMA_MAP, true), sizeof(asked));
	FUZZ_CHECK(map->range.start == asked.address && map->range.size == asked.size);
	FUZZ_CHECK(map->offset == asked.offset && map->protection == asked.flags);
	FUZZ_CHECK(map->range.size > 0 && map->range.size - 1 <= UINT64_MAX - map->range.start);
	FUZZ_CHECK(map->protection <= (NMX_VFU_MAP_READ | NMX_VFU_MAP_WRITE));
	FUZZ_CHECK((*fd >= 0) == (rig->request->n_fds == 1));
	draw = fuzz_take8(&rig->input);
	if (*fd >= 0 && draw & 1)
		take_fd(rig, &rig->map_fds[(draw >> 1) % N_MAPS], fd);
	return draw_result(rig, false);
}

static int
on_unmap(void *context, const struct nmx_range *range)
{
	struct vfu_rig *rig = context;
	struct nmx_vfu_dma_unmap asked;

	memcpy(&asked, note_call(rig, NMX_VFU_DMA_UNMAP, true), sizeof(asked));
	FUZZ_CHECK((range == NULL) == (asked.flags == NMX_VFU_UNMAP_ALL));
	if (range == NULL) {
		FUZZ_CHECK(asked.address == 0 && asked.size == 0);
	} else {
		FUZZ_CHECK(range->start == asked.address && range->size == asked.size);
		FUZZ_CHECK(range->size > 0 && range->size - 1 <= UINT64_MAX - range->start);
	}
	return draw_result(rig, true);
}

static void
check_access(const struct vfu_rig *rig, const struct nmx_vfu_access *access, uint32_t flag)
{
	struct nmx_vfu_region_access asked;

	memcpy(&asked, rig->request->body, sizeof(asked));
	FUZZ_CHECK(access->region == asked.region && access->region < NMX_VFU_N_REGIONS);
	FUZZ_CHECK(access->count == asked.count && access->offset == asked.offset);
	FUZZ_CHECK(access->count > 0 && access->count <= NMX_VFU_DATA_BYTES_MAX);
	FUZZ_CHECK(vfu_device.region[access->region].flags & flag);
	FUZZ_CHECK(access->count <= vfu_device.region[access->region].size);
	FUZZ_CHECK(access->offset <= vfu_device.region[access->region].size - access->count);
}

/** Fills the first half of the data only: the rest must come as zeroes. */
static int
on_read(void *context, const struct nmx_vfu_access *access, uint8_t *data)
{
	struct vfu_rig *rig = context;

	(void)note_call(rig, NMX_VFU_REGION_READ, true);
	check_access(rig, access, NMX_VFU_REGION_READABLE);
	memset(data, 0xa5, access->count / 2);
	return draw_result(rig, false);
}

static int
on_write(void *context, const struct nmx_vfu_access *access, const uint8_t *data)
{
	struct vfu_rig *rig = context;
	const struct vfu_request *request = rig->request;
	const size_t head = sizeof(struct nmx_vfu_region_access);

	(void)note_call(rig, NMX_VFU_REGION_WRITE, true);
	check_access(rig, access, NMX_VFU_REGION_WRITABLE);
	FUZZ_CHECK(request->header.size == sizeof(request->header) + head + access->count);
	FUZZ_CHECK(memcmp(data, request->body + head, access->count) == 0);
	return draw_result(rig, true);
}

static int
on_connect(void *context, uint32_t index, uint32_t start, uint32_t count, int *fds)
{
	struct vfu_rig *rig = context;
	struct nmx_vfu_set_irqs asked;
	uint8_t draw;

	memcpy(&asked, note_call(rig, NMX_VFU_SET_IRQS, true), sizeof(asked));
	FUZZ_CHECK(index == asked.index && index < NMX_VFU_N_IRQS && count > 0);
	FUZZ_CHECK(count <= vfu_device.n_vectors[index]);
	FUZZ_CHECK(start <= vfu_device.n_vectors[index] - count);
	FUZZ_CHECK((fds != NULL) == (rig->request->n_fds > 0));
	FUZZ_CHECK(fds == NULL || count == rig->request->n_fds);
	for (uint32_t i = 0; fds != NULL && i < count; i++)
		FUZZ_CHECK(vfu_get_kind(rig, fds[i]) == KIND_EVENTFD);
	draw = fuzz_take8(&rig->input);
	for (uint32_t i = 0; i < count && index == NMX_VFU_IRQ_MSIX; i++) {
		if (fds == NULL)
			drop_fd(&rig->vector_fds[start + i]);
		else if (i != draw)
			take_fd(rig, &rig->vector_fds[start + i], &fds[i]);
	}
	return draw_result(rig, true);
}

static int
on_trigger(void *context, uint32_t index, uint32_t vector)
{
	struct vfu_rig *rig = context;
	bool is_first = rig->request->n_calls == 0;
	struct nmx_vfu_set_irqs asked;

	memcpy(&asked, note_call(rig, NMX_VFU_SET_IRQS, is_first), sizeof(asked));
	FUZZ_CHECK(rig->request->n_calls <= asked.count && rig->request->n_fds == 0);
	FUZZ_CHECK(is_first || rig->request->result == 0);
	FUZZ_CHECK(index == asked.index && index < NMX_VFU_N_IRQS);
	FUZZ_CHECK(vector >= asked.start && vector - asked.start < asked.count);
	FUZZ_CHECK(vector < vfu_device.n_vectors[index]);
	if (asked.flags & NMX_VFU_IRQ_DATA_BOOL)
		FUZZ_CHECK(rig->request->body[sizeof(asked) + vector - asked.start] == 1);
	return draw_result(rig, false);
}

static int
on_reset(void *context)
{
	struct vfu_rig *rig = context;

	(void)note_call(rig, NMX_VFU_RESET, true);
	return draw_result(rig, true);
}

static uint32_t
on_list(void *context, uint32_t region, struct nmx_vfu_doorbell *list, uint32_t room)
{
	struct vfu_rig *rig = context;
	struct nmx_vfu_io_fds asked;

	memcpy(&asked, note_call(rig, NMX_VFU_GET_REGION_IO_FDS, true), sizeof(asked));
	FUZZ_CHECK(region == asked.index && region < NMX_VFU_N_REGIONS);
	FUZZ_CHECK(room == N_DOORBELLS);
	rig->request->result = 0;
	rig->request->n_listed = region == 0 ? rig->n_doorbells : 0;
	for (uint32_t i = 0; i < rig->request->n_listed; i++)
		list[i] = (struct nmx_vfu_doorbell){ 4 * i, 4, vfu_get_template(i % N_KINDS) };
	return rig->request->n_listed;
}

const struct nmx_vfu_handlers vfu_handlers = {
	.map = on_map,
	.unmap = on_unmap,
	.read_region = on_read,
	.write_region = on_write,
	.connect_vectors = on_connect,
	.trigger_vector = on_trigger,
	.reset = on_reset,
	.list_doorbells = on_list,
};
