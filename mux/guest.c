/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "guest.h"

#include <errno.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include "lib/base/clock.h"
#include "log.h"
#include "uplink.h"

/* Lines that one guest can make the daemon write: so many at once, then one in this time. */
#define LINES_AT_ONCE    8
#define LINE_INTERVAL_NS (NMX_NS_PER_S / 4)

static void
on_link_change(void *context, bool linked)
{
	struct nmx_mux_guest *guest = context;

	if (nmx_base_take_rate(&guest->log_lines, nmx_base_read_clock_ns()))
		MUX_LOG(INFO, "guest %s %s", guest->config.name, linked ? "is there" : "is gone");
}

static int
create_port(struct nmx_mux_guest *guest, const char **ret_reason)
{
	const struct nmx_mux_guest_config *config = &guest->config;
	struct nmx_guestport_config port = {
		.kind = config->kind,
		.connects = config->role == NMX_MUX_ROLE_CONNECT,
		.path = config->path,
		.name = config->name,
		.n_queue_pairs = config->n_queue_pairs,
		.macs = config->macs,
		.n_macs = config->n_macs,
		.mem_bytes_max = config->mem_bytes_max,
		.signals_max = config->signals_max,
		.without_vectors = config->without_vectors,
		.txs = guest->txs,
		.n_txs = guest->n_txs,
		.mode = config->mode,
		.user = config->user,
		.group = config->group,
		.link_changed = on_link_change,
		.context = guest,
	};

	memcpy(port.mac, &config->macs[0], sizeof(port.mac));
	return nmx_guestport_create(&port, &guest->port, ret_reason);
}

/** Tx queues of its own stand beside its Rx queues. */
static void
choose_txs(struct nmx_mux_guest *guest, struct nmx_mux_uplink *uplink)
{
	if (!uplink->has_tx)
		return;
	guest->n_txs = guest->config.n_uplink_queues;
	for (uint16_t i = 0; i < guest->n_txs; i++)
		guest->txs[i] = &uplink->tx[guest->config.uplink_queues[i]];
}

static int
init_queues(struct nmx_mux_guest *guest, const struct nmx_mux_uplink *uplink)
{
	uint16_t n = guest->n_queue_pairs;

	guest->outboxes = rte_zmalloc(
		"nmx_outboxes", n * sizeof(*guest->outboxes), RTE_CACHE_LINE_SIZE);
	if (guest->outboxes == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < n; i++) {
		guest->from[i] = nmx_guestport_get_from_guest(guest->port, i);
		nmx_guestport_set_pool(guest->from[i], uplink->pool, uplink->port_id, false);
		guest->outboxes[i].queue = nmx_guestport_get_to_guest(guest->port, i);
		guest->outboxes[i].guest = guest;
	}
	return 0;
}

int
nmx_mux_create_guest(const struct nmx_mux_guest_config *config, struct nmx_mux_uplink *uplink,
	struct nmx_mux_guest **ret_guest, struct nmx_mux_error *ret_error)
{
	struct nmx_mux_guest *guest = rte_zmalloc("nmx_guest", sizeof(*guest), RTE_CACHE_LINE_SIZE);
	const char *reason = "no memory; reserve more huge pages";
	int ret = guest == NULL ? -ENOMEM : 0;

	if (ret == 0) {
		memcpy(&guest->config, config, sizeof(guest->config)); /* padding, too */
		guest->n_queue_pairs = config->n_queue_pairs;
		guest->n_macs = config->n_macs;
		for (uint16_t i = 0; i < config->n_macs; i++)
			guest->macs[i] = nmx_mux_load_mac(&config->macs[i]);
		nmx_base_init_rate(&guest->floods, rte_get_tsc_hz() / config->floods_max,
			config->floods_max / NMX_MUX_FLOODS_AT_ONCE);
		nmx_base_init_rate(&guest->log_lines, LINE_INTERVAL_NS, LINES_AT_ONCE);
		choose_txs(guest, uplink);
		ret = create_port(guest, &reason);
	}
	if (ret == 0)
		ret = init_queues(guest, uplink);
	if (ret != 0) {
		nmx_mux_set_error(ret_error, "guest %s: can't serve it at %s: %s (%s)",
			config->name, config->path, reason, rte_strerror(-ret));
		nmx_mux_destroy_guest(guest);
		return ret;
	}
	nmx_guestport_set_mtu(guest->port, uplink->config.mtu);
	*ret_guest = guest;
	return 0;
}

void
nmx_mux_link_guest(struct nmx_mux_guest *guest, struct nmx_mux_uplink *uplink)
{
	for (uint16_t i = 0; i < guest->config.n_uplink_queues; i++) {
		uint16_t queue = guest->config.uplink_queues[i];
		struct nmx_mux_mapped *mapped = &uplink->mapped[queue];
		int ret = nmx_guestport_lend_to(guest->outboxes[i].queue, mapped->map);

		atomic_store(&mapped->stopped, false);
		if (ret != 0)
			MUX_LOG(WARNING,
				"guest %s: queue %u of the uplink can't be filled with its buffers "
				"(%s); it gets copies",
				guest->config.name, queue,
				ret == -EEXIST ? "it keeps those of another guest"
					       : rte_strerror(-ret));
	}
	nmx_guestport_set_polled(guest->port, true);
}

void
nmx_mux_destroy_guest(struct nmx_mux_guest *guest)
{
	if (guest == NULL)
		return;
	nmx_guestport_destroy(guest->port);
	rte_free(guest->outboxes);
	rte_free(guest);
}
