/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nicmuxd: one NIC shared by many guests.
 *
 * Exit codes: 0 ended as asked; 1 couldn't start; 2 the command line or the configuration is wrong.
 */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <event2/event.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "daemon.h"
#include "eal_args.h"
#include "log.h"
#include "log_stream.h"
#include "telemetry.h"

#define CONFIG_DEFAULT "/etc/nicmux/nicmuxd.json"

enum { EXIT_USAGE = 2 };

/** What the command line says. */
struct options {
	const char *config;
	bool check;
	char **eal; /* behind "--" */
	int n_eal;
};

/** The running program. */
struct program {
	const char *config_path;
	struct nmx_mux_daemon *daemon;
	struct event_base *base;
};

static void
print_help(void)
{
	printf("nicmuxd [-c FILE] [-t] [-- EAL options]\n"
	       "\n"
	       "Shares one NIC among virtual machines and containers.\n"
	       "\n"
	       "  -c, --config FILE  the configuration (" CONFIG_DEFAULT ")\n"
	       "  -t, --test         check the configuration and end\n"
	       "  -h, --help         this text\n"
	       "\n"
	       "SIGHUP reads the configuration again and applies what differs.\n"
	       "SIGTERM forwards what guests have handed over, and ends.\n"
	       "EAL options are those of any DPDK program; without them: an own file prefix,\n"
	       "the worker on the last CPU, of PCI devices the uplinks only.\n");
}

/** @return -1 to go on, else the exit code */
static int
read_options(int argc, char **argv, struct options *ret)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "test", no_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*ret = (struct options){ .config = CONFIG_DEFAULT };
	while ((option = getopt_long(argc, argv, "+c:th", known, NULL)) != -1)
		switch (option) {
		case 'c':
			ret->config = optarg;
			break;
		case 't':
			ret->check = true;
			break;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		default:
			fprintf(stderr, "nicmuxd: see nicmuxd --help\n");
			return EXIT_USAGE;
		}
	ret->eal = argv + optind;
	ret->n_eal = argc - optind;
	if (ret->n_eal > 0 && strcmp(argv[optind - 1], "--") != 0) {
		fprintf(stderr, "nicmuxd: \"%s\" is no option; EAL's go behind --\n", argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

/* --- Signals --- */

static void
on_end(int number, short events, void *opaque)
{
	struct program *program = opaque;

	(void)events;
	MUX_LOG(INFO, "%s: ending", strsignal(number));
	event_base_loopbreak(program->base);
}

static void
on_reload(int number, short events, void *opaque)
{
	struct program *program = opaque;
	struct nmx_mux_changes changes;
	struct nmx_mux_config *config;
	struct nmx_mux_error error;

	(void)number;
	(void)events;
	if (nmx_mux_read_config(program->config_path, &config, &error) != 0) {
		MUX_LOG(ERR, "%s; nothing was changed", error.text);
		return;
	}
	if (nmx_mux_apply_config(program->daemon, config, &changes, &error) != 0) {
		MUX_LOG(ERR, "%s; the configuration was not applied", error.text);
		free(config);
		return;
	}
	MUX_LOG(INFO, "configuration applied: %u guests added, %u removed, %u changed, %u kept",
		changes.added, changes.removed, changes.changed, changes.kept);
}

/** Serve signals until one says to end. @return false without memory */
static bool
serve(struct program *program)
{
	static const struct {
		int number;
		event_callback_fn handle;
	} signals[] = { { SIGTERM, on_end }, { SIGINT, on_end }, { SIGHUP, on_reload } };
	struct event *events[RTE_DIM(signals)] = { NULL };
	bool good = true;

	for (unsigned int i = 0; i < RTE_DIM(signals); i++) {
		events[i] = evsignal_new(
			program->base, signals[i].number, signals[i].handle, program);
		good = good && events[i] != NULL && event_add(events[i], NULL) == 0;
	}
	if (good) {
		MUX_LOG(INFO, "ready");
		good = event_base_dispatch(program->base) >= 0;
	}
	for (unsigned int i = 0; i < RTE_DIM(signals); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	return good;
}

/* --- Start --- */

/** EAL is up. @param config  taken over */
static int
run(struct program *program, struct nmx_mux_config *config)
{
	unsigned int lcore = rte_get_next_lcore(-1, 1, 0);
	struct nmx_mux_error error;
	bool good;

	if (lcore >= RTE_MAX_LCORE) {
		fprintf(stderr, "nicmuxd: EAL has one lcore, two are needed; give it another one "
				"(-l 0,1)\n");
		free(config);
		return EXIT_FAILURE;
	}
	if (nmx_mux_start_daemon(config, lcore, &program->daemon, &error) != 0) {
		fprintf(stderr, "nicmuxd: %s\n", error.text);
		free(config);
		return EXIT_FAILURE;
	}
	good = nmx_mux_start_telemetry(program->daemon) == 0;
	if (!good)
		MUX_LOG(WARNING, "telemetry refuses its commands; counters can't be read");
	program->base = event_base_new();
	good = program->base != NULL && serve(program);
	nmx_mux_stop_telemetry();
	nmx_mux_stop_daemon(program->daemon);
	if (program->base != NULL)
		event_base_free(program->base);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/** A guest takes some ten descriptors: have as many as this user may. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	static struct nmx_mux_eal_args eal; /* EAL keeps pointers into it */
	struct nmx_mux_config *config;
	struct nmx_mux_error error;
	struct program program;
	struct options options;
	int ret = read_options(argc, argv, &options);

	if (ret >= 0)
		return ret;
	if (nmx_mux_read_config(options.config, &config, &error) != 0) {
		fprintf(stderr, "nicmuxd: %s\n", error.text);
		return EXIT_USAGE;
	}
	if (options.check) {
		printf("nicmuxd: %s is good: 1 uplink, %u guests\n", options.config,
			config->n_guests);
		free(config);
		return EXIT_SUCCESS;
	}
	raise_descriptor_limit();
	(void)nmx_mux_open_log_stream();
	if (nmx_mux_make_eal_args(config, argv[0], options.eal, options.n_eal, &eal) != 0 ||
		rte_eal_init(eal.n, eal.all) < 0) {
		fprintf(stderr,
			"nicmuxd: DPDK can't start (%s); its log above says why. Without huge "
			"pages: "
			"-- --no-huge -m 512\n",
			rte_strerror(rte_errno));
		free(config);
		return EXIT_FAILURE;
	}
	program = (struct program){ .config_path = options.config };
	ret = run(&program, config);
	rte_eal_cleanup();
	return ret;
}
