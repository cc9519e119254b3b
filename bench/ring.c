/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-ring CPU CPU SECONDS SLOTS...: both halves of the ring, on two CPUs, and nothing else.
 *
 * One thread is the driver: it reaps what came back and submits whole bursts. The other is the
 * device: it fetches and completes. Nobody looks at a buffer. So this is what the ring alone costs,
 * for each number of slots, as an Rx ring (posted buffers; completions have both words) and as a Tx
 * ring (frames of one slot). Prints, of the driver's side:
 *
 *   ring rx|tx SLOTS MILLION_SLOTS_A_SECOND TSC_CYCLES_A_SLOT
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "cpu.h"
#include "lib/ring/ring_guest.h"
#include "lib/ring/ring_host.h"

#define BURST   32
#define WARM_NS UINT64_C(200000000)

struct game {
	struct nmx_ring_host host; /* the device thread's */
	bool is_rx;
	int device_cpu;
	_Alignas(128) atomic_bool over;
	_Alignas(128) struct nmx_ring_guest guest; /* the driver thread's */
};

/** Answer n taken slots, last first. */
static void
complete(struct nmx_ring_host *ring, uint32_t n, bool is_rx)
{
	for (uint32_t i = n; i-- > 0;) {
		uint64_t w1 = VDPDK_W1(64, nmx_ring_get_taken(&ring->window, i)->id, 0, 0);

		if (is_rx)
			nmx_ring_complete_slot_w0(ring, i, 0, w1);
		else
			nmx_ring_complete_slot(ring, i, w1);
	}
	nmx_ring_advance_comp(&ring->window, n);
}

static void *
run_device(void *opaque)
{
	struct game *game = opaque;

	if (stay_on_cpu(game->device_cpu) != 0)
		fprintf(stderr, "nmx-ring: CPU %d isn't for this process\n", game->device_cpu);
	while (!atomic_load_explicit(&game->over, memory_order_relaxed)) {
		if (game->is_rx)
			(void)nmx_ring_fetch_posted(&game->host, BURST);
		else
			(void)nmx_ring_fetch_frames(&game->host, BURST);
		complete(&game->host, nmx_ring_count_taken(&game->host.window), game->is_rx);
	}
	return NULL;
}

/** One turn of the driver. @return slots that came back */
static uint32_t
turn_driver(struct nmx_ring_guest *ring)
{
	uint32_t n = 0;
	uint64_t w1;

	while (n < BURST && nmx_ring_peek_slot(ring, n, &w1))
		n++;
	nmx_ring_advance_reap(ring, n);
	if (nmx_ring_count_free(ring) < BURST)
		return n;
	for (uint32_t i = BURST; i-- > 0;)
		nmx_ring_submit_slot(ring, i, 4096 + i, VDPDK_W1(2048, i, VDPDK_FLAG_AVAIL, 0));
	nmx_ring_advance_sub(ring, BURST);
	return n;
}

/** @return slots that came back within some time */
static uint64_t
drive(struct nmx_ring_guest *ring, uint64_t for_ns)
{
	uint64_t slots = 0, end_ns = read_clock_ns() + for_ns;

	do {
		for (int i = 0; i < 256; i++)
			slots += turn_driver(ring);
	} while (read_clock_ns() < end_ns);
	return slots;
}

static void
measure(struct game *game, uint64_t for_ns)
{
	uint64_t start_ns, start_tsc, slots, ns, cycles;

	drive(&game->guest, WARM_NS);
	start_ns = read_clock_ns();
	start_tsc = read_tsc();
	slots = drive(&game->guest, for_ns);
	cycles = read_tsc() - start_tsc;
	ns = read_clock_ns() - start_ns;
	printf("ring %s %4u %7.1f %6.1f\n", game->is_rx ? "rx" : "tx", game->guest.mask + 1,
		(double)slots * 1000 / (double)ns, (double)cycles / (double)(slots + 1));
	fflush(stdout);
}

/** @return false without memory, or with a number of slots that no ring has */
static bool
play(uint32_t n_slots, bool is_rx, int device_cpu, uint64_t for_ns)
{
	struct game game = { .is_rx = is_rx, .device_cpu = device_cpu };
	void *memory = NULL, *taken = NULL;
	pthread_t device;
	bool ok = false;

	if (n_slots < VDPDK_RING_SLOTS_MIN || n_slots > VDPDK_RING_SLOTS_MAX ||
		(n_slots & (n_slots - 1)) != 0)
		return false;
	memory = aligned_alloc(VDPDK_RING_ALIGN, VDPDK_RING_BYTES(n_slots));
	taken = aligned_alloc(64, n_slots * sizeof(struct nmx_ring_slot));
	if (memory != NULL && taken != NULL) {
		nmx_ring_init_guest(&game.guest, memory, n_slots);
		nmx_ring_init_host(&game.host, game.guest.header, taken, n_slots);
		ok = pthread_create(&device, NULL, run_device, &game) == 0;
	}
	if (ok) {
		measure(&game, for_ns);
		atomic_store(&game.over, true);
		pthread_join(device, NULL);
	}
	free(memory);
	free(taken);
	return ok;
}

int
main(int argc, char **argv)
{
	double seconds = argc > 4 ? strtod(argv[3], NULL) : 0;

	if (seconds <= 0 || atoi(argv[1]) == atoi(argv[2]) || stay_on_cpu(atoi(argv[1])) != 0) {
		fprintf(stderr, "nmx-ring: name two CPUs that this process may use, seconds, and "
				"numbers of slots\n");
		return 1;
	}
	for (int i = 4; i < argc; i++) {
		uint32_t n_slots = (uint32_t)strtoul(argv[i], NULL, 0);
		uint64_t for_ns = (uint64_t)(seconds * 1e9);

		if (!play(n_slots, true, atoi(argv[2]), for_ns) ||
			!play(n_slots, false, atoi(argv[2]), for_ns)) {
			fprintf(stderr, "nmx-ring: %s: a power of two, 64 to 4096, and memory\n",
				argv[i]);
			return 1;
		}
	}
	return 0;
}
