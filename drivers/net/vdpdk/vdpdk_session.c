/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Sessions: connecting, noticing a loss, connecting again.
 *
 * Theory of operation
 *
 * The session thread sleeps in poll() on the connection (for its end only: answers are read by
 * whoever asked), on vector 0, and on a descriptor by which others wake it. Where there is no
 * session it tries to make one, again and again. It is the only thread that gives a session up:
 * others mark it lost and wake it. Whenever it is awake it looks at STATUS: a device that failed is
 * reset, one that is taken away is left at once. Where nothing tells of a device's end it wakes up
 * by itself, now and then.
 *
 * It calls programs back, without a lock, and a program may close the port from there: then the
 * thread touches it no more.
 */

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/dpdk/compat.h"
#include "vdpdk.h"
#include "vdpdk_transport.h"

/** Between two attempts to connect. */
#define RETRY_MS 100
/** Between two looks at a device whose end nothing tells of, with and without interrupts. */
#define LOOK_MS          1000
#define LOOK_WITHOUT_MS  100
#define LOOK_AT_RESET_MS 1
/** How long a host has to let go before the program gets rid of the port all the same. */
#define END_NS (3 * NMX_NS_PER_S)
/** A change of EAL's memory between listing and mapping it is rare; many in a row are a fault. */
#define ATTEMPTS_MAX 100

/** The session thread's port was closed by the program that it called back. */
static __thread bool is_orphaned;

static void
signal_eventfd(int fd)
{
	const uint64_t one = 1;

	/* Ours and non-blocking; full means that its reader is awake. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

void
vdpdk_wake_thread(struct vdpdk_port *port)
{
	signal_eventfd(port->wake_fd);
}

void
vdpdk_lose_session(struct vdpdk_port *port)
{
	atomic_store(&port->lost, true);
	vdpdk_wake_thread(port);
}

static void
read_away(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

/* --- Connecting --- */

/** The number of queues is settled by the first session. */
static int
settle_queues(struct vdpdk_port *port, const char **ret_reason)
{
	uint16_t wanted = port->args.n_queue_pairs;

	if (port->n_queue_pairs != 0) {
		*ret_reason = "it grants fewer queues than before; start it with as many";
		return port->info.n_queue_pairs < port->n_queue_pairs ? -ENOSPC : 0;
	}
	*ret_reason = "it grants fewer queues than queues= wants; start it with more";
	if (port->info.n_queue_pairs < wanted)
		return -ENOSPC;
	*ret_reason = "no more file descriptors; raise the limit (ulimit -n)";
	port->n_queue_pairs = wanted == 0 ? port->info.n_queue_pairs : wanted;
	for (uint16_t q = 0; q < port->n_queue_pairs; q++) {
		port->event_fds[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (port->event_fds[q] < 0)
			return -errno;
	}
	return 0;
}

/** Fill in the descriptors of all vectors. @return their number */
static uint32_t
list_vectors(const struct vdpdk_port *port, int *fds)
{
	fds[VDPDK_VECTOR_CONTROL] = port->control_fd;
	for (uint16_t q = 0; q < port->n_queue_pairs; q++)
		fds[VDPDK_VECTOR_RX(q)] = port->event_fds[q];
	return VDPDK_VECTOR_RX(port->n_queue_pairs);
}

static int
connect_vectors(struct vdpdk_port *port)
{
	int fds[VDPDK_VECTOR_RX(VDPDK_QUEUE_PAIRS_MAX)];
	uint32_t n = list_vectors(port, fds);

	return port->transport->ops->connect_vectors(port->transport, fds, n);
}

int
vdpdk_make_interrupts(struct vdpdk_port *port, struct rte_intr_handle **ret_handle)
{
	int fds[VDPDK_VECTOR_RX(VDPDK_QUEUE_PAIRS_MAX)];
	uint32_t n = list_vectors(port, fds);

	return port->transport->ops->make_interrupts(port->transport, fds, n, ret_handle);
}

/** What the device shows on page 0 is the link. */
static void
read_link(struct vdpdk_port *port)
{
	uint64_t word = nmx_base_load64_acquire(
		(const NMX_SHARED uint64_t *)&port->area->page.link);

	port->link.link_status = VDPDK_LINK_IS_UP(word) ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
	port->link.link_speed = VDPDK_LINK_SPEED_MBPS(word);
	port->link.link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
	port->link.link_autoneg = RTE_ETH_LINK_FIXED;
}

static const char *
explain_device(int error)
{
	switch (-error) {
	case EPROTONOSUPPORT:
		return "its device has another ABI; use releases of guest and host that agree";
	case ETIMEDOUT:
		return "it doesn't answer; see its log";
	default:
		return "its device breaks the protocol; see its log";
	}
}

/** The device is reached: take it to where a session is up. Lock held. */
static int
begin_session(struct vdpdk_port *port, const char **ret_reason)
{
	int ret = vdpdk_start_device(port);

	*ret_reason = explain_device(ret);
	if (ret == 0)
		ret = settle_queues(port, ret_reason);
	if (ret == 0) {
		*ret_reason = "it doesn't take the port's interrupts, which a container needs";
		ret = connect_vectors(port);
	}
	if (ret == 0 &&
		!port->transport->ops->has_doorbells(port->transport, port->n_queue_pairs)) {
		*ret_reason = "it offers too few doorbells";
		ret = -EPROTO;
	}
	if (ret == 0 && port->started) {
		*ret_reason = "it refuses the port's settings or queues";
		ret = vdpdk_apply_settings(port);
		if (ret == 0)
			ret = vdpdk_start_queues(port);
	}
	if (ret != 0)
		return ret;
	read_link(port);
	port->up = true;
	port->sessions++;
	return 0;
}

/** One attempt to connect. Lock held. */
static int
try_session(struct vdpdk_port *port, const char **ret_reason)
{
	int ret;

	atomic_store(&port->lost, false);
	ret = port->transport->ops->open(port->transport, ret_reason);
	if (ret != 0)
		return ret;
	ret = begin_session(port, ret_reason);
	if (ret != 0) {
		port->up = true; /* as far as the device is concerned: it may run */
		vdpdk_disconnect(port);
	}
	return ret;
}

int
vdpdk_connect(struct vdpdk_port *port, const char **ret_reason)
{
	int ret = -EAGAIN;

	for (int i = 0; i < ATTEMPTS_MAX && ret == -EAGAIN; i++) {
		*ret_reason = "no memory to list EAL's memory";
		ret = port->transport->ops->prepare(port->transport);
		if (ret != 0)
			return ret;
		*ret_reason = "EAL's memory changes all the time";
		pthread_mutex_lock(&port->lock);
		ret = try_session(port, ret_reason);
		pthread_mutex_unlock(&port->lock);
	}
	return ret;
}

/* --- The end of a session --- */

/** If the host has let go, so do we. True: nothing of a former session is left. Lock held. */
static bool
finish_session(struct vdpdk_port *port)
{
	if (!port->ending)
		return true;
	if (!port->transport->ops->has_ended(port->transport))
		return false;
	port->ending = port->stuck = false;
	port->transport->ops->close(port->transport);
	vdpdk_release_quarantine(port);
	return true;
}

void
vdpdk_disconnect(struct vdpdk_port *port)
{
	if (!port->up)
		return;
	port->up = false;
	port->ending = true;
	port->link.link_status = RTE_ETH_LINK_DOWN;
	vdpdk_abandon_queues(port);
	port->transport->ops->end(port->transport);
	(void)finish_session(port);
}

/** The host never let go. Lock held. */
static void
keep_for_ever(struct vdpdk_port *port)
{
	PORT_LOG(port, ERR, "%s; what it has is kept for ever",
		port->gone ? "the device went without a word, so its host may still write"
			   : "the host doesn't let go of its guest's memory");
	port->stuck = true;
	port->kept += port->quarantine.n;
	port->quarantine.n = 0;
}

bool
vdpdk_wait_for_end(struct vdpdk_port *port)
{
	const uint64_t deadline_ns = nmx_base_read_clock_ns() + END_NS;
	bool good, over;

	do {
		pthread_mutex_lock(&port->lock);
		/* Mbufs may be in quarantine of a session that its thread is about to give up. */
		good = finish_session(port) && port->quarantine.n == 0;
		if (!good && !port->stuck &&
			(port->gone || nmx_base_read_clock_ns() >= deadline_ns))
			keep_for_ever(port);
		over = good || port->stuck;
		pthread_mutex_unlock(&port->lock);
		if (!over)
			usleep(100);
	} while (!over);
	return good;
}

/* --- The link and other news --- */

int
vdpdk_update_link(struct rte_eth_dev *dev, int wait)
{
	struct vdpdk_port *port = dev->data->dev_private;
	struct rte_eth_link link;
	int ret;

	(void)wait;
	/* What the link is and what ethdev is told are one step. */
	pthread_mutex_lock(&port->lock);
	if (port->up)
		read_link(port);
	link = port->link;
	if (!port->up || !port->started)
		link.link_status = RTE_ETH_LINK_DOWN;
	ret = rte_eth_linkstatus_set(dev, &link);
	pthread_mutex_unlock(&port->lock);
	return ret;
}

static void
tell_link(struct vdpdk_port *port)
{
	struct rte_eth_dev *dev = port->dev;

	if (vdpdk_update_link(dev, 0) == 0 && dev->data->dev_conf.intr_conf.lsc)
		rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, NULL);
}

/** True if the device has put a running queue into its error state; that stops it here, too. */
static bool
is_faulty(struct vdpdk_queue *queue, uint16_t *reason)
{
	uint32_t word;

	if (queue->ring.header == NULL)
		return false;
	word = nmx_base_load32(&queue->ring.header->device.state);
	*reason = VDPDK_QUEUE_FAULT(word);
	return VDPDK_QUEUE_STATE(word) == VDPDK_QUEUE_STATE_ERROR;
}

/** Look at one queue. True if it is newly out of order. Lock held. */
static bool
check_queue(struct vdpdk_port *port, struct vdpdk_queue *queue, const char *direction)
{
	uint16_t reason = 0;

	if (queue == NULL || queue->reported)
		return false;
	if (is_faulty(queue, &reason)) {
		atomic_store(&queue->running, false);
		atomic_store(&queue->broken, true);
	}
	if (!atomic_load(&queue->broken))
		return false;
	queue->reported = true;
	port->faults++;
	PORT_LOG(port, WARNING, "%s queue %u stopped: %s (reason %u); reset the port to go on",
		direction, queue->index,
		reason != 0 ? "the device found a fault" : "the device broke the rules", reason);
	return true;
}

static void
tell_faults(struct vdpdk_port *port)
{
	struct rte_eth_dev *dev = port->dev;
	bool any = false;

	pthread_mutex_lock(&port->lock);
	for (uint16_t q = 0; port->up && port->started && q < port->n_queue_pairs; q++) {
		any |= check_queue(port, (struct vdpdk_queue *)port->rx_queues[q], "Rx");
		any |= check_queue(port, (struct vdpdk_queue *)port->tx_queues[q], "Tx");
	}
	pthread_mutex_unlock(&port->lock);
	if (any)
		rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_RESET, NULL);
}

/* --- The thread --- */

/** True if the thread is to end. */
static bool
is_stopping(const struct vdpdk_port *port)
{
	struct pollfd one = { .fd = port->stop_fd, .events = POLLIN };

	return poll(&one, 1, 0) == 1;
}

/** In whatever state: a function that isn't there any more can't tell. Lock held. */
static void
look_for_device(struct vdpdk_port *port)
{
	uint32_t status;

	if (!port->transport->is_pluggable || port->gone)
		return;
	if (port->transport->ops->read_register(port->transport, VDPDK_REG_STATUS, &status) ==
		-ENODEV)
		port->gone = port->removed = true;
}

/** Look at STATUS: what the device says of itself. Session up; lock held. */
static void
look_at_status(struct vdpdk_port *port)
{
	const uint32_t healthy = VDPDK_STATUS_FEATURES_OK | VDPDK_STATUS_RUNNING;
	uint32_t status = 0;
	int ret = port->transport->ops->read_register(port->transport, VDPDK_REG_STATUS, &status);

	if (ret == 0 && status == healthy)
		return;
	if (port->transport->is_pluggable && (status & VDPDK_STATUS_REMOVED) != 0)
		port->removed = true;
	if ((status & VDPDK_STATUS_FAILED) != 0)
		PORT_LOG(port, ERR, "the device failed; it is reset (see the host's log)");
	atomic_store(&port->lost, true);
}

static const char *
explain_loss(const struct vdpdk_port *port)
{
	if (port->gone)
		return "the device is gone; remove the port";
	if (port->removed)
		return "the device is being taken away; remove the port";
	return "the host is gone; the link is down until it comes back";
}

/** Tell a program that its port has no device any more, once. */
static void
tell_removal(struct vdpdk_port *port)
{
	struct rte_eth_dev *dev = port->dev;

	if (!port->removed || port->told_removal || !dev->data->dev_conf.intr_conf.rmv)
		return;
	port->told_removal = true;
	rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_RMV, NULL);
}

/** Give the session up if it is lost. */
static void
check_loss(struct vdpdk_port *port)
{
	bool was_up;

	pthread_mutex_lock(&port->lock);
	if (port->up && port->transport->ops->has_ended(port->transport))
		atomic_store(&port->lost, true);
	if (atomic_load(&port->unplugged))
		port->removed = true;
	look_for_device(port);
	if (port->up && !port->removed && !atomic_load(&port->lost))
		look_at_status(port);
	was_up = port->up && (port->removed || atomic_load(&port->lost)) && !is_stopping(port);
	if (was_up)
		vdpdk_disconnect(port);
	pthread_mutex_unlock(&port->lock);
	if (!was_up)
		return;
	PORT_LOG(port, NOTICE, "%s", explain_loss(port));
	/* Before the next session: a program is told of each loss, however short. */
	tell_link(port);
}

/** True for what every end and restart of a host looks like on the way. */
static bool
is_expected(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET ||
	       error == -EPIPE || error == -ECANCELED;
}

/** Connect again, if there is no session and nothing is left of the last one. */
static void
connect_again(struct vdpdk_port *port, int *last_error)
{
	const char *reason = "";
	bool wanted;
	int ret;

	pthread_mutex_lock(&port->lock);
	wanted = !port->up && finish_session(port) && !port->removed;
	pthread_mutex_unlock(&port->lock);
	if (!wanted)
		return;
	ret = vdpdk_connect(port, &reason);
	if (ret == 0)
		PORT_LOG(port, NOTICE, "the host is back");
	else if (ret != *last_error && !is_expected(ret))
		PORT_LOG(port, ERR, "can't connect to %s again: %s (%s)", port->where, reason,
			rte_strerror(-ret));
	*last_error = ret;
}

/** How long the thread may sleep. Lock held. */
static int
get_nap_ms(const struct vdpdk_port *port)
{
	const struct vdpdk_transport *transport = port->transport;

	if (port->up && transport->polls)
		return transport->has_interrupts ? LOOK_MS : LOOK_WITHOUT_MS;
	if (port->up)
		return -1;
	if (port->ending)
		return transport->polls && !port->gone && !port->stuck ? LOOK_AT_RESET_MS : -1;
	return port->removed ? -1 : RETRY_MS;
}

static void
wait_for_news(struct vdpdk_port *port)
{
	struct pollfd fds[] = {
		{ .fd = port->wake_fd, .events = POLLIN },
		{ .fd = port->control_fd, .events = POLLIN },
		{ .fd = -1, .events = POLLRDHUP },
	};
	int timeout_ms;

	pthread_mutex_lock(&port->lock);
	if (port->up || port->ending)
		fds[2].fd = port->transport->ops->get_watch_fd(port->transport);
	timeout_ms = get_nap_ms(port);
	pthread_mutex_unlock(&port->lock);
	if (poll(fds, RTE_DIM(fds), timeout_ms) <= 0)
		return;
	if (fds[0].revents != 0)
		read_away(port->wake_fd);
	if (fds[1].revents != 0)
		read_away(port->control_fd);
}

/** See what is new. Programs are called back, so the port may be gone afterwards. */
static void
take_turn(struct vdpdk_port *port, int *last_error)
{
	check_loss(port);
	if (is_orphaned)
		return;
	connect_again(port, last_error);
	tell_faults(port);
	if (!is_orphaned)
		tell_link(port);
	if (!is_orphaned)
		tell_removal(port);
}

static nmx_dpdk_thread_result
run(void *opaque)
{
	struct vdpdk_port *port = opaque;
	int last_error = 0;

	is_orphaned = false;
	while (!is_orphaned && !is_stopping(port)) {
		take_turn(port, &last_error);
		if (!is_orphaned)
			wait_for_news(port);
	}
	return 0;
}

int
vdpdk_start_thread(struct vdpdk_port *port)
{
	int ret = nmx_dpdk_start_control_thread(&port->thread, "nmx-session", run, port);

	port->has_thread = ret == 0;
	return ret;
}

void
vdpdk_stop_thread(struct vdpdk_port *port)
{
	if (!port->has_thread)
		return;
	port->has_thread = false;
	if (pthread_equal(port->thread, pthread_self())) {
		pthread_detach(port->thread);
		is_orphaned = true;
		return;
	}
	signal_eventfd(port->stop_fd);
	vdpdk_lose_session(port);
	pthread_join(port->thread, NULL);
}
