/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** A ring: one run of a guest's queue, of whatever kind. Its life is told in port.h. */

#ifndef NMX_GUESTPORT_GUEST_RING_H
#define NMX_GUESTPORT_GUEST_RING_H

#include <stdatomic.h>
#include <stddef.h>

#include "attach.h"
#include "lib/mem/mem.h"
#include "lib/ring/packed_event.h"
#include "lib/ring/packed_host.h"
#include "lib/ring/ring_event.h"
#include "lib/ring/ring_host.h"
#include "lib/ring/split_event.h"
#include "lib/ring/split_host.h"
#include "lib/vdev/vdev.h"

enum ring_kind {
	RING_VDPDK,
	RING_SPLIT,        /* virtio's; net header of NMX_SPLIT_NET_BYTES */
	RING_SPLIT_LEGACY, /* the same; of NMX_SPLIT_NET_BYTES_LEGACY */
	RING_PACKED,       /* virtio's; of NMX_SPLIT_NET_BYTES */
};

/** The device's half of a ring, of any kind: which begins with the window. */
union ring_half {
	struct nmx_ring_window window;
	struct nmx_ring_host vdpdk;
	struct nmx_split_host split;
	struct nmx_packed_host packed;
};

static_assert(offsetof(struct nmx_ring_host, window) == 0, "union ring_half");
static_assert(offsetof(struct nmx_split_host, window) == 0, "union ring_half");
static_assert(offsetof(struct nmx_packed_host, window) == 0, "union ring_half");

/** Pieces of the guest's memory that a ring is made of. */
#define RING_PARTS_MAX 3

/** What a run of a queue is to be. */
struct ring_plan {
	enum ring_kind kind;
	uint32_t n_slots;
	uint32_t n_parts;
	struct nmx_range parts[RING_PARTS_MAX]; /* in the guest's memory */
	bool scatter;                           /* a frame may take several buffers */
	bool ordered;                           /* answers go in the order of posting */
	bool event_idx;                         /* virtio's */
	uint32_t may;                           /* virtio's: NMX_RING_MAY_* */
	bool enabled;                           /* data threads may use it at once */
	uint32_t base; /* virtio's; of a split ring, where used->idx is counts instead */
};

/** One run of a queue. */
struct guest_ring {
	/* Data thread's, while active. */
	union ring_half half;
	enum ring_kind kind;
	struct nmx_mem_cache cache;
	struct nmx_ring_bell bell;        /* vDPDK, to the guest: does it wait for an interrupt */
	struct nmx_ring_arm arm;          /* vDPDK, from the guest: we wait for a doorbell */
	struct nmx_split_bell split_bell; /* virtio's: what was signalled for */
	struct nmx_packed_bell packed_bell;
	const struct nmx_mem *mem;
	bool scatter, ordered, event_idx; /* as planned */
	uint32_t may;                     /* the same */
	struct nmx_range untranslated;    /* what a fault of kind ADDRESS is about */
	_Atomic uint16_t fault;           /* VDPDK_FAULT_*, NMX_SPLIT_FAULT_*; set once */
	_Atomic uint32_t out;             /* buffers lent, as the last burst left it */
	struct nmx_attach *attach;        /* from the guest: of frames that are; NULL: none is */

	/* Control. */
	bool reported; /* of the fault */
	uint32_t n_parts;
	struct nmx_range parts[RING_PARTS_MAX];     /* in the guest's memory */
	NMX_SHARED uint8_t *places[RING_PARTS_MAX]; /* and here */
	bool draining;                              /* not published any more */
	bool is_lent;                               /* something of it, when this turn looked */
	bool given_up;      /* what it lent: it stays for ever, for whom that may come back to */
	bool cut_off;       /* by force: what it answers since is in no guest's memory */
	uint32_t cut_seq;   /* of a packed ring: where its answers ended then */
	bool awaited;       /* somebody waits for its end */
	uint64_t grace;     /* when draining ends */
	uint64_t missed_ns; /* from the guest: since when something waits for what is attached */
	struct nmx_vdev_ticket ticket; /* vDPDK's, of who waits */

	struct nmx_ring_slot taken[]; /* slots' copies */
};

#endif
