/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Counters in ethdev's words: received is from the guest, transmitted is to the guest. */

#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#include "shell.h"

static const struct nmx_guestshell *
get_port(const struct rte_eth_dev *dev)
{
	return dev->data->dev_private;
}

/** A queue's counters since the last reset. */
static void
read_to_guest(const struct nmx_guestshell *port, uint16_t i, struct nmx_to_guest_counters *c)
{
	const struct nmx_to_guest_counters *base = &port->to_base[i];

	nmx_guestport_get_to_counters(nmx_guestport_get_to_guest(port->guest, i), c);
	c->frames -= base->frames;
	c->bytes -= base->bytes;
	c->mapped -= base->mapped;
	c->signals -= base->signals;
	for (unsigned int k = 0; k < NMX_TO_GUEST_DROPS; k++)
		c->drops[k] -= base->drops[k];
}

static void
read_from_guest(const struct nmx_guestshell *port, uint16_t i, struct nmx_from_guest_counters *c)
{
	const struct nmx_from_guest_counters *base = &port->from_base[i];

	nmx_guestport_get_from_counters(nmx_guestport_get_from_guest(port->guest, i), c);
	c->frames -= base->frames;
	c->bytes -= base->bytes;
	c->no_mbuf -= base->no_mbuf;
	c->attached -= base->attached;
	for (unsigned int k = 0; k < NMX_FROM_GUEST_DROPS; k++)
		c->drops[k] -= base->drops[k];
}

static uint64_t
sum(const uint64_t *numbers, unsigned int n)
{
	uint64_t total = 0;

	while (n-- > 0)
		total += numbers[n];
	return total;
}

static void
add_queue(const struct nmx_guestshell *port, uint16_t i, struct rte_eth_stats *stats)
{
	struct nmx_to_guest_counters to;
	struct nmx_from_guest_counters from;

	read_to_guest(port, i, &to);
	read_from_guest(port, i, &from);
	stats->ipackets += from.frames;
	stats->ibytes += from.bytes;
	stats->ierrors += sum(from.drops, NMX_FROM_GUEST_DROPS);
	stats->rx_nombuf += from.no_mbuf;
	stats->opackets += to.frames;
	stats->obytes += to.bytes;
	stats->oerrors += sum(to.drops, NMX_TO_GUEST_DROPS);
	if (i >= RTE_ETHDEV_QUEUE_STAT_CNTRS)
		return;
	stats->q_ipackets[i] = from.frames;
	stats->q_ibytes[i] = from.bytes;
	stats->q_errors[i] = sum(from.drops, NMX_FROM_GUEST_DROPS);
	stats->q_opackets[i] = to.frames;
	stats->q_obytes[i] = to.bytes;
}

int
nmx_guestshell_get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats)
{
	for (uint16_t i = 0; i < get_port(dev)->n_queue_pairs; i++)
		add_queue(get_port(dev), i, stats);
	return 0;
}

int
nmx_guestshell_reset_stats(struct rte_eth_dev *dev)
{
	const struct nmx_guestshell *port = get_port(dev);

	for (uint16_t i = 0; i < port->n_queue_pairs; i++) {
		nmx_guestport_get_to_counters(
			nmx_guestport_get_to_guest(port->guest, i), &port->to_base[i]);
		nmx_guestport_get_from_counters(
			nmx_guestport_get_from_guest(port->guest, i), &port->from_base[i]);
	}
	return 0;
}

/* --- Extended statistics: reasons, summed over queues, and the port's own counters --- */

/** Name of the messages by which secondaries ask. */
#define COUNTERS "nmx_guestshell_counters"

/** A counter and its place in its structure. */
struct counter {
	const char *name;
	size_t offset;
};

#define TO_GUEST(name, field)                                                   \
	{                                                                       \
		"to_guest_" name, offsetof(struct nmx_to_guest_counters, field) \
	}
#define FROM_GUEST(name, field)                                                     \
	{                                                                           \
		"from_guest_" name, offsetof(struct nmx_from_guest_counters, field) \
	}
#define PORT(name, field)                                                     \
	{                                                                     \
		"guest_" name, offsetof(struct nmx_guestport_counters, field) \
	}

static const struct counter to_names[] = {
	TO_GUEST("frames", frames),
	TO_GUEST("bytes", bytes),
	TO_GUEST("mapped", mapped),
	TO_GUEST("drop_no_queue", drops[NMX_TO_GUEST_NO_QUEUE]),
	TO_GUEST("drop_too_long", drops[NMX_TO_GUEST_TOO_LONG]),
	TO_GUEST("drop_malformed", drops[NMX_TO_GUEST_MALFORMED]),
	TO_GUEST("drop_offload", drops[NMX_TO_GUEST_OFFLOAD]),
	TO_GUEST("signals", signals),
};

static const struct counter from_names[] = {
	FROM_GUEST("frames", frames),
	FROM_GUEST("bytes", bytes),
	FROM_GUEST("drop_too_long", drops[NMX_FROM_GUEST_TOO_LONG]),
	FROM_GUEST("drop_offload", drops[NMX_FROM_GUEST_OFFLOAD]),
	FROM_GUEST("no_mbuf", no_mbuf),
	FROM_GUEST("attached", attached),
};

static const struct counter port_names[] = {
	PORT("sessions", sessions),
	PORT("resets", resets),
	PORT("queue_faults", faults),
	PORT("fault_flags", faults_by_reason[NMX_GUEST_FAULT_FLAGS]),
	PORT("fault_chain", faults_by_reason[NMX_GUEST_FAULT_CHAIN]),
	PORT("fault_length", faults_by_reason[NMX_GUEST_FAULT_LENGTH]),
	PORT("fault_address", faults_by_reason[NMX_GUEST_FAULT_ADDRESS]),
	PORT("fault_ring_gone", faults_by_reason[NMX_GUEST_FAULT_RING_GONE]),
	PORT("fault_index", faults_by_reason[NMX_GUEST_FAULT_INDEX]),
	PORT("fault_id", faults_by_reason[NMX_GUEST_FAULT_ID]),
	PORT("requests", requests),
	PORT("requests_refused", refused_requests),
	PORT("writes_ignored", ignored_writes),
	PORT("doorbells_ignored", ignored_doorbells),
	PORT("answers_forced", forced_answers),
};

#define N_XSTATS (RTE_DIM(to_names) + RTE_DIM(from_names) + RTE_DIM(port_names))

static_assert(RTE_DIM(port_names) <= NMX_DPDK_COUNTERS_MAX, "secondaries ask for all at once");

static uint64_t
get_field(const void *structure, size_t offset)
{
	return *(const uint64_t *)((const uint8_t *)structure + offset);
}

/** Fill in the port's own counters, which are the control thread's. Primary, any thread. */
static void
read_port(void *context, uint64_t *numbers)
{
	const struct nmx_guestshell *port = context;
	struct nmx_guestport_counters counters;

	nmx_guestport_get_counters(port->guest, &counters);
	for (unsigned int i = 0; i < RTE_DIM(port_names); i++)
		numbers[i] = get_field(&counters, port_names[i].offset);
}

/** The same in whatever process. @return 0; -errno: the primary doesn't answer */
static int
get_port_counters(const struct rte_eth_dev *dev, uint64_t *numbers)
{
	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return nmx_dpdk_ask_counters(
			COUNTERS, dev->data->name, numbers, RTE_DIM(port_names));
	read_port(dev->data->dev_private, numbers);
	return 0;
}

void
nmx_guestshell_serve_counters(struct rte_eth_dev *dev)
{
	struct nmx_guestshell *port = dev->data->dev_private;

	port->served.port = dev->data->name;
	port->served.n = RTE_DIM(port_names);
	port->served.read = read_port;
	port->served.context = port;
	nmx_dpdk_serve_counters(COUNTERS, &port->served);
}

int
nmx_guestshell_get_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n)
{
	unsigned int at = 0;

	(void)dev;
	if (names == NULL || n < N_XSTATS)
		return N_XSTATS;
	for (unsigned int i = 0; i < RTE_DIM(to_names); i++)
		snprintf(names[at++].name, RTE_ETH_XSTATS_NAME_SIZE, "%s", to_names[i].name);
	for (unsigned int i = 0; i < RTE_DIM(from_names); i++)
		snprintf(names[at++].name, RTE_ETH_XSTATS_NAME_SIZE, "%s", from_names[i].name);
	for (unsigned int i = 0; i < RTE_DIM(port_names); i++)
		snprintf(names[at++].name, RTE_ETH_XSTATS_NAME_SIZE, "%s", port_names[i].name);
	return N_XSTATS;
}

int
nmx_guestshell_get_xstats(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n)
{
	const struct nmx_guestshell *port = get_port(dev);
	uint64_t numbers[RTE_DIM(port_names)];
	unsigned int at = 0;
	int ret;

	if (xstats == NULL || n < N_XSTATS)
		return N_XSTATS;
	ret = get_port_counters(dev, numbers);
	if (ret != 0)
		return ret;
	for (unsigned int i = 0; i < N_XSTATS; i++) {
		xstats[i].id = i;
		xstats[i].value = 0;
	}
	for (uint16_t q = 0; q < port->n_queue_pairs; q++) {
		struct nmx_to_guest_counters to;
		struct nmx_from_guest_counters from;

		at = 0;
		read_to_guest(port, q, &to);
		read_from_guest(port, q, &from);
		for (unsigned int i = 0; i < RTE_DIM(to_names); i++)
			xstats[at++].value += get_field(&to, to_names[i].offset);
		for (unsigned int i = 0; i < RTE_DIM(from_names); i++)
			xstats[at++].value += get_field(&from, from_names[i].offset);
	}
	for (unsigned int i = 0; i < RTE_DIM(port_names); i++)
		xstats[at++].value = numbers[i];
	return N_XSTATS;
}
