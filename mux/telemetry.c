/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "telemetry.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <rte_common.h>
#include <rte_telemetry.h>

#include "lib/dpdk/devargs.h"

/** DPDK's callbacks have no context. */
static struct {
	pthread_mutex_t lock; /* round an answer */
	struct nmx_mux_daemon *daemon;
} telemetry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- Reasons, by name: what operators see and write rules on --- */

static const char *const from_guest_drops[] = {
	[NMX_MUX_SPOOFED] = "from_guest_drop_spoofed",
	[NMX_MUX_FLOODS] = "from_guest_drop_floods",
	[NMX_MUX_TO_ITSELF] = "from_guest_drop_to_itself",
	[NMX_MUX_UPLINK_FULL] = "from_guest_drop_uplink_full",
	[NMX_MUX_NO_BUFFER] = "from_guest_drop_no_buffer",
};
static_assert(RTE_DIM(from_guest_drops) == NMX_MUX_FROM_GUEST_DROPS, "every reason has a name");

static const char *const to_guest_drops[] = {
	[NMX_MUX_NO_POSTED] = "to_guest_drop_no_posted",
};
static_assert(RTE_DIM(to_guest_drops) == NMX_MUX_TO_GUEST_DROPS, "every reason has a name");

static const char *const from_uplink_drops[] = {
	[NMX_MUX_NO_GUEST] = "from_uplink_drop_no_guest",
	[NMX_MUX_UPLINK_FLOODS] = "from_uplink_drop_floods",
	[NMX_MUX_MALFORMED] = "from_uplink_drop_malformed",
};
static_assert(RTE_DIM(from_uplink_drops) == NMX_MUX_FROM_UPLINK_DROPS, "every reason has a name");

static const char *const port_to_drops[] = {
	[NMX_TO_GUEST_NO_QUEUE] = "to_guest_drop_no_queue",
	[NMX_TO_GUEST_TOO_LONG] = "to_guest_drop_too_long",
	[NMX_TO_GUEST_MALFORMED] = "to_guest_drop_malformed",
	[NMX_TO_GUEST_OFFLOAD] = "to_guest_drop_offload",
};
static_assert(RTE_DIM(port_to_drops) == NMX_TO_GUEST_DROPS, "every reason has a name");

static const char *const port_from_drops[] = {
	[NMX_FROM_GUEST_TOO_LONG] = "from_guest_drop_too_long",
	[NMX_FROM_GUEST_OFFLOAD] = "from_guest_drop_offload",
};
static_assert(RTE_DIM(port_from_drops) == NMX_FROM_GUEST_DROPS, "every reason has a name");

static void
add_all(struct rte_tel_data *data, const char *const *names, const uint64_t *values, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rte_tel_data_add_dict_u64(data, names[i], values[i]);
}

/* --- Answers --- */

static int
answer_guests(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct nmx_mux_guest *const *guests;
	uint64_t first = 0;
	uint32_t n, end;

	(void)command;
	if (parameters != NULL && nmx_dpdk_parse_number(parameters, 0, UINT32_MAX, &first) != 0)
		return -EINVAL;
	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	nmx_mux_lock_guests(telemetry.daemon);
	guests = nmx_mux_get_guests(telemetry.daemon, &n);
	end = (uint32_t)RTE_MIN(first + NMX_MUX_NAMES_MAX, (uint64_t)n);
	for (uint32_t i = (uint32_t)first; i < end; i++)
		rte_tel_data_add_array_string(data, guests[i]->config.name);
	nmx_mux_unlock_guests(telemetry.daemon);
	return 0;
}

/** Sum of a guest's queues. */
static void
add_queues(struct rte_tel_data *data, const struct nmx_mux_guest *guest)
{
	struct nmx_to_guest_counters to = { 0 }, one_to;
	struct nmx_from_guest_counters from = { 0 }, one_from;

	for (uint16_t q = 0; q < guest->n_queue_pairs; q++) {
		nmx_guestport_get_to_counters(guest->outboxes[q].queue, &one_to);
		nmx_guestport_get_from_counters(guest->from[q], &one_from);
		to.frames += one_to.frames;
		to.bytes += one_to.bytes;
		to.mapped += one_to.mapped;
		to.signals += one_to.signals;
		to.late_signals += one_to.late_signals;
		from.frames += one_from.frames;
		from.bytes += one_from.bytes;
		from.attached += one_from.attached;
		for (unsigned int i = 0; i < NMX_TO_GUEST_DROPS; i++)
			to.drops[i] += one_to.drops[i];
		for (unsigned int i = 0; i < NMX_FROM_GUEST_DROPS; i++)
			from.drops[i] += one_from.drops[i];
	}
	rte_tel_data_add_dict_u64(data, "to_guest_frames", to.frames);
	rte_tel_data_add_dict_u64(data, "to_guest_bytes", to.bytes);
	rte_tel_data_add_dict_u64(data, "to_guest_mapped", to.mapped);
	rte_tel_data_add_dict_u64(data, "to_guest_signals", to.signals);
	rte_tel_data_add_dict_u64(data, "to_guest_late_signals", to.late_signals);
	add_all(data, port_to_drops, to.drops, NMX_TO_GUEST_DROPS);
	rte_tel_data_add_dict_u64(data, "from_guest_frames", from.frames);
	rte_tel_data_add_dict_u64(data, "from_guest_bytes", from.bytes);
	rte_tel_data_add_dict_u64(data, "from_guest_attached", from.attached);
	add_all(data, port_from_drops, from.drops, NMX_FROM_GUEST_DROPS);
}

static void
add_port(struct rte_tel_data *data, const struct nmx_guestport *port)
{
	static const char *const reasons[NMX_GUEST_FAULTS] = {
		[NMX_GUEST_FAULT_FLAGS] = "fault_flags",
		[NMX_GUEST_FAULT_CHAIN] = "fault_chain",
		[NMX_GUEST_FAULT_LENGTH] = "fault_length",
		[NMX_GUEST_FAULT_ADDRESS] = "fault_address",
		[NMX_GUEST_FAULT_RING_GONE] = "fault_ring_gone",
		[NMX_GUEST_FAULT_INDEX] = "fault_index",
		[NMX_GUEST_FAULT_ID] = "fault_id",
	};
	struct nmx_guestport_counters counters;

	nmx_guestport_get_counters(port, &counters);
	rte_tel_data_add_dict_u64(data, "sessions", counters.sessions);
	rte_tel_data_add_dict_u64(data, "resets", counters.resets);
	rte_tel_data_add_dict_u64(data, "faults", counters.faults);
	for (unsigned int i = 0; i < NMX_GUEST_FAULTS; i++)
		rte_tel_data_add_dict_u64(data, reasons[i], counters.faults_by_reason[i]);
	rte_tel_data_add_dict_u64(data, "requests", counters.requests);
	rte_tel_data_add_dict_u64(data, "refused_requests", counters.refused_requests);
	rte_tel_data_add_dict_u64(data, "ignored_writes", counters.ignored_writes);
	rte_tel_data_add_dict_u64(data, "ignored_doorbells", counters.ignored_doorbells);
	rte_tel_data_add_dict_u64(data, "forced_answers", counters.forced_answers);
}

/** Sum of the uplink's queues that are a guest's. */
static void
add_uplink_queues(struct rte_tel_data *data, const struct nmx_mux_guest *guest)
{
	const struct nmx_mux_uplink *uplink = nmx_mux_get_uplink(telemetry.daemon);
	uint64_t frames = 0, foreign = 0, tx_restarts = 0;
	int stopped = 0;

	for (uint16_t i = 0; i < guest->config.n_uplink_queues; i++) {
		const struct nmx_mux_mapped
			*mapped = &uplink->mapped[guest->config.uplink_queues[i]];

		frames += mapped->frames;
		foreign += mapped->foreign;
		stopped += atomic_load(&mapped->stopped);
		tx_restarts += atomic_load(
			&uplink->tx[guest->config.uplink_queues[i]].uplink.n_recalls);
	}
	rte_tel_data_add_dict_int(data, "uplink_queues", guest->config.n_uplink_queues);
	rte_tel_data_add_dict_int(data, "uplink_queues_stopped", stopped);
	rte_tel_data_add_dict_u64(data, "uplink_queues_frames", frames);
	rte_tel_data_add_dict_u64(data, "uplink_queues_drop_foreign", foreign);
	rte_tel_data_add_dict_u64(data, "uplink_queues_tx_restarts", tx_restarts);
}

static void
add_guest(struct rte_tel_data *data, const struct nmx_mux_guest *guest)
{
	rte_tel_data_add_dict_string(data, "name", guest->config.name);
	rte_tel_data_add_dict_string(
		data, "type", guest->config.kind == NMX_GUEST_VDPDK ? "vdpdk" : "vhost-user");
	rte_tel_data_add_dict_string(data, "path", guest->config.path);
	rte_tel_data_add_dict_int(data, "queues", guest->n_queue_pairs);
	rte_tel_data_add_dict_int(data, "linked", nmx_guestport_is_linked(guest->port));
	add_port(data, guest->port);
	add_queues(data, guest);
	add_uplink_queues(data, guest);
	add_all(data, to_guest_drops, guest->to_drops, NMX_MUX_TO_GUEST_DROPS);
	add_all(data, from_guest_drops, guest->from_drops, NMX_MUX_FROM_GUEST_DROPS);
}

static int
answer_guest(const char *command, const char *name, struct rte_tel_data *data)
{
	struct nmx_mux_guest *const *guests;
	int ret = -ENOENT;
	uint32_t n;

	(void)command;
	if (name == NULL)
		return -EINVAL;
	nmx_mux_lock_guests(telemetry.daemon);
	guests = nmx_mux_get_guests(telemetry.daemon, &n);
	for (uint32_t i = 0; i < n && ret != 0; i++)
		if (strcmp(guests[i]->config.name, name) == 0) {
			rte_tel_data_start_dict(data);
			add_guest(data, guests[i]);
			ret = 0;
		}
	nmx_mux_unlock_guests(telemetry.daemon);
	return ret;
}

static int
answer_uplinks(const char *command, const char *parameters, struct rte_tel_data *data)
{
	const struct nmx_mux_uplink *uplink = nmx_mux_get_uplink(telemetry.daemon);
	struct rte_tel_data *one = rte_tel_data_alloc();
	int ret;

	(void)command;
	(void)parameters;
	if (one == NULL)
		return -ENOMEM;
	rte_tel_data_start_dict(data);
	rte_tel_data_start_dict(one);
	rte_tel_data_add_dict_string(one, "device", uplink->config.device);
	rte_tel_data_add_dict_int(one, "port", uplink->port_id);
	rte_tel_data_add_dict_u64(one, "from_uplink_frames", uplink->from_frames);
	rte_tel_data_add_dict_u64(one, "from_uplink_bytes", uplink->from_bytes);
	add_all(one, from_uplink_drops, uplink->from_drops, NMX_MUX_FROM_UPLINK_DROPS);
	rte_tel_data_add_dict_u64(one, "to_uplink_frames", uplink->to_frames);
	rte_tel_data_add_dict_u64(one, "to_uplink_bytes", uplink->to_bytes);
	rte_tel_data_add_dict_int(one, "buffers_free", (int)rte_mempool_avail_count(uplink->pool));
	ret = rte_tel_data_add_dict_container(data, uplink->config.name, one, 0);
	if (ret != 0)
		rte_tel_data_free(one);
	return ret;
}

static int
answer_worker(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct nmx_mux_worker_counters counters;

	(void)command;
	(void)parameters;
	nmx_mux_get_worker_counters(nmx_mux_get_worker(telemetry.daemon), &counters);
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_u64(data, "rounds", counters.rounds);
	rte_tel_data_add_dict_u64(data, "idle_rounds", counters.idle_rounds);
	rte_tel_data_add_dict_u64(data, "frames", counters.frames);
	rte_tel_data_add_dict_u64(data, "busy_cycles", counters.busy_cycles);
	return 0;
}

/* --- Commands --- */

static const struct command {
	const char *name;
	telemetry_cb answer;
	const char *help;
} commands[] = {
	{ "/nicmux/guests", answer_guests,
		"Names of guests, 256 at most. Parameter: the number to begin with (0)." },
	{ "/nicmux/guest", answer_guest, "One guest's state and counters. Parameter: its name." },
	{ "/nicmux/uplinks", answer_uplinks, "All uplinks with their counters. No parameters." },
	{ "/nicmux/worker", answer_worker, "How busy the worker is. No parameters." },
};

/** What DPDK calls for any of them: it can't be told that a command is no more. */
static int
dispatch(const char *name, const char *parameters, struct rte_tel_data *data)
{
	int ret = -ENODEV;

	pthread_mutex_lock(&telemetry.lock);
	for (unsigned int i = 0; telemetry.daemon != NULL && i < RTE_DIM(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			ret = commands[i].answer(name, parameters, data);
	pthread_mutex_unlock(&telemetry.lock);
	return ret;
}

int
nmx_mux_start_telemetry(struct nmx_mux_daemon *daemon)
{
	int ret = 0;

	pthread_mutex_lock(&telemetry.lock);
	telemetry.daemon = daemon;
	pthread_mutex_unlock(&telemetry.lock);
	for (unsigned int i = 0; ret == 0 && i < RTE_DIM(commands); i++)
		ret = rte_telemetry_register_cmd(commands[i].name, dispatch, commands[i].help);
	return ret == -EEXIST ? 0 : ret;
}

void
nmx_mux_stop_telemetry(void)
{
	pthread_mutex_lock(&telemetry.lock);
	telemetry.daemon = NULL;
	pthread_mutex_unlock(&telemetry.lock);
}
