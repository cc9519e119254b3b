/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "eal_args.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <rte_common.h>

#include "uplink.h"

#define FILE_PREFIX "nicmux"

/** True if one of the arguments is one of the options, "--option=value" included. */
static bool
has_option(char *const *given, int n_given, const char *const *options)
{
	for (int i = 0; i < n_given; i++)
		for (const char *const *option = options; *option != NULL; option++) {
			size_t bytes = strlen(*option);
			/* A short one may have its value behind it. */
			bool is_short = (*option)[1] != '-';

			if (strncmp(given[i], *option, bytes) == 0 &&
				(is_short || given[i][bytes] == '\0' || given[i][bytes] == '='))
				return true;
		}
	return false;
}

/** The first and the last CPU that this process may use. */
static void
find_cpus(int *ret_first, int *ret_last)
{
	cpu_set_t set;

	*ret_first = *ret_last = 0;
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return;
	for (int i = CPU_SETSIZE; i-- > 0;)
		if (CPU_ISSET(i, &set))
			*ret_first = i;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			*ret_last = i;
}

static void
add(struct nmx_mux_eal_args *args, const char *text)
{
	args->all[args->n++] = (char *)(uintptr_t)text; /* EAL changes none of them */
}

static void
add_pci(struct nmx_mux_eal_args *args, const struct nmx_mux_config *config)
{
	if (nmx_mux_is_pci(&config->uplink)) {
		strcpy(args->device, config->uplink.device);
		add(args, "-a");
		add(args, args->device);
	} else {
		add(args, "--no-pci");
	}
}

int
nmx_mux_make_eal_args(const struct nmx_mux_config *config, char *program, char **given, int n_given,
	struct nmx_mux_eal_args *ret_args)
{
	static const char *const lcores[] = { "-l", "-c", "--lcores", "-s", "-S", NULL };
	static const char *const prefix[] = { "--file-prefix", "--in-memory", "--no-shconf", NULL };
	static const char *const pci[] = { "-a", "--allow", "-b", "--block", "--no-pci", NULL };
	int first, last;

	if (n_given > (int)RTE_DIM(ret_args->all) - 8)
		return -E2BIG;
	memset(ret_args, 0, sizeof(*ret_args));
	add(ret_args, program);
	if (!has_option(given, n_given, lcores)) {
		find_cpus(&first, &last);
		snprintf(ret_args->lcores, sizeof(ret_args->lcores), "0@(%d-%d),1@%d", first, last,
			last);
		add(ret_args, "--lcores");
		add(ret_args, ret_args->lcores);
	}
	if (!has_option(given, n_given, prefix)) {
		add(ret_args, "--file-prefix");
		add(ret_args, FILE_PREFIX);
	}
	if (!has_option(given, n_given, pci))
		add_pci(ret_args, config);
	for (int i = 0; i < n_given; i++)
		add(ret_args, given[i]);
	return 0;
}
