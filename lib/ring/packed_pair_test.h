/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A packed ring with both its ends in one process, and the hook that sees each load. For tests;
 * each program includes it once, before what includes shared.h.
 */

#ifndef NMX_RING_PACKED_PAIR_TEST_H
#define NMX_RING_PACKED_PAIR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Before what includes shared.h. */
#include "lib/ring/split_hook_test.h"

#include "lib/ring/packed_host.h"
#include "lib/ring/packed_rig_test.h"

#define N        16
#define HEADER   NMX_SPLIT_NET_BYTES
#define NEXT     NMX_SPLIT_FLAG_NEXT
#define WRITE    NMX_SPLIT_FLAG_WRITE
#define INDIRECT NMX_SPLIT_FLAG_INDIRECT
#define AVAIL    NMX_PACKED_FLAG_AVAIL
#define USED     NMX_PACKED_FLAG_USED

struct pair {
	struct packed_driver driver;
	struct nmx_packed_host host;
	struct nmx_ring_slot *taken;
};

static inline struct nmx_packed_parts
get_parts(const struct packed_driver *driver)
{
	return (struct nmx_packed_parts){ (NMX_SHARED struct nmx_packed_desc *)driver->desc,
		(const NMX_SHARED struct nmx_packed_event *)driver->asks,
		(NMX_SHARED struct nmx_packed_event *)driver->device };
}

/** Both sides begin at descriptor idx of a lap with this wrap counter. */
static inline void
open_pair(struct pair *p, uint32_t n, uint32_t idx, bool wrap)
{
	struct nmx_packed_parts parts;

	memset(p, 0, sizeof(*p));
	p->taken = calloc(n, sizeof(*p->taken));
	assert_true(p->taken != NULL);
	assert_true(init_packed_driver(&p->driver, n, idx, wrap));
	parts = get_parts(&p->driver);
	assert_int_equal(
		nmx_ring_init_packed(&p->host, &parts, p->taken, n, get_packed_base(&p->driver)),
		0);
	watches = was_loaded_twice = false;
}

static inline void
close_pair(struct pair *p)
{
	assert_false(was_loaded_twice);
	watches = false;
	fini_packed_driver(&p->driver);
	free(p->taken);
}

static inline uint16_t
fetch(struct pair *p, uint32_t want, bool writable)
{
	return nmx_ring_fetch_packed(&p->host, want, writable, HEADER);
}

/** The ready copy that is `ahead` of the first. */
static inline const struct nmx_ring_slot *
get_ready(const struct pair *p, uint32_t ahead)
{
	return nmx_ring_get_ready(&p->host.window, ahead);
}

/** Answer, for the driver to see it at nmx_ring_publish_packed(). */
static inline void
complete(struct pair *p, const struct nmx_ring_slot *slot, uint32_t bytes)
{
	nmx_ring_complete_packed(&p->host, slot->id, bytes, nmx_ring_get_packed_count(slot));
}

static inline uint64_t
get_address(uint16_t id)
{
	return 0x100000 + (uint64_t)id * 4096;
}

/** A buffer to be written to, of n descriptors. */
static inline void
post(struct pair *p, uint16_t id, uint32_t n)
{
	struct piece pieces[N];

	for (uint32_t i = 0; i < n; i++)
		pieces[i] = (struct piece){ get_address(id) + i * 64, 64, WRITE };
	offer_packed_chain(&p->driver, id, pieces, n);
}

#endif
