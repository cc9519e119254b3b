/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Data threads that hang inside a burst, and requests that would wait for them. Control.
 *
 * Theory of operation
 *
 * A parked request is answered when a grace period is over, which takes microseconds, unless a data
 * thread stays inside its burst: in a debugger, or in the driver of a NIC that is dead. But a VMM
 * holds its whole guest while it waits for an answer, and gives up in the end. So a request that
 * has waited for HANG_NS, or finds a period that lasts as long already, is answered all the same,
 * after its promise has been made true by force:
 *
 *   DMA_UNMAP    what was unmapped is blanked; if that can't be done alone (huge pages that it
 *                shares with what stays), or the device doesn't run anyway, all memory is revoked
 *   resets, stop of a virtio queue
 *                all memory is revoked
 *   SET_IRQS     nothing more is to be done; see vectors.c
 *
 * Revoked memory comes back when the period is over (lib/mem/revoke.c); until then a running device
 * fails, and RESETTING lasts. So nobody needs it.
 *
 * Time is the control thread's: a turn counts for TURN_NS at most. When the whole process was
 * stopped and goes on, nothing is overdue.
 */

#include "lib/base/clock.h"
#include "port.h"

#define HANG_NS (500 * NMX_NS_PER_MS)
#define TURN_NS (10 * NMX_NS_PER_MS)

void
nmx_guestport_count_wait(struct nmx_guestport *port, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns > port->turn_ns ? now_ns - port->turn_ns : 0;

	port->turn_ns = now_ns;
	if (port->period != port->grace.started) {
		port->period = port->grace.started;
		port->period_ns = 0;
	}
	passed_ns = RTE_MIN(passed_ns, TURN_NS);
	port->period_ns += passed_ns;
	port->parked_ns += passed_ns;
}

bool
nmx_guestport_is_overdue(const struct nmx_guestport *port)
{
	return port->parked_grace != NO_GRACE &&
	       (port->period_ns >= HANG_NS || port->parked_ns >= HANG_NS);
}

int
nmx_guestport_revoke_memory(struct nmx_guestport *port)
{
	int ret;

	if (nmx_mem_is_revoked(port->mem))
		return 0;
	ret = nmx_mem_revoke(port->mem);
	nmx_guestport_cut_rings(port);
	/* A running device finds its control area gone, and fails; rings are gone. */
	port->front->check_memory(port);
	port->reclaim_grace = port->reset_grace != NO_GRACE ? port->reset_grace
							    : nmx_base_ask_grace(&port->grace);
	return ret;
}

/** @return 0: what the parked request promises is true; -errno */
static int
force_promise(struct nmx_guestport *port)
{
	int ret = -EBUSY;

	switch (port->parked) {
	case PARKED_UNMAP:
		if (port->front->is_running(port))
			ret = nmx_mem_blank(port->mem);
		if (ret == 0)
			nmx_guestport_cut_rings(port);
		return ret == -EBUSY ? nmx_guestport_revoke_memory(port) : ret;
	case PARKED_RESET:
	case PARKED_STOP:
		return nmx_guestport_revoke_memory(port);
	case PARKED_VECTORS:
		port->owes_replaced = true;
		return 0;
	}
	return -EINVAL;
}

/** Once a period: who hangs, and what that means. */
static void
log_hang(struct nmx_guestport *port)
{
	static const char *const bursts[BRACKETS] = { "to", "from", "filling the buffers of" };
	uint32_t i = nmx_base_find_open_bracket(&port->grace);

	if (port->told_period == port->period || !nmx_guestport_may_log(port))
		return;
	port->told_period = port->period;
	if (i == port->grace.n && nmx_guestport_has_loans(port))
		PORT_LOG(port, ERR,
			"buffers that were lent of the guest's have been out for %u ms: it is "
			"answered without them, and their memory is taken from who has them; see "
			"which program holds frames, or whether the uplink's queue can be stopped",
			(unsigned int)(port->parked_ns / NMX_NS_PER_MS));
	if (i == port->grace.n)
		return;
	PORT_LOG(port, ERR,
		"a data thread is inside a burst %s the guest, queue %u, for %u ms or longer: the "
		"guest is answered without it, and what it should have let go is taken from it; "
		"see what that lcore does (a debugger? a NIC that is dead?)",
		bursts[i % BRACKETS], i / BRACKETS,
		(unsigned int)(RTE_MAX(port->period_ns, port->parked_ns) / NMX_NS_PER_MS));
}

bool
nmx_guestport_force_answer(struct nmx_guestport *port)
{
	log_hang(port);
	if (force_promise(port) != 0)
		return false;
	port->forced_answers++;
	port->parked_grace = NO_GRACE;
	port->front->answer(port);
	return true;
}
