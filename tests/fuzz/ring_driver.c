/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The driver's half of a ring against a device that may have written anything.
 *
 * Theory of operation
 *
 * The model has the two counters. Looking moves neither, loads at most one word and tells what that
 * word said; what is reaped was submitted before, whatever AVAIL bits the device plays with.
 */

#include "lib/ring/ring_event.h"
#include "lib/ring/ring_guest.h"
#include "ring_memory.h"

#define NO_WORD UINT64_C(0x5a5a5a5a5a5a5a5a)

struct driver {
	struct ring_memory *memory;
	struct fuzz_input *input;
	struct nmx_ring_guest ring;
	struct nmx_ring_arm arm;
	struct nmx_ring_bell bell;

	uint32_t sub, reap; /* the model */
};

static void
check_counters(const struct driver *driver)
{
	uint32_t n = driver->memory->n_slots, pending = driver->sub - driver->reap;

	FUZZ_CHECK(driver->ring.sub == driver->sub && driver->ring.reap == driver->reap);
	FUZZ_CHECK(pending <= n);
	FUZZ_CHECK(nmx_ring_count_pending(&driver->ring) == pending);
	FUZZ_CHECK(nmx_ring_count_free(&driver->ring) == n - pending);
}

static void
submit(struct driver *driver)
{
	uint32_t n = fuzz_choose(driver->input, nmx_ring_count_free(&driver->ring) + 1);

	for (uint32_t i = n; i-- > 0;) {
		uint32_t slot = (driver->sub + i) % driver->memory->n_slots;
		struct vdpdk_slot_words *expected = &driver->memory->expected.slots[slot];

		expected->w0 = ++driver->memory->serial;
		expected->w1 = VDPDK_W1(n, slot, VDPDK_FLAG_AVAIL, 0);
		nmx_ring_submit_slot(&driver->ring, i, expected->w0, expected->w1);
	}
	FUZZ_CHECK(driver->ring.sub == driver->sub);
	nmx_ring_advance_sub(&driver->ring, n);
	driver->sub += n;
}

/** Look at one slot, not farther than `sub`. */
static bool
peek(struct driver *driver, uint32_t ahead)
{
	uint32_t slot = (driver->reap + ahead) % driver->memory->n_slots, at = 0;
	uint64_t w1 = NO_WORD;
	bool is_back;

	ring_begin_step(driver->memory);
	is_back = nmx_ring_peek_slot(&driver->ring, ahead, &w1);
	if (ahead < driver->sub - driver->reap) {
		uint64_t loaded = ring_replay_load(driver->memory, &at, slot, 1);

		FUZZ_CHECK(is_back == !(loaded & VDPDK_W1_AVAIL));
		FUZZ_CHECK(w1 == (is_back ? loaded : NO_WORD));
	} else {
		FUZZ_CHECK(!is_back && w1 == NO_WORD);
	}
	FUZZ_CHECK(at == driver->memory->n_loads);
	check_counters(driver);
	return is_back;
}

static void
look(struct driver *driver)
{
	uint32_t pending = nmx_ring_count_pending(&driver->ring);

	ring_begin_step(driver->memory);
	FUZZ_CHECK(!nmx_ring_claim_done(&driver->ring, pending + 1));
	(void)nmx_ring_claim_done(&driver->ring, pending);
	(void)peek(driver, fuzz_choose(driver->input, pending + 1));
}

static void
reap(struct driver *driver)
{
	uint32_t n = 0;

	while (peek(driver, n))
		FUZZ_CHECK(++n <= driver->memory->n_slots);
	FUZZ_CHECK(n <= driver->sub - driver->reap);
	nmx_ring_advance_reap(&driver->ring, n);
	driver->reap += n;
}

static void
arm(struct driver *driver)
{
	uint32_t *word = &driver->memory->expected.header.driver.event_seq;
	uint32_t before = driver->arm.seq;

	if (fuzz_once_in(driver->input, 4)) {
		nmx_ring_disarm_event(&driver->arm);
		*word = 0;
		return;
	}
	nmx_ring_arm_event(&driver->arm);
	FUZZ_CHECK(driver->arm.seq != 0 && driver->arm.seq != before);
	*word = driver->arm.seq;
}

static void
take_event(struct driver *driver)
{
	uint32_t answered = driver->bell.answered, wanted;
	bool taken = nmx_ring_take_event(&driver->bell);

	wanted = driver->memory->real.header.device.event_seq;
	FUZZ_CHECK(driver->memory->n_bell_loads == 1);
	FUZZ_CHECK(taken == (wanted != 0 && wanted != answered));
	FUZZ_CHECK(driver->bell.answered == (taken ? wanted : answered));
}

static void
start(struct driver *driver)
{
	struct ring_image *image = &driver->memory->real, *expected = &driver->memory->expected;
	uint8_t draw = fuzz_take8(driver->input);
	uint32_t n = RING_SLOTS_MIN << draw % 7;

	ring_resize_memory(driver->memory, n);
	nmx_ring_init_guest(&driver->ring, &image->header, n);
	memset(&expected->header, 0, sizeof(expected->header));
	memset(expected->slots, 0, n * sizeof(expected->slots[0]));
	/* As after many laps. */
	driver->sub = draw & 0x80 ? UINT32_MAX - fuzz_take8(driver->input) : 0;
	driver->reap = driver->ring.sub = driver->ring.reap = driver->sub;
	driver->arm.word = (NMX_SHARED uint32_t *)&image->header.driver.event_seq;
	driver->arm.seq = draw & 0x40 ? UINT32_MAX - 1 : 0;
	driver->bell.word = (const NMX_SHARED uint32_t *)&image->header.device.event_seq;
	driver->bell.answered = 0;
	driver->memory->bell = &image->header.device.event_seq;
	driver->memory->answered = &driver->bell.answered;
}

void
ring_fuzz_driver(struct fuzz_input *input)
{
	static void (*const steps[])(struct driver * driver) = { reap, submit, submit, look, arm,
		take_event, reap, start };
	struct driver driver = { .memory = ring_open_memory(input), .input = input };

	start(&driver);
	while (!fuzz_is_over(input)) {
		ring_begin_step(driver.memory);
		steps[fuzz_choose(input, sizeof(steps) / sizeof(steps[0]))](&driver);
		check_counters(&driver);
		ring_end_step(driver.memory);
	}
}
