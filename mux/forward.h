/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** One burst from a guest or from the uplink, to wherever its frames go. */

#ifndef NMX_MUX_FORWARD_H
#define NMX_MUX_FORWARD_H

#include <stdint.h>

#include "fdb.h"
#include "guest.h"
#include "uplink.h"

/** What forwarding needs at hand; one worker's. */
struct nmx_mux_forwarder {
	const struct nmx_mux_fdb *fdb; /* of this round */
	struct nmx_mux_uplink *uplink;
	struct nmx_peek *peek;
	uint64_t now; /* TSC, at the start of the round */
	/* The last address that was looked up in this round, and whose it is. */
	uint64_t last_mac;
	struct nmx_mux_guest *last_guest;

	struct nmx_mux_outbox *outboxes; /* those with frames in them */
	struct rte_mbuf *to_uplink[NMX_MUX_BURST];
	uint16_t n_to_uplink;
};

/** Begin a round, with a forwarding database that stays until its end. */
static inline void
nmx_mux_begin_round(
	struct nmx_mux_forwarder *forwarder, const struct nmx_mux_fdb *fdb, uint64_t now)
{
	forwarder->fdb = fdb;
	forwarder->now = now;
	forwarder->last_mac = UINT64_MAX; /* nobody's: addresses have 48 bits */
}

/**
 * Forward a burst of a guest's queue.
 *
 * @return frames taken from the guest
 *
 * Context: worker.
 */
uint16_t nmx_mux_forward_guest(
	struct nmx_mux_forwarder *forwarder, struct nmx_mux_guest *guest, uint16_t queue);

/** Forward a burst from a mapped queue of the uplink. @return frames received. Context: worker. */
uint16_t nmx_mux_forward_mapped(struct nmx_mux_forwarder *forwarder, uint16_t queue);

/** Forward a burst from the uplink. @return frames received. Context: worker. */
uint16_t nmx_mux_forward_uplink(struct nmx_mux_forwarder *forwarder);

#endif
