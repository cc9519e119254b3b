/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "budget.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

/** The kernel's own default, should it not tell. */
#define MAPPINGS_DEFAULT 65530

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t taken;
static uint32_t limit; /* 0: not read yet */

static uint32_t
read_limit(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned int n = MAPPINGS_DEFAULT;

	if (file != NULL) {
		if (fscanf(file, "%u", &n) != 1)
			n = MAPPINGS_DEFAULT;
		fclose(file);
	}
	return n / 4 * 3;
}

int
nmx_mem_take_mappings(uint32_t own, uint32_t n)
{
	int ret = -ENOSPC;

	pthread_mutex_lock(&lock);
	if (limit == 0)
		limit = read_limit();
	if (limit > taken && (uint64_t)own + 2 * (uint64_t)n <= limit - taken) {
		taken += n;
		ret = 0;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void
nmx_mem_give_mappings(uint32_t n)
{
	pthread_mutex_lock(&lock);
	taken -= n;
	pthread_mutex_unlock(&lock);
}
