/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "control.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/dpdk/compat.h"
#include "port.h"

#define PORTS_MAX  4096
#define EVENTS_MAX 64
/** Turns without a pause while something waits for a burst to end; then a pause of 1 ms each. */
#define EAGER_TURNS 100

/** The process' one control thread, and the table of its ports. */
static struct {
	pthread_mutex_t life; /* round starting and ending the thread; taken before `lock` */
	pthread_mutex_t lock;
	pthread_cond_t call_over; /* a port's callback has returned */
	struct nmx_guestport *ports[PORTS_MAX];
	uint32_t n_ports, n_slots; /* in use; ever used */
	uint32_t next_id;
	const struct nmx_guestport *calling; /* whose callback runs, without the lock */
	pthread_t thread;
	int epoll_fd, wake_fd;
	bool running, stopping;
} control = {
	.life = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.call_over = PTHREAD_COND_INITIALIZER,
	.epoll_fd = -1,
	.wake_fd = -1,
};

void
nmx_control_lock(void)
{
	pthread_mutex_lock(&control.lock);
}

void
nmx_control_unlock(void)
{
	pthread_mutex_unlock(&control.lock);
}

void
nmx_control_wake(void)
{
	const uint64_t one = 1;

	/* Ours and non-blocking; should it be full, the thread is awake anyway. */
	if (write(control.wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* --- Descriptors --- */

/** What epoll gives back: slot:24 kind:8 id:32. The wake descriptor has kind 255. */
#define KIND_WAKE UINT64_C(255)

static uint64_t
make_key(uint32_t slot, uint64_t kind, uint32_t id)
{
	return (uint64_t)slot | kind << 24 | (uint64_t)id << 32;
}

int
nmx_control_watch(
	const struct nmx_guestport *port, enum nmx_control_kind kind, int fd, uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = make_key(port->slot, kind, port->id),
	};

	return epoll_ctl(control.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int
nmx_control_rewatch(
	const struct nmx_guestport *port, enum nmx_control_kind kind, int fd, uint32_t events)
{
	/* Watched for nothing, a closed peer would still be reported, again and again. */
	nmx_control_unwatch(fd);
	return events == 0 ? 0 : nmx_control_watch(port, kind, fd, events);
}

void
nmx_control_unwatch(int fd)
{
	(void)epoll_ctl(control.epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* --- Turns --- */

static void
read_away(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

static void
handle_event(uint64_t key, uint64_t now_ns)
{
	uint32_t slot = key & 0xffffff, id = (uint32_t)(key >> 32);
	uint64_t kind = key >> 24 & 0xff;
	struct nmx_guestport *port;

	if (kind == KIND_WAKE) {
		read_away(control.wake_fd);
		return;
	}
	port = slot < PORTS_MAX ? control.ports[slot] : NULL;
	if (port == NULL || port->id != id)
		return;
	switch (kind) {
	case NMX_CONTROL_LISTENER:
		nmx_guestport_accept(port, now_ns);
		break;
	case NMX_CONTROL_CONNECTION:
		nmx_guestport_serve(port, now_ns);
		break;
	case NMX_CONTROL_LOST_MEMORY:
		read_away(port->lost_fd);
		if (port->mem != NULL && nmx_mem_is_lost(port->mem))
			nmx_guestport_end_session(port, "its memory was withdrawn under us");
		break;
	}
}

/** Look at every port. @return when the next turn is due, or 0: something waits for a burst */
static uint64_t
advance_ports(uint64_t now_ns)
{
	uint64_t due_ns = NMX_NEVER_NS;

	for (uint32_t i = 0; i < control.n_slots; i++) {
		struct nmx_guestport *port = control.ports[i];
		uint64_t deadline_ns;

		if (port == NULL)
			continue;
		nmx_guestport_meet_deadline(port, now_ns);
		if (!nmx_guestport_advance(port, now_ns))
			due_ns = 0;
		deadline_ns = nmx_guestport_get_deadline_ns(port);
		due_ns = RTE_MIN(due_ns, deadline_ns);
	}
	return due_ns;
}

/** Tell programs of link changes, without the lock: they may call back. */
static void
tell_link_changes(void)
{
	for (uint32_t i = 0; i < control.n_slots; i++) {
		struct nmx_guestport *port = control.ports[i];

		if (port == NULL || port->told_linked == atomic_load(&port->linked))
			continue;
		port->told_linked = !port->told_linked;
		if (port->link_changed == NULL)
			continue;
		control.calling = port;
		nmx_control_unlock();
		port->link_changed(port->context, port->told_linked);
		nmx_control_lock();
		control.calling = NULL;
		pthread_cond_broadcast(&control.call_over);
	}
}

/** One turn. @return milliseconds until the next; *eager_turns counts those without a pause */
static int
take_turn(const struct epoll_event *events, int n, unsigned int *eager_turns)
{
	uint64_t now_ns = nmx_base_read_clock_ns(), due_ns;

	for (int i = 0; i < n; i++)
		handle_event(events[i].data.u64, now_ns);
	due_ns = advance_ports(now_ns);
	tell_link_changes();
	if (due_ns != 0) {
		*eager_turns = 0;
		return nmx_base_count_ms_until(due_ns, now_ns);
	}
	return ++*eager_turns < EAGER_TURNS ? 0 : 1;
}

static nmx_dpdk_thread_result
run(void *unused)
{
	struct epoll_event events[EVENTS_MAX];
	unsigned int eager_turns = 0;
	int timeout_ms = -1;

	(void)unused;
	for (;;) {
		int n = epoll_wait(control.epoll_fd, events, EVENTS_MAX, timeout_ms);
		bool stopping;

		nmx_control_lock();
		timeout_ms = take_turn(events, n, &eager_turns);
		stopping = control.stopping;
		nmx_control_unlock();
		if (stopping)
			return 0;
		if (timeout_ms == 0)
			sched_yield();
	}
}

/* --- Life --- */

static void
close_fds(void)
{
	nmx_base_close_fd(&control.epoll_fd);
	nmx_base_close_fd(&control.wake_fd);
}

/** Context: life held. */
static int
start_thread(void)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = make_key(0, KIND_WAKE, 0) };
	int ret;

	control.stopping = false;
	control.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	control.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (control.epoll_fd < 0 || control.wake_fd < 0 ||
		epoll_ctl(control.epoll_fd, EPOLL_CTL_ADD, control.wake_fd, &event) != 0)
		ret = -errno;
	else
		ret = nmx_dpdk_start_control_thread(&control.thread, "nmx-control", run, NULL);
	if (ret != 0)
		close_fds();
	control.running = ret == 0;
	return ret;
}

/** Context: life held; no port is left. */
static void
stop_thread(void)
{
	nmx_control_lock();
	control.stopping = true;
	nmx_control_unlock();
	nmx_control_wake();
	pthread_join(control.thread, NULL);
	close_fds();
	control.running = false;
}

static int
enter_port(struct nmx_guestport *port)
{
	uint32_t slot = 0;

	while (slot < PORTS_MAX && control.ports[slot] != NULL)
		slot++;
	if (slot == PORTS_MAX)
		return -ENOSPC;
	control.ports[slot] = port;
	control.n_ports++;
	control.n_slots = RTE_MAX(control.n_slots, slot + 1);
	port->slot = slot;
	port->id = ++control.next_id;
	return 0;
}

static bool
has_ports(void)
{
	bool any;

	nmx_control_lock();
	any = control.n_ports > 0;
	nmx_control_unlock();
	return any;
}

int
nmx_control_add_port(struct nmx_guestport *port)
{
	int ret;

	pthread_mutex_lock(&control.life);
	ret = control.running ? 0 : start_thread();
	if (ret == 0) {
		nmx_control_lock();
		ret = enter_port(port);
		nmx_control_unlock();
	}
	pthread_mutex_unlock(&control.life);
	return ret;
}

struct nmx_guestport *
nmx_control_find_port(const char *name)
{
	for (uint32_t i = 0; i < control.n_slots; i++)
		if (control.ports[i] != NULL && strcmp(control.ports[i]->name, name) == 0)
			return control.ports[i];
	return NULL;
}

bool
nmx_control_is_own_thread(void)
{
	return control.running && pthread_equal(control.thread, pthread_self());
}

void
nmx_control_remove_port(struct nmx_guestport *port)
{
	bool in_callback = nmx_control_is_own_thread();

	nmx_control_lock();
	/* Its callback may be running; unless we are in it, wait for its end. Without `life`: the
	 * callback may add or remove ports itself. */
	while (control.calling == port && !in_callback)
		pthread_cond_wait(&control.call_over, &control.lock);
	control.ports[port->slot] = NULL;
	control.n_ports--;
	while (control.n_ports == 0 && control.calling != NULL && !in_callback)
		pthread_cond_wait(&control.call_over, &control.lock);
	nmx_control_unlock();
	/* A thread can't wait for its own end: then it stays, for the next port. */
	if (in_callback)
		return;
	pthread_mutex_lock(&control.life);
	if (control.running && !has_ports())
		stop_thread();
	pthread_mutex_unlock(&control.life);
}
