/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The control thread: one for all guestports of the process.
 *
 * Theory of operation
 *
 * The thread waits in epoll and then works under the control lock, which every other entry into a
 * port's control side takes, too. A ready descriptor is known by {slot of the port, its id, kind},
 * never by pointer: what was closed meanwhile is found to be gone. One turn gives each ready client
 * one message, so none waits for another one's stream. What waits for data threads (grace periods)
 * is looked at again every turn, and turns are short while something does.
 *
 * Programs are told of link changes without the lock: their callbacks may call into any port, and
 * close their own.
 */

#ifndef NMX_GUESTPORT_CONTROL_H
#define NMX_GUESTPORT_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct nmx_guestport;

/** What a descriptor is to its port. */
enum nmx_control_kind {
	NMX_CONTROL_LISTENER,
	NMX_CONTROL_CONNECTION,
	NMX_CONTROL_LOST_MEMORY,
};

void nmx_control_lock(void);
void nmx_control_unlock(void);

/**
 * Give a port to the control thread, which is started with the first one. Lock not held.
 *
 * @return 0; -ENOSPC too many ports; -errno
 */
int nmx_control_add_port(struct nmx_guestport *port);

/** Take it back; the thread ends with the last one. Lock not held. */
void nmx_control_remove_port(struct nmx_guestport *port);

/** A port by its name; NULL: there is none. Lock held. */
struct nmx_guestport *nmx_control_find_port(const char *name);

/** True in a port's callback. */
bool nmx_control_is_own_thread(void);

/** Watch a descriptor. Lock held. @return 0; -errno */
int nmx_control_watch(
	const struct nmx_guestport *port, enum nmx_control_kind kind, int fd, uint32_t events);

/** Change what is watched for; 0 events: nothing, not even its end. Lock held. @return 0; -errno */
int nmx_control_rewatch(
	const struct nmx_guestport *port, enum nmx_control_kind kind, int fd, uint32_t events);

/** Stop watching. Lock held. */
void nmx_control_unwatch(int fd);

/** Make the thread take a turn. Any thread, also a data thread; doesn't block. */
void nmx_control_wake(void);

#endif
