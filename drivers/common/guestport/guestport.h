/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A guest's host side: everything between one guest and a DPDK program.
 *
 * A guestport has a socket, of vfio-user or vhost-user, serves one guest at a time, and moves
 * frames between mbufs and that guest's rings. A shell (drivers/common/guestshell) makes an ethdev
 * port of it; a multiplexer uses many directly. Names say the direction as the host sees it: to the
 * guest, from the guest.
 *
 * Threads. A *data thread* owns a queue of one direction while it calls that queue's functions; two
 * queues may have two threads. Everything else may be called by any thread and takes the control
 * lock; one *control thread* of the process serves all sockets under the same lock. No function
 * waits for a guest.
 */

#ifndef NMX_GUESTPORT_H
#define NMX_GUESTPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

struct nmx_guestport;
struct nmx_rxmap;
struct nmx_to_guest;
struct nmx_from_guest;

/** Bytes that a frame may have beyond its MTU: Ethernet header and two VLAN tags. */
#define NMX_FRAME_OVERHEAD_BYTES 22
/** The largest frame either way, without FCS. */
#define NMX_FRAME_BYTES_MAX 9728
#define NMX_MTU_MIN         68
#define NMX_MTU_MAX         (NMX_FRAME_BYTES_MAX - NMX_FRAME_OVERHEAD_BYTES)
#define NMX_MTU_DEFAULT     1500
/** What the port tells as its speed: memory has none, programs want a number. */
#define NMX_LINK_SPEED_MBPS 10000
/** The most addresses that a guest may be confined to. */
#define NMX_MACS_MAX 16

/** What a guest has, and how it is talked to. */
enum nmx_guest_kind {
	NMX_GUEST_VDPDK,  /* the vDPDK device, over vfio-user */
	NMX_GUEST_VIRTIO, /* a virtio network device, over vhost-user */
};

/** Whether a guest's posted buffers are lent to uplinks: nmx_guestport_lend_to(). */
enum nmx_guest_mode {
	NMX_GUEST_AUTO, /* where that can be */
	NMX_GUEST_MAP,  /* guests that can't have it aren't served */
	NMX_GUEST_COPY, /* never */
};

struct nmx_guestport_config {
	enum nmx_guest_kind kind;
	bool connects;          /* to the guest's socket, again and again; else it listens */
	const char *path;       /* of the socket */
	const char *name;       /* for log lines; kept as a copy */
	uint16_t n_queue_pairs; /* 1 to VDPDK_QUEUE_PAIRS_MAX */
	uint8_t mac[6];         /* the guest's, until it sets another; vDPDK's */
	/** The only addresses that it may set; none: any. Kept as a copy. */
	const struct rte_ether_addr *macs;
	uint16_t n_macs;             /* at most NMX_MACS_MAX */
	uint64_t mem_bytes_max;      /* that a guest may map */
	uint32_t signals_max;        /* a second, to the guest; 0: any number */
	enum nmx_guest_mode lending; /* of its posted buffers */
	uint32_t offloads;           /* NMX_OFFLOAD_*, offered to the guest; virtio's */
	bool without_vectors;        /* the guest polls; for a virtual machine only; vDPDK's */
	/**
	 * Tx queues of an uplink that are the guest's queues' own, for what is sent in place; they
	 * outlive the port. n_txs may be less than n_queue_pairs.
	 */
	struct nmx_rxmap_tx *const *txs;
	uint16_t n_txs;
	mode_t mode; /* of the socket's file */
	uid_t user;  /* its owner; -1: this process' */
	gid_t group; /* -1: this process' */
	/** The guest's driver runs now, or doesn't any more. The control thread, its lock not held:
	 * may call into the port.
	 */
	void (*link_changed)(void *context, bool linked);
	void *context;
};

/* What may be left of a frame for others to do: offload.h. */
#define NMX_OFFLOAD_CSUM 0x1 /* the checksum of TCP or UDP */
#define NMX_OFFLOAD_TSO  0x2 /* cutting a large frame of TCP; with the former only */

/** A large frame from the guest has at most so many bytes. */
#define NMX_LARGE_BYTES_MAX (65535 + 18)

/** Why a frame didn't get to the guest. */
enum nmx_to_guest_drop {
	NMX_TO_GUEST_NO_QUEUE,  /* the guest hasn't started the queue, or it is in error */
	NMX_TO_GUEST_TOO_LONG,  /* longer than its buffers, or than its MTU allows */
	NMX_TO_GUEST_MALFORMED, /* mbuf lengths contradict each other, or under 14 bytes */
	NMX_TO_GUEST_OFFLOAD,   /* it asks for what the guest doesn't do, or makes no sense */
	NMX_TO_GUEST_DROPS
};

/** Why a frame of the guest's went no further. */
enum nmx_from_guest_drop {
	NMX_FROM_GUEST_TOO_LONG, /* longer than the port's MTU allows, or than its mbufs */
	NMX_FROM_GUEST_OFFLOAD,  /* it asks for what can't be done to such a frame */
	NMX_FROM_GUEST_DROPS
};

struct nmx_to_guest_counters {
	uint64_t frames, bytes;
	uint64_t mapped; /* of the frames: they were in a buffer of the guest's already */
	uint64_t drops[NMX_TO_GUEST_DROPS];
	uint64_t signals;
	uint64_t late_signals; /* over the budget: sent a millisecond later, many as one */
};

struct nmx_from_guest_counters {
	uint64_t frames, bytes;
	uint64_t drops[NMX_FROM_GUEST_DROPS];
	uint64_t no_mbuf;  /* bursts that ended for want of mbufs; nothing is lost by that */
	uint64_t attached; /* frames that are sent from the guest's memory */
};

/** What a guest did that stopped a queue of its. */
enum nmx_guest_fault {
	NMX_GUEST_FAULT_FLAGS,
	NMX_GUEST_FAULT_CHAIN,
	NMX_GUEST_FAULT_LENGTH,
	NMX_GUEST_FAULT_ADDRESS,
	NMX_GUEST_FAULT_RING_GONE,
	NMX_GUEST_FAULT_INDEX,
	NMX_GUEST_FAULT_ID,
	NMX_GUEST_FAULTS,
};

/** Of the port as a whole. */
struct nmx_guestport_counters {
	uint64_t sessions; /* clients that were served */
	uint64_t resets;   /* of the device, by whatever way */
	uint64_t faults;   /* queues stopped for what the guest did */
	uint64_t faults_by_reason[NMX_GUEST_FAULTS];
	uint64_t requests, refused_requests;
	uint64_t ignored_writes, ignored_doorbells;
	uint64_t forced_answers; /* requests that a hanging data thread would have kept waiting */
};

/**
 * Listen for a guest.
 *
 * @param config      constant during the call only, but for link_changed's context
 * @param ret_reason  on failure: one sentence, why and what to do; constant
 * @return 0; -errno
 */
int nmx_guestport_create(const struct nmx_guestport_config *config, struct nmx_guestport **ret_port,
	const char **ret_reason);

/**
 * Begin to end a port, and return at once: no further client comes in, and the present one is told
 * (REMOVED, link down, vector 0). It has two seconds to hang up, or to reset the device and switch
 * bus mastering off, and is served as long; then its session ends. Ports that are ended together
 * take these seconds together.
 *
 * Context: no data thread uses the port any more.
 */
void nmx_guestport_begin_destroy(struct nmx_guestport *port);

/**
 * End it all, having begun or not: waits until the guest has let go, or its time is over.
 * From link_changed it waits for no driver. Context: no data thread uses the port any more. NULL is
 * nothing.
 */
void nmx_guestport_destroy(struct nmx_guestport *port);

/** Whether the host's program polls: the guest's link. */
void nmx_guestport_set_polled(struct nmx_guestport *port, bool polled);

/** Whether a guest's driver runs: the host's link. */
bool nmx_guestport_is_linked(const struct nmx_guestport *port);

/** The longest frame that is taken from the guest is this and the overhead. */
void nmx_guestport_set_mtu(struct nmx_guestport *port, uint16_t mtu);

void nmx_guestport_get_counters(
	const struct nmx_guestport *port, struct nmx_guestport_counters *ret_counters);

/* --- To the guest --- */

struct nmx_to_guest *nmx_guestport_get_to_guest(struct nmx_guestport *port, uint16_t index);

/**
 * Give frames to the guest.
 *
 * @return frames consumed: delivered, or dropped with a counter. The others found no posted buffer,
 *         or a fault of the guest's, and stay the caller's, who may try again or drop them
 *
 * Context: data thread. Doesn't wait or allocate; to signal, and to report a fault, it makes a
 * system call, the first round a lock that lcores share whose numbers agree modulo 8.
 */
uint16_t nmx_guestport_send(struct nmx_to_guest *queue, struct rte_mbuf **mbufs, uint16_t n);

/**
 * As nmx_guestport_send(), but all mbufs stay the caller's: for one frame to many guests, and for
 * what nmx_guestport_open_peek() shows.
 *
 * @return frames delivered, or dropped with a counter
 */
uint16_t nmx_guestport_relay(struct nmx_to_guest *queue, struct rte_mbuf **mbufs, uint16_t n);

/**
 * Make a frame ready for nmx_guestport_send(), if it asks for something (RTE_MBUF_F_TX_*): what the
 * guest doesn't do is done here, the frame written to.
 *
 * @return 0; -ENOTSUP it can't be done: the guest takes no large frames, or the protocol is
 *         unknown; -EINVAL the lengths of the frame's headers contradict them
 *
 * Context: data thread; the mbuf is the caller's, its headers in its first segment.
 */
int nmx_guestport_prepare(const struct nmx_to_guest *queue, struct rte_mbuf *mbuf);

/**
 * Lend the buffers that the guest posts in a queue to a map, so that frames come in them. From then
 * on nmx_guestport_send() and the uplink's bursts share a lock, which is free if one thread calls
 * both. Takes two seconds at most, for bursts to see it.
 *
 * @return 0, or it does already; -EEXIST the queue lends to another map, or another queue to this
 * one; -EBUSY a burst doesn't end; -ENOSPC it lends to too many devices; -ENOMEM
 *
 * Context: any thread but a data thread. Either may be ended first.
 */
int nmx_guestport_lend_to(struct nmx_to_guest *queue, struct nmx_rxmap *map);

/**
 * Lend no more, and wait, two seconds at most, until all that was lent is back.
 *
 * @return 0: the map has no lender (or never had one); -EBUSY: something is out, and the map is to
 * be kept for ever; it lends nothing any more
 *
 * Context: any thread but a data thread.
 */
int nmx_guestport_stop_lending_to(struct nmx_rxmap *map);

/** A port of this process by the name in its configuration; NULL: there is none. */
struct nmx_guestport *nmx_guestport_find(const char *name);

uint16_t nmx_guestport_count_queue_pairs(const struct nmx_guestport *port);

/** True if the guest has started the queue. Any thread; may change at any time. */
bool nmx_guestport_is_started(const struct nmx_to_guest *queue);

/** Any thread; numbers may be a burst old. */
void nmx_guestport_get_to_counters(
	const struct nmx_to_guest *queue, struct nmx_to_guest_counters *ret_counters);

/* --- From the guest --- */

struct nmx_from_guest *nmx_guestport_get_from_guest(struct nmx_guestport *port, uint16_t index);

/**
 * Say where frames go. Context: before the queue is polled.
 *
 * @param pool     for mbufs
 * @param port_id  for their port field
 * @param scatter  frames may take several mbufs
 */
void nmx_guestport_set_pool(
	struct nmx_from_guest *queue, struct rte_mempool *pool, uint16_t port_id, bool scatter);

/**
 * Say what the program does to frames itself. Context: before the queue is polled.
 *
 * @param offloads  NMX_OFFLOAD_*; what isn't among them is done here, but large frames are dropped
 */
void nmx_guestport_set_offloads(struct nmx_from_guest *queue, uint32_t offloads);

/**
 * Whether large frames are given as an mbuf with their first bytes and one on the rest, in the
 * guest's memory, which is the guest's again when that is freed; see attach.h. From the next start
 * of the guest's queue on. For programs that poll, and only where all mbufs can be freed one by one
 * (no RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) and devices know memory by its virtual address.
 */
void nmx_guestport_set_attaching(struct nmx_from_guest *queue, bool attaches);

/**
 * Take frames from the guest.
 *
 * @return frames in mbufs, at most n
 *
 * Context: data thread. Doesn't wait, lock or allocate but from the pool.
 */
uint16_t nmx_guestport_receive(struct nmx_from_guest *queue, struct rte_mbuf **mbufs, uint16_t n);

/** What is shown of a frame in host memory: it holds all headers that anyone decides by. */
#define NMX_PEEK_HEAD_BYTES 128

/** Room for looking at one burst; serves any queue, one data thread. */
struct nmx_peek;

/** @return 0; -ENOMEM */
int nmx_guestport_create_peek(struct nmx_peek **ret_peek);
/** Context: not open. NULL is nothing. */
void nmx_guestport_destroy_peek(struct nmx_peek *peek);

/**
 * Look at frames of the guest without copying them: to be delivered by nmx_guestport_relay() to
 * another guest, or copied into mbufs of a port.
 *
 * A frame is a chain of mbufs that own nothing and mustn't be freed, kept or changed. The first one
 * has the first NMX_PEEK_HEAD_BYTES, or all of a shorter frame, in host memory. What follows lies
 * in the guest's and may change at any time: copy it once, decide nothing by it.
 *
 * @param ret_mbufs  at least n; valid until nmx_guestport_close_peek()
 * @return frames in ret_mbufs, at most n; 0: nothing is open, and nothing to be closed
 *
 * Context: data thread, of the queue and of `peek`. Doesn't wait, lock or allocate.
 */
uint16_t nmx_guestport_open_peek(struct nmx_peek *peek, struct nmx_from_guest *queue,
	struct rte_mbuf **ret_mbufs, uint16_t n);

/**
 * Make mbufs of frames shown that are sent from where they lie: as nmx_guestport_receive() gives
 * them after nmx_guestport_set_attaching(), from the queue's pool (nmx_guestport_set_pool()). Only
 * for a queue with a Tx queue of its own.
 *
 * @param shown  of this burst's, in their order, each once
 * @param mbufs  as many raw ones of that pool; filled in where a bit is set
 * @param n      at most 32
 * @return a bit for each that is made; the others are to be copied
 *
 * Context: open.
 */
uint32_t nmx_guestport_attach_shown(
	struct nmx_peek *peek, struct rte_mbuf *const *shown, struct rte_mbuf **mbufs, uint16_t n);

/** Give the guest back the buffers of all frames shown, but for those attached. */
void nmx_guestport_close_peek(struct nmx_peek *peek);

/**
 * Ask to be woken through nmx_guestport_get_wake_fd() when there is something to receive; looks at
 * once, so that what is there already wakes, too. Context: data thread.
 */
void nmx_guestport_arm(struct nmx_from_guest *queue);

/** Ask for nothing any more. Context: data thread. */
void nmx_guestport_disarm(struct nmx_from_guest *queue);

/**
 * A file descriptor to wait on, edge-triggered, and never to be read: an epoll instance, the
 * queue's for its whole life, that holds the present session's doorbell.
 */
int nmx_guestport_get_wake_fd(const struct nmx_from_guest *queue);

/** Any thread; numbers may be a burst old. */
void nmx_guestport_get_from_counters(
	const struct nmx_from_guest *queue, struct nmx_from_guest_counters *ret_counters);

#endif
