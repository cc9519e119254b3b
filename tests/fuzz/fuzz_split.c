/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device's half of a split ring against a driver that may write anything at any time.
 *
 * Theory of operation
 *
 * The hook plays the driver: each load of the ring finds what is drawn then. It keeps what was
 * loaded, and sees that it lies within the parts and, until a chain is walked, that no word is
 * loaded twice in a step. Oracles: the window's order; a copy is what was loaded, and legal; a
 * buffer is answered once, in the place that is its turn; used->idx is `comp`; a walk reads no more
 * descriptors than there are, and what it finds adds up. Each part is allocated to the byte, for
 * the sanitizer.
 */

#include <stdlib.h>

#include "input.h"
#include "lib/ring/split_chain.h"
#include "lib/ring/split_event.h"

#define SLOTS_LOG2_MAX 6
#define LOADS_MAX      512

struct fuzz_device {
	struct fuzz_input *input;
	struct nmx_split_host ring;
	struct nmx_split_bell bell;
	struct nmx_split_desc *desc;
	struct nmx_split_avail *avail;
	struct nmx_split_used *used;
	struct nmx_split_desc *table; /* of table_n descriptors, while one is walked */
	uint32_t n, table_n;
	uint32_t header_bytes;
	bool writable;
	const void *loads[LOADS_MAX]; /* of this step */
	uint32_t n_loads;
	bool walks;
	uint64_t n_fetched, n_answered;
};

/** The hook has no context argument. */
static struct fuzz_device device;

static bool
lies_in(const void *address, size_t size, const void *part, uint64_t bytes)
{
	uintptr_t offset = (uintptr_t)address - (uintptr_t)part;

	return part != NULL && offset < bytes && size <= bytes - offset;
}

/** A word 1 that is most often legal. */
static uint64_t
draw_w1(struct fuzz_input *input)
{
	static const uint32_t lengths[] = { 2048, 12, 10, 13, 11, 0, 64, 65535, 65547, 65548,
		1 << 20, UINT32_MAX, 16, 32, 16 * 32768, 17 };
	uint8_t draw = fuzz_take8(input);
	uint16_t flags = device.writable ? NMX_SPLIT_FLAG_WRITE : 0;

	if (draw == 0xff)
		return fuzz_take64(input);
	if (draw & 0x10)
		flags |= NMX_SPLIT_FLAG_NEXT;
	if ((draw & 0xc0) == 0xc0)
		flags ^= fuzz_take8(input);
	return NMX_SPLIT_W1(lengths[draw & 15], flags,
		draw & 0x20 ? fuzz_take16(input) : fuzz_take8(input) % (device.n + 1));
}

static uint16_t
draw_idx(struct fuzz_input *input)
{
	uint16_t step = fuzz_take8(input);

	return step == 0xff ? fuzz_take16(input)
			    : (uint16_t)(device.ring.window.fetch + step % (device.n + 2));
}

void
nmx_shared_hook(void *address, size_t size)
{
	struct fuzz_input *input = device.input;

	for (uint32_t i = 0; i < device.n_loads && !device.walks; i++)
		FUZZ_CHECK(device.loads[i] != address);
	FUZZ_CHECK(device.n_loads < LOADS_MAX);
	device.loads[device.n_loads++] = address;
	if (lies_in(address, size, device.desc, NMX_SPLIT_DESC_BYTES(device.n)) ||
		lies_in(address, size, device.table, NMX_SPLIT_DESC_BYTES(device.table_n))) {
		FUZZ_CHECK(size == sizeof(uint64_t));
		*(uint64_t *)address = (uintptr_t)address % sizeof(struct nmx_split_desc) != 0
					       ? draw_w1(input)
					       : fuzz_take16(input) * UINT64_C(0x1000193);
		return;
	}
	FUZZ_CHECK(size == sizeof(uint16_t) &&
		   lies_in(address, size, device.avail, NMX_SPLIT_AVAIL_BYTES(device.n)));
	if (address == &device.avail->idx)
		device.avail->idx = draw_idx(input);
	else
		*(uint16_t *)address = fuzz_once_in(input, 32)
					       ? fuzz_take16(input)
					       : (uint16_t)(fuzz_take8(input) % device.n);
}

static void
begin_step(bool walks)
{
	device.n_loads = 0;
	device.walks = walks;
}

static void
check_window(void)
{
	const struct nmx_ring_window *window = &device.ring.window;

	FUZZ_CHECK(window->lent <= nmx_ring_count_taken(window));
	FUZZ_CHECK(nmx_ring_count_taken(window) <= device.n);
	FUZZ_CHECK(device.ring.avail_seq - window->comp <= device.n);
	FUZZ_CHECK(device.ring.avail_seq - window->comp >= nmx_ring_count_taken(window));
	FUZZ_CHECK(nmx_ring_count_taken(window) == device.n_fetched - device.n_answered);
	FUZZ_CHECK(device.used->idx == (uint16_t)window->comp);
}

/** A copy is of a descriptor as it was loaded in this step, and legal. */
static void
check_copy(const struct nmx_ring_slot *slot)
{
	const struct nmx_split_desc *desc = &device.desc[slot->id];
	const uint32_t length = NMX_SPLIT_W1_LENGTH(desc->w1);

	FUZZ_CHECK(slot->id < device.n);
	FUZZ_CHECK(slot->flags == (NMX_SPLIT_W1_FLAGS(desc->w1) & 7));
	if (slot->flags & NMX_SPLIT_FLAG_INDIRECT) {
		FUZZ_CHECK(slot->address == desc->address && slot->length * 16u == length);
		FUZZ_CHECK(slot->length > 0 && !(slot->flags & NMX_SPLIT_FLAG_NEXT));
		return;
	}
	FUZZ_CHECK(((slot->flags & NMX_SPLIT_FLAG_WRITE) != 0) == device.writable);
	FUZZ_CHECK(slot->address == desc->address + device.header_bytes);
	FUZZ_CHECK(slot->length + device.header_bytes <= length);
	FUZZ_CHECK(slot->length + device.header_bytes == length ||
		   (device.writable && slot->length == 65535));
	FUZZ_CHECK(slot->length > 0 || (slot->flags & NMX_SPLIT_FLAG_NEXT));
}

static void
fetch(void)
{
	uint32_t before = device.ring.window.fetch;
	uint32_t want = fuzz_choose(device.input, device.n + 1);
	struct nmx_ring_window *window = &device.ring.window;

	/* The same head twice would be the same descriptor twice: one at a time. */
	begin_step(false);
	want = want <= nmx_ring_count_ready(window) ? want : nmx_ring_count_ready(window) + 1;
	nmx_ring_fetch_split(&device.ring, want, device.writable, device.header_bytes);
	FUZZ_CHECK(window->fetch - before <= 1);
	device.n_fetched += window->fetch - before;
	if (window->fetch != before)
		check_copy(&window->taken[before & window->mask]);
}

static void
lend(void)
{
	struct nmx_ring_window *window = &device.ring.window;
	struct nmx_ring_slot slot;

	if (nmx_ring_count_ready(window) > 0) {
		nmx_ring_lend(window, 1);
		return;
	}
	begin_step(false);
	if (!device.writable ||
		!nmx_ring_fetch_split_lent(&device.ring, device.header_bytes, &slot))
		return;
	device.n_fetched++;
	check_copy(&slot);
	if (nmx_ring_is_chain(&slot))
		nmx_ring_take_back(window, &slot);
}

static void
walk(void)
{
	const struct nmx_ring_window *window = &device.ring.window;
	struct nmx_split_chain chain;
	struct nmx_ring_slot slot;
	uint32_t n_desc = device.n;
	uint64_t bytes = 0;
	uint16_t fault;

	if (nmx_ring_count_ready(window) == 0)
		return;
	slot = *nmx_ring_get_ready(window, 0);
	if (slot.flags & NMX_SPLIT_FLAG_INDIRECT) {
		n_desc = device.table_n = slot.length;
		FUZZ_CHECK(nmx_ring_get_table(&slot).size == NMX_SPLIT_DESC_BYTES(n_desc));
		device.table = malloc(NMX_SPLIT_DESC_BYTES(n_desc));
	}
	begin_step(true);
	fault = nmx_ring_walk_chain(&device.ring, &slot,
		(const NMX_SHARED struct nmx_split_desc *)device.table, device.writable,
		device.header_bytes, &chain);
	FUZZ_CHECK(device.n_loads <= 2 * n_desc);
	free(device.table);
	device.table = NULL;
	if (fault != VDPDK_FAULT_NONE)
		return;
	FUZZ_CHECK(chain.n > 0 && chain.n <= NMX_SPLIT_EXTENTS_MAX);
	for (uint32_t i = 0; i < chain.n; i++) {
		FUZZ_CHECK(chain.extents[i].length > 0);
		FUZZ_CHECK(chain.extents[i].writable == device.writable);
		bytes += chain.extents[i].length;
	}
	FUZZ_CHECK(bytes == chain.bytes && (device.writable || bytes <= NMX_SPLIT_FRAME_BYTES_MAX));
}

static void
answer(void)
{
	struct nmx_ring_window *window = &device.ring.window;
	uint32_t ready = nmx_ring_count_ready(window);
	uint32_t n = fuzz_choose(device.input, nmx_ring_count_taken(window) + 1);
	const uint32_t comp = window->comp;

	begin_step(false);
	nmx_ring_claim_used(&device.ring, n);
	for (uint32_t i = 0; i < n; i++)
		nmx_ring_complete_used(&device.ring, i, (uint16_t)(i + 1), 60 + i);
	if (n > ready)
		window->lent -= n - ready;
	nmx_ring_publish_used(&device.ring, n);
	device.n_answered += n;
	for (uint32_t i = 0; i < n; i++) {
		const struct nmx_split_used_elem *elem = &device.used->ring[(comp + i) % device.n];

		FUZZ_CHECK(elem->id == i + 1 && elem->bytes == 60 + i);
	}
	FUZZ_CHECK(device.n_loads == 0);
}

static void
signal(void)
{
	const bool event_idx = fuzz_choose(device.input, 2) != 0;
	const uint16_t from = device.bell.answered, to = (uint16_t)device.ring.window.comp;
	bool wanted;

	begin_step(false);
	wanted = nmx_ring_take_split_event(&device.ring, &device.bell, event_idx);
	FUZZ_CHECK(device.n_loads == (from != to));
	if (from == to)
		FUZZ_CHECK(!wanted);
	else if (event_idx)
		/* Steps from the event to either end. */
		FUZZ_CHECK(wanted == ((uint16_t)(device.avail->ring[device.n] - from) <
					     (uint16_t)(to - from)));
	else
		FUZZ_CHECK(wanted == !(device.avail->flags & NMX_SPLIT_AVAIL_NO_INTERRUPT));
}

static void
arm(void)
{
	const bool event_idx = fuzz_choose(device.input, 2) != 0;

	begin_step(false);
	nmx_ring_arm_kick(&device.ring, event_idx);
	nmx_ring_has_split(&device.ring, 1);
	nmx_ring_disarm_kick(&device.ring, event_idx);
	FUZZ_CHECK(device.n_loads <= 1);
}

static void
stop(void)
{
	struct nmx_ring_window *window = &device.ring.window;

	begin_step(false);
	window->lent = 0;
	FUZZ_CHECK(nmx_ring_return_split(&device.ring) == (uint16_t)window->fetch);
	device.n_answered = device.n_fetched;
	FUZZ_CHECK(nmx_ring_count_taken(window) == 0 && device.n_loads == 0);
}

static void
start(void)
{
	const uint8_t draw = fuzz_take8(device.input);
	const uint16_t base = draw & 0x80 ? 65500 : 0;
	struct nmx_split_parts parts;

	device.n = 1u << draw % (SLOTS_LOG2_MAX + 1);
	device.writable = draw & 0x40;
	device.header_bytes = draw & 0x20 ? NMX_SPLIT_NET_BYTES_LEGACY : NMX_SPLIT_NET_BYTES;
	device.desc = calloc(1, NMX_SPLIT_DESC_BYTES(device.n));
	device.avail = calloc(1, NMX_SPLIT_AVAIL_BYTES(device.n));
	device.used = calloc(1, NMX_SPLIT_USED_BYTES(device.n));
	device.avail->idx = device.used->idx = base;
	parts = (struct nmx_split_parts){ (NMX_SHARED struct nmx_split_desc *)device.desc,
		(NMX_SHARED struct nmx_split_avail *)device.avail,
		(NMX_SHARED struct nmx_split_used *)device.used };
	nmx_ring_init_split(&device.ring, &parts, calloc(device.n, sizeof(struct nmx_ring_slot)),
		device.n, base);
	device.bell.answered = base;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(
		void) = { fetch, fetch, fetch, walk, answer, lend, signal, arm, stop };
	struct fuzz_input input = fuzz_open_input(data, size);

	memset(&device, 0, sizeof(device));
	device.input = &input;
	start();
	while (!fuzz_is_over(&input)) {
		steps[fuzz_choose(&input, sizeof(steps) / sizeof(steps[0]))]();
		check_window();
	}
	stop();
	check_window();
	free(device.ring.window.taken);
	free(device.desc);
	free(device.avail);
	free(device.used);
	return 0;
}
