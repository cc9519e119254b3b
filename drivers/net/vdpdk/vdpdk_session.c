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
 * others mark it lost and wake it.
 */

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_lcore.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "vdpdk.h"
#include "vdpdk_transport.h"

/** Between two attempts to connect. */
#define RETRY_NS (100 * NMX_NS_PER_MS)
/** A change of EAL's memory between listing and mapping it is rare; many in a row are a fault. */
#define ATTEMPTS_MAX 100

void
vdpdk_wake_thread(struct vdpdk_port *port)
{
	const uint64_t one = 1;

	/* Ours and non-blocking; full means that the thread is awake. */
	if (write(port->wake_fd, &one, sizeof(one)) < 0)
		return;
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

static int
connect_vectors(struct vdpdk_port *port)
{
	int fds[VDPDK_VECTOR_RX(VDPDK_QUEUE_PAIRS_MAX)];

	fds[VDPDK_VECTOR_CONTROL] = port->control_fd;
	for (uint16_t q = 0; q < port->n_queue_pairs; q++)
		fds[VDPDK_VECTOR_RX(q)] = port->event_fds[q];
	return port->transport->ops->connect_vectors(
		port->transport, fds, VDPDK_VECTOR_RX(port->n_queue_pairs));
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
		*ret_reason = "it doesn't take the port's interrupts";
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
		atomic_store(&port->lost, false);
		ret = port->transport->ops->open(port->transport, ret_reason);
		if (ret == 0) {
			ret = begin_session(port, ret_reason);
			if (ret != 0)
				port->transport->ops->close(port->transport);
		}
		pthread_mutex_unlock(&port->lock);
	}
	return ret;
}

void
vdpdk_disconnect(struct vdpdk_port *port)
{
	if (!port->up)
		return;
	port->up = false;
	vdpdk_abandon_queues(port);
	port->transport->ops->close(port->transport);
	port->link.link_status = RTE_ETH_LINK_DOWN;
}

/* --- The link and other news --- */

int
vdpdk_update_link(struct rte_eth_dev *dev, int wait)
{
	struct vdpdk_port *port = dev->data->dev_private;
	struct rte_eth_link link;

	(void)wait;
	pthread_mutex_lock(&port->lock);
	if (port->up)
		read_link(port);
	link = port->link;
	if (!port->up || !port->started)
		link.link_status = RTE_ETH_LINK_DOWN;
	pthread_mutex_unlock(&port->lock);
	return rte_eth_linkstatus_set(dev, &link);
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
	const NMX_SHARED struct vdpdk_ring_device *line;
	uint64_t word;

	if (queue == NULL || queue->ring.header == NULL)
		return false;
	/* Sequence, state and reason are the line's first 64-bit word. */
	line = &queue->ring.header->device;
	word = nmx_base_load64((const NMX_SHARED uint64_t *)line);
	*reason = (uint16_t)(word >> 48);
	return (uint16_t)(word >> 32) == VDPDK_QUEUE_STATE_ERROR;
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

/** Give the session up if it is lost. */
static void
check_loss(struct vdpdk_port *port, bool hung_up)
{
	bool was_up;

	if (hung_up)
		atomic_store(&port->lost, true);
	if (!atomic_load(&port->lost))
		return;
	pthread_mutex_lock(&port->lock);
	was_up = port->up;
	vdpdk_disconnect(port);
	pthread_mutex_unlock(&port->lock);
	if (!was_up)
		return;
	PORT_LOG(port, NOTICE, "the host is gone; the link is down until it comes back");
	/* Before the next session: a program is told of each loss, however short. */
	tell_link(port);
}

/** True for what every end and restart of a host looks like on the way. */
static bool
is_expected(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET ||
	       error == -EPIPE;
}

static void
try_to_connect(struct vdpdk_port *port, int *last_error)
{
	const char *reason = "";
	int ret = vdpdk_connect(port, &reason);

	if (ret == 0)
		PORT_LOG(port, NOTICE, "the host is back");
	else if (ret != *last_error && !is_expected(ret))
		PORT_LOG(port, ERR, "can't connect to %s again: %s (%s)", port->args.path, reason,
			rte_strerror(-ret));
	*last_error = ret;
}

/** What the thread waits for, and until when. */
static int
wait_for_news(struct vdpdk_port *port, uint64_t due_ns, bool *ret_hung_up)
{
	struct pollfd fds[] = {
		{ .fd = port->wake_fd, .events = POLLIN },
		{ .fd = port->control_fd, .events = POLLIN },
		{ .fd = -1, .events = POLLRDHUP },
	};
	int n;

	pthread_mutex_lock(&port->lock);
	if (port->up)
		fds[2].fd = port->transport->ops->get_watch_fd(port->transport);
	else
		due_ns = RTE_MIN(due_ns, nmx_base_read_clock_ns() + RETRY_NS);
	pthread_mutex_unlock(&port->lock);
	n = poll(fds, RTE_DIM(fds), nmx_base_count_ms_until(due_ns, nmx_base_read_clock_ns()));
	if (n > 0 && fds[0].revents != 0)
		read_away(port->wake_fd);
	if (n > 0 && fds[1].revents != 0)
		read_away(port->control_fd);
	*ret_hung_up = n > 0 && (fds[2].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
	return n;
}

static void *
run(void *opaque)
{
	struct vdpdk_port *port = opaque;
	uint64_t due_ns = NMX_NEVER_NS;
	int last_error = 0;
	bool hung_up, up;

	for (;;) {
		wait_for_news(port, due_ns, &hung_up);
		if (atomic_load(&port->stopping))
			return NULL;
		check_loss(port, hung_up);
		pthread_mutex_lock(&port->lock);
		up = port->up;
		pthread_mutex_unlock(&port->lock);
		if (!up)
			try_to_connect(port, &last_error);
		tell_faults(port);
		tell_link(port);
		pthread_mutex_lock(&port->lock);
		due_ns = vdpdk_release_quarantine(port, nmx_base_read_clock_ns());
		pthread_mutex_unlock(&port->lock);
	}
}

int
vdpdk_start_thread(struct vdpdk_port *port)
{
	int ret = rte_ctrl_thread_create(&port->thread, "nmx-session", NULL, run, port);

	port->has_thread = ret == 0;
	return ret < 0 ? ret : -ret;
}

void
vdpdk_stop_thread(struct vdpdk_port *port)
{
	if (!port->has_thread)
		return;
	atomic_store(&port->stopping, true);
	vdpdk_wake_thread(port);
	pthread_join(port->thread, NULL);
	port->has_thread = false;
}
