/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Both halves of a ring in two threads, with real bytes: what the thread sanitizer is shown. See
 * threads_rig_test.h; sleeping is that of docs/device.md, "Events".
 *
 *   ring_threads_test [BUFFERS]     how many pass in each direction
 */

#include <sched.h>

#include "lib/ring/ring_event.h"
#include "lib/ring/ring_guest.h"
#include "lib/ring/ring_host.h"
#include "lib/ring/threads_rig_test.h"

#define N_BUFFERS   UINT32_C(200000)
#define ADDRESS(id) (0x1000 + (uint64_t)(id)*BYTES)

struct ring {
	struct ends ends; /* first */
	_Alignas(VDPDK_RING_ALIGN) uint8_t memory[VDPDK_RING_BYTES(N)];
	struct nmx_ring_guest guest;
	struct nmx_ring_host host;
	struct nmx_ring_slot taken[N];
	uint8_t buffer[N][BYTES]; /* the ring says whose */
	struct nmx_ring_arm arm;  /* of the side that sleeps */
	struct nmx_ring_bell bell;
};

/** The device's way from a descriptor to a buffer. */
static uint8_t *
find_buffer(struct ring *ring, struct end *end, const struct nmx_ring_slot *slot)
{
	end->n_wrong += slot->id >= N || slot->address != ADDRESS(slot->id) ||
			slot->length != BYTES;
	return ring->buffer[slot->id % N];
}

static void
ring_bell(struct ring *ring, struct end *end)
{
	if (nmx_ring_take_event(&ring->bell))
		signal_sleeper(end);
}

/** Hand over n of the driver's buffers, last first; `frames`: with chains of up to three. */
static void
submit_burst(struct ring *ring, struct end *end, const uint16_t *ids, uint32_t n, bool frames)
{
	for (uint32_t i = n; i-- > 0;) {
		bool next = frames && i + 1 < n && (ring->guest.sub + i) % 3 != 0;
		uint16_t flags = VDPDK_FLAG_AVAIL | (next ? VDPDK_FLAG_NEXT : 0);

		nmx_ring_submit_slot(
			&ring->guest, i, ADDRESS(ids[i]), VDPDK_W1(BYTES, ids[i], flags, 0));
	}
	nmx_ring_advance_sub(&ring->guest, n);
	if (frames)
		ring_bell(ring, end);
}

/* --- From the guest: the driver writes, the device reads and may sleep --- */

static void *
drive_from_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.driver;
	uint16_t free_ids[N], n_free = N;
	uint32_t n_sent = 0;
	uint64_t w1;

	for (uint16_t i = 0; i < N; i++)
		free_ids[i] = i;
	while (goes_on(end)) {
		uint32_t n = 1 + draw(end, BURST);

		while (nmx_ring_peek_slot(&ring->guest, 0, &w1)) {
			end->n_wrong += VDPDK_W1_STATUS(w1) != VDPDK_TX_DONE;
			free_ids[n_free++] = VDPDK_W1_ID(w1) % N;
			nmx_ring_advance_reap(&ring->guest, 1);
			end->n_done++;
		}
		if (n > n_wanted - n_sent)
			n = n_wanted - n_sent;
		if (n == 0 || n > n_free) {
			sched_yield();
			continue;
		}
		n_free -= n;
		for (uint32_t i = 0; i < n; i++)
			fill(ring->buffer[free_ids[n_free + i]], n_sent++);
		submit_burst(ring, end, &free_ids[n_free], n, true);
	}
	return NULL;
}

static void *
serve_from_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.device;
	struct nmx_ring_slot slot;

	while (goes_on(end)) {
		uint32_t n;

		end->n_wrong += nmx_ring_fetch_frames(&ring->host, 1 + draw(end, BURST)) !=
				VDPDK_FAULT_NONE;
		n = nmx_ring_count_taken(&ring->host.window);
		if (n == 0) {
			nmx_ring_arm_event(&ring->arm);
			if (!nmx_ring_load_slot(&ring->host, &slot))
				sleep_till_signal(end);
			nmx_ring_disarm_event(&ring->arm);
			continue;
		}
		for (uint32_t i = 0; i < n; i++)
			check_and_clear(end,
				find_buffer(ring, end, nmx_ring_get_taken(&ring->host.window, i)),
				end->n_done++);
		for (uint32_t i = n; i-- > 0;)
			nmx_ring_complete_slot(&ring->host, i,
				VDPDK_W1(VDPDK_TX_DONE,
					nmx_ring_get_taken(&ring->host.window, n - 1 - i)->id, 0,
					0));
		nmx_ring_advance_comp(&ring->host.window, n);
	}
	return NULL;
}

/* --- To the guest: the device writes, the driver reads and may sleep --- */

static void *
drive_to_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.driver;
	uint64_t w1;

	for (uint16_t i = 0; i < N; i++)
		submit_burst(ring, end, &i, 1, false);
	while (goes_on(end)) {
		uint16_t ids[BURST], n = 0;

		while (n < BURST && nmx_ring_peek_slot(&ring->guest, 0, &w1)) {
			ids[n] = VDPDK_W1_ID(w1) % N;
			end->n_wrong += VDPDK_W1_LENGTH(w1) != BYTES;
			check_and_clear(end, ring->buffer[ids[n++]], end->n_done++);
			nmx_ring_advance_reap(&ring->guest, 1);
		}
		submit_burst(ring, end, ids, n, false);
		if (n == 0) {
			nmx_ring_arm_event(&ring->arm);
			if (!nmx_ring_peek_slot(&ring->guest, 0, &w1))
				sleep_till_signal(end);
			nmx_ring_disarm_event(&ring->arm);
		}
	}
	return NULL;
}

static void *
serve_to_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.device;

	while (goes_on(end)) {
		uint32_t want = 1 + draw(end, BURST), left = n_wanted - end->n_done, n;

		end->n_wrong += nmx_ring_fetch_posted(&ring->host, want < left ? want : left) !=
				VDPDK_FAULT_NONE;
		n = nmx_ring_count_taken(&ring->host.window);
		if (n == 0) {
			sched_yield();
			continue;
		}
		for (uint32_t i = n; i-- > 0;) {
			const struct nmx_ring_slot *slot = nmx_ring_get_taken(
				&ring->host.window, n - 1 - i);

			fill(find_buffer(ring, end, slot), end->n_done + i);
			nmx_ring_complete_slot_w0(
				&ring->host, i, 0, VDPDK_W1(BYTES, slot->id, 0, 0));
		}
		nmx_ring_advance_comp(&ring->host.window, n);
		end->n_done += n;
		ring_bell(ring, end);
	}
	return NULL;
}

/* --- Tests --- */

static void
run_both(struct ring *ring, void *(*drive)(void *), void *(*serve)(void *))
{
	nmx_ring_init_guest(&ring->guest, ring->memory, N);
	nmx_ring_init_host(&ring->host, ring->guest.header, ring->taken, N);
	run_threads(ring, drive, serve);
}

/** The word that a side writes: both sides' views of it. */
static void
set_word(struct ring *ring, uint32_t *word)
{
	ring->arm.word = (NMX_SHARED uint32_t *)word;
	ring->bell.word = (NMX_SHARED uint32_t *)word;
}

static void
bytes_from_the_guest_arrive_in_another_thread(void **unused)
{
	static struct ring ring;

	(void)unused;
	set_word(&ring, &((struct vdpdk_ring_header *)ring.memory)->device.event_seq);
	run_both(&ring, drive_from_guest, serve_from_guest);
	assert_true(ring.ends.device.n_sleeps > 0);
}

static void
bytes_to_the_guest_arrive_in_another_thread(void **unused)
{
	static struct ring ring;

	(void)unused;
	set_word(&ring, &((struct vdpdk_ring_header *)ring.memory)->driver.event_seq);
	run_both(&ring, drive_to_guest, serve_to_guest);
	assert_true(ring.ends.driver.n_sleeps > 0);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_from_the_guest_arrive_in_another_thread),
		cmocka_unit_test(bytes_to_the_guest_arrive_in_another_thread),
	};

	read_wanted(argc, argv, N_BUFFERS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
