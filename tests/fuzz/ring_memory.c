/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "ring_memory.h"

#include "lib/base/shared.h"

/** The hook has no context argument. */
static struct ring_memory memory;

struct ring_memory *
ring_open_memory(struct fuzz_input *input)
{
	memset(&memory, 0, sizeof(memory));
	memory.input = input;
	return &memory;
}

void
ring_resize_memory(struct ring_memory *m, uint32_t n_slots)
{
	FUZZ_CHECK(n_slots >= RING_SLOTS_MIN && n_slots <= RING_SLOTS_MAX);
	m->n_slots = n_slots;
}

void
ring_begin_step(struct ring_memory *m)
{
	m->step++;
	m->n_loads = 0;
	m->n_bell_loads = 0;
}

void
ring_end_step(const struct ring_memory *m)
{
	FUZZ_CHECK(memcmp(&m->real, &m->expected, sizeof(m->real)) == 0);
}

uint64_t
ring_replay_load(const struct ring_memory *m, uint32_t *at, uint32_t slot, uint32_t word)
{
	const struct ring_load *load = &m->loads[*at];

	FUZZ_CHECK(*at < m->n_loads);
	FUZZ_CHECK(load->slot == slot && load->word == word);
	++*at;
	return load->value;
}

/** What the peer has put into w1 when it is looked at. */
static uint64_t
draw_w1(struct ring_memory *m, uint64_t now)
{
	uint16_t id = (uint16_t)++m->serial;
	uint8_t odd;

	if (m->n_repeats-- == 0) {
		odd = fuzz_take8(m->input);
		m->kind = odd & 7;
		m->n_repeats = odd >> 3;
	}
	switch (m->kind) {
	case 1:
		return VDPDK_W1(0xffff - id, id, VDPDK_FLAG_AVAIL, 0);
	case 2:
		return VDPDK_W1(1 + id % 7, id, VDPDK_FLAG_AVAIL | VDPDK_FLAG_NEXT, 0);
	case 3:
		return now ^ VDPDK_W1_AVAIL;
	case 4:
		return VDPDK_W1(id, id, 0, id);
	case 5:
		odd = fuzz_take8(m->input);
		return VDPDK_W1(1, id, VDPDK_FLAG_AVAIL | 1u << (odd & 15), odd >> 4);
	case 6:
		return VDPDK_W1(0, id, VDPDK_FLAG_AVAIL | (id & VDPDK_FLAG_NEXT), 0);
	case 7:
		m->n_repeats = 0;
		return fuzz_take64(m->input);
	default:
		return now;
	}
}

static uint32_t
draw_bell(struct ring_memory *m, uint32_t now)
{
	switch (fuzz_choose(m->input, 5)) {
	case 1:
		return *m->answered;
	case 2:
		return *m->answered + 1;
	case 3:
		return 0;
	case 4:
		return fuzz_take32(m->input);
	default:
		return now;
	}
}

static void
serve_slot_load(struct ring_memory *m, uint32_t slot, uint32_t word)
{
	struct vdpdk_slot_words *real = &m->real.slots[slot], *expected = &m->expected.slots[slot];
	const struct ring_load *last = m->n_loads > 0 ? &m->loads[m->n_loads - 1] : NULL;
	struct ring_load *load = &m->loads[m->n_loads];
	uint32_t *loaded_in = &m->loaded_in[2 * slot + word];

	FUZZ_CHECK(*loaded_in != m->step);
	FUZZ_CHECK(word == 1 || (last != NULL && last->slot == slot && last->word == 1));
	*loaded_in = m->step;
	if (word == 1)
		real->w1 = expected->w1 = draw_w1(m, real->w1);
	else
		real->w0 = expected->w0 = ++m->serial * UINT64_C(0x9e3779b97f4a7c15);
	load->slot = slot;
	load->word = word;
	load->value = word == 1 ? real->w1 : real->w0;
	m->n_loads++;
}

void
nmx_shared_hook(void *address, size_t size)
{
	struct ring_memory *m = &memory;
	uintptr_t offset = (uintptr_t)address - (uintptr_t)m->real.slots;
	const size_t slot_bytes = sizeof(struct vdpdk_slot_words);

	if (address == m->bell) {
		size_t at = (size_t)((uint8_t *)address - (uint8_t *)&m->real);
		uint32_t value = draw_bell(m, *m->bell);

		FUZZ_CHECK(size == sizeof(value));
		memcpy((uint8_t *)&m->real + at, &value, sizeof(value));
		memcpy((uint8_t *)&m->expected + at, &value, sizeof(value));
		m->n_bell_loads++;
		return;
	}
	FUZZ_CHECK(size == sizeof(uint64_t) && offset % sizeof(uint64_t) == 0);
	FUZZ_CHECK(offset < m->n_slots * slot_bytes);
	serve_slot_load(m, (uint32_t)(offset / slot_bytes), offset % slot_bytes != 0);
}
