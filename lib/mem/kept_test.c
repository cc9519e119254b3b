/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Who closes a file of memory last: its pages are freed then.
 *
 * Linked with a close() of its own, which sees every one.
 */

#include "lib/mem/rig_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/discard.h"

#define LARGE (UINT64_C(4) << 20)
#define SMALL (UINT64_C(64) << 10)

int __real_close(int fd);
int __wrap_close(int fd);

/** Closes of files of memory, by the thread that serves and by others. */
static struct {
	pthread_t server;
	ino_t inode; /* only of this one */
	atomic_uint n_here, n_elsewhere, n_while_mapped;
} closes;

static bool
is_file_mapped(void)
{
	return count_mappings() > 0;
}

int
__wrap_close(int fd)
{
	struct stat status;

	if (fstat(fd, &status) != 0 || status.st_ino != closes.inode)
		return __real_close(fd);
	if (pthread_equal(pthread_self(), closes.server))
		closes.n_here++;
	else
		closes.n_elsewhere++;
	closes.n_while_mapped += is_file_mapped();
	return __real_close(fd);
}

static struct nmx_bin *bin;

/** A client with a file whose pages are all there. */
static void
start_filled(struct client *client, uint64_t bytes)
{
	static struct nmx_mem_limits limits = { .maps_max = 4096, .bytes_max = 1 << 30 };
	struct stat status;

	bin = nmx_base_create_bin();
	limits.bin = bin;
	start_client(client, bytes, 0, &limits);
	memset(client->own, 1, bytes);
	assert_int_equal(fstat(client->file, &status), 0);
	memset(&closes, 0, sizeof(closes));
	closes.server = pthread_self();
	closes.inode = status.st_ino;
}

static void
stop_filled(struct client *client)
{
	closes.inode = 0;
	stop_client(client);
	while (!nmx_base_is_bin_empty(bin))
		usleep(100);
	nmx_base_release_bin(bin);
}

static void
wait_empty(void)
{
	while (!nmx_base_is_bin_empty(bin))
		usleep(100);
}

/** A map with a duplicate of the client's descriptor, which nobody but the callee closes. */
static int
map_once(struct client *client, uint64_t start, uint64_t size)
{
	const struct nmx_mem_map wanted = { { start, size }, 0, RW };
	int fd = fcntl(client->file, F_DUPFD_CLOEXEC, 0);

	return nmx_mem_map(client->mem, &wanted, &fd);
}

static void
large_files_are_closed_elsewhere_once_they_are_unmapped(void **unused)
{
	struct client g;

	(void)unused;
	start_filled(&g, LARGE);
	assert_int_equal(map_once(&g, 0, LARGE / 2), 0);
	assert_int_equal(map_once(&g, LARGE, LARGE / 2), 0);
	/* The second descriptor wasn't needed: another one of the same file is kept. */
	wait_empty();
	assert_int_equal(closes.n_elsewhere, 1);
	assert_int_equal(unmap(&g, 0, LARGE / 2), 0);
	wait_empty();
	assert_int_equal(closes.n_elsewhere, 1);
	closes.n_while_mapped = 0;
	assert_int_equal(unmap(&g, LARGE, LARGE / 2), 0);
	wait_empty();
	assert_int_equal(closes.n_elsewhere, 2);
	assert_int_equal(closes.n_while_mapped, 0);
	assert_int_equal(closes.n_here, 0);
	stop_filled(&g);
}

static void
so_are_those_of_a_client_that_ends(void **unused)
{
	struct client g;

	(void)unused;
	for (int revoked = 0; revoked <= 1; revoked++) {
		start_filled(&g, LARGE);
		assert_int_equal(map_once(&g, 0, LARGE), 0);
		if (revoked)
			assert_int_equal(nmx_mem_revoke(g.mem), 0);
		nmx_mem_destroy(g.mem);
		g.mem = NULL;
		wait_empty();
		assert_int_equal(closes.n_elsewhere, 1);
		assert_int_equal(closes.n_while_mapped, 0);
		assert_int_equal(closes.n_here, 0);
		stop_filled(&g);
	}
}

static void
so_is_what_cant_be_mapped(void **unused)
{
	struct client g;

	(void)unused;
	start_filled(&g, LARGE);
	assert_int_equal(map_once(&g, 1, LARGE), -EINVAL);
	wait_empty();
	assert_int_equal(closes.n_elsewhere, 1);
	assert_int_equal(closes.n_here, 0);
	stop_filled(&g);
}

static void
small_files_take_no_thread(void **unused)
{
	struct client g;

	(void)unused;
	start_filled(&g, SMALL);
	assert_int_equal(map_once(&g, 0, SMALL), 0);
	assert_int_equal(unmap(&g, 0, SMALL), 0);
	assert_int_equal(closes.n_here, 1);
	assert_int_equal(closes.n_elsewhere, 0);
	stop_filled(&g);
}

/** What can't be kept can't be closed elsewhere. */
static void
a_file_too_many_is_refused(void **unused)
{
	struct client g;
	int fds[65];

	(void)unused;
	start_filled(&g, SMALL);
	for (uint64_t i = 0; i < 65; i++) {
		fds[i] = memfd_create("nmx-other", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fds[i], (off_t)PAGE), 0);
		assert_int_equal(map_file(&g, fds[i], i * PAGE, PAGE, 0, RW), i < 64 ? 0 : -ENOSPC);
	}
	/* Another map of one that is kept isn't too many, nor is one in the place of another. */
	assert_int_equal(map_file(&g, fds[0], WINDOW, PAGE, 0, RW), 0);
	assert_int_equal(unmap(&g, PAGE, PAGE), 0);
	assert_int_equal(map_file(&g, fds[64], PAGE, PAGE, 0, RW), 0);
	nmx_base_close_fds(fds, 65);
	stop_filled(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_files_are_closed_elsewhere_once_they_are_unmapped),
		cmocka_unit_test(so_are_those_of_a_client_that_ends),
		cmocka_unit_test(so_is_what_cant_be_mapped),
		cmocka_unit_test(small_files_take_no_thread),
		cmocka_unit_test(a_file_too_many_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
