/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A virtio guest's memory.
 *
 * Theory of operation
 *
 * The front end tells all of it at once, again and again: whenever a machine's memory is changed,
 * and virtio-user at each growth of a heap, where a region gets longer. So what is mapped is kept
 * as *pieces*, and a piece stays as it is, with bursts going on, if the new table has the same
 * bytes of the same file at the same address. The others are withdrawn; if bursts or NICs may have
 * them, the message is parked until they don't (session.c). Then what is missing is mapped. Rings
 * that lay in what was withdrawn, and lie in the new table, go on after that (virtio_front.c).
 *
 * A table that can't be mapped then ends the session, as the old one is gone.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fd.h"
#include "virtio_front.h"

/** True if a region has all bytes of a piece where that has them. */
static bool
holds_piece(const struct virtio_region *region, const struct virtio_region *piece)
{
	const struct nmx_range *outer = &region->map.range, *inner = &piece->map.range;

	return region->device == piece->device && region->inode == piece->inode &&
	       region->map.offset - outer->start == piece->map.offset - inner->start &&
	       inner->start >= outer->start &&
	       nmx_base_check_slice(inner->start - outer->start, inner->size, outer->size);
}

/** True if a piece can stay. */
static bool
is_wanted(const struct virtio_memory *memory, const struct virtio_region *piece)
{
	for (uint32_t i = 0; i < memory->n_next; i++)
		if (holds_piece(&memory->next[i], piece))
			return true;
	return false;
}

/** @return 0 and memory->next; -errno of a file */
static int
read_table(struct virtio_memory *memory, const struct nmx_vhu_region *regions, uint32_t n,
	const int *fds)
{
	for (uint32_t i = 0; i < n; i++) {
		struct stat file;

		if (fstat(fds[i], &file) != 0)
			return -errno;
		memory->next[i] = (struct virtio_region){
			.map = { .range = { regions[i].guest, regions[i].size },
				.offset = regions[i].offset,
				.protection = NMX_MEM_READ | NMX_MEM_WRITE },
			.device = file.st_dev,
			.inode = file.st_ino,
		};
	}
	memory->n_next = n;
	return 0;
}

/** Withdraw the pieces that can't stay. @return 0; -errno */
static int
withdraw(struct nmx_guestport *port)
{
	struct virtio_memory *memory = &port->virtio->memory;
	/* A region that grew very often is mapped anew, in one piece. */
	const bool keeps = memory->n_pieces <= PIECES_KEPT_MAX;
	uint32_t n = 0;

	for (uint32_t i = 0; i < memory->n_pieces; i++) {
		struct virtio_region piece = memory->pieces[i];
		int ret;

		if (keeps && is_wanted(memory, &piece)) {
			memory->pieces[n++] = piece;
			continue;
		}
		ret = nmx_mem_unmap(port->mem, piece.map.range);
		if (ret != 0)
			return ret;
	}
	memory->n_pieces = n;
	return 0;
}

/** The first piece in a range that isn't in front of `from`. NULL: none */
static const struct virtio_region *
find_piece(const struct virtio_memory *memory, const struct nmx_range *range, uint64_t from)
{
	const struct virtio_region *first = NULL;

	for (uint32_t i = 0; i < memory->n_pieces; i++) {
		const struct nmx_range *one = &memory->pieces[i].map.range;

		if (one->start >= from && one->start - range->start < range->size &&
			(first == NULL || one->start < first->map.range.start))
			first = &memory->pieces[i];
	}
	return first;
}

/** Map `size` bytes of a region from `start` on. @return 0; -errno */
static int
map_piece(struct nmx_guestport *port, const struct virtio_region *region, int fd, uint64_t start,
	uint64_t size)
{
	struct virtio_memory *memory = &port->virtio->memory;
	struct virtio_region piece = *region;
	int copy, ret;

	if (size == 0)
		return 0;
	if (memory->n_pieces == PIECES_MAX)
		return -ENOSPC;
	piece.map.offset += start - region->map.range.start;
	piece.map.range = (struct nmx_range){ start, size };
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	ret = nmx_guestport_map(port, &piece.map, &copy);
	nmx_base_close_fd(&copy);
	if (ret == 0)
		memory->pieces[memory->n_pieces++] = piece;
	return ret;
}

/** Map what isn't there of a region. @return 0; -errno */
static int
complete_region(struct nmx_guestport *port, const struct virtio_region *region, int fd)
{
	const struct nmx_range *range = &region->map.range;
	uint64_t at = range->start;
	const struct virtio_region *piece;

	while ((piece = find_piece(&port->virtio->memory, range, at)) != NULL) {
		/* A copy: the array may get longer. */
		const struct nmx_range there = piece->map.range;
		int ret = map_piece(port, region, fd, at, there.start - at);

		if (ret != 0)
			return ret;
		at = there.start + there.size;
		if (at - range->start >= range->size)
			return 0;
	}
	return map_piece(port, region, fd, at, range->start + range->size - at);
}

static void
close_next(struct nmx_guestport *port)
{
	nmx_base_drop_fds(port->bin, port->virtio->memory.fds, NMX_VHU_REGIONS_MAX);
	port->virtio->memory.n_next = 0;
}

int
nmx_guestport_finish_table(struct nmx_guestport *port)
{
	struct virtio_memory *memory = &port->virtio->memory;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && i < memory->n_next; i++)
		ret = complete_region(port, &memory->next[i], memory->fds[i]);
	close_next(port);
	return ret;
}

int
nmx_guestport_set_table(void *context, const struct nmx_vhu_region *regions, uint32_t n, int *fds)
{
	struct nmx_guestport *port = context;
	struct virtio_memory *memory = &port->virtio->memory;
	int ret = read_table(memory, regions, n, fds);

	if (ret != 0)
		return ret;
	for (uint32_t i = 0; i < n; i++)
		memory->fds[i] = nmx_base_take_fd(&fds[i]);
	ret = withdraw(port);
	if (ret == 0 && nmx_guestport_let_go(port))
		return NMX_VHU_LATER;
	if (ret == 0)
		ret = nmx_guestport_finish_table(port);
	/* Some of the old table may be gone, some of the new one be there. */
	if (ret != 0)
		nmx_guestport_end_session(port, "its memory can't be mapped");
	return ret;
}

void
nmx_guestport_init_table(struct virtio_memory *memory)
{
	memset(memory, 0, sizeof(*memory));
	for (uint32_t i = 0; i < NMX_VHU_REGIONS_MAX; i++)
		memory->fds[i] = -1;
}

void
nmx_guestport_drop_table(struct nmx_guestport *port)
{
	close_next(port);
	port->virtio->memory.n_pieces = 0;
}
