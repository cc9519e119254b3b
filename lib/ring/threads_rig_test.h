/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Two threads at the ends of a ring, of whatever kind, with real bytes. For tests; each program
 * includes it once.
 *
 * Theory of operation
 *
 * One thread is the driver, one the device; numbered buffers pass from one to the other and back,
 * in bursts of random sizes, answered out of order. The bytes are plain memory: nothing but the
 * ring orders one thread's accesses before the other's. Each owner writes all of a buffer and reads
 * all of it, so a release or an acquire that is missing is a race for the sanitizer, on any
 * processor, and bytes of another number are found without it.
 *
 * The side that may sleep does so whenever it finds nothing, and is woken by an eventfd. A signal
 * that is lost is found by a time limit.
 */

#ifndef NMX_RING_THREADS_RIG_TEST_H
#define NMX_RING_THREADS_RIG_TEST_H

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"

#define N         64
#define BURST     16
#define BYTES     96 /* of a buffer */
#define LIMIT_NS  (30 * NMX_NS_PER_S)
#define LIMIT_MS  10000
#define FREE_BYTE 0xee /* what an owner leaves in a buffer */

/** Buffers that pass in each direction. */
static uint32_t n_wanted;

/** What a thread has for itself; the test reads it after the thread's end. */
struct end {
	uint64_t random, limit_ns;
	uint32_t n_done, n_wrong, n_sleeps;
	int event; /* wakes the side that sleeps */
};

/** Both: the first of a ring's. */
struct ends {
	struct end driver, device;
};

static inline uint32_t
draw(struct end *end, uint32_t n)
{
	end->random = end->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(end->random >> 33) % n;
}

/** True as long as a thread should go on. */
static inline bool
goes_on(struct end *end)
{
	if (end->n_done == n_wanted || end->n_wrong > 0)
		return false;
	end->n_wrong += nmx_base_read_clock_ns() > end->limit_ns;
	return end->n_wrong == 0;
}

static inline void
fill(uint8_t *buffer, uint32_t number)
{
	for (uint32_t i = 0; i < BYTES; i++)
		buffer[i] = (uint8_t)(number * 7 + (number >> 8) + i);
}

/** Read a buffer that just came, and make it its new owner's. */
static inline void
check_and_clear(struct end *end, uint8_t *buffer, uint32_t number)
{
	for (uint32_t i = 0; i < BYTES; i++)
		end->n_wrong += buffer[i] != (uint8_t)(number * 7 + (number >> 8) + i);
	memset(buffer, FREE_BYTE, BYTES);
}

static inline void
sleep_till_signal(struct end *end)
{
	struct pollfd fd = { .fd = end->event, .events = POLLIN };
	uint64_t count;

	end->n_sleeps++;
	if (poll(&fd, 1, LIMIT_MS) != 1 || read(end->event, &count, sizeof(count)) < 0)
		end->n_wrong++;
}

static inline void
signal_sleeper(struct end *end)
{
	const uint64_t one = 1;

	if (write(end->event, &one, sizeof(one)) < 0)
		end->n_wrong++;
}

static inline void
init_end(struct end *end, uint64_t random, int event)
{
	*end = (struct end){
		.random = random, .limit_ns = nmx_base_read_clock_ns() + LIMIT_NS, .event = event
	};
}

/** Run a ring, which begins with its ends, until all buffers have passed. */
static inline void
run_threads(void *ring, void *(*drive)(void *), void *(*serve)(void *))
{
	int event = eventfd(0, EFD_CLOEXEC);
	struct ends *ends = ring;
	pthread_t driver, device;

	assert_true(event >= 0);
	init_end(&ends->driver, 1, event);
	init_end(&ends->device, 2, event);
	assert_int_equal(pthread_create(&device, NULL, serve, ring), 0);
	assert_int_equal(pthread_create(&driver, NULL, drive, ring), 0);
	pthread_join(driver, NULL);
	pthread_join(device, NULL);
	nmx_base_close_fd(&event);
	assert_int_equal(ends->driver.n_wrong, 0);
	assert_int_equal(ends->device.n_wrong, 0);
	assert_int_equal(ends->driver.n_done, n_wanted);
	assert_int_equal(ends->device.n_done, n_wanted);
}

/** A program's argument is how many buffers are to pass. */
static inline void
read_wanted(int argc, char **argv, uint32_t usual)
{
	n_wanted = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : usual;
}

#endif
