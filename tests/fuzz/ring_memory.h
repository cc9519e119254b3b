/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A ring in memory that the peer changes at every load.
 *
 * Theory of operation
 *
 * The code under test works on `real`; `expected` is what `real` must look like. The hook, which
 * plays the peer, writes both; what the code is expected to write the target writes to `expected`
 * itself. The two are compared after each step, so one byte stored at a wrong place shows.
 *
 * A step is one call, or one burst, of the code under test. In a step no word of a slot may be
 * loaded twice, and w0 only behind w1 of the same slot. What was loaded is kept for the model.
 */

#ifndef FUZZ_RING_MEMORY_H
#define FUZZ_RING_MEMORY_H

#include "abi/vdpdk_ring.h"
#include "input.h"

#define RING_SLOTS_MIN 4
#define RING_SLOTS_MAX 256

struct ring_image {
	_Alignas(VDPDK_RING_ALIGN) uint8_t before[2 * VDPDK_RING_ALIGN];
	struct vdpdk_ring_header header;
	struct vdpdk_slot_words slots[RING_SLOTS_MAX]; /* those from n_slots on are nobody's */
	uint8_t after[2 * VDPDK_RING_ALIGN];
};

/** A load that happened: word 0 or 1 of a slot. */
struct ring_load {
	uint32_t slot;
	uint32_t word;
	uint64_t value;
};

struct ring_memory {
	struct ring_image real, expected;
	struct fuzz_input *input;
	uint32_t n_slots;
	const uint32_t *bell;     /* in real: the peer's event word, the only one to be read */
	const uint32_t *answered; /* what the code under test answered last: worth repeating */

	uint32_t step;
	uint32_t loaded_in[2 * RING_SLOTS_MAX]; /* the step in which a word was loaded last */
	struct ring_load loads[2 * RING_SLOTS_MAX];
	uint32_t n_loads;
	uint32_t n_bell_loads;

	uint8_t kind, n_repeats; /* of the words that the peer is writing */
	uint64_t serial;         /* no two words drawn for w0 are equal */
};

/** The ring's memory, whose loads the hook serves from now on. Zero; one for the process. */
struct ring_memory *ring_open_memory(struct fuzz_input *input);

/** From now on the ring has n slots. */
void ring_resize_memory(struct ring_memory *memory, uint32_t n_slots);

/** Nothing has been loaded yet. */
void ring_begin_step(struct ring_memory *memory);

/** Compare the memory with what is expected. */
void ring_end_step(const struct ring_memory *memory);

/** The next load of this step, which must have been that of a word of a slot; its value. */
uint64_t ring_replay_load(
	const struct ring_memory *memory, uint32_t *at, uint32_t slot, uint32_t word);

/** The two halves and the translation, each a whole run. */
void ring_fuzz_device(struct fuzz_input *input);
void ring_fuzz_driver(struct fuzz_input *input);
void ring_fuzz_translation(struct fuzz_input *input);

#endif
