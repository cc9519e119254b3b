/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** A guest of the configuration: its guestport, its addresses, its budget, its counters. */

#ifndef NMX_MUX_GUEST_H
#define NMX_MUX_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>

#include "abi/vdpdk_device.h"
#include "config.h"
#include "counters.h"
#include "lib/base/rate.h"

/** Frames that a worker looks at in one go. */
#define NMX_MUX_BURST 32

struct nmx_mux_guest;

/** Frames of the burst under way that go to one queue of one guest. The worker's. */
struct nmx_mux_outbox {
	struct nmx_to_guest *queue;
	struct nmx_mux_guest *guest;
	struct nmx_mux_outbox *next; /* with frames in it */
	uint16_t n;
	struct rte_mbuf *mbufs[NMX_MUX_BURST];
} __rte_cache_aligned;

struct nmx_mux_guest {
	struct nmx_mux_guest_config config;
	struct nmx_guestport *port;
	struct nmx_rate log_lines;   /* in ns; the control thread's */
	uint64_t macs[NMX_MACS_MAX]; /* as nmx_mux_load_mac() gives them */
	uint16_t n_macs;
	uint16_t n_queue_pairs;
	uint16_t n_txs; /* queues of its own to the uplink, for its first ones */

	/* The worker's. */
	struct nmx_from_guest *from[VDPDK_QUEUE_PAIRS_MAX];
	struct nmx_rxmap_tx *txs[VDPDK_QUEUE_PAIRS_MAX]; /* of their own; NULL: everybody's */
	struct nmx_mux_outbox *outboxes;                 /* n_queue_pairs */
	struct nmx_rate floods;                          /* in TSC cycles */
	uint64_t from_drops[NMX_MUX_FROM_GUEST_DROPS];
	uint64_t to_drops[NMX_MUX_TO_GUEST_DROPS];
};

/** An address in one word: 48 bits in the order of the bytes. */
static inline uint64_t
nmx_mux_load_mac(const void *address)
{
	uint32_t low;
	uint16_t high;

	memcpy(&low, address, sizeof(low));
	memcpy(&high, (const uint8_t *)address + sizeof(low), sizeof(high));
	return (uint64_t)high << 32 | low;
}

/** True for broadcast and multicast. */
static inline bool
nmx_mux_is_group(uint64_t mac)
{
	return (mac & 1) != 0;
}

/** True if the address is the guest's. */
static inline bool
nmx_mux_owns_mac(const struct nmx_mux_guest *guest, uint64_t mac)
{
	for (uint16_t i = 0; i < guest->n_macs; i++)
		if (guest->macs[i] == mac)
			return true;
	return false;
}

struct nmx_mux_uplink;

/**
 * Listen for a guest. It is linked, and polled, once a worker knows it.
 *
 * @param uplink     outlives it
 * @param ret_error  written on failure
 * @return 0; -errno
 */
int nmx_mux_create_guest(const struct nmx_mux_guest_config *config, struct nmx_mux_uplink *uplink,
	struct nmx_mux_guest **ret_guest, struct nmx_mux_error *ret_error);

/**
 * Let its link go up, and its buffers be lent to its queues of the uplink; if that can't be, it
 * gets copies, and that is logged. Context: a worker knows it, and nobody else has those queues.
 */
void nmx_mux_link_guest(struct nmx_mux_guest *guest, struct nmx_mux_uplink *uplink);

/** End it. Context: no worker knows it. NULL is nothing. */
void nmx_mux_destroy_guest(struct nmx_mux_guest *guest);

#endif
