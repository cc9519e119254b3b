/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "daemon.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "plan.h"

/** A list of guests. */
struct guests {
	struct nmx_mux_guest **all;
	uint32_t n;
};

struct nmx_mux_daemon {
	struct nmx_mux_config *config;
	struct nmx_mux_uplink *uplink;
	struct nmx_mux_worker *worker;
	struct nmx_mux_fdb *fdb; /* the worker's */
	pthread_mutex_t lock;    /* round `guests`' changes */
	struct guests guests;
};

/* --- The worker's view --- */

/** Show the worker other guests, and wait until it has let go of those before. */
static int
publish_guests(
	struct nmx_mux_daemon *daemon, const struct guests *guests, struct nmx_mux_error *error)
{
	struct nmx_mux_fdb *fdb = nmx_mux_create_fdb(guests->all, guests->n);

	if (fdb == NULL) {
		nmx_mux_set_error(error,
			"no memory for the addresses of %u guests; reserve more huge pages",
			guests->n);
		return -ENOMEM;
	}
	if (daemon->worker != NULL)
		nmx_mux_set_fdb(daemon->worker, fdb);
	nmx_mux_destroy_fdb(daemon->fdb);
	daemon->fdb = fdb;
	return 0;
}

/* --- Changing the guests --- */

static void
add_guest(struct guests *guests, struct nmx_mux_guest *guest)
{
	guests->all[guests->n++] = guest;
}

static struct nmx_mux_guest *
find_guest(const struct guests *guests, const char *name)
{
	for (uint32_t i = 0; i < guests->n; i++)
		if (strcmp(guests->all[i]->config.name, name) == 0)
			return guests->all[i];
	return NULL;
}

/** All at once: each may take a second to leave. */
static void
destroy_guests(struct guests *guests)
{
	for (uint32_t i = 0; i < guests->n; i++)
		nmx_guestport_begin_destroy(guests->all[i]->port);
	for (uint32_t i = 0; i < guests->n; i++)
		nmx_mux_destroy_guest(guests->all[i]);
	guests->n = 0;
}

/** A list with room for n. @return 0; -ENOMEM */
static int
init_guests(struct guests *guests, uint32_t n)
{
	guests->n = 0;
	guests->all = calloc(n + 1, sizeof(struct nmx_mux_guest *));
	return guests->all == NULL ? -ENOMEM : 0;
}

/** Listen for the guests of a plan's list. On failure none of them is left. */
static int
create_guests(const struct nmx_mux_daemon *daemon, const struct nmx_mux_config *config,
	const struct nmx_mux_plan_list *list, struct guests *into, struct nmx_mux_error *error)
{
	uint32_t first = into->n;

	for (uint32_t i = 0; i < list->n; i++) {
		struct nmx_mux_guest *guest;
		int ret = nmx_mux_create_guest(
			&config->guests[list->indices[i]], daemon->uplink, &guest, error);

		if (ret != 0) {
			while (into->n > first)
				nmx_mux_destroy_guest(into->all[--into->n]);
			return ret;
		}
		add_guest(into, guest);
	}
	return 0;
}

/** Their link goes up: they are polled. */
static void
link_guests(struct nmx_mux_daemon *daemon, const struct guests *guests)
{
	for (uint32_t i = 0; i < guests->n; i++)
		nmx_mux_link_guest(guests->all[i], daemon->uplink);
}

/** A change under way. */
struct change {
	struct nmx_mux_daemon *daemon;
	struct nmx_mux_config *config; /* the new one */
	struct nmx_mux_plan plan;
	struct guests kept;  /* those that go on */
	struct guests gone;  /* those that end */
	struct guests fresh; /* those that begin */
	struct guests final; /* kept and fresh */
};

/** Sort the present guests into those that go on and those that end. */
static void
split_guests(struct change *change)
{
	const struct guests *present = &change->daemon->guests;

	for (uint32_t i = 0; i < present->n; i++) {
		const struct nmx_mux_guest_config *config = &present->all[i]->config;
		bool kept = nmx_mux_keeps_guest(change->config, config);

		add_guest(kept ? &change->kept : &change->gone, present->all[i]);
	}
}

/** Make the list of what there is in the end; it takes the place of the present one. */
static void
commit_guests(struct change *change)
{
	struct nmx_mux_daemon *daemon = change->daemon;

	nmx_mux_lock_guests(daemon);
	free(daemon->guests.all);
	daemon->guests = change->final;
	change->final.all = NULL;
	nmx_mux_unlock_guests(daemon);
}

/** End the guests that go, after the worker has let go of them. */
static int
end_gone(struct change *change, struct nmx_mux_error *error)
{
	struct guests without = { .all = change->final.all };
	int ret;

	memcpy(without.all, change->kept.all, change->kept.n * sizeof(without.all[0]));
	without.n = change->kept.n;
	ret = publish_guests(change->daemon, &without, error);
	if (ret != 0)
		return ret;
	nmx_mux_lock_guests(change->daemon);
	memcpy(change->daemon->guests.all, without.all, without.n * sizeof(without.all[0]));
	change->daemon->guests.n = without.n;
	nmx_mux_unlock_guests(change->daemon);
	destroy_guests(&change->gone);
	return 0;
}

/** Forget a guest's entry, so that the next configuration that has it adds it. */
static void
forget_entry(struct nmx_mux_config *config, uint32_t index)
{
	config->n_guests--;
	memmove(&config->guests[index], &config->guests[index + 1],
		(config->n_guests - index) * sizeof(config->guests[0]));
}

/** Listen again for guests that were ended for others that then couldn't be had. */
static void
bring_back(struct change *change)
{
	struct nmx_mux_daemon *daemon = change->daemon;
	struct nmx_mux_error error;
	struct guests all = { .all = change->final.all };

	memcpy(all.all, change->kept.all, change->kept.n * sizeof(all.all[0]));
	all.n = change->kept.n;
	for (uint32_t i = daemon->config->n_guests; i-- > 0;) {
		const struct nmx_mux_guest_config *config = &daemon->config->guests[i];
		struct nmx_mux_guest *guest;

		if (find_guest(&all, config->name) != NULL)
			continue;
		if (nmx_mux_create_guest(config, daemon->uplink, &guest, &error) == 0) {
			add_guest(&all, guest);
		} else {
			MUX_LOG(ERR, "%s; it is served no more, until SIGHUP", error.text);
			forget_entry(daemon->config, i);
		}
	}
	if (publish_guests(daemon, &all, &error) != 0) {
		MUX_LOG(ERR, "%s", error.text);
		return;
	}
	nmx_mux_lock_guests(daemon);
	memcpy(daemon->guests.all, all.all, all.n * sizeof(all.all[0]));
	daemon->guests.n = all.n;
	nmx_mux_unlock_guests(daemon);
	link_guests(daemon, &all);
}

/** The change itself; on failure all is as before. */
static int
make_change(struct change *change, struct nmx_mux_error *error)
{
	struct nmx_mux_daemon *daemon = change->daemon;
	int ret;

	/* What takes nobody's place first: if that fails, nobody has noticed. */
	ret = create_guests(daemon, change->config, &change->plan.free, &change->fresh, error);
	if (ret == 0 && change->gone.n > 0)
		ret = end_gone(change, error);
	if (ret == 0) {
		ret = create_guests(
			daemon, change->config, &change->plan.taken, &change->fresh, error);
		if (ret != 0)
			bring_back(change);
	}
	if (ret != 0) {
		destroy_guests(&change->fresh);
		return ret;
	}
	change->final.n = 0;
	for (uint32_t i = 0; i < change->kept.n; i++)
		add_guest(&change->final, change->kept.all[i]);
	for (uint32_t i = 0; i < change->fresh.n; i++)
		add_guest(&change->final, change->fresh.all[i]);
	ret = publish_guests(daemon, &change->final, error);
	if (ret != 0) {
		destroy_guests(&change->fresh);
		bring_back(change);
		return ret;
	}
	link_guests(daemon, &change->fresh);
	commit_guests(change);
	return 0;
}

static void
free_change(struct change *change)
{
	free(change->kept.all);
	free(change->gone.all);
	free(change->fresh.all);
	free(change->final.all);
	nmx_mux_free_plan(&change->plan);
}

static int
prepare_change(struct change *change)
{
	uint32_t n = change->daemon->guests.n + change->daemon->config->n_guests +
		     change->config->n_guests;

	if (nmx_mux_make_plan(change->daemon->config, change->config, &change->plan) != 0 ||
		init_guests(&change->kept, n) != 0 || init_guests(&change->gone, n) != 0 ||
		init_guests(&change->fresh, n) != 0 || init_guests(&change->final, n) != 0)
		return -ENOMEM;
	split_guests(change);
	return 0;
}

int
nmx_mux_apply_config(struct nmx_mux_daemon *daemon, struct nmx_mux_config *config,
	struct nmx_mux_changes *ret_changes, struct nmx_mux_error *ret_error)
{
	struct change change = { .daemon = daemon, .config = config };
	int ret;

	if (memcmp(&config->uplink, &daemon->config->uplink, sizeof(config->uplink)) != 0) {
		nmx_mux_set_error(ret_error,
			"uplink %s: it can't be changed while it is in use; restart nicmuxd",
			daemon->config->uplink.name);
		return -ENOTSUP;
	}
	ret = prepare_change(&change);
	if (ret != 0)
		nmx_mux_set_error(ret_error, "no memory for the change; nothing was changed");
	if (ret == 0)
		ret = make_change(&change, ret_error);
	if (ret == 0) {
		*ret_changes = change.plan.changes;
		free(daemon->config);
		daemon->config = config;
	}
	free_change(&change);
	return ret;
}

/* --- Life --- */

/** A configuration with the same uplink and no guests, to begin with. @return NULL without memory
 */
static struct nmx_mux_config *
copy_uplink(const struct nmx_mux_config *config)
{
	struct nmx_mux_config *empty = calloc(1, sizeof(*empty));

	if (empty != NULL)
		memcpy(&empty->uplink, &config->uplink, sizeof(empty->uplink)); /* padding, too */
	return empty;
}

int
nmx_mux_start_daemon(struct nmx_mux_config *config, unsigned int lcore,
	struct nmx_mux_daemon **ret_daemon, struct nmx_mux_error *ret_error)
{
	struct nmx_mux_daemon *daemon = calloc(1, sizeof(*daemon));
	struct nmx_mux_changes changes;
	int ret;

	nmx_mux_set_error(ret_error, "no memory");
	if (daemon == NULL)
		return -ENOMEM;
	pthread_mutex_init(&daemon->lock, NULL);
	daemon->config = copy_uplink(config);
	ret = daemon->config == NULL || init_guests(&daemon->guests, 0) != 0 ? -ENOMEM : 0;
	if (ret == 0)
		ret = nmx_mux_open_uplink(&config->uplink, &daemon->uplink, ret_error);
	if (ret == 0)
		ret = publish_guests(daemon, &daemon->guests, ret_error);
	if (ret == 0)
		ret = nmx_mux_start_worker(
			lcore, daemon->uplink, daemon->fdb, &daemon->worker, ret_error);
	if (ret == 0)
		ret = nmx_mux_apply_config(daemon, config, &changes, ret_error);
	if (ret != 0) {
		nmx_mux_stop_daemon(daemon);
		return ret;
	}
	*ret_daemon = daemon;
	return 0;
}

void
nmx_mux_stop_daemon(struct nmx_mux_daemon *daemon)
{
	for (uint32_t i = 0; i < daemon->guests.n; i++)
		nmx_guestport_set_polled(daemon->guests.all[i]->port, false);
	nmx_mux_stop_worker(daemon->worker);
	destroy_guests(&daemon->guests);
	nmx_mux_destroy_fdb(daemon->fdb);
	nmx_mux_close_uplink(daemon->uplink);
	pthread_mutex_destroy(&daemon->lock);
	free(daemon->guests.all);
	free(daemon->config);
	free(daemon);
}

/* --- For telemetry --- */

void
nmx_mux_lock_guests(struct nmx_mux_daemon *daemon)
{
	pthread_mutex_lock(&daemon->lock);
}

void
nmx_mux_unlock_guests(struct nmx_mux_daemon *daemon)
{
	pthread_mutex_unlock(&daemon->lock);
}

struct nmx_mux_guest *const *
nmx_mux_get_guests(const struct nmx_mux_daemon *daemon, uint32_t *ret_n)
{
	*ret_n = daemon->guests.n;
	return daemon->guests.all;
}

const struct nmx_mux_uplink *
nmx_mux_get_uplink(const struct nmx_mux_daemon *daemon)
{
	return daemon->uplink;
}

const struct nmx_mux_worker *
nmx_mux_get_worker(const struct nmx_mux_daemon *daemon)
{
	return daemon->worker;
}
