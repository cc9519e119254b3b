/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The device's half of a ring against a driver that may have written anything.
 *
 * Theory of operation
 *
 * The model has two counters and a copy of what was loaded for each slot between them. After a
 * fetch it replays the loads: they must have been those of the slots from `fetch` on, one after the
 * other, and counters, fault and copies must be what docs/device.md makes of the values. Every
 * fetched slot is counted, and every completed one; when all is given back the sums are equal.
 */

#include <stdlib.h>

#include "lib/ring/ring_event.h"
#include "lib/ring/ring_host.h"
#include "ring_memory.h"

struct device {
	struct ring_memory *memory;
	struct fuzz_input *input;
	struct nmx_ring_host ring;
	struct nmx_ring_arm arm;
	struct nmx_ring_bell bell;
	bool is_tx;

	/* The model. */
	uint32_t fetch, comp;
	struct vdpdk_slot_words taken[RING_SLOTS_MAX]; /* by number of the slot */
	uint64_t n_fetched, n_completed;
};

static uint32_t
get_n(const struct device *device)
{
	return device->memory->n_slots;
}

static uint32_t
count_taken(const struct device *device)
{
	return device->fetch - device->comp;
}

static struct vdpdk_slot_words *
get_expected(struct device *device, uint32_t seq)
{
	return &device->memory->expected.slots[seq % get_n(device)];
}

static struct vdpdk_slot_words *
get_taken(struct device *device, uint32_t seq)
{
	return &device->taken[seq % get_n(device)];
}

/* --- Fetching --- */

/** Replay the load of slot `seq`. False if it wasn't the device's. */
static bool
replay_slot(struct device *device, uint32_t *at, uint32_t seq)
{
	const uint32_t slot = seq % get_n(device);
	struct vdpdk_slot_words words;

	if (seq - device->comp == get_n(device))
		return false;
	words.w1 = ring_replay_load(device->memory, at, slot, 1);
	if (!(words.w1 & VDPDK_W1_AVAIL))
		return false;
	words.w0 = ring_replay_load(device->memory, at, slot, 0);
	*get_taken(device, seq) = words;
	return true;
}

static uint16_t
judge(uint64_t w1, bool is_tx)
{
	const uint16_t allowed = VDPDK_FLAG_AVAIL | (is_tx ? VDPDK_FLAG_NEXT : 0);

	if ((VDPDK_W1_FLAGS(w1) | allowed) != allowed || VDPDK_W1_EXTRA(w1) != 0)
		return VDPDK_FAULT_FLAGS;
	return VDPDK_W1_LENGTH(w1) == 0 ? VDPDK_FAULT_LENGTH : VDPDK_FAULT_NONE;
}

/** What fetching must have come to; moves the model's `fetch`. */
static uint16_t
replay_fetch(struct device *device, uint32_t want)
{
	uint32_t at = 0, n = 0; /* n: slots of an open frame */
	uint16_t fault = VDPDK_FAULT_NONE;

	while (fault == VDPDK_FAULT_NONE && (n > 0 || count_taken(device) + n < want)) {
		uint32_t seq = device->fetch + n;
		bool is_open;

		if (!replay_slot(device, &at, seq)) {
			fault = n > 0 ? VDPDK_FAULT_CHAIN : VDPDK_FAULT_NONE;
			break;
		}
		fault = judge(get_taken(device, seq)->w1, device->is_tx);
		if (fault != VDPDK_FAULT_NONE)
			break;
		n++;
		is_open = (VDPDK_W1_FLAGS(get_taken(device, seq)->w1) & VDPDK_FLAG_NEXT) != 0;
		if (is_open && n == VDPDK_TX_SEGMENTS_MAX)
			fault = VDPDK_FAULT_CHAIN;
		if (!is_open) {
			device->fetch += n;
			device->n_fetched += n;
			n = 0;
		}
	}
	FUZZ_CHECK(at == device->memory->n_loads);
	return fault;
}

/** The copies are what was loaded. */
static void
check_taken(struct device *device)
{
	FUZZ_CHECK(device->ring.window.fetch == device->fetch &&
		   device->ring.window.comp == device->comp);
	FUZZ_CHECK(nmx_ring_count_taken(&device->ring.window) == count_taken(device));
	FUZZ_CHECK(count_taken(device) <= get_n(device));
	for (uint32_t i = 0; i < count_taken(device); i++) {
		const struct nmx_ring_slot *slot = nmx_ring_get_taken(&device->ring.window, i);
		const struct vdpdk_slot_words *words = get_taken(device, device->comp + i);

		FUZZ_CHECK(slot->address == words->w0);
		FUZZ_CHECK(slot->length == VDPDK_W1_LENGTH(words->w1) && slot->length != 0);
		FUZZ_CHECK(slot->id == VDPDK_W1_ID(words->w1));
		FUZZ_CHECK(slot->flags == VDPDK_W1_FLAGS(words->w1));
		FUZZ_CHECK(slot->extra == VDPDK_W1_EXTRA(words->w1));
	}
}

/** Whole frames, each of 32 slots at most; the first may be half answered already. */
static void
check_frames(const struct device *device)
{
	uint32_t n_segments = 0;

	for (uint32_t i = 0; i < nmx_ring_count_taken(&device->ring.window); i++) {
		const struct nmx_ring_slot *slot = nmx_ring_get_taken(&device->ring.window, i);

		FUZZ_CHECK(++n_segments <= VDPDK_TX_SEGMENTS_MAX);
		FUZZ_CHECK((slot->flags | VDPDK_FLAG_NEXT) == (VDPDK_FLAG_AVAIL | VDPDK_FLAG_NEXT));
		if (!(slot->flags & VDPDK_FLAG_NEXT))
			n_segments = 0;
	}
	FUZZ_CHECK(n_segments == 0);
}

static void
fetch(struct device *device)
{
	uint32_t want = fuzz_choose(device->input, get_n(device) + 1);
	uint16_t fault;

	nmx_ring_claim_slots(&device->ring, want);
	ring_begin_step(device->memory);
	fault = device->is_tx ? nmx_ring_fetch_frames(&device->ring, want)
			      : nmx_ring_fetch_posted(&device->ring, want);
	FUZZ_CHECK(fault == replay_fetch(device, want));
	check_taken(device);
	check_frames(device);
}

/* --- Answering --- */

static void
complete(struct device *device)
{
	uint32_t n = fuzz_choose(device->input, count_taken(device) + 1);
	bool with_w0 = fuzz_choose(device->input, 2) != 0;

	for (uint32_t i = n; i-- > 0;) {
		uint64_t w1 = VDPDK_W1(
			i, nmx_ring_get_taken(&device->ring.window, i)->id, 0x0402, n);
		struct vdpdk_slot_words *expected = get_expected(device, device->comp + i);

		if (with_w0) {
			nmx_ring_complete_slot_w0(&device->ring, i, ~w1, w1);
			expected->w0 = ~w1;
		} else {
			nmx_ring_complete_slot(&device->ring, i, w1);
		}
		expected->w1 = w1;
	}
	nmx_ring_advance_comp(&device->ring.window, n);
	device->comp += n;
	device->n_completed += n;
	FUZZ_CHECK(device->memory->n_loads == 0);
	check_taken(device);
}

/** All that the model has taken is answered with its own id. */
static void
expect_answers(struct device *device, uint16_t low, uint16_t flags)
{
	for (; device->comp != device->fetch; device->comp++, device->n_completed++) {
		uint16_t id = VDPDK_W1_ID(get_taken(device, device->comp)->w1);

		get_expected(device, device->comp)->w1 = VDPDK_W1(low, id, flags, 0);
	}
}

static void
return_slots(struct device *device)
{
	const uint16_t low = fuzz_take8(device->input);
	const uint16_t flags = VDPDK_FLAG_RX_UNUSED;
	uint32_t at = 0;

	/* Before the call: the driver may submit into these slots while it runs. */
	expect_answers(device, low, flags);
	nmx_ring_return_slots(&device->ring, low, flags);
	while (replay_slot(device, &at, device->fetch)) {
		device->fetch++;
		device->n_fetched++;
	}
	FUZZ_CHECK(at == device->memory->n_loads);
	expect_answers(device, low, flags);
	check_taken(device);
	FUZZ_CHECK(nmx_ring_count_taken(&device->ring.window) == 0);
	FUZZ_CHECK(device->n_completed == device->n_fetched);
}

/* --- Events --- */

static void
arm(struct device *device)
{
	uint32_t *word = &device->memory->expected.header.device.event_seq;
	uint32_t before = device->arm.seq;

	if (fuzz_once_in(device->input, 4)) {
		nmx_ring_disarm_event(&device->arm);
		*word = 0;
		return;
	}
	nmx_ring_arm_event(&device->arm);
	FUZZ_CHECK(device->arm.seq != 0 && device->arm.seq != before);
	*word = device->arm.seq;
}

static void
take_event(struct device *device)
{
	uint32_t answered = device->bell.answered, wanted;
	bool taken = nmx_ring_take_event(&device->bell);

	wanted = device->memory->real.header.driver.event_seq;
	FUZZ_CHECK(device->memory->n_bell_loads == 1);
	FUZZ_CHECK(taken == (wanted != 0 && wanted != answered));
	FUZZ_CHECK(device->bell.answered == (taken ? wanted : answered));
}

/* --- The run --- */

static void
start(struct device *device)
{
	struct ring_image *image = &device->memory->real;
	uint8_t draw = fuzz_take8(device->input);
	uint32_t n = RING_SLOTS_MIN << draw % 7;
	struct nmx_ring_slot *taken = malloc(
		n * sizeof(*taken)); /* to the byte, for the sanitizer */

	free(device->ring.window.taken);
	ring_resize_memory(device->memory, n);
	nmx_ring_init_host(
		&device->ring, (NMX_SHARED struct vdpdk_ring_header *)&image->header, taken, n);
	/* As after many laps. */
	device->fetch = draw & 0x80 ? UINT32_MAX - fuzz_take8(device->input) : 0;
	device->comp = device->ring.window.fetch = device->ring.window.comp = device->fetch;
	device->n_fetched = device->n_completed = 0;
	device->arm.word = (NMX_SHARED uint32_t *)&image->header.device.event_seq;
	device->arm.seq = draw & 0x40 ? UINT32_MAX - 1 : 0;
	device->bell.word = (const NMX_SHARED uint32_t *)&image->header.driver.event_seq;
	device->bell.answered = 0;
	device->memory->bell = &image->header.driver.event_seq;
	device->memory->answered = &device->bell.answered;
}

void
ring_fuzz_device(struct fuzz_input *input)
{
	static void (*const steps[])(struct device * device) = { return_slots, fetch, fetch,
		complete, complete, arm, take_event, start };
	struct device device = { .memory = ring_open_memory(input), .input = input };

	device.is_tx = fuzz_choose(input, 2) != 0;
	start(&device);
	while (!fuzz_is_over(input)) {
		ring_begin_step(device.memory);
		steps[fuzz_choose(input, sizeof(steps) / sizeof(steps[0]))](&device);
		ring_end_step(device.memory);
	}
	ring_begin_step(device.memory);
	return_slots(&device);
	ring_end_step(device.memory);
	free(device.ring.window.taken);
}
