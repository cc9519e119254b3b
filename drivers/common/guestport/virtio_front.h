/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The virtio front end: what its two files know of each other. Control. */

#ifndef NMX_GUESTPORT_VIRTIO_FRONT_H
#define NMX_GUESTPORT_VIRTIO_FRONT_H

#include "lib/vhu/server.h"
#include "port.h"

/** A piece of the guest's memory, and which file it is. */
struct virtio_region {
	struct nmx_mem_map map;
	uint64_t device, inode;
};

#define PIECES_MAX      512
#define PIECES_KEPT_MAX 256

struct virtio_memory {
	uint32_t n_pieces;
	struct virtio_region pieces[PIECES_MAX]; /* that are mapped */
	/* A table that waits for what is withdrawn. */
	uint32_t n_next;
	struct virtio_region next[NMX_VHU_REGIONS_MAX];
	int fds[NMX_VHU_REGIONS_MAX]; /* -1 */
};

/** A ring as the front end has started it, by its number there. */
struct virtio_ring {
	struct nmx_vhu_ring wanted;
	bool waits;    /* for its former run's end, or for its memory, to be started */
	bool is_new;   /* in this: the front end stopped the former run */
	uint32_t base; /* of its last run's end */
};

struct virtio_front {
	struct nmx_vhu_offer offer;
	struct nmx_vhu_server *server;
	uint64_t features;
	struct virtio_memory memory;
	struct virtio_ring rings[2 * QUEUES_MAX];
	uint16_t stopping; /* the ring that PARKED_STOP is about */
};

/* virtio_memory.c */

/** As set_memory of struct nmx_vhu_handlers; `context` is the port. */
int nmx_guestport_set_table(
	void *context, const struct nmx_vhu_region *regions, uint32_t n, int *fds);
/** What was withdrawn for a new table has gone: map the rest of it. @return 0; -errno */
int nmx_guestport_finish_table(struct nmx_guestport *port);
/** Forget the memory, with the session. */
void nmx_guestport_drop_table(struct nmx_guestport *port);
/** Empty. */
void nmx_guestport_init_table(struct virtio_memory *memory);

#endif
