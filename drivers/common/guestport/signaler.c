/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "signaler.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_lcore.h>
#include <rte_spinlock.h>

#include "lib/base/fd.h"

#define EVENTS 32
/** Of data threads; a power of two. */
#define SIGNALERS 8

struct signaler {
	aio_context_t context;
	int file;            /* what nothing is written to */
	rte_spinlock_t lock; /* round submitting and discarding */
} __rte_cache_aligned;

/** The process'. */
static struct {
	pthread_mutex_t lock; /* round opening and closing */
	unsigned int users;
	struct signaler data[SIGNALERS];
	struct signaler control;
} signalers = { .lock = PTHREAD_MUTEX_INITIALIZER };

/** Head of the ring of events, which the kernel maps at the context's address. */
struct event_ring {
	uint32_t id, n, head, tail;
	uint32_t magic, compat_features, incompat_features, header_length;
};

#define EVENT_RING_MAGIC 0xa10a10a1

/** Close it, if it is open. */
static void
close_signaler(struct signaler *signaler)
{
	if (signaler->context == 0)
		return;
	syscall(SYS_io_destroy, signaler->context);
	signaler->context = 0;
	nmx_base_close_fd(&signaler->file);
}

static int
open_signaler(struct signaler *signaler)
{
	const struct event_ring *ring;
	int ret = 0;

	memset(signaler, 0, sizeof(*signaler));
	rte_spinlock_init(&signaler->lock);
	signaler->file = memfd_create("nmx-signaler", MFD_CLOEXEC);
	if (signaler->file < 0)
		return -errno;
	if (syscall(SYS_io_setup, EVENTS, &signaler->context) != 0) {
		ret = -errno;
		nmx_base_close_fd(&signaler->file);
		return ret;
	}
	ring = (const struct event_ring *)signaler->context;
	if (ring->magic != EVENT_RING_MAGIC || ring->incompat_features != 0) {
		close_signaler(signaler);
		return -ENOSYS;
	}
	return 0;
}

static void
close_all(void)
{
	for (unsigned int i = 0; i < SIGNALERS; i++)
		close_signaler(&signalers.data[i]);
	close_signaler(&signalers.control);
}

int
nmx_guestport_get_signalers(void)
{
	int ret = 0;

	pthread_mutex_lock(&signalers.lock);
	if (signalers.users == 0) {
		ret = open_signaler(&signalers.control);
		for (unsigned int i = 0; ret == 0 && i < SIGNALERS; i++)
			ret = open_signaler(&signalers.data[i]);
	}
	if (ret == 0)
		signalers.users++;
	else
		close_all();
	pthread_mutex_unlock(&signalers.lock);
	return ret;
}

void
nmx_guestport_put_signalers(void)
{
	pthread_mutex_lock(&signalers.lock);
	if (--signalers.users == 0)
		close_all();
	pthread_mutex_unlock(&signalers.lock);
}

/** Discard all events: the consumer's end of the ring is ours to move. */
static void
discard_events(struct signaler *signaler)
{
	struct event_ring *ring = (struct event_ring *)signaler->context;
	uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

	__atomic_store_n(&ring->head, tail, __ATOMIC_RELEASE);
}

static void
send_signal(struct signaler *signaler, int eventfd)
{
	struct iocb operation = {
		.aio_lio_opcode = IOCB_CMD_PWRITE,
		.aio_fildes = (uint32_t)signaler->file,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)eventfd,
	};
	struct iocb *list = &operation;

	rte_spinlock_lock(&signaler->lock);
	/* The operation of before is complete: an empty write is when it is submitted. */
	discard_events(signaler);
	(void)syscall(SYS_io_submit, signaler->context, 1, &list);
	rte_spinlock_unlock(&signaler->lock);
}

void
nmx_guestport_send_signal(int eventfd)
{
	/* A thread that isn't EAL's has a number, too: LCORE_ID_ANY. */
	send_signal(&signalers.data[rte_lcore_id() % SIGNALERS], eventfd);
}

void
nmx_guestport_send_own_signal(int eventfd)
{
	send_signal(&signalers.control, eventfd);
}
