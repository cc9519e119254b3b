/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What one kind of guest speaks: the protocol of its connection, and what that makes of rings and
 * memory. The port has the rest: connections, sessions, grace periods, rings in use, bursts.
 *
 * Each function is called with the control lock held. Where nothing else is said, there is a
 * session.
 */

#ifndef NMX_GUESTPORT_FRONT_H
#define NMX_GUESTPORT_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/stream/exchange.h"

struct guest_ring;
struct nmx_guestport;
struct nmx_guestport_config;
struct nmx_guestport_counters;

/** Descriptors that a front end leaves to be closed. */
#define FRONT_FDS_MAX NMX_STREAM_FDS_MAX

struct nmx_guestport_front {
	/* The port's life; no session. */

	/** @return 0; -ENOMEM */
	int (*create)(struct nmx_guestport *port, const struct nmx_guestport_config *config);
	void (*destroy)(struct nmx_guestport *port);
	/** Whether the host's program polls. */
	void (*set_polled)(struct nmx_guestport *port, bool polled);
	/** Fill in what the front end counts; the rest is zero. */
	void (*get_counters)(const struct nmx_guestport *port, struct nmx_guestport_counters *ret);

	/* A session's. */

	/** Begin to serve port->socket; the address space is there. @return 0; -ENOMEM */
	int (*begin)(struct nmx_guestport *port, uint64_t now_ns);
	/** End it, begun or not. @return descriptors in ret_fds, FRONT_FDS_MAX at most, to close */
	unsigned int (*fini)(struct nmx_guestport *port, int *ret_fds);
	/** Deal with at most one message. As nmx_vfu_serve(). */
	int (*serve)(struct nmx_guestport *port, uint64_t now_ns);
	const char *(*get_reason)(const struct nmx_guestport *port);
	bool (*wants_input)(const struct nmx_guestport *port);
	bool (*wants_output)(const struct nmx_guestport *port);
	uint64_t (*get_deadline_ns)(const struct nmx_guestport *port);
	/** The parked request is through; what it promises is true. */
	void (*answer)(struct nmx_guestport *port);
	/** The session ends: take everything from data threads. */
	void (*halt)(struct nmx_guestport *port);
	/** True if that is done, as far as the front end knows. */
	bool (*is_halted)(const struct nmx_guestport *port);
	/** port->reset_grace is over, and nothing is lent. */
	void (*finish_reset)(struct nmx_guestport *port);
	/** Tell the guest that the port goes, if there is a way. */
	void (*tell_removal)(struct nmx_guestport *port);
	/** True if the guest has been told and hasn't let go, or can't be told and needn't. */
	bool (*is_held)(const struct nmx_guestport *port);
	/** True if the guest could do with some of its memory: it isn't being reset. */
	bool (*is_running)(const struct nmx_guestport *port);
	/** Some memory is in no view any more: rings that lie there stop. */
	void (*check_memory)(struct nmx_guestport *port);
	/** What was withdrawn is gone, and what was revoked is back. */
	void (*resume)(struct nmx_guestport *port);

	/* Rings'. */

	/**
	 * A data thread found a fault.
	 *
	 * @param is_mapped  the ring's memory is where it was
	 */
	void (*report_fault)(struct nmx_guestport *port, struct guest_ring *ring, bool is_mapped);
	/** A ring is drained, and nobody reaches it; it is freed next. */
	void (*end_ring)(struct nmx_guestport *port, uint16_t direction, uint16_t index,
		struct guest_ring *ring, bool is_mapped);
};

/** A guest with the vDPDK device, over vfio-user: vdpdk_front.c. */
extern const struct nmx_guestport_front nmx_guestport_vdpdk;
/** A guest with a virtio network device, over vhost-user: virtio_front.c. */
extern const struct nmx_guestport_front nmx_guestport_virtio;

#endif
