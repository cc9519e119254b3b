/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Driver and device of a split ring in two threads, with real bytes: what the thread sanitizer is
 * shown. See threads_rig_test.h; nothing but the two indices orders the threads' accesses. With and
 * without VIRTIO_F_EVENT_IDX.
 *
 *   split_threads_test [BUFFERS]     how many pass in each direction
 */

#include <sched.h>
#include <stdatomic.h>

#include "lib/ring/split_event.h"
#include "lib/ring/split_header.h"
#include "lib/ring/split_rig_test.h"
#include "lib/ring/threads_rig_test.h"

#define N_BUFFERS UINT32_C(100000)
#define HEADER    NMX_SPLIT_NET_BYTES

struct ring {
	struct ends ends; /* first */
	struct split_driver guest;
	struct nmx_split_host host;
	struct nmx_split_bell bell;
	struct nmx_ring_slot taken[N];
	uint8_t buffer[N][HEADER + BYTES]; /* the ring says whose; an address is a place here */
	bool event_idx;
};

/** The device's way from a copy to a buffer's data. */
static uint8_t *
find_data(struct ring *ring, struct end *end, const struct nmx_ring_slot *slot)
{
	uint64_t place = slot->address - HEADER;

	end->n_wrong += place != slot->id * UINT64_C(4096) || slot->length != BYTES ||
			nmx_ring_is_chain(slot);
	return ring->buffer[slot->id] + HEADER;
}

/* --- The driver, from the specification --- */

/** 2.6.13: hand over n buffers, and kick if the device asks for it. */
static void
offer_burst(struct ring *ring, struct end *end, const uint16_t *ids, uint16_t n, uint16_t flags,
	bool kicks)
{
	struct split_driver *d = &ring->guest;
	bool wanted;

	for (uint16_t i = 0; i < n; i++) {
		write_desc(&d->desc[ids[i]], ids[i] * UINT64_C(4096), HEADER + BYTES, flags, 0);
		offer_head(d, i, ids[i]);
	}
	publish_avail(d, n);
	if (!kicks)
		return;
	atomic_thread_fence(memory_order_seq_cst);
	if (ring->event_idx) {
		uint16_t event = __atomic_load_n(find_avail_event(d), __ATOMIC_RELAXED);

		wanted = (uint16_t)(d->avail_idx - event - 1) < n;
	} else {
		wanted = !(__atomic_load_n(&d->used->flags, __ATOMIC_RELAXED) &
			   NMX_SPLIT_USED_NO_NOTIFY);
	}
	if (wanted)
		signal_sleeper(end);
}

/** 2.6.14: ask for a signal; true if there is nothing, so that sleeping is right. */
static bool
arm_driver(struct ring *ring)
{
	struct split_driver *d = &ring->guest;

	if (ring->event_idx)
		__atomic_store_n(find_used_event(d), d->used_idx, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&d->avail->flags, 0, __ATOMIC_RELAXED);
	atomic_thread_fence(memory_order_seq_cst);
	return __atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) == d->used_idx;
}

static void *
drive_from_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.driver;
	struct nmx_split_used_elem elem;
	uint16_t free_ids[N], n_free = N;
	uint32_t n_sent = 0;

	for (uint16_t i = 0; i < N; i++)
		free_ids[i] = i;
	while (goes_on(end)) {
		uint16_t n = (uint16_t)(1 + draw(end, BURST));

		while (n_free < N && take_used(&ring->guest, &elem)) {
			end->n_wrong += elem.id >= N || elem.bytes != 0;
			free_ids[n_free++] = elem.id % N;
			end->n_done++;
		}
		if (n > n_wanted - n_sent)
			n = (uint16_t)(n_wanted - n_sent);
		if (n == 0 || n > n_free) {
			sched_yield();
			continue;
		}
		n_free -= n;
		for (uint16_t i = 0; i < n; i++)
			fill(ring->buffer[free_ids[n_free + i]] + HEADER, n_sent++);
		offer_burst(ring, end, &free_ids[n_free], n, 0, true);
	}
	return NULL;
}

static void *
drive_to_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.driver;
	struct nmx_split_used_elem elem;

	for (uint16_t i = 0; i < N; i++)
		offer_burst(ring, end, &i, 1, NMX_SPLIT_FLAG_WRITE, false);
	while (goes_on(end)) {
		uint16_t ids[BURST], n = 0;

		while (n < BURST && take_used(&ring->guest, &elem)) {
			uint8_t *buffer = ring->buffer[elem.id % N];

			end->n_wrong += elem.id >= N || elem.bytes != HEADER + BYTES ||
					buffer[HEADER - 2] != 1;
			check_and_clear(end, buffer + HEADER, end->n_done++);
			ids[n++] = elem.id % N;
		}
		if (n > 0)
			offer_burst(ring, end, ids, n, NMX_SPLIT_FLAG_WRITE, false);
		else if (arm_driver(ring) && goes_on(end))
			sleep_till_signal(end);
	}
	return NULL;
}

/* --- The device --- */

/** Fetch a burst, or sleep. @return how many are taken */
static uint32_t
fetch_burst(struct ring *ring, struct end *end, bool writable, bool sleeps)
{
	uint32_t want = 1 + draw(end, BURST), left = n_wanted - end->n_done;

	end->n_wrong += nmx_ring_fetch_split(&ring->host, want < left ? want : left, writable,
				HEADER) != VDPDK_FAULT_NONE;
	if (nmx_ring_count_taken(&ring->host.window) > 0)
		return nmx_ring_count_taken(&ring->host.window);
	if (sleeps) {
		nmx_ring_arm_kick(&ring->host, ring->event_idx);
		if (!nmx_ring_has_split(&ring->host, 1))
			sleep_till_signal(end);
		nmx_ring_disarm_kick(&ring->host, ring->event_idx);
	} else {
		sched_yield();
	}
	return 0;
}

static void *
serve_from_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.device;
	struct nmx_ring_window *window = &ring->host.window;

	while (goes_on(end)) {
		uint32_t n = fetch_burst(ring, end, false, true);

		for (uint32_t i = 0; i < n; i++)
			check_and_clear(end, find_data(ring, end, nmx_ring_get_taken(window, i)),
				end->n_done++);
		for (uint32_t i = 0; i < n; i++)
			nmx_ring_complete_used(
				&ring->host, i, nmx_ring_get_taken(window, n - 1 - i)->id, 0);
		if (n > 0)
			nmx_ring_publish_used(&ring->host, n);
	}
	return NULL;
}

static void *
serve_to_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.device;

	while (goes_on(end)) {
		uint32_t n = fetch_burst(ring, end, true, false);

		nmx_ring_claim_used(&ring->host, n);
		for (uint32_t i = 0; i < n; i++) {
			const struct nmx_ring_slot *slot = nmx_ring_get_taken(
				&ring->host.window, n - 1 - i);
			uint8_t *data = find_data(ring, end, slot);

			nmx_ring_put_net_header((NMX_SHARED uint8_t *)data, 1, HEADER);
			fill(data, end->n_done++);
			nmx_ring_complete_used(&ring->host, i, slot->id, HEADER + BYTES);
		}
		if (n == 0)
			continue;
		nmx_ring_publish_used(&ring->host, n);
		if (nmx_ring_take_split_event(&ring->host, &ring->bell, ring->event_idx))
			signal_sleeper(end);
	}
	return NULL;
}

/* --- Tests --- */

/** @return how often threads slept */
static uint32_t
run_both(bool event_idx, void *(*drive)(void *), void *(*serve)(void *))
{
	struct ring *ring = calloc(1, sizeof(*ring));
	struct nmx_split_parts parts;
	uint32_t n_sleeps;

	assert_true(ring != NULL);
	assert_true(init_driver(&ring->guest, N, 65000));
	parts = (struct nmx_split_parts){ (NMX_SHARED struct nmx_split_desc *)ring->guest.desc,
		(NMX_SHARED struct nmx_split_avail *)ring->guest.avail,
		(NMX_SHARED struct nmx_split_used *)ring->guest.used };
	nmx_ring_init_split(&ring->host, &parts, ring->taken, N, 65000);
	ring->bell.answered = 65000;
	ring->event_idx = event_idx;
	run_threads(ring, drive, serve);
	n_sleeps = ring->ends.driver.n_sleeps + ring->ends.device.n_sleeps;
	fini_driver(&ring->guest);
	free(ring);
	return n_sleeps;
}

static void
bytes_from_the_guest_arrive_in_another_thread(void **unused)
{
	(void)unused;
	assert_true(run_both(false, drive_from_guest, serve_from_guest) > 0);
	assert_true(run_both(true, drive_from_guest, serve_from_guest) > 0);
}

static void
bytes_to_the_guest_arrive_in_another_thread(void **unused)
{
	(void)unused;
	assert_true(run_both(false, drive_to_guest, serve_to_guest) > 0);
	assert_true(run_both(true, drive_to_guest, serve_to_guest) > 0);
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
