/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/bracket.h"
#include "lib/base/clock.h"
#include "lib/base/discard.h"
#include "lib/base/fd.h"
#include "lib/base/grace.h"
#include "lib/base/range.h"

/** What the functions should say, by arithmetic that can't wrap. */
static bool
fits(uint64_t offset, uint64_t size, uint64_t limit)
{
	return (unsigned __int128)offset + size <= limit;
}

static void
slices_agree_with_wide_arithmetic(void **unused)
{
	static const uint64_t edge[] = { 0, 1, 2, 4095, 4096, UINT32_MAX, UINT64_C(1) << 63,
		UINT64_MAX - 1, UINT64_MAX };
	const size_t n = sizeof(edge) / sizeof(edge[0]);

	(void)unused;
	for (size_t i = 0; i < n * n * n; i++) {
		uint64_t offset = edge[i % n], size = edge[i / n % n], limit = edge[i / n / n];
		struct nmx_range range = { offset, size };

		assert_int_equal(
			nmx_base_check_slice(offset, size, limit), fits(offset, size, limit));
		assert_int_equal(nmx_base_check_range(range),
			size != 0 && (unsigned __int128)offset + size <= (unsigned __int128)1
										 << 64);
	}
}

static void
ranges_contain_and_overlap(void **unused)
{
	const struct nmx_range page = { 4096, 4096 }, top = { UINT64_MAX - 4095, 4096 };

	(void)unused;
	assert_true(nmx_base_contains_range(page, page));
	assert_true(nmx_base_contains_range(page, (struct nmx_range){ 8191, 1 }));
	assert_false(nmx_base_contains_range(page, (struct nmx_range){ 8191, 2 }));
	assert_false(nmx_base_contains_range(page, (struct nmx_range){ 4095, 2 }));
	assert_false(nmx_base_contains_range(page, (struct nmx_range){ 4096, 0 }));
	assert_false(nmx_base_contains_range(page, (struct nmx_range){ 5000, UINT64_MAX }));
	assert_true(nmx_base_contains_range(top, (struct nmx_range){ UINT64_MAX, 1 }));
	assert_false(nmx_base_contains_range(top, (struct nmx_range){ UINT64_MAX, 2 }));
	assert_true(nmx_base_overlaps_range(page, (struct nmx_range){ 8191, 1 }));
	assert_false(nmx_base_overlaps_range(page, (struct nmx_range){ 8192, 1 }));
	assert_true(nmx_base_overlaps_range((struct nmx_range){ 0, UINT64_MAX }, top));
}

static void
only_an_eventfd_is_an_eventfd(void **unused)
{
	int event = eventfd(0, EFD_CLOEXEC), ends[2];

	(void)unused;
	assert_true(event >= 0);
	assert_int_equal(pipe(ends), 0);
	assert_true(nmx_base_is_eventfd(event));
	assert_false(nmx_base_is_eventfd(ends[1]));
	assert_false(nmx_base_is_eventfd(-1));
	nmx_base_close_fds(ends, 2);
	assert_int_equal(ends[0], -1);
	nmx_base_close_fd(&event);
	assert_int_equal(event, -1);
}

static void
deadlines_round_up(void **unused)
{
	(void)unused;
	assert_int_equal(nmx_base_count_ms_until(NMX_NEVER_NS, 5), -1);
	assert_int_equal(nmx_base_count_ms_until(5, 5), 0);
	assert_int_equal(nmx_base_count_ms_until(6, 5), 1);
	assert_int_equal(nmx_base_count_ms_until(5 + NMX_NS_PER_MS, 5), 1);
}

/* --- Bracket: no burst that began before the fence may still use what was withdrawn --- */

struct race {
	struct nmx_bracket bracket;
	_Atomic(const int *) state; /* points to 1, or NULL: withdrawn */
	atomic_bool stop;
	atomic_ulong n_bursts, n_wrong;
};

static void *
run_bursts(void *arg)
{
	struct race *race = arg;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		const int *state;

		nmx_base_enter_bracket(&race->bracket);
		state = atomic_load_explicit(&race->state, memory_order_acquire);
		if (state != NULL && *(const volatile int *)state != 1)
			atomic_fetch_add(&race->n_wrong, 1);
		nmx_base_leave_bracket(&race->bracket);
		atomic_fetch_add_explicit(&race->n_bursts, 1, memory_order_relaxed);
	}
	return NULL;
}

static void
withdrawn_state_is_not_seen_after_quiet(void **unused)
{
	static int value[2] = { 1, 1 };
	struct race race = { .state = &value[0] };
	pthread_t thread;

	(void)unused;
	nmx_base_init_bracket(&race.bracket);
	assert_int_equal(pthread_create(&thread, NULL, run_bursts, &race), 0);
	for (unsigned int i = 0; i < 20000; i++) {
		int *old = &value[i & 1];
		uint32_t seen;

		atomic_store_explicit(&race.state, &value[~i & 1], memory_order_release);
		nmx_base_fence_brackets();
		seen = nmx_base_read_bracket(&race.bracket);
		while (!nmx_base_is_bracket_quiet(&race.bracket, seen))
			sched_yield();
		*(volatile int *)old = 0; /* "unmapped" */
		*(volatile int *)old = 1;
	}
	while (atomic_load(&race.n_bursts) == 0)
		sched_yield();
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(race.n_wrong, 0);
}

static void
grace_periods_begin_after_they_were_asked_for(void **unused)
{
	struct nmx_bracket a, b;
	const struct nmx_bracket *both[] = { &a, &b };
	struct nmx_grace grace;
	uint32_t seen[2];
	uint64_t first, second;

	(void)unused;
	nmx_base_init_bracket(&a);
	nmx_base_init_bracket(&b);
	nmx_base_init_grace(&grace, both, seen, 2);
	nmx_base_advance_grace(&grace);
	assert_true(nmx_base_is_grace_idle(&grace));
	first = nmx_base_ask_grace(&grace);
	assert_int_equal(nmx_base_ask_grace(&grace), first); /* shared */
	nmx_base_advance_grace(&grace);
	assert_true(nmx_base_is_grace_idle(&grace));
	assert_true(nmx_base_is_grace_over(&grace, first));

	nmx_base_enter_bracket(&a);
	first = nmx_base_ask_grace(&grace);
	nmx_base_advance_grace(&grace);
	assert_false(nmx_base_is_grace_idle(&grace));
	second = nmx_base_ask_grace(&grace); /* the first is running: too old for this one */
	assert_int_equal(second, first + 1);
	nmx_base_leave_bracket(&a);
	nmx_base_enter_bracket(&b); /* after the first began: holds up the second only */
	nmx_base_advance_grace(&grace);
	assert_false(nmx_base_is_grace_idle(&grace));
	assert_true(nmx_base_is_grace_over(&grace, first));
	assert_false(nmx_base_is_grace_over(&grace, second));
	nmx_base_leave_bracket(&b);
	nmx_base_enter_bracket(&b); /* another burst is no obstacle */
	nmx_base_advance_grace(&grace);
	assert_true(nmx_base_is_grace_idle(&grace));
	assert_true(nmx_base_is_grace_over(&grace, second));
	nmx_base_leave_bracket(&b);
}

/** A descriptor that takes a while to close: a lingering socket whose peer reads nothing. */
static int
make_lingering_socket(int *ret_peer)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 1 };
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char bytes[65536];

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
	*ret_peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*ret_peer >= 0);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	nmx_base_close_fd(&listener);
	return fd;
}

static void
discarding_does_not_wait(void **unused)
{
	struct nmx_bin *bin = nmx_base_create_bin();
	uint64_t begin_ns;
	int fds[3], peer;

	(void)unused;
	assert_non_null(bin);
	assert_true(nmx_base_is_bin_empty(bin));
	fds[0] = fds[2] = -1;
	fds[1] = make_lingering_socket(&peer);
	begin_ns = nmx_base_read_clock_ns();
	nmx_base_discard_fds(bin, fds, 3);
	assert_int_equal(fds[1], -1);
	assert_false(nmx_base_is_bin_empty(bin));
	assert_true(nmx_base_read_clock_ns() - begin_ns < NMX_NS_PER_S / 2);
	while (!nmx_base_is_bin_empty(bin))
		usleep(1000);
	assert_true(nmx_base_read_clock_ns() - begin_ns > NMX_NS_PER_S / 2);
	nmx_base_release_bin(bin);
	nmx_base_close_fd(&peer);
}

static void
connections_end_with_end_of_file(void **unused)
{
	static char bytes[100000];
	struct nmx_bin *bin = nmx_base_create_bin();
	int ends[2];

	(void)unused;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_true(send(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0);
	assert_int_equal(send(ends[0], "last", 4, 0), 4);
	nmx_base_discard_connection(bin, &ends[0], 1);
	assert_int_equal(ends[0], -1);
	assert_int_equal(send(ends[1], bytes, 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	while (!nmx_base_is_bin_empty(bin))
		usleep(1000);
	assert_int_equal(recv(ends[1], bytes, sizeof(bytes), 0), 4);
	assert_int_equal(recv(ends[1], bytes, sizeof(bytes), 0), 0);
	nmx_base_release_bin(bin);
	nmx_base_close_fd(&ends[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_agree_with_wide_arithmetic),
		cmocka_unit_test(ranges_contain_and_overlap),
		cmocka_unit_test(only_an_eventfd_is_an_eventfd),
		cmocka_unit_test(deadlines_round_up),
		cmocka_unit_test(withdrawn_state_is_not_seen_after_quiet),
		cmocka_unit_test(grace_periods_begin_after_they_were_asked_for),
		cmocka_unit_test(discarding_does_not_wait),
		cmocka_unit_test(connections_end_with_end_of_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
