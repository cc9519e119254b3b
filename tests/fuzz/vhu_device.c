/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The device of fuzz_vhu: remembers what it was told, and judges each call by that. */

#include <fcntl.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "vhu_rig.h"

const struct nmx_vhu_offer vhu_offer = {
	.features = UINT64_C(1) << 32 | NMX_VHU_FEATURE_LOG_ALL | NMX_VHU_FEATURE_RING_PACKED |
		    0xff00,
	.protocol_features = NMX_VHU_PROTOCOL_MQ | NMX_VHU_PROTOCOL_REPLY_ACK |
			     NMX_VHU_PROTOCOL_NET_MTU,
	.n_rings = N_RINGS,
	.ring_size_max = RING_SIZE_MAX,
	.mtu_max = 9000,
};

static struct vhu_rig *
note_call(void *context)
{
	struct vhu_rig *rig = context;

	FUZZ_CHECK(rig->may_call && !rig->is_over && !rig->is_parked);
	return rig;
}

static int
refuse_some(struct vhu_rig *rig)
{
	return fuzz_once_in(&rig->input, 16) ? -ENOMEM : 0;
}

static int
take(int *place, int *fd)
{
	if (*place >= 0)
		FUZZ_CHECK(close(*place) == 0);
	*place = nmx_base_take_fd(fd);
	return 0;
}

/* --- Memory --- */

static bool
overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

static void
check_regions(const struct nmx_vhu_region *regions, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct nmx_vhu_region *r = &regions[i];

		FUZZ_CHECK(r->size > 0 && r->guest + (r->size - 1) >= r->guest &&
			   r->user + (r->size - 1) >= r->user &&
			   r->offset + (r->size - 1) >= r->offset);
		for (uint32_t k = 0; k < i; k++)
			FUZZ_CHECK(!overlap(r->guest, r->size, regions[k].guest, regions[k].size) &&
				   !overlap(r->user, r->size, regions[k].user, regions[k].size));
	}
}

static int
on_memory(void *context, const struct nmx_vhu_region *regions, uint32_t n, int *fds)
{
	struct vhu_rig *rig = note_call(context);
	int ret = refuse_some(rig);

	FUZZ_CHECK(n > 0 && n <= NMX_VHU_REGIONS_MAX);
	check_regions(regions, n);
	for (uint32_t i = 0; i < n; i++)
		FUZZ_CHECK(nmx_base_is_memory(fds[i]));
	if (ret != 0)
		return ret;
	for (uint32_t i = 0; i < n; i++)
		take(&rig->memory[i], &fds[i]);
	memcpy(rig->parked_regions, regions, n * sizeof(*regions));
	rig->n_parked_regions = n;
	rig->is_parked = fuzz_once_in(&rig->input, 4);
	if (!rig->is_parked)
		vhu_settle_parked(rig, 0);
	return rig->is_parked ? NMX_VHU_LATER : 0;
}

void
vhu_settle_parked(struct vhu_rig *rig, int result)
{
	if (result == 0 && rig->n_parked_regions > 0) {
		memcpy(rig->regions, rig->parked_regions, sizeof(rig->regions));
		rig->n_regions = rig->n_parked_regions;
	}
	rig->n_parked_regions = 0;
}

static bool
is_in_memory(const struct vhu_rig *rig, uint64_t start, uint64_t size)
{
	for (uint32_t i = 0; i < rig->n_regions; i++)
		if (start >= rig->regions[i].guest &&
			start - rig->regions[i].guest <= rig->regions[i].size &&
			size <= rig->regions[i].size - (start - rig->regions[i].guest))
			return true;
	return false;
}

/* --- Rings --- */

static int
on_start(void *context, uint16_t index, const struct nmx_vhu_ring *ring)
{
	struct vhu_rig *rig = note_call(context);
	const bool packed = (rig->features & NMX_VHU_FEATURE_RING_PACKED) != 0;
	const uint64_t size = ring->size;

	FUZZ_CHECK(index < N_RINGS && !rig->running[index]);
	FUZZ_CHECK(ring->size > 0 && ring->size <= RING_SIZE_MAX &&
		   (ring->size & (ring->size - 1)) == 0);
	FUZZ_CHECK(
		ring->desc % 16 == 0 && ring->avail % (packed ? 4 : 2) == 0 && ring->used % 4 == 0);
	FUZZ_CHECK(is_in_memory(rig, ring->desc, 16 * size) &&
		   is_in_memory(rig, ring->avail, packed ? 4 : 6 + 2 * size) &&
		   is_in_memory(rig, ring->used, packed ? 4 : 6 + 8 * size));
	if (refuse_some(rig) != 0)
		return -ENOMEM;
	rig->running[index] = true;
	rig->lost[index] = false;
	return 0;
}

static int
on_enable(void *context, uint16_t index, bool enabled)
{
	struct vhu_rig *rig = note_call(context);

	(void)enabled;
	FUZZ_CHECK(index < N_RINGS && rig->running[index]);
	return 0;
}

static int
on_stop(void *context, uint16_t index, uint32_t *ret_base)
{
	struct vhu_rig *rig = note_call(context);

	FUZZ_CHECK(index < N_RINGS && (rig->running[index] || rig->lost[index]));
	*ret_base = 9;
	rig->is_parked = fuzz_once_in(&rig->input, 4);
	/* One that is refused later runs on, as far as the server knows. */
	rig->running[index] = false;
	return rig->is_parked ? NMX_VHU_LATER : 0;
}

static void
on_lose(void *context, uint16_t index)
{
	struct vhu_rig *rig = note_call(context);

	FUZZ_CHECK(index < N_RINGS && rig->running[index]);
	rig->running[index] = false;
	rig->lost[index] = true;
}

static int
connect_file(void *context, int *places, uint16_t index, int *fd)
{
	(void)note_call(context);
	FUZZ_CHECK(index < N_RINGS && (*fd == -1 || nmx_base_is_eventfd(*fd)));
	return take(&places[index], fd);
}

static int
on_kick(void *context, uint16_t index, int *fd)
{
	return connect_file(context, ((struct vhu_rig *)context)->kick, index, fd);
}

static int
on_call(void *context, uint16_t index, int *fd)
{
	return connect_file(context, ((struct vhu_rig *)context)->call, index, fd);
}

/* --- The rest --- */

static int
on_features(void *context, uint64_t features)
{
	struct vhu_rig *rig = note_call(context);

	FUZZ_CHECK((features & ~vhu_offer.features) == 0);
	for (unsigned int i = 0; i < N_RINGS; i++)
		FUZZ_CHECK(!rig->running[i] ||
			   ((features ^ rig->features) & ~NMX_VHU_FEATURE_LOG_ALL) == 0);
	if (refuse_some(rig) != 0)
		return -ENOMEM;
	rig->features = features;
	return 0;
}

static int
on_mtu(void *context, uint16_t mtu)
{
	(void)note_call(context);
	FUZZ_CHECK(mtu > 0 && mtu <= vhu_offer.mtu_max);
	return 0;
}

const struct nmx_vhu_handlers vhu_handlers = {
	.set_features = on_features,
	.set_memory = on_memory,
	.start_ring = on_start,
	.enable_ring = on_enable,
	.stop_ring = on_stop,
	.lose_ring = on_lose,
	.connect_kick = on_kick,
	.connect_call = on_call,
	.set_mtu = on_mtu,
};

void
vhu_init_device(struct vhu_rig *rig)
{
	for (unsigned int i = 0; i < NMX_VHU_REGIONS_MAX; i++)
		rig->memory[i] = -1;
	for (unsigned int i = 0; i < N_RINGS; i++)
		rig->kick[i] = rig->call[i] = -1;
}

static void
close_all(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (fds[i] >= 0)
			FUZZ_CHECK(close(fds[i]) == 0);
}

void
vhu_end_device(struct vhu_rig *rig)
{
	close_all(rig->memory, NMX_VHU_REGIONS_MAX);
	close_all(rig->kick, N_RINGS);
	close_all(rig->call, N_RINGS);
}
