/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Turns of the control thread, with loans that come back, or go out, in the middle of one.
 *
 * Data threads do that at any time. Here it happens inside callbacks of a front end that does
 * nothing else, so at a known place of a turn.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "port.h"

#define PAGE   NMX_MEM_PAGE_BYTES
#define N_MAPS 3
#define TURNS  16

/** Each queue's ring is in a map of its own; in the third one is nothing. */
static struct rig {
	struct nmx_guestport port;
	struct nmx_to_guest to_guest;
	struct nmx_from_guest from_guest;
	struct nmx_rxmap map; /* that its buffers are lent to; some burst is busy with it */
	int lost_fd;
	unsigned int n_ended, n_answers;
	bool was_there; /* the first ring's memory, when that ended */
	void (*on_end)(void);
	void (*on_resume)(void);
} rig;

/* --- A front end --- */

static void
end_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index, struct guest_ring *ring,
	bool is_mapped)
{
	(void)index;
	(void)ring;
	rig.n_ended++;
	if (direction == VDPDK_DIRECTION_RX)
		rig.was_there = is_mapped || nmx_mem_has_withdrawn(port->mem);
	if (rig.on_end != NULL)
		rig.on_end();
}

static void
resume(struct nmx_guestport *port)
{
	(void)port;
	if (rig.on_resume != NULL)
		rig.on_resume();
}

static void
answer(struct nmx_guestport *port)
{
	(void)port;
	rig.n_answers++;
}

/** Rings whose memory is withdrawn stop. */
static void
check_memory(struct nmx_guestport *port)
{
	for (uint16_t direction = 0; direction <= 1; direction++) {
		const struct guest_ring *ring = nmx_guestport_get_ring(port, direction, 0);

		if (ring != NULL && !nmx_guestport_is_mapped(port, ring))
			nmx_guestport_stop_ring(port, direction, 0);
	}
}

static int
serve(struct nmx_guestport *port, uint64_t now_ns)
{
	(void)port;
	(void)now_ns;
	return -EAGAIN;
}

static bool
wants(const struct nmx_guestport *port)
{
	(void)port;
	return false;
}

static const struct nmx_guestport_front front = {
	.serve = serve,
	.wants_input = wants,
	.wants_output = wants,
	.answer = answer,
	.check_memory = check_memory,
	.resume = resume,
	.end_ring = end_ring,
};

/* --- A port with a ring in each direction --- */

static void
map_page(uint64_t number)
{
	const struct nmx_mem_map map = { { number * PAGE, PAGE }, 0, NMX_MEM_READ | NMX_MEM_WRITE };
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)PAGE), 0);
	assert_int_equal(nmx_mem_map(rig.port.mem, &map, &fd), 0);
}

static void
start_ring(uint16_t direction, uint64_t page)
{
	const struct ring_plan plan = { .kind = RING_VDPDK,
		.n_slots = 64,
		.n_parts = 1,
		.parts = { { page * PAGE, 2048 } },
		.enabled = true };

	assert_int_equal(nmx_guestport_start_ring(&rig.port, direction, 0, &plan), 0);
}

static int
start(void **unused)
{
	const struct nmx_mem_limits limits = { .maps_max = 16, .bytes_max = 16 * PAGE };
	struct nmx_guestport *port = &rig.port;

	(void)unused;
	memset(&rig, 0, sizeof(rig));
	port->front = &front;
	port->n_queue_pairs = 1;
	port->to_guest = &rig.to_guest;
	port->from_guest = &rig.from_guest;
	rig.to_guest.port = rig.from_guest.port = port;
	rig.from_guest.doorbell = -1;
	atomic_init(&rig.map.busy, true);
	atomic_init(&rig.to_guest.map, &rig.map);
	atomic_init(&rig.to_guest.lends, true);
	port->connection = open("/dev/null", O_RDWR | O_CLOEXEC);
	port->closing = true; /* nobody else is to be served */
	port->bin = nmx_base_create_bin();
	port->reset_grace = port->reclaim_grace = port->vector_grace = NO_GRACE;
	port->parked_grace = NO_GRACE;
	nmx_base_init_grace(&port->grace, port->brackets, port->brackets_seen, 0);
	assert_int_equal(nmx_mem_create(&limits, rig.lost_fd, &port->mem), 0);
	for (uint64_t i = 0; i < N_MAPS; i++)
		map_page(i);
	start_ring(VDPDK_DIRECTION_RX, 0);
	start_ring(VDPDK_DIRECTION_TX, 1);
	return 0;
}

static int
stop(void **unused)
{
	(void)unused;
	free(rig.to_guest.ring);
	free(rig.from_guest.ring);
	nmx_mem_destroy(rig.port.mem);
	nmx_base_release_bin(rig.port.bin);
	nmx_base_close_fd(&rig.port.connection);
	return 0;
}

static void
set_loans(uint32_t n)
{
	if (rig.to_guest.ring != NULL)
		atomic_store(&rig.to_guest.ring->out, n);
}

static void
give_back(void)
{
	set_loans(0);
}

/** As many turns as the port asks for. @return false: it never comes to rest */
static bool
take_turns(void)
{
	for (uint64_t i = 0; i < TURNS; i++)
		if (nmx_guestport_advance(&rig.port, i))
			return true;
	return false;
}

/* --- Tests --- */

static void
a_ring_whose_last_loan_comes_back_within_a_turn_is_ended(void **unused)
{
	(void)unused;
	set_loans(1);
	rig.on_end = give_back; /* the other ring's end; this one's was looked at before */
	nmx_guestport_stop_ring(&rig.port, VDPDK_DIRECTION_RX, 0);
	nmx_guestport_stop_ring(&rig.port, VDPDK_DIRECTION_TX, 0);
	assert_true(take_turns());
	assert_int_equal(rig.n_ended, 2);
}

static void
a_ring_ends_before_its_memory_goes(void **unused)
{
	(void)unused;
	set_loans(1);
	rig.on_end = give_back;
	assert_int_equal(nmx_mem_unmap(rig.port.mem, (struct nmx_range){ 0, N_MAPS * PAGE }), 0);
	assert_true(nmx_guestport_let_go(&rig.port));
	assert_true(take_turns());
	assert_int_equal(rig.n_ended, 2);
	assert_true(rig.was_there);
	assert_int_equal(rig.n_answers, 1);
}

/** A refill, as soon as lending goes on. */
static void
lend_again(void)
{
	set_loans(1);
}

static void
an_unmap_is_answered_though_lending_goes_on_at_once(void **unused)
{
	(void)unused;
	set_loans(0);
	rig.on_resume = lend_again;
	assert_int_equal(nmx_mem_unmap(rig.port.mem, (struct nmx_range){ 2 * PAGE, PAGE }), 0);
	assert_true(nmx_guestport_let_go(&rig.port));
	assert_true(take_turns());
	assert_int_equal(rig.n_answers, 1);
	assert_int_equal(rig.n_ended, 0);
	assert_false(atomic_load(&rig.port.lends_nothing));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_ring_whose_last_loan_comes_back_within_a_turn_is_ended, start, stop),
		cmocka_unit_test_setup_teardown(a_ring_ends_before_its_memory_goes, start, stop),
		cmocka_unit_test_setup_teardown(
			an_unmap_is_answered_though_lending_goes_on_at_once, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
