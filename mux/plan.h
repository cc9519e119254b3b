/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** What has to be done to get from one configuration's guests to another's. Pure. */

#ifndef NMX_MUX_PLAN_H
#define NMX_MUX_PLAN_H

#include <stdbool.h>

#include "config.h"
#include "daemon.h"

/** Entries of the new configuration, by index. */
struct nmx_mux_plan_list {
	uint32_t *indices;
	uint32_t n;
};

struct nmx_mux_plan {
	struct nmx_mux_plan_list free;  /* guests to begin whose path nobody has */
	struct nmx_mux_plan_list taken; /* those whose path one has that ends */
	struct nmx_mux_changes changes;
};

/** True if the new configuration has the very same entry. */
bool nmx_mux_keeps_guest(
	const struct nmx_mux_config *config, const struct nmx_mux_guest_config *guest);

/** @param ret_plan  to be freed in any case @return 0; -ENOMEM */
int nmx_mux_make_plan(const struct nmx_mux_config *present, const struct nmx_mux_config *next,
	struct nmx_mux_plan *ret_plan);

void nmx_mux_free_plan(struct nmx_mux_plan *plan);

#endif
