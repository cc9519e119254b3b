/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A guestport's inner state; private to this folder.
 *
 * Theory of operation
 *
 * A queue has a fixed part, which data threads know, and while the guest has it started a *ring*:
 * all that belongs to one run of it. The control thread makes a ring, fills it in and publishes it
 * in the queue's `active`; from then on it is the data thread's, until the control thread takes
 * `active` away and a grace period is over. Then it is the control thread's again.
 *
 *   NONE --start--> ACTIVE --stop, reset, unmap--> DRAINING --grace--> NONE
 *                     |                               ^
 *                     +-- fault, found by the data ---+  (stop or reset)
 *                         thread
 *
 * What a data thread uses of a session (ring, view of memory, descriptors of vectors) it takes
 * inside its bracket, so the same grace period covers it all.
 *
 * "Control" below: the control lock is held.
 */

#ifndef NMX_GUESTPORT_PORT_H
#define NMX_GUESTPORT_PORT_H

#include <stdatomic.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_log.h>

#include "drivers/common/rxmap/loans.h"
#include "front.h"
#include "guest_ring.h"
#include "guestport.h"
#include "lib/base/discard.h"
#include "lib/base/grace.h"
#include "lib/base/rate.h"
#include "lib/mem/dma.h"
#include "lib/mem/mem.h"
#include "lib/stream/path.h"
#include "lib/vdev/vdev.h"
#include "lib/vfu/server.h"
#include "signaler.h"

extern int nmx_guestport_logtype;

#define PORT_LOG(port, level, format, ...)                                                \
	rte_log(RTE_LOG_##level, nmx_guestport_logtype, "%s: " format "\n", (port)->name, \
		##__VA_ARGS__)

#define BURST_MAX   32
#define QUEUES_MAX  VDPDK_QUEUE_PAIRS_MAX
#define VECTORS_MAX (2 * QUEUES_MAX + 1)
#define NO_GRACE    UINT64_C(0)
/** Of a queue pair: to the guest, from the guest, lending. */
#define BRACKETS 3

struct nmx_guestport;

/** What the parked request is. */
enum parked {
	PARKED_UNMAP,
	PARKED_VECTORS,
	PARKED_RESET,
	PARKED_STOP, /* answered when the ring ends */
};

/** How a queue signals its guest. */
struct guest_bell {
	uint16_t vector;
	struct nmx_rate budget; /* in TSC cycles */
	_Atomic bool owes;      /* over its budget: the control thread sends it */
};

struct nmx_to_guest {
	/* Data thread's. */
	struct nmx_bracket bracket;
	_Atomic(struct guest_ring *) active; /* control publishes, the data thread may clear */
	struct nmx_guestport *port;
	uint16_t index;
	struct nmx_to_guest_counters counters;
	struct guest_bell bell;
	_Atomic(struct nmx_rxmap *) map; /* that its buffers are lent to; control publishes */
	struct guest_ring *lender;       /* which of its runs lent; map's `busy` held */
	_Atomic bool lends;              /* control's; false: nothing more, for now */
	struct nmx_bracket lend_bracket; /* of who lends, perhaps another thread */

	/* Control. */
	struct guest_ring *ring __rte_cache_aligned; /* NULL: the guest hasn't started it */
	struct nmx_to_guest_counters guest_base;     /* the guest's statistics count from here */
	uint64_t missed_ns; /* since when something waits for what is lent; 0: nothing does */
	uint64_t recall_ns; /* when it is asked for; not before, even if it is another time */
	struct nmx_mem_domain domain; /* of the map's device; without a key: none */
} __rte_cache_aligned;

struct nmx_from_guest {
	/* Data thread's. */
	struct nmx_bracket bracket;
	_Atomic(struct guest_ring *) active;
	struct rte_mempool *pool;
	struct nmx_guestport *port;
	uint64_t rearm; /* an mbuf's first fields, as a fresh one has them */
	uint16_t index;
	uint16_t room;     /* bytes that an mbuf of the pool holds */
	uint32_t offloads; /* that the program takes: NMX_OFFLOAD_* */
	bool scatter;
	bool sleeps;           /* the program does, now and then */
	_Atomic bool attaches; /* frames to mbufs; of rings that start from now on */
	_Atomic bool armed;    /* the program sleeps, or is about to */
	struct nmx_from_guest_counters counters;
	struct guest_bell bell; /* what it has sent is read */

	/* Control. */
	struct guest_ring *ring __rte_cache_aligned;
	struct nmx_from_guest_counters guest_base;
	struct nmx_rxmap_tx *tx; /* by which alone leaves what is attached; NULL: nobody knows */
	uint64_t recall_ns;      /* as to_guest's */
	struct nmx_mem_domain domain; /* of that queue's device; without a key: none */
	int wake_fd;                  /* epoll instance, for the queue's life */
	int doorbell;                 /* eventfd in it, for the session's; -1 */
	int kick;                     /* the same, of a virtio guest's own; -1 */
} __rte_cache_aligned;

struct nmx_guestport {
	char name[64];
	const struct nmx_guestport_front *front;
	uint16_t n_queue_pairs;
	struct nmx_to_guest *to_guest;
	struct nmx_from_guest *from_guest;
	_Atomic int vectors[VECTORS_MAX];                          /* the guest's eventfds; -1 */
	_Atomic uint32_t to_guest_bytes_max, from_guest_bytes_max; /* frames by MTU */
	_Atomic uint32_t to_guest_may; /* what the guest takes: NMX_RING_MAY_* */
	_Atomic bool linked;
	_Atomic bool lends_nothing; /* until memory that is withdrawn has come back */
	_Atomic bool has_fault;     /* a data thread found one */
	_Atomic bool owes_signals;  /* some queue is over its budget */

	/* Control. */
	void (*link_changed)(void *context, bool linked);
	void *context;
	bool told_linked;
	bool closing;      /* being destroyed: no further client */
	uint32_t slot, id; /* in the control thread's table */
	bool has_signalers;
	char *path; /* of a server to connect to; NULL: we listen */
	struct nmx_stream_listener listener;
	bool listening;           /* the listener is watched */
	uint64_t listener_due_ns; /* before that it isn't to be, nor a server to be tried */
	bool told_absence;        /* of the server */
	struct nmx_bin *bin;      /* of what clients gave and may be slow to close */
	uint64_t mem_bytes_max;
	uint32_t signals_max;
	enum nmx_guest_mode lending;
	struct rte_ether_addr macs[NMX_MACS_MAX]; /* that the guest may set; none: any */
	uint16_t n_macs;
	bool misses_loans;    /* something waits for what queues have lent */
	bool has_mapped;      /* the guest mapped memory in this turn */
	bool told_dma;        /* that some of its memory isn't for devices */
	uint64_t owed_due_ns; /* when owed signals are sent; 0: none is known to be owed */
	/* The front end's: one of them. */
	struct nmx_vdev *vdev;
	struct virtio_front *virtio;

	struct nmx_vfu_device device;
	struct nmx_grace grace;
	const struct nmx_bracket *brackets[BRACKETS * QUEUES_MAX];
	uint32_t brackets_seen[BRACKETS * QUEUES_MAX];
	uint64_t sessions, faults, forced_answers;
	uint64_t faults_by_reason[NMX_GUEST_FAULTS];
	struct nmx_rate log_lines; /* in ns */

	/* Of the session. */
	int connection; /* -1: no client */
	int lost_fd;    /* eventfd: memory vanished; the port's */
	struct nmx_stream_socket socket;
	struct nmx_vfu_server *server;
	struct nmx_mem *mem;
	uint32_t watched;       /* epoll events of the connection */
	bool ending;            /* the client is gone, data threads may not have let go */
	uint64_t removed_ns;    /* when it ends because the port does; 0: it doesn't */
	bool has_left;          /* it has let go of the device since it was told */
	uint64_t reset_grace;   /* when the device's reset is done */
	uint64_t reclaim_grace; /* when withdrawn memory may go */
	uint64_t vector_grace;  /* when old vectors may be closed */
	uint64_t parked_grace;  /* when the parked request is answered */
	enum parked parked;
	bool answered;                      /* it was, at a ring's end */
	int old_vectors[VECTORS_MAX];       /* numbers of vectors that are disconnected; -1 */
	bool replaced_vectors[VECTORS_MAX]; /* by others, in this grace period */
	bool owes_replaced;                 /* they are signalled at its end */

	/* For hang.c. */
	uint64_t turn_ns;           /* of the last look */
	uint64_t period, period_ns; /* the present grace period, and its age */
	uint64_t parked_ns;         /* age of the parked request */
	uint64_t told_period;       /* that has a line in the log */
};

/* ring.c: runs of queues. Control. */

/** Start a queue. @return 0; -EBUSY it runs; -ENOMEM; -EFAULT its ring isn't in memory; -EINVAL */
int nmx_guestport_start_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index,
	const struct ring_plan *plan);
/** A queue's ring, whatever its state; NULL: none. */
struct guest_ring *nmx_guestport_get_ring(
	struct nmx_guestport *port, uint16_t direction, uint16_t index);
/** True if a ring's memory is where it was when the ring was started. */
bool nmx_guestport_is_mapped(const struct nmx_guestport *port, const struct guest_ring *ring);
/** Let data threads use a ring that isn't draining, or not; no wait for those that do. */
void nmx_guestport_enable_ring(
	struct nmx_guestport *port, uint16_t direction, uint16_t index, bool enabled);
/** Take a queue's ring away from its data thread, unless that is done. There is one. */
void nmx_guestport_stop_ring(struct nmx_guestport *port, uint16_t direction, uint16_t index);
/** Take all rings away from their data threads; they go when the grace period is over. */
void nmx_guestport_drop_rings(struct nmx_guestport *port);
/** Stop rings whose memory is in no view any more. */
void nmx_guestport_check_rings(struct nmx_guestport *port);
/** Tell the guest of faults that data threads found. */
void nmx_guestport_report_faults(struct nmx_guestport *port);
/** Memory was taken by force, and is in no view: mark the rings that were in it. */
void nmx_guestport_cut_rings(struct nmx_guestport *port);
/** End what is drained. */
void nmx_guestport_advance_rings(struct nmx_guestport *port);
/** True if some data thread may use a ring. */
bool nmx_guestport_has_rings(struct nmx_guestport *port);

/** Data thread: the guest broke the rules; the queue isn't touched any more. */
void nmx_guestport_set_fault(struct nmx_guestport *port, struct guest_ring *ring,
	_Atomic(struct guest_ring *) *active, uint16_t fault);

/* session.c: one client. Control. */

/** Park the present request until a grace period is over, and nothing is lent. */
void nmx_guestport_park(struct nmx_guestport *port, enum parked what, uint64_t grace);
/** Map some of the guest's memory. As nmx_mem_map(). */
int nmx_guestport_map(struct nmx_guestport *port, const struct nmx_mem_map *map, int *fd);
/**
 * What nmx_mem_unmap() has withdrawn is to go.
 *
 * @return true: the request is parked as PARKED_UNMAP; false: it is done
 */
bool nmx_guestport_let_go(struct nmx_guestport *port);

/** A client connects: serve it, or send it away if there is one already. */
void nmx_guestport_accept(struct nmx_guestport *port, uint64_t now_ns);
/** Do what can be done for the client without waiting, at most one message. */
void nmx_guestport_serve(struct nmx_guestport *port, uint64_t now_ns);
/** The client is gone or thrown out; ends for good in nmx_guestport_advance(). */
void nmx_guestport_end_session(struct nmx_guestport *port, const char *reason);
/** Tell the client that the port ends; its session does when its driver has left, or then. */
void nmx_guestport_remove_session(struct nmx_guestport *port, uint64_t due_ns);
/** Go on with what waits for data threads. @return true if nothing waits any more */
bool nmx_guestport_advance(struct nmx_guestport *port, uint64_t now_ns);
/** When the port is due without an event. */
uint64_t nmx_guestport_get_deadline_ns(const struct nmx_guestport *port);
/** Serve a client whose deadline is over. */
void nmx_guestport_meet_deadline(struct nmx_guestport *port, uint64_t now_ns);

/* lend.c: buffers that are lent to a map. Control, but for what is said. */

/** Data thread: what was lent, or has come back, comes before its number; pairs with the next. */
static inline void
nmx_guestport_show_loans(struct guest_ring *ring)
{
	atomic_store_explicit(&ring->out, ring->half.window.lent, memory_order_release);
}

/** Once a turn: see what isn't back of what rings have lent. */
void nmx_guestport_look_at_loans(struct nmx_guestport *port);
/** True if there was something. */
bool nmx_guestport_has_loans(const struct nmx_guestport *port);
/** Lend nothing from the next grace period on, until nmx_guestport_resume_loans(). */
void nmx_guestport_hold_loans(struct nmx_guestport *port);
void nmx_guestport_resume_loans(struct nmx_guestport *port);
/** End what queues have with maps. @return 0; -EBUSY something lent doesn't come back */
int nmx_guestport_stop_lending(struct nmx_guestport *port);
/** Ask for loans that are waited for. @return true if there are any */
bool nmx_guestport_recall_loans(struct nmx_guestport *port, uint64_t now_ns);

/* dma.c: memory for devices. Control. */

/** The queue will lend to a map. @return 0; -ENOSPC to too many devices; -ENOMEM */
int nmx_guestport_enter_domain(struct nmx_to_guest *queue, const struct nmx_rxmap *map);
/** It won't any more, and nothing is out. */
void nmx_guestport_leave_domain(struct nmx_to_guest *queue);
/** The same of the device that sends a queue's frames in place; before there is a session. */
void nmx_guestport_init_domain(struct nmx_from_guest *queue);
void nmx_guestport_leave_tx_domain(struct nmx_from_guest *queue);
/** A guest's address space is new. @return 0; -ENOMEM */
int nmx_guestport_enter_domains(struct nmx_guestport *port);
/** True if memory waits to be mapped for a device, and can be now. */
bool nmx_guestport_needs_dma(const struct nmx_guestport *port);
/** Map some. */
void nmx_guestport_advance_dma(struct nmx_guestport *port);

/* hang.c: data threads that stay inside a burst. Control. */

/** Once a turn in which something waits for data threads. */
void nmx_guestport_count_wait(struct nmx_guestport *port, uint64_t now_ns);
/** True if the parked request has waited long enough. */
bool nmx_guestport_is_overdue(const struct nmx_guestport *port);
/** Answer it, after having made true what that promises. @return false: it couldn't be */
bool nmx_guestport_force_answer(struct nmx_guestport *port);
/** Take all memory away from data threads, by force; a running device fails. @return 0; -errno */
int nmx_guestport_revoke_memory(struct nmx_guestport *port);

/* vectors.c: the guest's eventfds. Control. */

void nmx_guestport_init_vectors(struct nmx_guestport *port);
/**
 * Connect vectors to eventfds, or with NULL disconnect them.
 *
 * @param fds  those taken over are -1 afterwards
 * @return 1: bursts may still be signalling what was connected before; 0; -errno
 */
int nmx_guestport_swap_vectors(
	struct nmx_guestport *port, uint32_t start, uint32_t count, int *fds);
/** No burst signals what was connected before. */
void nmx_guestport_settle_vectors(struct nmx_guestport *port);
/** No burst signals anything. */
void nmx_guestport_close_vectors(struct nmx_guestport *port);

/** Signal a vector, if connected. Data thread, inside its bracket. */
void nmx_guestport_signal_vector(struct nmx_guestport *port, uint16_t vector);
/** The same of the control thread's. */
void nmx_guestport_signal_own_vector(struct nmx_guestport *port, uint16_t vector);
/** Signal the guest, or leave it to the control thread. @return false: that. As the first. */
bool nmx_guestport_ring_bell(struct nmx_guestport *port, struct guest_bell *bell);
/** Send what data threads owe, once it is due. Control. */
void nmx_guestport_pay_signals(struct nmx_guestport *port, uint64_t now_ns);

/** True if a line about this guest may be logged now. Control. */
bool nmx_guestport_may_log(struct nmx_guestport *port);

#endif
