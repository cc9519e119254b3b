/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "fdb.h"

#include <stdio.h>

#include <rte_malloc.h>

/** Enter all that a guest has. */
static int
enter_guest(struct nmx_mux_fdb *fdb, struct nmx_mux_guest *guest)
{
	int ret = 0;

	for (uint16_t i = 0; i < guest->config.n_uplink_queues; i++)
		fdb->owners[guest->config.uplink_queues[i]] = &guest->outboxes[i];
	for (uint16_t i = 0; ret == 0 && i < guest->n_macs; i++)
		ret = rte_hash_add_key_data(fdb->by_mac, &guest->macs[i], guest);
	return ret;
}

static struct rte_hash *
create_table(uint32_t n_guests)
{
	static uint32_t number; /* control thread only; two tables live at a time */
	char name[RTE_HASH_NAMESIZE];
	struct rte_hash_parameters parameters = {
		.name = name,
		/* Sized generously, so that no insertion is refused for a full bucket. */
		.entries = RTE_MAX(2 * n_guests * NMX_MACS_MAX, 64u),
		.key_len = sizeof(uint64_t),
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};

	snprintf(name, sizeof(name), "nmx_fdb_%u", number++);
	return rte_hash_create(&parameters);
}

struct nmx_mux_fdb *
nmx_mux_create_fdb(struct nmx_mux_guest *const *guests, uint32_t n)
{
	struct nmx_mux_fdb *fdb = rte_zmalloc(
		"nmx_fdb", sizeof(*fdb) + n * sizeof(fdb->guests[0]), RTE_CACHE_LINE_SIZE);
	int ret = 0;

	if (fdb == NULL)
		return NULL;
	fdb->by_mac = create_table(n);
	for (uint32_t i = 0; fdb->by_mac != NULL && ret == 0 && i < n; i++) {
		fdb->guests[i] = guests[i];
		fdb->n_guests++;
		ret = enter_guest(fdb, guests[i]);
	}
	if (fdb->by_mac == NULL || ret != 0) {
		nmx_mux_destroy_fdb(fdb);
		return NULL;
	}
	return fdb;
}

void
nmx_mux_destroy_fdb(struct nmx_mux_fdb *fdb)
{
	if (fdb == NULL)
		return;
	rte_hash_free(fdb->by_mac);
	rte_free(fdb);
}
