/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The ring searched through: four slots, two laps, every interleaving.
 *
 * Theory of operation
 *
 * Driver and device take steps, in any order that each permits: the driver begins a frame of one or
 * two slots with any of its free ids, stores its slots one at a time back to front, publishes,
 * reaps; the device fetches, begins to answer any one of the frames it holds, stores the answers
 * one at a time back to front, publishes. The steps call the functions that the drivers inline. A
 * depth-first search visits each reachable state once; in each the claims are checked:
 *
 *   - what is fetched is the next submission, whole, once (its address is its serial number);
 *   - what is reaped was answered by the device and is in flight; so each id comes back once;
 *   - where nothing can move any more, all that was submitted has come back.
 *
 * The number of states is part of the test: if it changes, the ring's rules did.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/ring/ring_guest.h"
#include "lib/ring/ring_host.h"

#define N         4
#define TOTAL     (2 * N) /* slots submitted in all */
#define N_FRAMES  N       /* held at once, at most */
#define N_STATES  UINT32_C(976089)
#define SET_SLOTS (UINT32_C(1) << 22)

/** Everything that decides what may happen next; compared as bytes, so without stray ones. */
struct state {
	struct vdpdk_slot_words slots[N];
	uint8_t sub, reap, fetch, comp;
	uint8_t free_ids;     /* driver: bit mask */
	uint8_t answered_ids; /* device has answered, driver hasn't reaped: bit mask */
	/* A frame under way to the device: ids, size (0: none), slots stored so far. */
	uint8_t submit_id[2], submit_size, submit_stored;
	/* Frames that the device holds, in order of arrival: ids and sizes. */
	uint8_t held_id[N_FRAMES][2], held_size[N_FRAMES], n_held;
	/* A frame under way to the driver. */
	uint8_t answer_id[2], answer_size, answer_stored;
};

static uint8_t *set; /* SET_SLOTS structs; the last byte of `used` says taken */
static uint8_t *set_used;
static uint32_t n_states;

static uint64_t
hash_state(const struct state *s)
{
	const uint8_t *p = (const uint8_t *)s;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < sizeof(*s); i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h ^ h >> 29;
}

/** True if the state is new; it is remembered. */
static bool
remember(const struct state *s)
{
	uint32_t i = (uint32_t)hash_state(s) & (SET_SLOTS - 1);

	for (; set_used[i]; i = (i + 1) & (SET_SLOTS - 1))
		if (memcmp(set + (size_t)i * sizeof(*s), s, sizeof(*s)) == 0)
			return false;
	assert_true(++n_states < SET_SLOTS / 2);
	set_used[i] = 1;
	memcpy(set + (size_t)i * sizeof(*s), s, sizeof(*s));
	return true;
}

/* --- The real ring, laid over a state --- */

struct ends {
	struct nmx_ring_guest guest;
	struct nmx_ring_host host;
	struct nmx_ring_slot taken[N];
};

static void
lay_over(struct ends *e, struct state *s)
{
	memset(e, 0, sizeof(*e));
	e->guest.slots = (NMX_SHARED struct vdpdk_slot_words *)s->slots;
	e->guest.mask = N - 1;
	e->guest.sub = s->sub;
	e->guest.reap = s->reap;
	e->host.slots = (NMX_SHARED struct vdpdk_slot_words *)s->slots;
	e->host.window.taken = e->taken;
	e->host.window.mask = N - 1;
	e->host.window.fetch = s->fetch;
	e->host.window.comp = s->comp;
}

/* --- Steps; each returns false if it isn't possible --- */

static bool
step_begin_submit(struct state *s, unsigned int first, unsigned int second)
{
	struct ends e;
	unsigned int size = second < N ? 2 : 1;

	lay_over(&e, s);
	if (s->submit_size != 0 || nmx_ring_count_free(&e.guest) < size || s->sub + size > TOTAL ||
		!(s->free_ids & 1u << first))
		return false;
	if (size == 2 && (second == first || !(s->free_ids & 1u << second)))
		return false;
	s->submit_id[0] = (uint8_t)first;
	s->submit_id[1] = size == 2 ? (uint8_t)second : 0;
	s->submit_size = (uint8_t)size;
	s->free_ids &= (uint8_t) ~(1u << first);
	if (size == 2)
		s->free_ids &= (uint8_t) ~(1u << second);
	return true;
}

static bool
step_store_submit(struct state *s)
{
	struct ends e;
	unsigned int ahead;
	uint16_t flags;

	if (s->submit_stored == s->submit_size)
		return false;
	lay_over(&e, s);
	ahead = s->submit_size - 1u - s->submit_stored++;
	flags = VDPDK_FLAG_AVAIL | (ahead + 1 < s->submit_size ? VDPDK_FLAG_NEXT : 0);
	nmx_ring_submit_slot(
		&e.guest, ahead, s->sub + ahead, VDPDK_W1(1, s->submit_id[ahead], flags, 0));
	return true;
}

static bool
step_publish_submit(struct state *s)
{
	if (s->submit_size == 0 || s->submit_stored != s->submit_size)
		return false;
	s->sub += s->submit_size;
	s->submit_size = s->submit_stored = s->submit_id[0] = s->submit_id[1] = 0;
	return true;
}

static bool
step_fetch(struct state *s)
{
	struct ends e;
	uint32_t before = nmx_ring_count_taken(
			 &(struct nmx_ring_window){ .fetch = s->fetch, .comp = s->comp }),
		 n;

	lay_over(&e, s);
	if (s->answer_size != 0 || before == N)
		return false;
	assert_int_equal(nmx_ring_fetch_frames(&e.host, before + 1), VDPDK_FAULT_NONE);
	n = nmx_ring_count_taken(&e.host.window) - before;
	if (n == 0)
		return false;
	assert_in_range(n, 1, 2);
	assert_true(s->n_held < N_FRAMES);
	for (uint32_t i = 0; i < n; i++) {
		const struct nmx_ring_slot *slot = &e.taken[(s->fetch + i) & (N - 1)];

		assert_int_equal(slot->address, s->fetch + i);
		s->held_id[s->n_held][i] = (uint8_t)slot->id;
	}
	s->held_size[s->n_held++] = (uint8_t)n;
	s->fetch = (uint8_t)e.host.window.fetch;
	return true;
}

static bool
step_begin_answer(struct state *s, unsigned int frame)
{
	if (s->answer_size != 0 || frame >= s->n_held)
		return false;
	memcpy(s->answer_id, s->held_id[frame], 2);
	s->answer_size = s->held_size[frame];
	s->n_held--;
	for (unsigned int i = frame; i < s->n_held; i++) {
		memcpy(s->held_id[i], s->held_id[i + 1], 2);
		s->held_size[i] = s->held_size[i + 1];
	}
	memset(s->held_id[s->n_held], 0, 2);
	s->held_size[s->n_held] = 0;
	return true;
}

static bool
step_store_answer(struct state *s)
{
	struct ends e;
	unsigned int ahead;

	if (s->answer_stored == s->answer_size)
		return false;
	lay_over(&e, s);
	ahead = s->answer_size - 1u - s->answer_stored++;
	nmx_ring_complete_slot(&e.host, ahead, VDPDK_W1(VDPDK_TX_DONE, s->answer_id[ahead], 0, 0));
	s->answered_ids |= (uint8_t)(1u << s->answer_id[ahead]);
	return true;
}

static bool
step_publish_answer(struct state *s)
{
	if (s->answer_size == 0 || s->answer_stored != s->answer_size)
		return false;
	s->comp += s->answer_size;
	s->answer_size = s->answer_stored = s->answer_id[0] = s->answer_id[1] = 0;
	return true;
}

static bool
step_reap(struct state *s)
{
	struct ends e;
	uint64_t w1 = 0;
	unsigned int id;

	lay_over(&e, s);
	if (s->submit_size != 0 || !nmx_ring_peek_slot(&e.guest, 0, &w1))
		return false;
	id = VDPDK_W1_ID(w1);
	assert_true(id < N);
	assert_false(s->free_ids & 1u << id);
	assert_true(s->answered_ids & 1u << id);
	s->free_ids |= (uint8_t)(1u << id);
	s->answered_ids &= (uint8_t) ~(1u << id);
	s->reap++;
	return true;
}

/* --- The search --- */

static void
check_end(const struct state *s)
{
	assert_int_equal(s->sub, TOTAL);
	assert_int_equal(s->reap, TOTAL);
	assert_int_equal(s->fetch, TOTAL);
	assert_int_equal(s->comp, TOTAL);
	assert_int_equal(s->free_ids, (1u << N) - 1);
}

/** The step numbered `i` of those that exist, applied to *s; false if not possible. */
static bool
take_step(struct state *s, unsigned int i)
{
	static bool (*const plain[])(struct state *) = { step_store_submit, step_publish_submit,
		step_fetch, step_store_answer, step_publish_answer, step_reap };
	const unsigned int n_plain = sizeof(plain) / sizeof(plain[0]);

	if (i < n_plain)
		return plain[i](s);
	i -= n_plain;
	if (i < N_FRAMES)
		return step_begin_answer(s, i);
	i -= N_FRAMES;
	return step_begin_submit(s, i / (N + 1), i % (N + 1));
}

#define N_STEPS (6 + N_FRAMES + N * (N + 1))

static void
search_all_interleavings(void **unused)
{
	/* The stack holds each state at most once. */
	struct state *stack, first = { .free_ids = (1u << N) - 1 };
	uint32_t depth = 0, n_ends = 0;

	(void)unused;
	set = calloc(SET_SLOTS, sizeof(struct state));
	set_used = calloc(SET_SLOTS, 1);
	stack = calloc(SET_SLOTS / 2, sizeof(struct state));
	assert_true(set != NULL && set_used != NULL && stack != NULL);
	remember(&first);
	stack[depth++] = first;
	while (depth > 0) {
		struct state here = stack[--depth];
		bool moved = false;

		for (unsigned int i = 0; i < N_STEPS; i++) {
			struct state next = here;

			if (!take_step(&next, i))
				continue;
			moved = true;
			if (remember(&next))
				stack[depth++] = next;
		}
		if (!moved) {
			check_end(&here);
			n_ends++;
		}
	}
	print_message("%u states, %u ends\n", n_states, n_ends);
	assert_int_equal(n_states, N_STATES);
	free(set);
	free(set_used);
	free(stack);
}

/* --- The same steps with AVAIL bits flipped at random --- */

static uint64_t random_state = 1;

static uint32_t
draw(uint32_t below)
{
	random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(random_state >> 33) % below;
}

/** Both ends of a ring whose AVAIL bits a third party flips, with what each end may rely on. */
struct disturbed {
	struct ends ends;
	struct vdpdk_slot_words slots[N];
	struct nmx_ring_slot taken[N];
	uint16_t held[N]; /* ids that the device took, any order */
	uint32_t n_held, n_fetched, n_answered;
	bool in_flight[N]; /* ids that the driver gave away */
	bool driver_broken;
};

static void
disturbed_submit(struct disturbed *d)
{
	uint16_t id = 0;

	if (d->driver_broken || nmx_ring_count_free(&d->ends.guest) == 0)
		return;
	while (id < N && d->in_flight[id])
		id++;
	/* As many ids as slots, each back once: a free slot means a free id. */
	assert_true(id < N);
	d->in_flight[id] = true;
	nmx_ring_submit_slot(&d->ends.guest, 0, id, VDPDK_W1(1, id, VDPDK_FLAG_AVAIL, 0));
	nmx_ring_advance_sub(&d->ends.guest, 1);
}

static void
disturbed_fetch(struct disturbed *d)
{
	struct nmx_ring_host *host = &d->ends.host;
	uint32_t before = nmx_ring_count_taken(&host->window);

	assert_true(before == d->n_held && before <= N);
	if (before == N) {
		struct nmx_ring_slot slot;

		assert_false(nmx_ring_load_slot(host, &slot));
		return;
	}
	if (nmx_ring_fetch_posted(host, before + 1) != VDPDK_FAULT_NONE)
		return;
	if (nmx_ring_count_taken(&host->window) == before)
		return;
	d->held[d->n_held++] = d->taken[(host->window.fetch - 1) & (N - 1)].id;
	d->n_fetched++;
}

static void
disturbed_answer(struct disturbed *d)
{
	uint32_t i;

	if (d->n_held == 0)
		return;
	i = draw(d->n_held);
	nmx_ring_complete_slot(&d->ends.host, 0, VDPDK_W1(0, d->held[i], 0, 0));
	nmx_ring_advance_comp(&d->ends.host.window, 1);
	d->held[i] = d->held[--d->n_held];
	d->n_answered++;
	assert_int_equal(d->n_fetched - d->n_answered, d->n_held);
}

static void
disturbed_reap(struct disturbed *d)
{
	uint64_t w1 = 0;

	if (d->driver_broken || !nmx_ring_peek_slot(&d->ends.guest, 0, &w1))
		return;
	if (VDPDK_W1_ID(w1) >= N || !d->in_flight[VDPDK_W1_ID(w1)]) {
		d->driver_broken = true; /* the driver's queue error: it trusts no completion */
		return;
	}
	d->in_flight[VDPDK_W1_ID(w1)] = false;
	nmx_ring_advance_reap(&d->ends.guest, 1);
	assert_true(nmx_ring_count_pending(&d->ends.guest) <= N);
}

static void
flipped_avail_bits_never_move_the_counters(void **unused)
{
	uint32_t n_broken = 0, n_fetched = 0;

	(void)unused;
	for (uint32_t run = 0; run < 20000; run++) {
		struct disturbed d = { 0 };

		d.ends.guest.slots = (NMX_SHARED struct vdpdk_slot_words *)d.slots;
		d.ends.host.slots = (NMX_SHARED struct vdpdk_slot_words *)d.slots;
		d.ends.guest.mask = d.ends.host.window.mask = N - 1;
		d.ends.host.window.taken = d.taken;
		for (uint32_t i = 0; i < 200; i++) {
			switch (draw(9)) {
			case 0:
				d.slots[draw(N)].w1 ^= VDPDK_W1_AVAIL;
				break;
			case 1:
			case 2:
				disturbed_submit(&d);
				break;
			case 3:
			case 4:
				disturbed_fetch(&d);
				break;
			case 5:
			case 6:
				disturbed_answer(&d);
				break;
			default:
				disturbed_reap(&d);
			}
		}
		n_broken += d.driver_broken;
		n_fetched += d.n_fetched;
	}
	print_message("%u slots fetched, %u drivers saw a foreign id\n", n_fetched, n_broken);
	assert_true(n_broken > 0 && n_fetched > 100000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(search_all_interleavings),
		cmocka_unit_test(flipped_avail_bits_never_move_the_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
