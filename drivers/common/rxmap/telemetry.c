/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "telemetry.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <rte_telemetry.h>

#include "loans.h"

/** The process' maps. */
static struct {
	pthread_mutex_t lock;
	LIST_HEAD(, nmx_rxmap) maps;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

void
nmx_rxmap_show_in_telemetry(struct nmx_rxmap *map)
{
	pthread_mutex_lock(&table.lock);
	LIST_INSERT_HEAD(&table.maps, map, in_telemetry);
	pthread_mutex_unlock(&table.lock);
}

void
nmx_rxmap_hide_in_telemetry(struct nmx_rxmap *map)
{
	pthread_mutex_lock(&table.lock);
	LIST_REMOVE(map, in_telemetry);
	pthread_mutex_unlock(&table.lock);
}

static int
answer_maps(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct nmx_rxmap *map;

	(void)command;
	(void)parameters;
	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	pthread_mutex_lock(&table.lock);
	LIST_FOREACH(map, &table.maps, in_telemetry)
	rte_tel_data_add_array_string(data, map->pool->name);
	pthread_mutex_unlock(&table.lock);
	return 0;
}

static const char *const reasons[] = {
	[NMX_RXMAP_UNWANTED] = "own_unwanted",
	[NMX_RXMAP_UNFIT] = "own_unfit",
	[NMX_RXMAP_NO_GUEST] = "own_no_guest",
	[NMX_RXMAP_NOT_POSTED] = "own_not_posted",
	[NMX_RXMAP_ALL_OUT] = "own_all_out",
	[NMX_RXMAP_TOO_SHORT] = "own_too_short",
	[NMX_RXMAP_UNREACHABLE] = "own_unreachable",
	[NMX_RXMAP_NO_DMA] = "own_no_dma",
	[NMX_RXMAP_IN_PIECES] = "own_in_pieces",
	[NMX_RXMAP_ORDER] = "own_order",
};

static_assert(RTE_DIM(reasons) == NMX_RXMAP_REASONS, "each reason has a name");

static void
add_counters(struct rte_tel_data *data, const struct nmx_rxmap_counters *counters)
{
	uint64_t own = 0;

	for (unsigned int i = 0; i < NMX_RXMAP_REASONS; i++) {
		rte_tel_data_add_dict_u64(data, reasons[i], counters->own[i]);
		own += counters->own[i];
	}
	rte_tel_data_add_dict_u64(data, "own", own);
	rte_tel_data_add_dict_u64(data, "lent", counters->lent);
	rte_tel_data_add_dict_u64(data, "came_back", counters->came_back);
	rte_tel_data_add_dict_u64(data, "disordered", counters->disordered);
}

static void
add_map(struct rte_tel_data *data, const struct nmx_rxmap *map)
{
	enum nmx_rxmap_verdict verdict = nmx_rxmap_get_verdict(map);

	rte_tel_data_add_dict_int(data, "port", map->uplink.port);
	rte_tel_data_add_dict_int(data, "queue", map->uplink.number);
	rte_tel_data_add_dict_int(data, "room", map->room);
	rte_tel_data_add_dict_string(data, "uplink", nmx_rxmap_explain_verdict(verdict));
	rte_tel_data_add_dict_string(data, "uplink_tx",
		nmx_rxmap_explain_tx_verdict(
			(enum nmx_rxmap_tx_verdict)atomic_load(&map->tx_verdict)));
	rte_tel_data_add_dict_int(data, "lending", atomic_load(&map->lending));
	rte_tel_data_add_dict_int(data, "may_lend", nmx_rxmap_may_lend(map));
	rte_tel_data_add_dict_int(data, "has_lender", map->lender != NULL);
	add_counters(data, &map->counters);
	rte_tel_data_add_dict_u64(data, "out", nmx_rxmap_count_loans(map));
}

/** Of one map; the command says whether it is to be switched before. */
static int
answer_map(const char *command, const char *name, struct rte_tel_data *data)
{
	const char *what = strrchr(command, '/');
	struct nmx_rxmap *map;
	int ret = -ENOENT;

	if (name == NULL)
		return -EINVAL;
	rte_tel_data_start_dict(data);
	pthread_mutex_lock(&table.lock);
	LIST_FOREACH(map, &table.maps, in_telemetry)
	if (ret != 0 && strcmp(map->pool->name, name) == 0) {
		if (strcmp(what, "/map") != 0)
			nmx_rxmap_set_lending(map, strcmp(what, "/map_lend") == 0);
		add_map(data, map);
		ret = 0;
	}
	pthread_mutex_unlock(&table.lock);
	return ret;
}

RTE_INIT(register_commands)
{
	rte_telemetry_register_cmd("/nicmux/maps", answer_maps,
		"Names of the pools of mapped Rx queues. No parameters.");
	rte_telemetry_register_cmd("/nicmux/map", answer_map,
		"What one does, and what its uplink's trial found. Parameter: its name.");
	rte_telemetry_register_cmd("/nicmux/map_lend", answer_map,
		"Fill a queue with its guest's buffers again. Parameter: its name.");
	rte_telemetry_register_cmd("/nicmux/map_copy", answer_map,
		"Let a queue's frames be copied from now on. Parameter: its name.");
}
