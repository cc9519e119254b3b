/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "telemetry.h"

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

static void
add_map(struct rte_tel_data *data, const struct nmx_rxmap *map)
{
	enum nmx_rxmap_verdict verdict = nmx_rxmap_get_verdict(map);

	rte_tel_data_add_dict_int(data, "port", map->port);
	rte_tel_data_add_dict_int(data, "queue", map->queue);
	rte_tel_data_add_dict_int(data, "room", map->room);
	rte_tel_data_add_dict_string(data, "uplink", nmx_rxmap_explain_verdict(verdict));
	rte_tel_data_add_dict_int(data, "lending", atomic_load(&map->lending));
	rte_tel_data_add_dict_int(data, "may_lend", nmx_rxmap_may_lend(map));
	rte_tel_data_add_dict_int(data, "has_lender", map->lender != NULL);
	rte_tel_data_add_dict_u64(data, "lent", map->counters.lent);
	rte_tel_data_add_dict_u64(data, "own", map->counters.own);
	rte_tel_data_add_dict_u64(data, "came_back", map->counters.came_back);
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
