/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "discard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "fd.h"

/** Small: where all memory is locked, a stack is memory at once. */
#define STACK_BYTES ((size_t)64 << 10)

/** Of 512 bytes. */
#define LARGE_BLOCKS ((1 << 20) / 512)

struct nmx_bin {
	atomic_uint n_users; /* the owner, and a thread for each discard under way */
};

struct discard {
	struct nmx_bin *bin;
	bool connected; /* the first one is a connection */
	unsigned int n;
	int fds[];
};

struct nmx_bin *
nmx_base_create_bin(void)
{
	struct nmx_bin *bin = malloc(sizeof(*bin));

	if (bin != NULL)
		atomic_init(&bin->n_users, 1);
	return bin;
}

void
nmx_base_release_bin(struct nmx_bin *bin)
{
	if (bin != NULL && atomic_fetch_sub(&bin->n_users, 1) == 1)
		free(bin);
}

/** Read what is in the queue of a connection that takes no more. */
static void
throw_away(int connection)
{
	char bytes[4096];
	ssize_t n;

	do {
		n = recv(connection, bytes, sizeof(bytes), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && errno == EINTR));
}

static void *
run(void *argument)
{
	struct discard *discard = argument;

	if (discard->connected)
		throw_away(discard->fds[0]);
	nmx_base_close_fds(discard->fds, discard->n);
	nmx_base_release_bin(discard->bin);
	free(discard);
	return NULL;
}

/** With a small stack, or a usual one where a program's thread-local data need more; 0 or an error.
 */
static int
create_thread(pthread_attr_t *attributes, struct discard *discard)
{
	size_t usual;
	pthread_t thread;
	int ret = pthread_attr_getstacksize(attributes, &usual);

	if (ret != 0)
		return ret;
	if (pthread_attr_setstacksize(attributes, STACK_BYTES) == 0 &&
		pthread_create(&thread, attributes, run, discard) == 0)
		return 0;
	ret = pthread_attr_setstacksize(attributes, usual);
	return ret == 0 ? pthread_create(&thread, attributes, run, discard) : ret;
}

/** A thread that handles none of the program's signals; 0 or an error. */
static int
start_thread(struct discard *discard)
{
	sigset_t all, kept;
	pthread_attr_t attributes;
	int ret = pthread_attr_init(&attributes);

	if (ret != 0)
		return ret;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &kept);
	ret = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (ret == 0)
		ret = create_thread(&attributes, discard);
	pthread_sigmask(SIG_SETMASK, &kept, NULL);
	pthread_attr_destroy(&attributes);
	return ret;
}

static void
discard_fds(struct nmx_bin *bin, int *fds, unsigned int n, bool connected)
{
	struct discard *discard = malloc(sizeof(*discard) + n * sizeof(*fds));

	if (discard == NULL) {
		nmx_base_close_fds(fds, n);
		return;
	}
	discard->bin = bin;
	discard->connected = connected;
	discard->n = n;
	for (unsigned int i = 0; i < n; i++)
		discard->fds[i] = nmx_base_take_fd(&fds[i]);
	atomic_fetch_add(&bin->n_users, 1);
	if (start_thread(discard) != 0)
		run(discard);
}

void
nmx_base_discard_fds(struct nmx_bin *bin, int *fds, unsigned int n)
{
	discard_fds(bin, fds, n, false);
}

/** True if the file has so many pages that freeing them takes longer than another thread. */
static bool
is_large(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_blocks > LARGE_BLOCKS;
}

void
nmx_base_drop_fds(struct nmx_bin *bin, int *fds, unsigned int n)
{
	unsigned int n_large = 0;

	for (unsigned int i = 0; i < n; i++) {
		int fd = nmx_base_take_fd(&fds[i]);

		if (bin != NULL && fd >= 0 && is_large(fd))
			fds[n_large++] = fd;
		else
			nmx_base_close_fd(&fd);
	}
	if (n_large > 0)
		nmx_base_discard_fds(bin, fds, n_large);
}

void
nmx_base_discard_connection(struct nmx_bin *bin, int *fds, unsigned int n)
{
	/* Both ways: one that only sends no more would let more come. */
	(void)shutdown(fds[0], SHUT_RDWR);
	discard_fds(bin, fds, n, true);
}

bool
nmx_base_is_bin_empty(const struct nmx_bin *bin)
{
	return atomic_load(&bin->n_users) == 1;
}
