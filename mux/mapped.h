/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Rx queues of the uplink that belong to one guest queue each, and are filled with its buffers.
 *
 * Steering "static": the operator has seen to it that such a queue receives nothing but what its
 * guest may see (a virtual function, a rule in the NIC), and says whose it is. All that it receives
 * is in that guest's memory before anybody can look at it. With "verify" the worker looks at each
 * frame's destination all the same: at the first one that isn't the guest's, the queue is stopped,
 * until its guest's entry in the configuration changes.
 *
 * The maps live as long as the uplink; lenders come and go with the guests.
 */

#ifndef NMX_MUX_MAPPED_H
#define NMX_MUX_MAPPED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "drivers/common/rxmap/rxmap.h"
#include "error.h"

/** Rx queues of an uplink, the first of which is for everybody. */
#define NMX_MUX_UPLINK_QUEUES_MAX 64

/** One; the worker's, but for what is said. */
struct nmx_mux_mapped {
	struct nmx_rxmap *map; /* fixed */
	_Atomic bool stopped;  /* a foreign frame came; main clears it */
	uint64_t frames, bytes;
	uint64_t foreign; /* dropped: not its guest's, or behind one that wasn't */
	uint64_t unowned; /* dropped: it has no guest now */
};

/**
 * Make a queue's map.
 *
 * @param mapped     zeroed
 * @param name       of the uplink
 * @param n_held     buffers that the queue holds
 * @param room       bytes of a frame
 * @param ret_error  written on failure
 * @return 0; -errno
 */
int nmx_mux_init_mapped(struct nmx_mux_mapped *mapped, struct nmx_rxmap_recaller *recaller,
	const char *name, uint16_t port_id, uint16_t queue, uint16_t n_held, uint16_t room,
	struct nmx_mux_error *ret_error);

/** @return false: something is out for ever, and the recaller is to be kept with it */
bool nmx_mux_fini_mapped(struct nmx_mux_mapped *mapped);

#endif
