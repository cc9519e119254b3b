/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * One client: from its connection until nothing of it is left.
 *
 * Theory of operation
 *
 *   IDLE --accept--> SERVED --end of file, breach, lost memory--> ENDING --grace--> IDLE
 *
 * When the port is ended, a session goes on until its guest has let go of the device, or a moment
 * is over; see guestport.h.
 *
 * A request that takes something away from data threads (memory, vectors, the whole device) is
 * parked until the grace period that covers it is over, and answered then, or by force if that
 * takes too long (hang.c). Nothing is unmapped, closed or freed before. The connection's own end is
 * such an answer, too: whoever reads the end of file, or finds the process gone, knows that nobody
 * here reaches the memory any more.
 *
 * A port that connects does so again, a second after the last attempt at the earliest.
 *
 * The next client waits in the listener's queue while a session is ending, and while something that
 * a client sent is still being closed: a client can make that last, for its own port only.
 */

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>

#include "control.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "port.h"

/** Entries of a client's address space; told to the client. */
#define MAPS_MAX 16384

/**
 * How long a guest that has let go is served yet: its kernel resets the function then, and waits
 * for a minute for one that is dead.
 */
#define PARTING_NS (500 * NMX_NS_PER_MS)

/** How long the next client waits at most when a look at the bin found something in it. */
#define BIN_NS (5 * NMX_NS_PER_MS)
/** The same when there was no descriptor left for it. */
#define EXHAUSTED_NS (100 * NMX_NS_PER_MS)

/** How often a guest's server is tried. */
#define RETRY_NS NMX_NS_PER_S

/* --- Requests --- */

void
nmx_guestport_park(struct nmx_guestport *port, enum parked what, uint64_t grace)
{
	port->parked = what;
	port->parked_grace = grace;
	port->parked_ns = 0;
}

int
nmx_guestport_map(struct nmx_guestport *port, const struct nmx_mem_map *map, int *fd)
{
	int ret = nmx_mem_map(port->mem, map, fd);

	port->has_mapped = true;
	if (ret == -EBUSY && nmx_guestport_revoke_memory(port) == 0)
		/* Where force has laid zeroes is no place for anything, but in other windows. */
		ret = nmx_mem_map(port->mem, map, fd);
	if (!nmx_guestport_has_rings(port))
		nmx_mem_reclaim(port->mem);
	else if (nmx_mem_needs_reclaim(port->mem) && !nmx_mem_is_revoked(port->mem))
		port->reclaim_grace = nmx_base_ask_grace(&port->grace);
	return ret;
}

bool
nmx_guestport_let_go(struct nmx_guestport *port)
{
	if (!nmx_mem_has_withdrawn(port->mem))
		return false; /* there was nothing, or it went at once */
	if (!nmx_guestport_has_rings(port)) {
		port->front->check_memory(port);
		nmx_mem_reclaim(port->mem);
		return false;
	}
	port->front->check_memory(port);
	nmx_guestport_hold_loans(port);
	port->reclaim_grace = nmx_base_ask_grace(&port->grace);
	nmx_guestport_park(port, PARKED_UNMAP, port->reclaim_grace);
	return true;
}

/* --- Beginning and end --- */

/**
 * A new doorbell for a queue: what a dead guest left, full perhaps, wakes nobody any more. It is
 * edge-triggered inside the epoll instance, which is edge-triggered in the program's own, and
 * nobody ever reads it: each signal is an edge, whatever the counter is.
 */
static int
open_doorbell(struct nmx_from_guest *queue)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	queue->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->doorbell < 0)
		return -errno;
	if (epoll_ctl(queue->wake_fd, EPOLL_CTL_ADD, queue->doorbell, &event) != 0)
		return -errno;
	return 0;
}

static void
close_doorbell(struct nmx_from_guest *queue)
{
	if (queue->doorbell < 0)
		return;
	/* The guest's duplicate would keep it in the epoll instance. */
	(void)epoll_ctl(queue->wake_fd, EPOLL_CTL_DEL, queue->doorbell, NULL);
	nmx_base_close_fd(&queue->doorbell);
}

/** Free all that a session has. No data thread can reach it. */
static void
clean_up(struct nmx_guestport *port)
{
	int left[1 + FRONT_FDS_MAX];
	unsigned int n = port->front->fini(port, left + 1);

	nmx_mem_destroy(port->mem);
	port->mem = NULL;
	nmx_guestport_close_vectors(port);
	for (uint16_t i = 0; i < port->n_queue_pairs; i++)
		close_doorbell(&port->from_guest[i]);
	left[0] = nmx_base_take_fd(&port->connection);
	nmx_base_discard_connection(port->bin, left, 1 + n);
	port->reset_grace = port->reclaim_grace = port->vector_grace = NO_GRACE;
	port->parked_grace = NO_GRACE;
	port->removed_ns = 0;
	port->ending = port->has_left = port->answered = false;
	nmx_guestport_resume_loans(port);
}

static int
set_up(struct nmx_guestport *port, uint64_t now_ns)
{
	const struct nmx_mem_limits limits = { MAPS_MAX, port->mem_bytes_max, port->bin };
	int ret = nmx_mem_create(&limits, port->lost_fd, &port->mem);

	if (ret == 0)
		ret = nmx_guestport_enter_domains(port);
	for (uint16_t i = 0; ret == 0 && i < port->n_queue_pairs; i++)
		ret = open_doorbell(&port->from_guest[i]);
	if (ret != 0)
		return ret;
	nmx_stream_init_socket(&port->socket, port->connection);
	port->socket.transport.bin = port->bin;
	ret = port->front->begin(port, now_ns);
	if (ret != 0)
		return ret;
	port->watched = EPOLLIN;
	return nmx_control_watch(port, NMX_CONTROL_CONNECTION, port->connection, port->watched);
}

static void
begin_session(struct nmx_guestport *port, int fd, uint64_t now_ns)
{
	int ret;

	port->connection = fd;
	ret = set_up(port, now_ns);
	if (ret != 0) {
		clean_up(port);
		if (nmx_guestport_may_log(port))
			PORT_LOG(port, ERR, "can't serve a guest: %s", rte_strerror(-ret));
		return;
	}
	port->sessions++;
	if (nmx_guestport_may_log(port))
		PORT_LOG(port, INFO, "a guest connects");
}

/** True if the client has closed its end, whatever it left unread. */
static bool
is_hung_up(const struct nmx_guestport *port)
{
	struct pollfd one = { .fd = port->connection };

	return poll(&one, 1, 0) == 1 && (one.revents & (POLLHUP | POLLERR)) != 0;
}

/** Connect to the guest's server, if it is time to try. */
static void
try_server(struct nmx_guestport *port, uint64_t now_ns)
{
	int fd;

	if (port->closing || port->connection >= 0 || now_ns < port->listener_due_ns)
		return;
	/* Also before a server that lets us in and throws us out is tried again. */
	port->listener_due_ns = now_ns + RETRY_NS;
	fd = nmx_stream_connect_path(port->path);
	if (fd >= 0) {
		port->told_absence = false;
		begin_session(port, fd, now_ns);
	} else if (!port->told_absence) {
		port->told_absence = true;
		PORT_LOG(port, NOTICE, "can't connect to %s yet: %s; it is tried every second",
			port->path, nmx_stream_explain_connect(fd));
	}
}

/** Watch the listener, or don't: the next client may have to wait. */
static void
tend_listener(struct nmx_guestport *port, uint64_t now_ns)
{
	bool wanted;

	if (port->path != NULL) {
		try_server(port, now_ns);
		return;
	}
	if (!nmx_base_is_bin_empty(port->bin))
		port->listener_due_ns = now_ns + BIN_NS;
	wanted = !port->closing && !port->ending && now_ns >= port->listener_due_ns;
	if (wanted == port->listening)
		return;
	port->listening = wanted;
	if (!wanted) {
		nmx_control_unwatch(port->listener.fd);
	} else if (nmx_control_watch(port, NMX_CONTROL_LISTENER, port->listener.fd, EPOLLIN) != 0) {
		port->listening = false;
		port->listener_due_ns = now_ns + EXHAUSTED_NS;
	}
}

/** @param level  RTE_LOG_* */
static void
end_session(struct nmx_guestport *port, uint32_t level, const char *reason)
{
	if (port->connection < 0 || port->ending)
		return;
	if (nmx_guestport_may_log(port))
		rte_log(level, nmx_guestport_logtype, "%s: the guest's session ends: %s\n",
			port->name, reason);
	nmx_control_unwatch(port->connection);
	port->ending = true;
	port->front->halt(port);
}

void
nmx_guestport_end_session(struct nmx_guestport *port, const char *reason)
{
	end_session(port, RTE_LOG_WARNING, reason);
}

void
nmx_guestport_accept(struct nmx_guestport *port, uint64_t now_ns)
{
	int fd;

	/* The next client may be here before the end of the last one was seen. */
	if (port->connection >= 0 && !port->ending && is_hung_up(port))
		end_session(port, RTE_LOG_INFO, "the client went away");
	if (port->ending)
		(void)nmx_guestport_advance(port, now_ns);
	tend_listener(port, now_ns);
	if (!port->listening)
		return;
	fd = nmx_stream_accept(&port->listener);
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
		port->listener_due_ns = now_ns + EXHAUSTED_NS;
		if (nmx_guestport_may_log(port))
			PORT_LOG(port, ERR, "can't serve a guest: %s; raise ulimit -n",
				rte_strerror(-fd));
	}
	if (fd < 0)
		return;
	if (port->connection >= 0)
		nmx_base_discard_connection(port->bin, &fd, 1);
	else
		begin_session(port, fd, now_ns);
}

/** End the session that was told to go, if the time has come. */
static void
advance_removal(struct nmx_guestport *port, uint64_t now_ns)
{
	if (port->removed_ns == 0 || port->ending)
		return;
	if (!port->has_left && !port->front->is_held(port)) {
		port->has_left = true;
		port->removed_ns = RTE_MIN(port->removed_ns, now_ns + PARTING_NS);
	}
	if (now_ns >= port->removed_ns)
		end_session(port, RTE_LOG_INFO, "the port is closed");
}

void
nmx_guestport_remove_session(struct nmx_guestport *port, uint64_t due_ns)
{
	if (port->connection < 0 || port->ending)
		return;
	port->removed_ns = port->front->is_held(port) ? due_ns : 1;
	port->front->tell_removal(port);
}

static bool
is_served(const struct nmx_guestport *port)
{
	return port->connection >= 0 && !port->ending;
}

void
nmx_guestport_serve(struct nmx_guestport *port, uint64_t now_ns)
{
	uint32_t events = 0;
	int ret;

	if (!is_served(port))
		return;
	ret = port->front->serve(port, now_ns);
	if (port->ending)
		return;
	if (ret != 0 && ret != -EAGAIN) {
		end_session(port, ret == -EPROTO ? RTE_LOG_WARNING : RTE_LOG_INFO,
			port->front->get_reason(port));
		return;
	}
	if (port->front->wants_input(port))
		events |= EPOLLIN;
	if (port->front->wants_output(port))
		events |= EPOLLOUT;
	if (events == port->watched)
		return;
	port->watched = events;
	if (nmx_control_rewatch(port, NMX_CONTROL_CONNECTION, port->connection, events) != 0)
		nmx_guestport_end_session(port, "the kernel has no memory to watch its connection");
}

void
nmx_guestport_meet_deadline(struct nmx_guestport *port, uint64_t now_ns)
{
	if (is_served(port) && port->front->get_deadline_ns(port) <= now_ns)
		nmx_guestport_serve(port, now_ns);
}

uint64_t
nmx_guestport_get_deadline_ns(const struct nmx_guestport *port)
{
	uint64_t due_ns = NMX_NEVER_NS;

	if (is_served(port))
		due_ns = port->front->get_deadline_ns(port);
	if (port->removed_ns != 0 && !port->ending)
		due_ns = RTE_MIN(due_ns, port->removed_ns);
	if (!port->listening && !port->ending && !port->closing &&
		(port->path == NULL || port->connection < 0))
		due_ns = RTE_MIN(due_ns, port->listener_due_ns);
	if (port->owed_due_ns != 0)
		due_ns = RTE_MIN(due_ns, port->owed_due_ns);
	return due_ns;
}

/** True once, when the grace period in *grace is over. */
static bool
take_grace(const struct nmx_guestport *port, uint64_t *grace)
{
	if (*grace == NO_GRACE || !nmx_base_is_grace_over(&port->grace, *grace))
		return false;
	*grace = NO_GRACE;
	return true;
}

/** The same, and nothing that was lent is out. */
static bool
take_quiet(const struct nmx_guestport *port, uint64_t *grace)
{
	return !nmx_guestport_has_loans(port) && take_grace(port, grace);
}

/** True if a grace period or a fault is to be dealt with. */
static bool
has_pending(const struct nmx_guestport *port)
{
	return !nmx_base_is_grace_idle(&port->grace) || atomic_load(&port->has_fault) ||
	       port->parked_grace != NO_GRACE || port->misses_loans ||
	       nmx_guestport_needs_dma(port);
}

/** Answer the parked request, if the time has come. @return true: there may be another one now */
static bool
advance_parked(struct nmx_guestport *port)
{
	bool answered = port->answered;

	port->answered = false;
	if (answered) {
		port->parked_grace = NO_GRACE;
		return true;
	}
	/* A ring's end is the answer. */
	if (port->parked == PARKED_STOP)
		return nmx_guestport_is_overdue(port) && nmx_guestport_force_answer(port);
	if (port->parked == PARKED_VECTORS ? take_grace(port, &port->parked_grace)
					   : take_quiet(port, &port->parked_grace)) {
		port->front->answer(port);
		return true;
	}
	return nmx_guestport_is_overdue(port) && nmx_guestport_force_answer(port);
}

/** Before a reset is done: a device that can be started needs its memory. */
static void
advance_reclaim(struct nmx_guestport *port)
{
	bool goes;

	if (port->reclaim_grace == NO_GRACE)
		return;
	/* Loans hold memory, but no view of it. */
	goes = nmx_mem_has_withdrawn(port->mem) || nmx_mem_is_revoked(port->mem);
	if (goes ? !take_quiet(port, &port->reclaim_grace)
		 : !take_grace(port, &port->reclaim_grace))
		return;
	nmx_mem_reclaim(port->mem);
	nmx_guestport_resume_loans(port);
	port->front->resume(port);
}

/** Go on with what waits for data threads. */
static void
advance_grace(struct nmx_guestport *port, uint64_t now_ns)
{
	nmx_base_advance_grace(&port->grace);
	nmx_guestport_look_at_loans(port);
	nmx_guestport_count_wait(port, now_ns);
	nmx_guestport_report_faults(port);
	nmx_guestport_advance_rings(port);
	port->misses_loans = nmx_guestport_recall_loans(port, now_ns);
	advance_reclaim(port);
	if (take_quiet(port, &port->reset_grace))
		port->front->finish_reset(port);
	if (take_grace(port, &port->vector_grace))
		nmx_guestport_settle_vectors(port);
	if (port->ending) {
		if (port->front->is_halted(port) && nmx_base_is_grace_idle(&port->grace) &&
			!nmx_guestport_has_loans(port))
			clean_up(port);
	} else if (advance_parked(port)) {
		nmx_guestport_serve(port, now_ns);
	}
}

bool
nmx_guestport_advance(struct nmx_guestport *port, uint64_t now_ns)
{
	advance_removal(port, now_ns);
	if (has_pending(port) || port->ending)
		advance_grace(port, now_ns);
	nmx_guestport_advance_dma(port);
	nmx_guestport_pay_signals(port, now_ns);
	tend_listener(port, now_ns);
	return !has_pending(port) && !port->ending;
}
