/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Guest memory of fuzz_vdev.
 *
 * A file, mapped by the device through lib/mem in two pieces, and a second time by the target,
 * which reaches it whatever the device may. Everything beside the pieces has no access, so a byte
 * written there is a fault; one written elsewhere in them differs from `expected`. The address
 * space lives as long as the process; an anchor far behind keeps its window when both pieces are
 * unmapped.
 */

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vdev_rig.h"

#define ANCHOR_START (MEMORY_START + 64 * PIECE_BYTES)

static const uint32_t both = NMX_MEM_READ | NMX_MEM_WRITE;
static struct vdev_memory memory;
static int file = -1;

static void
map(uint64_t start, uint64_t size, uint64_t offset, uint32_t protection)
{
	struct nmx_mem_map wanted = { { start, size }, offset, protection };
	int fd = dup(file);

	FUZZ_CHECK(nmx_mem_map(memory.mem, &wanted, &fd) == 0);
}

static void
create_memory(void)
{
	static const struct nmx_mem_limits limits = { .maps_max = 16, .bytes_max = 1 << 30 };
	struct nmx_mem_cache cache = { 0 };
	NMX_SHARED uint8_t *host;

	file = memfd_create("nmx-fuzz-vdev", MFD_CLOEXEC);
	FUZZ_CHECK(ftruncate(file, MEMORY_BYTES) == 0);
	memory.guest = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	FUZZ_CHECK(memory.guest != MAP_FAILED);
	FUZZ_CHECK(
		nmx_mem_create(&limits, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), &memory.mem) == 0);
	map(ANCHOR_START, NMX_MEM_PAGE_BYTES, 0, NMX_MEM_READ);
	FUZZ_CHECK(nmx_mem_translate(nmx_mem_get_view(memory.mem), &cache, ANCHOR_START, 1,
			   NMX_MEM_READ, &host) == 0);
	memory.host = NMX_SHARED_PLAIN(uint8_t, host) - (ANCHOR_START - MEMORY_START);
}

struct vdev_memory *
vdev_open_memory(void)
{
	if (memory.mem == NULL)
		create_memory();
	for (uint32_t i = 0; i < N_PIECES; i++)
		vdev_map_piece(&memory, i, both);
	memset(memory.guest, 0, MEMORY_BYTES);
	memset(memory.expected, 0, MEMORY_BYTES);
	return &memory;
}

void
vdev_map_piece(struct vdev_memory *m, uint32_t piece, uint32_t protection)
{
	const struct nmx_range range = { MEMORY_START + piece * PIECE_BYTES, PIECE_BYTES };

	if (m->protection[piece] == protection)
		return;
	if (m->protection[piece] != 0) {
		FUZZ_CHECK(nmx_mem_unmap(m->mem, range) == 0);
		nmx_mem_reclaim(m->mem);
	}
	if (protection != 0)
		map(range.start, range.size, piece * PIECE_BYTES, protection);
	m->protection[piece] = protection;
}

bool
vdev_has_area(const struct vdev_memory *m, uint64_t address)
{
	const uint64_t size = sizeof(struct vdpdk_control_area);

	if (address % VDPDK_CONTROL_ALIGN != 0 || address < MEMORY_START ||
		address > MEMORY_START + MEMORY_BYTES - size)
		return false;
	return m->protection[(address - MEMORY_START) / PIECE_BYTES] == both &&
	       m->protection[(address + size - 1 - MEMORY_START) / PIECE_BYTES] == both;
}

void
vdev_expect_bytes(struct vdev_memory *m, uint64_t address, const void *bytes, size_t size)
{
	FUZZ_CHECK(address >= MEMORY_START && address - MEMORY_START <= MEMORY_BYTES - size);
	if (size > 0)
		memcpy(m->expected + (address - MEMORY_START), bytes, size);
}

void
vdev_check_bytes(const struct vdev_memory *m, uint64_t address, size_t size)
{
	uint64_t offset = address - MEMORY_START;

	FUZZ_CHECK(memcmp(m->guest + offset, m->expected + offset, size) == 0);
}

void
vdev_check_memory(const struct vdev_memory *m)
{
	vdev_check_bytes(m, MEMORY_START, MEMORY_BYTES);
}
