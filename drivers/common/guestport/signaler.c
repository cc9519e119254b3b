/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "signaler.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/fd.h"

#define EVENTS 32

/** Head of the ring of events, which the kernel maps at the context's address. */
struct event_ring {
	uint32_t id, n, head, tail;
	uint32_t magic, compat_features, incompat_features, header_length;
};

#define EVENT_RING_MAGIC 0xa10a10a1

int
nmx_guestport_open_signaler(struct nmx_signaler *signaler)
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
		nmx_guestport_close_signaler(signaler);
		return -ENOSYS;
	}
	return 0;
}

void
nmx_guestport_close_signaler(struct nmx_signaler *signaler)
{
	if (signaler->file < 0)
		return;
	syscall(SYS_io_destroy, signaler->context);
	nmx_base_close_fd(&signaler->file);
}

/** Discard all events: the consumer's end of the ring is ours to move. */
static void
discard_events(struct nmx_signaler *signaler)
{
	struct event_ring *ring = (struct event_ring *)signaler->context;
	uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

	__atomic_store_n(&ring->head, tail, __ATOMIC_RELEASE);
}

void
nmx_guestport_send_signal(struct nmx_signaler *signaler, int eventfd)
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
