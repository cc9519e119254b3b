/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Driver and device of a packed ring in two threads, with real bytes: what the thread sanitizer is
 * shown. See threads_rig_test.h; nothing but the descriptors' flags orders the threads' accesses.
 * From the guest some buffers are chains. With and without VIRTIO_F_EVENT_IDX.
 *
 *   packed_threads_test [BUFFERS]     how many pass in each direction
 */

#include <sched.h>
#include <stdatomic.h>

#include "lib/ring/packed_chain.h"
#include "lib/ring/packed_event.h"
#include "lib/ring/packed_rig_test.h"
#include "lib/ring/split_header.h"
#include "lib/ring/threads_rig_test.h"

#define N_BUFFERS UINT32_C(100000)
#define HEADER    NMX_SPLIT_NET_BYTES
#define N_CHAINED (N / 2) /* buffers of up to two descriptors that the ring has room for */

struct ring {
	struct ends ends; /* first */
	struct packed_driver guest;
	struct nmx_packed_host host;
	struct nmx_packed_bell bell;
	struct nmx_ring_slot taken[N];
	uint8_t buffer[N][HEADER + BYTES]; /* the ring says whose; an address is a place here */
	bool event_idx;
};

/** The device's way from a copy to a buffer's data. */
static uint8_t *
find_data(struct ring *ring, struct end *end, const struct nmx_ring_slot *slot, bool writable)
{
	struct nmx_split_chain chain;

	end->n_wrong += slot->id >= N ||
			nmx_ring_walk_packed_chain(
				&ring->host, slot, NULL, writable, HEADER, &chain) != 0 ||
			chain.n != 1 || chain.bytes != BYTES ||
			chain.header != slot->id * UINT64_C(4096) ||
			chain.extents[0].address != chain.header + HEADER;
	return ring->buffer[slot->id % N] + HEADER;
}

/* --- The driver, from the specification --- */

/** Where a side is, as 2.7.14 writes it. */
static uint16_t
get_position(uint32_t idx, bool wrap)
{
	return (uint16_t)(idx | (wrap ? 0x8000 : 0));
}

/** 2.7.21: hand over a buffer, in one piece or header and data by themselves. */
static void
offer_one(struct ring *ring, struct end *end, uint16_t id, uint16_t flags)
{
	const uint64_t place = id * UINT64_C(4096);
	const struct piece two[] = { { place, HEADER, flags }, { place + HEADER, BYTES, flags } };

	if (flags == 0 && draw(end, 3) == 0)
		offer_packed_chain(&ring->guest, id, two, 2);
	else
		offer_packed(&ring->guest, id, place, HEADER + BYTES, flags);
}

/** 2.7.21.2: kick for what was handed over from a position on, if the device asks for it. */
static void
kick(struct ring *ring, struct end *end, uint32_t idx, bool wrap)
{
	struct packed_driver *d = &ring->guest;
	uint32_t word;
	bool wanted;

	atomic_thread_fence(memory_order_seq_cst);
	word = __atomic_load_n(&d->device->word, __ATOMIC_RELAXED);
	wanted = word >> 16 == NMX_PACKED_EVENT_ENABLE;
	while (word >> 16 == NMX_PACKED_EVENT_DESC &&
		(idx != d->avail_idx || wrap != d->avail_wrap)) {
		wanted |= (uint16_t)word == get_position(idx, wrap);
		idx = (idx + 1) % d->n;
		wrap ^= idx == 0;
	}
	if (wanted)
		signal_sleeper(end);
}

/** 2.7.22: ask for a signal; true if there is nothing, so that sleeping is right. */
static bool
arm_driver(struct ring *ring)
{
	struct packed_driver *d = &ring->guest;
	const uint16_t position = get_position(d->used_idx, d->used_wrap);
	uint64_t w1;

	__atomic_store_n(&d->asks->word,
		ring->event_idx ? NMX_PACKED_EVENT(position, NMX_PACKED_EVENT_DESC)
				: NMX_PACKED_EVENT(0, NMX_PACKED_EVENT_ENABLE),
		__ATOMIC_RELAXED);
	atomic_thread_fence(memory_order_seq_cst);
	return !is_used(d, &w1);
}

static void *
drive_from_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.driver;
	uint16_t free_ids[N_CHAINED], n_free = N_CHAINED;
	struct packed_used used;
	uint32_t n_sent = 0;

	for (uint16_t i = 0; i < N_CHAINED; i++)
		free_ids[i] = i;
	while (goes_on(end)) {
		const uint32_t idx = ring->guest.avail_idx;
		const bool wrap = ring->guest.avail_wrap;
		uint16_t n = (uint16_t)(1 + draw(end, BURST));

		while (n_free < N_CHAINED && take_packed_used(&ring->guest, &used)) {
			end->n_wrong += used.id >= N_CHAINED || used.bytes != 0;
			free_ids[n_free++] = used.id % N_CHAINED;
			end->n_done++;
		}
		if (n > n_wanted - n_sent)
			n = (uint16_t)(n_wanted - n_sent);
		if (n == 0 || n > n_free) {
			sched_yield();
			continue;
		}
		n_free -= n;
		for (uint16_t i = 0; i < n; i++) {
			fill(ring->buffer[free_ids[n_free + i]] + HEADER, n_sent++);
			offer_one(ring, end, free_ids[n_free + i], 0);
		}
		kick(ring, end, idx, wrap);
	}
	return NULL;
}

static void *
drive_to_guest(void *arg)
{
	struct ring *ring = arg;
	struct end *end = &ring->ends.driver;
	struct packed_used used;

	for (uint16_t i = 0; i < N; i++)
		offer_one(ring, end, i, NMX_SPLIT_FLAG_WRITE);
	while (goes_on(end)) {
		uint16_t ids[BURST], n = 0;

		while (n < BURST && take_packed_used(&ring->guest, &used)) {
			uint8_t *buffer = ring->buffer[used.id % N];

			end->n_wrong += used.id >= N || used.bytes != HEADER + BYTES ||
					buffer[HEADER - 2] != 1;
			check_and_clear(end, buffer + HEADER, end->n_done++);
			ids[n++] = used.id % N;
		}
		for (uint16_t i = 0; i < n; i++)
			offer_one(ring, end, ids[i], NMX_SPLIT_FLAG_WRITE);
		if (n == 0 && arm_driver(ring) && goes_on(end))
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

	end->n_wrong += nmx_ring_fetch_packed(&ring->host, want < left ? want : left, writable,
				HEADER) != VDPDK_FAULT_NONE;
	if (nmx_ring_count_taken(&ring->host.window) > 0)
		return nmx_ring_count_taken(&ring->host.window);
	if (sleeps) {
		nmx_ring_arm_packed_kick(&ring->host, ring->event_idx);
		if (!nmx_ring_has_packed(&ring->host, 1))
			sleep_till_signal(end);
		nmx_ring_disarm_packed_kick(&ring->host);
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
			check_and_clear(end,
				find_data(ring, end, nmx_ring_get_taken(window, i), false),
				end->n_done++);
		for (uint32_t i = n; i-- > 0;) {
			const struct nmx_ring_slot *slot = nmx_ring_get_taken(window, i);

			nmx_ring_complete_packed(
				&ring->host, slot->id, 0, nmx_ring_get_packed_count(slot));
		}
		nmx_ring_publish_packed(&ring->host, n);
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

		nmx_ring_claim_packed(&ring->host, n);
		for (uint32_t i = n; i-- > 0;) {
			const struct nmx_ring_slot *slot = nmx_ring_get_taken(
				&ring->host.window, i);
			uint8_t *data = find_data(ring, end, slot, true);

			nmx_ring_put_net_header((NMX_SHARED uint8_t *)data, 1, HEADER);
			fill(data, end->n_done++);
			nmx_ring_complete_packed(&ring->host, slot->id, HEADER + BYTES,
				nmx_ring_get_packed_count(slot));
		}
		nmx_ring_publish_packed(&ring->host, n);
		if (nmx_ring_take_packed_event(&ring->host, &ring->bell, ring->event_idx))
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
	struct nmx_packed_parts parts;
	uint32_t n_sleeps;

	assert_true(ring != NULL);
	assert_true(init_packed_driver(&ring->guest, N, 60, true));
	parts = (struct nmx_packed_parts){ (NMX_SHARED struct nmx_packed_desc *)ring->guest.desc,
		(const NMX_SHARED struct nmx_packed_event *)ring->guest.asks,
		(NMX_SHARED struct nmx_packed_event *)ring->guest.device };
	assert_int_equal(nmx_ring_init_packed(&ring->host, &parts, ring->taken, N,
				 get_packed_base(&ring->guest)),
		0);
	ring->bell.answered = ring->host.used_seq;
	ring->event_idx = event_idx;
	run_threads(ring, drive, serve);
	n_sleeps = ring->ends.driver.n_sleeps + ring->ends.device.n_sleeps;
	fini_packed_driver(&ring->guest);
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
