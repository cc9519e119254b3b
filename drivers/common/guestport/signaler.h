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
 * A context of Linux AIO counts much against fs.aio-max-nr, so the process has a few for all ports:
 * one for the control side, and some that data threads use by their lcore's number, each with a
 * lock that is rarely contended. A data thread never waits for the control thread.
 *
 * Source: io_submit(2), eventfd(2); include/uapi/linux/aio_abi.h.
 */

#ifndef NMX_GUESTPORT_SIGNALER_H
#define NMX_GUESTPORT_SIGNALER_H

/**
 * Take part in the process' signalers, which the first port opens. Any thread.
 *
 * @return 0; -errno: no AIO in this kernel, its limit (fs.aio-max-nr) is reached, or no fd
 */
int nmx_guestport_get_signalers(void);

/** Take part no more; the last one closes them. */
void nmx_guestport_put_signalers(void);

/** Signal an eventfd once. Data thread; doesn't block; one system call. */
void nmx_guestport_send_signal(int eventfd);

/** As nmx_guestport_send_signal(). Control. */
void nmx_guestport_send_own_signal(int eventfd);

#endif
