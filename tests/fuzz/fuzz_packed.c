/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device's half of a packed ring against a driver that may write anything at any time.
 *
 * Theory of operation
 *
 * The hook plays the driver: each load of the ring finds what is drawn then. It sees that what is
 * loaded lies within the parts, and that no word is loaded twice in a step. Oracles: the order of
 * the window and of the ring's places; a copy is what was loaded, available and legal, and so is
 * its chain; a buffer is answered once, in the place that is its turn, and nothing else is written;
 * no answer is visible before all of a burst are; a walk reads the descriptors that were fetched
 * and no others, and what it finds adds up. The lists are allocated to the byte, for the sanitizer.
 */

#include <stdlib.h>

#include "input.h"
#include "lib/ring/packed_chain.h"
#include "lib/ring/packed_event.h"

#define SLOTS_LOG2_MAX 6
#define SLOTS_MAX      (1 << SLOTS_LOG2_MAX)
#define LOADS_MAX      512
#define BOTH           (NMX_PACKED_FLAG_AVAIL | NMX_PACKED_FLAG_USED)

struct fuzz_device {
	struct fuzz_input *input;
	struct nmx_packed_host ring;
	struct nmx_packed_bell bell;
	struct nmx_packed_desc *desc;
	struct nmx_packed_event driver, asks;
	struct nmx_packed_desc *table; /* of table_n descriptors, while one is walked */
	struct nmx_ring_slot *taken;
	uint32_t n, table_n, header_bytes;
	bool writable;
	const void *loads[LOADS_MAX]; /* of this step */
	uint32_t n_loads;
	struct nmx_ring_slot lent[SLOTS_MAX];
	uint64_t n_fetched, n_answered; /* buffers */
	uint32_t n_desc;                /* that these have and aren't answered */
};

/** The hook has no context argument. */
static struct fuzz_device device;

static bool
lies_in(const void *address, size_t size, const void *part, uint64_t bytes)
{
	uintptr_t offset = (uintptr_t)address - (uintptr_t)part;

	return part != NULL && offset < bytes && size <= bytes - offset;
}

/** True if place `seq` is in a lap whose wrap counter is 1. */
static bool
has_wrap(uint32_t seq)
{
	return seq / device.n % 2 == 0;
}

/** A word 1 that is most often legal, and available at the place that is next for it. */
static uint64_t
draw_w1(struct fuzz_input *input, uint32_t idx)
{
	static const uint32_t lengths[] = { 2048, 12, 10, 13, 11, 0, 64, 65535, 65547, 65548,
		1 << 20, UINT32_MAX, 16, 32, 16 * 32768, 17 };
	const uint32_t seq = device.ring.avail_seq + (idx - device.ring.avail_seq) % device.n;
	uint16_t flags = has_wrap(seq) ? NMX_PACKED_FLAG_AVAIL : NMX_PACKED_FLAG_USED;
	uint8_t draw = fuzz_take8(input);

	if (draw == 0xff)
		return fuzz_take64(input);
	if (device.writable)
		flags |= NMX_SPLIT_FLAG_WRITE;
	if (draw & 0x10)
		flags |= NMX_SPLIT_FLAG_NEXT;
	if ((draw & 0xc0) == 0xc0)
		flags ^= fuzz_take8(input);
	if ((draw & 0xe0) == 0xa0)
		flags ^= fuzz_take16(input) & BOTH;
	return NMX_PACKED_W1(
		lengths[draw & 15], draw & 0x20 ? fuzz_take16(input) : fuzz_take8(input), flags);
}

void
nmx_shared_hook(void *address, size_t size)
{
	struct fuzz_input *input = device.input;

	for (uint32_t i = 0; i < device.n_loads; i++)
		FUZZ_CHECK(device.loads[i] != address);
	FUZZ_CHECK(device.n_loads < LOADS_MAX);
	device.loads[device.n_loads++] = address;
	if (lies_in(address, size, device.desc, NMX_PACKED_DESC_BYTES(device.n)) ||
		lies_in(address, size, device.table, NMX_PACKED_DESC_BYTES(device.table_n))) {
		const uint32_t idx = (uint32_t)((struct nmx_packed_desc *)address - device.desc);

		FUZZ_CHECK(size == sizeof(uint64_t));
		*(uint64_t *)address = (uintptr_t)address % sizeof(struct nmx_packed_desc) != 0
					       ? draw_w1(input, idx)
					       : fuzz_take16(input) * UINT64_C(0x1000193);
		return;
	}
	FUZZ_CHECK(size == sizeof(uint32_t) && address == &device.driver);
	device.driver.word = fuzz_take8(input) % 4u << 16 | fuzz_take16(input);
}

static void
check_places(void)
{
	const struct nmx_packed_host *ring = &device.ring;
	const struct nmx_ring_window *window = &ring->window;

	FUZZ_CHECK(window->lent <= nmx_ring_count_taken(window));
	FUZZ_CHECK(nmx_ring_count_taken(window) <= device.n);
	FUZZ_CHECK(nmx_ring_count_taken(window) == device.n_fetched - device.n_answered);
	FUZZ_CHECK(ring->answer_seq == ring->used_seq);
	FUZZ_CHECK(ring->avail_seq - ring->used_seq == device.n_desc && device.n_desc <= device.n);
}

/** The descriptors that a copy stands for are as they were loaded in this step. */
static void
check_chain(const struct nmx_ring_slot *slot, uint32_t seq)
{
	const uint32_t n = nmx_ring_get_packed_count(slot);

	FUZZ_CHECK(slot->extra == seq % device.n);
	FUZZ_CHECK(n > 0 && n <= NMX_PACKED_CHAIN_MAX);
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t w1 = device.desc[(seq + i) % device.n].w1;
		const uint16_t flags = NMX_PACKED_W1_FLAGS(w1);

		FUZZ_CHECK((flags & BOTH) ==
			   (has_wrap(seq + i) ? NMX_PACKED_FLAG_AVAIL : NMX_PACKED_FLAG_USED));
		FUZZ_CHECK(((flags & NMX_SPLIT_FLAG_NEXT) != 0) == (i + 1 < n));
		FUZZ_CHECK(i + 1 < n || slot->id == NMX_PACKED_W1_ID(w1));
	}
}

/** A copy is of a buffer as it was loaded in this step, and legal. */
static void
check_copy(const struct nmx_ring_slot *slot, uint32_t seq)
{
	const struct nmx_packed_desc *desc = &device.desc[seq % device.n];
	const uint32_t length = NMX_PACKED_W1_LENGTH(desc->w1);

	check_chain(slot, seq);
	FUZZ_CHECK((slot->flags & 0xff) == (NMX_PACKED_W1_FLAGS(desc->w1) & 7));
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

/** A buffer was fetched from place seq. @return the place behind it */
static uint32_t
count_fetched(const struct nmx_ring_slot *slot, uint32_t seq)
{
	const uint32_t n = nmx_ring_get_packed_count(slot);

	check_copy(slot, seq);
	device.n_fetched++;
	device.n_desc += n;
	return seq + n;
}

static void
fetch(void)
{
	struct nmx_ring_window *window = &device.ring.window;
	const uint32_t before = window->fetch;
	const uint32_t want = fuzz_choose(device.input, device.n + 1);
	uint32_t seq = device.ring.avail_seq;

	nmx_ring_fetch_packed(&device.ring, want, device.writable, device.header_bytes);
	FUZZ_CHECK(window->fetch == before || nmx_ring_count_ready(window) <= want);
	for (uint32_t i = before; i != window->fetch; i++)
		seq = count_fetched(&window->taken[i & window->mask], seq);
	FUZZ_CHECK(seq == device.ring.avail_seq);
}

static void
lend(void)
{
	struct nmx_ring_window *window = &device.ring.window;
	const uint32_t seq = device.ring.avail_seq;
	struct nmx_ring_slot *slot = &device.lent[window->lent];

	if (nmx_ring_count_ready(window) > 0) {
		if (nmx_ring_is_chain(nmx_ring_get_ready(window, 0)))
			return;
		*slot = *nmx_ring_get_ready(window, 0);
		nmx_ring_lend(window, 1);
		return;
	}
	if (!device.writable || device.n_desc == device.n ||
		!nmx_ring_fetch_packed_lent(&device.ring, device.header_bytes, slot))
		return;
	FUZZ_CHECK(count_fetched(slot, seq) == device.ring.avail_seq);
	if (nmx_ring_is_chain(slot))
		nmx_ring_take_back(window, slot);
}

static void
take_back(void)
{
	struct nmx_ring_window *window = &device.ring.window;

	if (window->lent > 0)
		nmx_ring_take_back(window, &device.lent[window->lent - 1]);
}

static void
walk(void)
{
	const struct nmx_ring_window *window = &device.ring.window;
	struct nmx_split_chain chain;
	struct nmx_ring_slot slot;
	uint64_t bytes = 0;
	uint32_t n_desc;
	uint16_t fault;

	if (nmx_ring_count_ready(window) == 0)
		return;
	slot = *nmx_ring_get_ready(window, 0);
	n_desc = nmx_ring_get_packed_count(&slot) - 1;
	if (slot.flags & NMX_SPLIT_FLAG_INDIRECT) {
		n_desc = device.table_n = slot.length;
		device.table = malloc(NMX_PACKED_DESC_BYTES(n_desc));
	}
	fault = nmx_ring_walk_packed_chain(&device.ring, &slot,
		(const NMX_SHARED struct nmx_packed_desc *)device.table, device.writable,
		device.header_bytes, &chain);
	FUZZ_CHECK(fault == VDPDK_FAULT_NONE ? device.n_loads == 2 * n_desc
					     : device.n_loads <= 2 * n_desc);
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

/** Answer a buffer, and write into the model what is to be in the ring then. */
static void
answer_one(struct nmx_packed_desc *model, const struct nmx_ring_slot *slot)
{
	const uint32_t seq = device.ring.answer_seq, n = nmx_ring_get_packed_count(slot);
	const uint32_t bytes = fuzz_take8(device.input) % 3u * 60;

	nmx_ring_complete_packed(&device.ring, slot->id, bytes, n);
	FUZZ_CHECK(device.ring.answer_seq == seq + n);
	model[seq % device.n].w1 = NMX_PACKED_W1(bytes, slot->id,
		(has_wrap(seq) ? BOTH : 0) | (bytes != 0 ? NMX_SPLIT_FLAG_WRITE : 0));
	device.n_desc -= n;
	device.n_answered++;
}

static void
answer(void)
{
	struct nmx_ring_window *window = &device.ring.window;
	const uint32_t n = fuzz_choose(device.input, nmx_ring_count_taken(window) + 1);
	const struct nmx_packed_desc *first = &device.desc[device.ring.used_seq % device.n];
	const struct nmx_packed_desc before = *first;
	struct nmx_packed_desc model[SLOTS_MAX];
	uint32_t n_lent = 0, n_ready = 0;

	memcpy(model, device.desc, NMX_PACKED_DESC_BYTES(device.n));
	nmx_ring_claim_packed(&device.ring, n);
	while (n_lent + n_ready < n)
		if (n_lent < window->lent && (n_ready == nmx_ring_count_ready(window) ||
						     fuzz_choose(device.input, 2) != 0))
			answer_one(model, &device.lent[window->lent - ++n_lent]);
		else
			answer_one(model, nmx_ring_get_ready(window, n_ready++));
	FUZZ_CHECK(memcmp(&before, first, sizeof(before)) == 0);
	window->lent -= n_lent;
	nmx_ring_publish_packed(&device.ring, n);
	FUZZ_CHECK(memcmp(model, device.desc, NMX_PACKED_DESC_BYTES(device.n)) == 0);
	FUZZ_CHECK(device.n_loads == 0);
}

static void
signal(void)
{
	const bool event_idx = fuzz_choose(device.input, 2) != 0;
	const uint32_t from = device.bell.answered, to = device.ring.used_seq;
	bool wanted, passes = false;

	wanted = nmx_ring_take_packed_event(&device.ring, &device.bell, event_idx);
	FUZZ_CHECK(device.n_loads == (from != to));
	/* Place by place; after two laps all have come. */
	for (uint32_t i = 0; i < to - from && i < 2 * device.n; i++)
		passes |= (device.driver.word & 0x7fff) % device.n == (from + i) % device.n &&
			  ((device.driver.word & 0x8000) != 0) == has_wrap(from + i);
	if (from == to)
		FUZZ_CHECK(!wanted);
	else if (event_idx && device.driver.word >> 16 == NMX_PACKED_EVENT_DESC)
		FUZZ_CHECK(wanted == passes);
	else
		FUZZ_CHECK(wanted == (device.driver.word >> 16 != NMX_PACKED_EVENT_DISABLE));
}

static void
arm(void)
{
	const bool event_idx = fuzz_choose(device.input, 2) != 0;
	const uint32_t seq = device.ring.avail_seq;
	const uint32_t position = seq % device.n | (has_wrap(seq) ? 0x8000 : 0);

	nmx_ring_arm_packed_kick(&device.ring, event_idx);
	FUZZ_CHECK(device.asks.word == (event_idx ? NMX_PACKED_EVENT_DESC << 16 | position : 0));
	nmx_ring_has_packed(&device.ring, 1);
	nmx_ring_disarm_packed_kick(&device.ring);
	FUZZ_CHECK(device.n_loads == (device.n_desc < device.n));
}

/** Stop, and go on from where that was. */
static void
stop(void)
{
	const struct nmx_packed_parts parts = device.ring.parts;
	const uint32_t seq = device.ring.avail_seq;
	uint32_t base;

	while (device.ring.window.lent > 0)
		take_back();
	base = nmx_ring_return_packed(&device.ring);
	device.n_answered = device.n_fetched;
	device.n_desc = 0;
	check_places();
	FUZZ_CHECK((base & 0x7fff) == seq % device.n);
	FUZZ_CHECK(((base & 0x8000) != 0) == has_wrap(seq) && base >> 16 == (base & 0xffff));
	FUZZ_CHECK(nmx_ring_init_packed(&device.ring, &parts, device.taken, device.n, base) == 0);
	FUZZ_CHECK((device.ring.avail_seq - seq) % (2 * device.n) == 0);
	device.bell.answered = device.ring.used_seq;
	FUZZ_CHECK(device.n_loads == 0);
}

static void
start(void)
{
	const uint8_t draw = fuzz_take8(device.input);
	struct nmx_packed_parts parts;
	uint32_t base;

	device.n = 1u << draw % (SLOTS_LOG2_MAX + 1);
	device.writable = draw & 0x40;
	device.header_bytes = draw & 0x20 ? NMX_SPLIT_NET_BYTES_LEGACY : NMX_SPLIT_NET_BYTES;
	device.desc = calloc(1, NMX_PACKED_DESC_BYTES(device.n));
	device.taken = calloc(device.n, sizeof(*device.taken));
	parts = (struct nmx_packed_parts){ (NMX_SHARED struct nmx_packed_desc *)device.desc,
		(NMX_SHARED struct nmx_packed_event *)&device.driver,
		(NMX_SHARED struct nmx_packed_event *)&device.asks };
	/* Any base is refused or leaves a ring in order; only from equal ones all is told apart. */
	base = fuzz_take32(device.input);
	if (nmx_ring_init_packed(&device.ring, &parts, device.taken, device.n, base) == 0)
		FUZZ_CHECK(device.ring.avail_seq - device.ring.used_seq < device.n);
	base &= 0x8000 | (device.n - 1);
	base = NMX_PACKED_BASE(base, base);
	FUZZ_CHECK(nmx_ring_init_packed(&device.ring, &parts, device.taken, device.n, base) == 0);
	device.bell.answered = device.ring.used_seq;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(
		void) = { fetch, fetch, fetch, walk, answer, lend, take_back, signal, arm, stop };
	struct fuzz_input input = fuzz_open_input(data, size);

	memset(&device, 0, sizeof(device));
	device.input = &input;
	start();
	while (!fuzz_is_over(&input)) {
		steps[fuzz_choose(&input, sizeof(steps) / sizeof(steps[0]))]();
		check_places();
		device.n_loads = 0;
	}
	stop();
	free(device.taken);
	free(device.desc);
	return 0;
}
