/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Signals to eventfds that a peer owns.
 *
 * Theory of operation
 *
 * write() on an eventfd may block for ever: the peer holds the same open file, can fill its counter
 * and clear O_NONBLOCK. Linux AIO can signal an eventfd when an operation completes, and that way
 * adds one, saturates, and never blocks. So a signal is an asynchronous write of nothing to a file
 * of ours, whose completion signals the peer. It completes within io_submit(); its completion event
 * isn't wanted, and is discarded in user space when the ring of events is full.
 *
 * Source: io_submit(2), eventfd(2); include/uapi/linux/aio_abi.h.
 */

#ifndef NMX_GUESTPORT_SIGNALER_H
#define NMX_GUESTPORT_SIGNALER_H

#include <linux/aio_abi.h>

#include <rte_spinlock.h>

struct nmx_signaler {
	aio_context_t context;
	int file;            /* what nothing is written to */
	rte_spinlock_t lock; /* round submitting and discarding */
};

/** @return 0; -errno: no AIO in this kernel, its limit (fs.aio-max-nr) is reached, or no fd */
int nmx_guestport_open_signaler(struct nmx_signaler *signaler);

/** Close it, if it is open. */
void nmx_guestport_close_signaler(struct nmx_signaler *signaler);

/** Signal an eventfd once. Any thread; doesn't block; one system call. */
void nmx_guestport_send_signal(struct nmx_signaler *signaler, int eventfd);

#endif
