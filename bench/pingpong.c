/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-pingpong CPU CPU: how long a cache line takes from one CPU to the other and back.
 *
 * Under a hypervisor that moves virtual CPUs about, the same two may be neighbours now and far from
 * each other a minute later. What passes cache lines between CPUs, as rings do, can't be compared
 * across such a move; this tells whether there was one. Prints "pingpong NS", the median of
 * BATCHES.
 */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "cpu.h"

#define BATCHES 31 /* odd */
#define TRIPS   5000

static struct {
	_Alignas(128) _Atomic uint32_t ball; /* even: ours to throw; odd: the partner's */
	_Alignas(128) int partner_cpu;
	_Atomic int partner_state; /* 0 not there yet, 1 there, -1 can't be */
} game;

static void *
throw_back(void *unused)
{
	uint32_t next = 1;

	(void)unused;
	atomic_store(&game.partner_state, stay_on_cpu(game.partner_cpu) == 0 ? 1 : -1);
	for (uint32_t i = 0; i < BATCHES * TRIPS; i++, next += 2) {
		while (atomic_load_explicit(&game.ball, memory_order_acquire) != next)
			;
		atomic_store_explicit(&game.ball, next + 1, memory_order_release);
	}
	return NULL;
}

/** One batch. @return picoseconds a trip */
static uint64_t
play(uint32_t first)
{
	uint64_t start_ns = read_clock_ns();

	for (uint32_t next = first; next < first + 2 * TRIPS; next += 2) {
		atomic_store_explicit(&game.ball, next + 1, memory_order_release);
		while (atomic_load_explicit(&game.ball, memory_order_acquire) != next + 2)
			;
	}
	return (read_clock_ns() - start_ns) * 1000 / TRIPS;
}

static int
compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

int
main(int argc, char **argv)
{
	uint64_t times[BATCHES];
	pthread_t partner;

	if (argc != 3 || atoi(argv[1]) == atoi(argv[2]) || stay_on_cpu(atoi(argv[1])) != 0) {
		fprintf(stderr, "nmx-pingpong: name two CPUs that this process may use\n");
		return 1;
	}
	game.partner_cpu = atoi(argv[2]);
	if (pthread_create(&partner, NULL, throw_back, NULL) != 0)
		return 1;
	while (atomic_load(&game.partner_state) == 0)
		relax();
	if (atomic_load(&game.partner_state) < 0) {
		fprintf(stderr, "nmx-pingpong: CPU %d isn't for this process\n", game.partner_cpu);
		return 1;
	}
	for (uint32_t i = 0; i < BATCHES; i++)
		times[i] = play(2 * TRIPS * i);
	pthread_join(partner, NULL);
	qsort(times, BATCHES, sizeof(times[0]), compare);
	printf("pingpong %.1f\n", (double)times[BATCHES / 2] / 1000);
	return 0;
}
