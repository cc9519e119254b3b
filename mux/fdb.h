/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The forwarding database: which guest has which address, and which of the uplink's queues.
 *
 * Immutable: a change of the guests makes a new one. Workers take the present one at the start of
 * each round, and an old one goes when all have begun another (worker.h).
 */

#ifndef NMX_MUX_FDB_H
#define NMX_MUX_FDB_H

#include <stdint.h>

#include <rte_hash.h>

#include "guest.h"

struct nmx_mux_fdb {
	struct rte_hash *by_mac;
	/** Whose a mapped queue of the uplink is; NULL: nobody's. */
	struct nmx_mux_outbox *owners[NMX_MUX_UPLINK_QUEUES_MAX];
	uint32_t n_guests;
	struct nmx_mux_guest *guests[];
};

/**
 * Make one.
 *
 * @param guests  whose addresses differ; they outlive it
 * @return NULL without memory
 */
struct nmx_mux_fdb *nmx_mux_create_fdb(struct nmx_mux_guest *const *guests, uint32_t n);

/** Context: nobody looks anything up in it. NULL is nothing. */
void nmx_mux_destroy_fdb(struct nmx_mux_fdb *fdb);

/**
 * Whose address it is.
 *
 * @param mac  as nmx_mux_load_mac() gives it
 * @return NULL: no guest's
 *
 * Context: worker.
 */
static inline struct nmx_mux_guest *
nmx_mux_find_guest(const struct nmx_mux_fdb *fdb, uint64_t mac)
{
	void *guest;

	return rte_hash_lookup_data(fdb->by_mac, &mac, &guest) < 0 ? NULL : guest;
}

#endif
