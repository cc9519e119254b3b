/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The port's own life. */

#include "guestport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_eal_memconfig.h>
#include <rte_malloc.h>

#include "control.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/mem/guard.h"
#include "port.h"

RTE_LOG_REGISTER(nmx_guestport_logtype, pmd.common.nicmux, NOTICE);

/** How long a guest has to let go. */
#define REMOVAL_NS (2 * NMX_NS_PER_S)
/** How long destroying then waits for bursts; their program promised that there are none. */
#define DESTROY_NS NMX_NS_PER_S
/** The pause between two looks. */
#define DESTROY_PAUSE_US 500

/* Log lines of a guest's doing: this many at once, then one in this time. */
#define LOG_BURST       10
#define LOG_INTERVAL_NS (NMX_NS_PER_S / 5)

/** Signals that a queue may send at once, out of its budget. */
#define SIGNALS_AT_ONCE 64

bool
nmx_guestport_may_log(struct nmx_guestport *port)
{
	return nmx_base_take_rate(&port->log_lines, nmx_base_read_clock_ns());
}

static int
init_queues(struct nmx_guestport *port, const struct nmx_guestport_config *config)
{
	uint16_t n = port->n_queue_pairs;

	port->to_guest = rte_zmalloc(NULL, n * sizeof(*port->to_guest), RTE_CACHE_LINE_SIZE);
	port->from_guest = rte_zmalloc(NULL, n * sizeof(*port->from_guest), RTE_CACHE_LINE_SIZE);
	/* First: whoever frees the port closes them. */
	for (uint16_t i = 0; port->from_guest != NULL && i < n; i++)
		port->from_guest[i].doorbell = port->from_guest[i].kick = port->from_guest[i]
										  .wake_fd = -1;
	if (port->to_guest == NULL || port->from_guest == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < n; i++) {
		struct nmx_to_guest *to = &port->to_guest[i];
		struct nmx_from_guest *from = &port->from_guest[i];

		nmx_base_init_bracket(&to->bracket);
		nmx_base_init_bracket(&from->bracket);
		nmx_base_init_bracket(&to->lend_bracket);
		if (i < config->n_txs) {
			from->tx = config->txs[i];
			nmx_guestport_init_domain(from);
			atomic_init(&from->attaches, true);
		}
		port->brackets[BRACKETS * i] = &to->bracket;
		port->brackets[BRACKETS * i + 1] = &from->bracket;
		port->brackets[BRACKETS * i + 2] = &to->lend_bracket;
		to->port = from->port = port;
		to->index = from->index = i;
		if (port->signals_max > 0)
			nmx_base_init_rate(&to->bell.budget,
				rte_get_tsc_hz() * n / port->signals_max, SIGNALS_AT_ONCE);
		from->bell.budget = to->bell.budget;
	}
	nmx_base_init_grace(
		&port->grace, port->brackets, port->brackets_seen, (uint32_t)BRACKETS * n);
	for (uint16_t i = 0; i < n; i++) {
		port->from_guest[i].wake_fd = epoll_create1(EPOLL_CLOEXEC);
		if (port->from_guest[i].wake_fd < 0)
			return -errno;
	}
	return 0;
}

static struct nmx_guestport *
allocate_port(const struct nmx_guestport_config *config)
{
	struct nmx_guestport *port = rte_zmalloc(NULL, sizeof(*port), RTE_CACHE_LINE_SIZE);

	if (port == NULL)
		return NULL;
	snprintf(port->name, sizeof(port->name), "%s", config->name);
	port->n_queue_pairs = config->n_queue_pairs;
	port->mem_bytes_max = config->mem_bytes_max;
	port->signals_max = config->signals_max;
	port->lending = config->lending;
	port->front = config->kind == NMX_GUEST_VIRTIO ? &nmx_guestport_virtio
						       : &nmx_guestport_vdpdk;
	nmx_base_init_rate(&port->log_lines, LOG_INTERVAL_NS, LOG_BURST);
	port->n_macs = RTE_MIN(config->n_macs, NMX_MACS_MAX);
	if (port->n_macs > 0)
		memcpy(port->macs, config->macs, port->n_macs * sizeof(port->macs[0]));
	port->link_changed = config->link_changed;
	port->context = config->context;
	port->connection = port->lost_fd = port->listener.fd = -1;
	nmx_guestport_init_vectors(port);
	atomic_init(&port->to_guest_bytes_max, NMX_MTU_DEFAULT + NMX_FRAME_OVERHEAD_BYTES);
	atomic_init(&port->from_guest_bytes_max, NMX_MTU_DEFAULT + NMX_FRAME_OVERHEAD_BYTES);
	return port;
}

/** Nobody finds it any more; who waits in its queue already is sent away. */
static void
end_listener(struct nmx_guestport *port)
{
	int fd;

	port->listener.fd = nmx_stream_end_listener(&port->listener);
	while ((fd = nmx_stream_accept(&port->listener)) >= 0)
		nmx_base_discard_connection(port->bin, &fd, 1);
	nmx_base_discard_fds(port->bin, &port->listener.fd, 1);
}

/** Free what a port has; the control thread doesn't know it. */
static void
free_port(struct nmx_guestport *port)
{
	if (port->listener.fd >= 0)
		end_listener(port);
	nmx_base_release_bin(port->bin);
	port->front->destroy(port);
	free(port->path);
	nmx_base_close_fd(&port->lost_fd);
	if (port->has_signalers)
		nmx_guestport_put_signalers();
	for (uint16_t i = 0; port->from_guest != NULL && i < port->n_queue_pairs; i++)
		nmx_base_close_fd(&port->from_guest[i].wake_fd);
	rte_free(port->to_guest);
	rte_free(port->from_guest);
	rte_free(port);
}

/** What needs no control thread yet. */
static int
prepare_port(struct nmx_guestport *port, const struct nmx_guestport_config *config,
	const char **ret_reason)
{
	const struct nmx_stream_permit permit = { config->mode, config->user, config->group };
	int ret;

	ret = init_queues(port, config);
	port->bin = nmx_base_create_bin();
	if (port->bin == NULL)
		ret = -ENOMEM;
	if (ret == 0) {
		port->lost_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ret = port->lost_fd < 0 ? -errno : 0;
	}
	if (ret == 0)
		ret = port->front->create(port, config);
	if (ret != 0) {
		*ret_reason = ret == -ENOMEM ? "no memory; give EAL more"
					     : "no more file descriptors; raise ulimit -n";
		return ret;
	}
	ret = nmx_guestport_get_signalers();
	port->has_signalers = ret == 0;
	if (ret != 0) {
		*ret_reason = "the kernel refuses asynchronous I/O, which signals guests; "
			      "allow io_setup(2), or raise fs.aio-max-nr";
		return ret;
	}
	if (config->connects) {
		port->path = strdup(config->path);
		*ret_reason = "no memory; give EAL more";
		return port->path == NULL ? -ENOMEM : 0;
	}
	ret = nmx_stream_open_listener(config->path, &permit, &port->listener);
	if (ret != 0)
		*ret_reason = nmx_stream_explain_listen(ret);
	return ret;
}

static int
watch_port(struct nmx_guestport *port)
{
	int ret;

	nmx_control_lock();
	ret = nmx_control_watch(port, NMX_CONTROL_LOST_MEMORY, port->lost_fd, EPOLLIN);
	nmx_control_unlock();
	nmx_control_wake(); /* its first turn watches the listener */
	return ret;
}

/** Guests' memory may vanish from now on. */
static int
install_guard(void)
{
	int ret;

	/* While EAL allocates it has a handler of its own, and puts back what was there before. */
	rte_mcfg_mem_read_lock();
	ret = nmx_mem_install_guard();
	rte_mcfg_mem_read_unlock();
	return ret;
}

int
nmx_guestport_create(const struct nmx_guestport_config *config, struct nmx_guestport **ret_port,
	const char **ret_reason)
{
	struct nmx_guestport *port = allocate_port(config);
	int ret;

	*ret_reason = "no memory; give EAL more";
	if (port == NULL)
		return -ENOMEM;
	ret = install_guard();
	if (ret == 0)
		ret = prepare_port(port, config, ret_reason);
	if (ret == 0) {
		*ret_reason = "no control thread could be started";
		ret = nmx_control_add_port(port);
	}
	if (ret != 0) {
		free_port(port);
		return ret;
	}
	ret = watch_port(port);
	if (ret != 0) {
		nmx_guestport_destroy(port);
		return ret;
	}
	*ret_port = port;
	return 0;
}

void
nmx_guestport_begin_destroy(struct nmx_guestport *port)
{
	uint64_t now_ns = nmx_base_read_clock_ns();

	nmx_control_lock();
	if (!port->closing) {
		port->closing = true;
		/* In the control thread's own callback: nobody would serve the driver. */
		nmx_guestport_remove_session(
			port, nmx_control_is_own_thread() ? now_ns : now_ns + REMOVAL_NS);
	}
	nmx_control_unlock();
	nmx_control_wake();
}

/** Wait for the session's end, and for bursts. True: nothing reaches guest memory. */
static bool
quiet_port(struct nmx_guestport *port)
{
	uint64_t deadline_ns = nmx_base_read_clock_ns() + REMOVAL_NS + DESTROY_NS, now_ns;
	bool quiet;

	for (;;) {
		nmx_control_lock();
		now_ns = nmx_base_read_clock_ns();
		quiet = nmx_guestport_advance(port, now_ns) && port->connection < 0;
		nmx_control_unlock();
		if (quiet || now_ns >= deadline_ns)
			break;
		usleep(DESTROY_PAUSE_US);
	}
	nmx_control_lock();
	nmx_control_unwatch(port->lost_fd);
	nmx_control_unlock();
	return quiet;
}

void
nmx_guestport_destroy(struct nmx_guestport *port)
{
	bool quiet;

	if (port == NULL)
		return;
	nmx_guestport_begin_destroy(port);
	quiet = quiet_port(port);
	if (nmx_guestport_stop_lending(port) != 0)
		quiet = false;
	nmx_control_remove_port(port);
	if (quiet)
		free_port(port);
	else
		PORT_LOG(port, ERR, "closed while a burst runs; its memory is kept for ever");
}

struct nmx_guestport *
nmx_guestport_find(const char *name)
{
	struct nmx_guestport *port;

	nmx_control_lock();
	port = nmx_control_find_port(name);
	nmx_control_unlock();
	return port;
}

uint16_t
nmx_guestport_count_queue_pairs(const struct nmx_guestport *port)
{
	return port->n_queue_pairs;
}

void
nmx_guestport_set_polled(struct nmx_guestport *port, bool polled)
{
	nmx_control_lock();
	port->front->set_polled(port, polled);
	nmx_control_unlock();
}

bool
nmx_guestport_is_linked(const struct nmx_guestport *port)
{
	return atomic_load(&port->linked);
}

void
nmx_guestport_set_mtu(struct nmx_guestport *port, uint16_t mtu)
{
	atomic_store_explicit(
		&port->from_guest_bytes_max, mtu + NMX_FRAME_OVERHEAD_BYTES, memory_order_relaxed);
}

void
nmx_guestport_get_counters(
	const struct nmx_guestport *port, struct nmx_guestport_counters *ret_counters)
{
	nmx_control_lock();
	*ret_counters = (struct nmx_guestport_counters){ 0 };
	port->front->get_counters(port, ret_counters);
	ret_counters->sessions = port->sessions;
	ret_counters->faults = port->faults;
	memcpy(ret_counters->faults_by_reason, port->faults_by_reason,
		sizeof(port->faults_by_reason));
	ret_counters->forced_answers = port->forced_answers;
	nmx_control_unlock();
}
