/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-ceiling [EAL options] -- SOCKET BYTES SECONDS: the fastest host that a guest can have.
 *
 * Theory of operation
 *
 * It is the guestport of the plugins but for its bursts, which are those below: every posted buffer
 * comes back as a frame of BYTES that nobody wrote, every frame of the guest's is done without
 * being read. All that the ring's contract asks for is done (snapshots, checks, brackets, events),
 * and nothing that a host does with frames: no mbufs, no translation, no copying.
 *
 * Such a host is always ahead of its guest, and would take the lines that the guest is writing away
 * from it again and again. So it answers whole bursts only, and rests after a look that found none.
 *
 * Waits for a guest that has both queues started, lets it run for a second, then prints
 *
 *   ceiling MILLION_FRAMES_A_SECOND TSC_CYCLES_A_FRAME
 *
 * of frames that came from the guest, and of busy cycles of this side as testpmd counts them: of
 * bursts that found something, over the frames of both directions.
 */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>

#include "cpu.h"
#include "drivers/common/guestport/port.h"

#define WARM_S 1
#define REST   16 /* pauses, some hundred cycles */
#define WAIT_S 60

/* What control asks of the bursts' files. Of no interest here. */

void
nmx_guestport_get_to_counters(
	const struct nmx_to_guest *queue, struct nmx_to_guest_counters *ret_counters)
{
	*ret_counters = queue->counters;
}

void
nmx_guestport_get_from_counters(
	const struct nmx_from_guest *queue, struct nmx_from_guest_counters *ret_counters)
{
	*ret_counters = queue->counters;
}

/* --- Bursts --- */

/** Frames to the guest. @return how many */
static uint32_t
give_frames(struct nmx_to_guest *queue, uint16_t bytes)
{
	struct guest_ring *ring;
	uint32_t n = 0;

	nmx_base_enter_bracket(&queue->bracket);
	ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	if (ring != NULL) {
		uint16_t fault;

		nmx_ring_claim_slots(&ring->half.vdpdk, BURST_MAX);
		fault = nmx_ring_fetch_posted(&ring->half.vdpdk, BURST_MAX);

		if (nmx_ring_count_taken(&ring->half.window) == BURST_MAX)
			n = BURST_MAX;
		for (uint32_t i = n; i-- > 0;)
			nmx_ring_complete_slot_w0(&ring->half.vdpdk, i, 0,
				VDPDK_W1(bytes, nmx_ring_get_taken(&ring->half.window, i)->id, 0,
					0));
		nmx_ring_advance_comp(&ring->half.window, n);
		if (n > 0 && nmx_ring_take_event(&ring->bell))
			nmx_guestport_signal_vector(queue->port, VDPDK_VECTOR_RX(queue->index));
		if (fault != VDPDK_FAULT_NONE)
			nmx_guestport_set_fault(queue->port, ring, &queue->active, fault);
	}
	nmx_base_leave_bracket(&queue->bracket);
	return n;
}

/** Frames from the guest, of one slot each. @return how many */
static uint32_t
take_frames(struct nmx_from_guest *queue)
{
	struct guest_ring *ring;
	uint32_t n = 0;

	nmx_base_enter_bracket(&queue->bracket);
	ring = atomic_load_explicit(&queue->active, memory_order_acquire);
	if (ring != NULL) {
		uint16_t fault;

		nmx_ring_claim_slots(&ring->half.vdpdk, BURST_MAX);
		fault = nmx_ring_fetch_frames(&ring->half.vdpdk, BURST_MAX);

		if (nmx_ring_count_taken(&ring->half.window) >= BURST_MAX) {
			n = nmx_ring_count_taken(&ring->half.window);
			nmx_ring_answer_taken(&ring->half.vdpdk, VDPDK_TX_DONE, 0);
		}
		if (fault != VDPDK_FAULT_NONE)
			nmx_guestport_set_fault(queue->port, ring, &queue->active, fault);
	}
	nmx_base_leave_bracket(&queue->bracket);
	return n;
}

/* --- Running --- */

/** What was done so far. */
struct work {
	uint64_t given, taken, busy_cycles;
};

/** Serve the guest until some moment. */
static void
serve(struct nmx_guestport *port, uint16_t bytes, uint64_t end_ns, struct work *work)
{
	do {
		for (int i = 0; i < 256; i++) {
			uint64_t start = read_tsc(), middle, end;
			uint32_t given = give_frames(&port->to_guest[0], bytes), taken;

			middle = read_tsc();
			taken = take_frames(&port->from_guest[0]);
			end = read_tsc();
			work->given += given;
			work->taken += taken;
			work->busy_cycles += (given > 0 ? middle - start : 0) +
					     (taken > 0 ? end - middle : 0);
			for (int rest = given + taken == 0 ? REST : 0; rest > 0; rest--)
				relax();
		}
	} while (read_clock_ns() < end_ns);
}

/** @return false if no guest's frames came */
static bool
run(struct nmx_guestport *port, uint16_t bytes, double seconds)
{
	uint64_t give_up_ns = read_clock_ns() + WAIT_S * UINT64_C(1000000000), start_ns;
	struct work work = { .given = 0 };

	while (work.taken == 0 && read_clock_ns() < give_up_ns)
		serve(port, bytes, 0, &work);
	if (work.taken == 0)
		return false;
	serve(port, bytes, read_clock_ns() + WARM_S * UINT64_C(1000000000), &work);
	work = (struct work){ .given = 0 };
	start_ns = read_clock_ns();
	serve(port, bytes, start_ns + (uint64_t)(seconds * 1e9), &work);
	printf("ceiling %.3f %.1f\n",
		(double)work.taken * 1000 / (double)(read_clock_ns() - start_ns),
		(double)work.busy_cycles / (double)(work.given + work.taken + 1));
	return true;
}

int
main(int argc, char **argv)
{
	struct nmx_guestport_config config = {
		.name = "ceiling",
		.n_queue_pairs = 1,
		.mac = { 0x02, 'c', 'e', 'i', 'l', 1 },
		.mem_bytes_max = UINT64_C(64) << 30,
	};
	int used = rte_eal_init(argc, argv);
	struct nmx_guestport *port;
	const char *reason;
	bool ok;

	if (used < 0 || argc - used != 4) {
		fprintf(stderr, "nmx-ceiling: [EAL] -- SOCKET BYTES SECONDS\n");
		return 1;
	}
	argv += used + 1;
	config.path = argv[0];
	if (nmx_guestport_create(&config, &port, &reason) != 0) {
		fprintf(stderr, "nmx-ceiling: %s: %s\n", argv[0], reason);
		return 1;
	}
	nmx_guestport_set_polled(port, true);
	printf("listening\n");
	fflush(stdout);
	ok = run(port, (uint16_t)atoi(argv[1]), strtod(argv[2], NULL));
	nmx_guestport_destroy(port);
	rte_eal_cleanup();
	if (!ok)
		fprintf(stderr, "nmx-ceiling: no guest sent anything within %d s\n", WAIT_S);
	return ok ? 0 : 1;
}
