/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * net_vdpdk: the guest's driver of the vDPDK device.
 *
 * Theory of operation
 *
 * The port has at most one *session* with a device. A transport finds and reaches the device (a
 * container's by its vfio-user socket, a virtual machine's as a PCI function); what is above it
 * (handshake, requests, queues, bursts) knows no transport.
 *
 *   DOWN --connect, handshake, queues started--> UP --device lost--> ENDING --host let go--> DOWN
 *
 * A host that has let go reaches no memory of ours any more. Until then nothing that it was given
 * is used again: buffers wait in quarantine, rings and control area stay, and no other session is
 * begun. If a host never lets go and the program wants to be rid of the port, they are kept for
 * ever.
 *
 * A container's host may come back at the same path, so the port waits for it. A PCI function that
 * went doesn't: the program gets RTE_ETH_EVENT_INTR_RMV, once.
 *
 * Queues outlive sessions. A queue's ring is made anew for each: ids and counters start at zero,
 * fresh buffers are posted. Burst functions look at `running` inside their bracket; whoever makes a
 * queue anew takes `running` away and waits until the bracket is quiet. So a program may poll all
 * the time or never, and gets 0 meanwhile.
 *
 * Threads and locks. Bursts: the queue's data thread, no lock. All that talks to the device holds
 * the port's `lock`, and freeing an mbuf under it may run a program's code. The port's session
 * thread watches the connection, connects again, and tells of link changes. EAL calls the memory
 * callback with its own lock held, so that takes the transport's inner lock only, under which
 * nothing but the transport's own work is done.
 */

#ifndef NMX_NET_VDPDK_H
#define NMX_NET_VDPDK_H

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <ethdev_driver.h>

#include "abi/vdpdk.h"
#include "lib/base/bracket.h"
#include "lib/dpdk/counters.h"
#include "lib/ring/ring_event.h"
#include "lib/ring/ring_guest.h"
#include "vdpdk_ids.h"

extern int vdpdk_logtype;

#define VDPDK_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, vdpdk_logtype, "net_vdpdk: " format "\n", ##__VA_ARGS__)
#define PORT_LOG(port, level, format, ...) \
	rte_log(RTE_LOG_##level, vdpdk_logtype, "%s: " format "\n", (port)->name, ##__VA_ARGS__)

#define BURST_MAX 32
/** Features of the device that this driver uses if offered. */
#define VDPDK_FEATURES_USED VDPDK_FEATURE_RX_SCATTER

struct vdpdk_port;
struct vdpdk_transport;

/** What devargs say. */
struct vdpdk_args {
	char *path;             /* of the socket; NULL for a PCI device */
	uint16_t n_queue_pairs; /* wanted; 0: what the device grants */
	struct rte_ether_addr mac;
	bool has_mac;
};

/** Memory that the device is told the address of: one piece in its addresses, too. */
struct vdpdk_shared {
	void *start;
	uint64_t address;
	const struct rte_memzone *zone;
};

/* --- Queues --- */

struct vdpdk_rx_counters {
	uint64_t frames, bytes;
	uint64_t no_mbuf; /* refills that found the pool empty */
};

enum vdpdk_tx_drop {
	VDPDK_TX_ZERO_LENGTH, /* a segment without bytes */
	VDPDK_TX_MALFORMED,   /* too short, too long, too many segments, lengths that contradict */
	VDPDK_TX_DROPS
};

struct vdpdk_tx_counters {
	uint64_t frames, bytes;
	uint64_t drops[VDPDK_TX_DROPS];
	uint64_t bounced; /* copied, since the device can't reach their memory */
	uint64_t doorbells;
	uint64_t lost; /* segments that were with a device that went away */
};

/** Parts that both directions have. */
struct vdpdk_queue {
	struct nmx_bracket bracket;
	atomic_bool running; /* bursts may use the ring */
	_Atomic bool broken; /* the device broke the rules, or stopped the queue */
	bool reported;       /* of that; lock held */
	struct nmx_ring_guest ring;
	struct rte_mbuf **mbufs; /* by id: with the device, or NULL */
	struct vdpdk_ids ids;
	uint32_t n_slots;
	struct vdpdk_shared memory; /* of the ring */
	uint16_t address_offset;    /* in an mbuf: its buffer's address, as the device knows it */
	uint16_t index;
	struct vdpdk_port *port;
};

struct vdpdk_rx_queue {
	struct vdpdk_queue common;
	struct rte_mempool *pool;
	uint64_t rearm;        /* an mbuf's first fields, as a fresh one has them */
	uint16_t buffer_bytes; /* posted length */
	bool scatter;
	struct nmx_ring_arm arm;
	_Atomic bool armed; /* the program sleeps, or is about to */
	int event_fd;       /* the queue's interrupt, for its whole life */
	struct vdpdk_rx_counters counters;
	struct vdpdk_rx_counters base; /* ethdev's statistics count from here */
} __rte_cache_aligned;

struct vdpdk_tx_queue {
	struct vdpdk_queue common;
	bool fast_free;    /* all mbufs of one pool, unshared, single segments */
	uint64_t offloads; /* RTE_ETH_TX_OFFLOAD_* as set up */
	struct rte_mempool *bounce_pool;
	uintptr_t reachable_start,
		reachable_bytes; /* memory that the device reaches: the last hit */
	struct nmx_ring_bell bell;
	struct vdpdk_tx_counters counters;
	struct vdpdk_tx_counters base;
} __rte_cache_aligned;

/* --- Memory --- */

/** A range of EAL's addresses whose pages have files, so that the device can reach them. */
struct vdpdk_range {
	uintptr_t start;
	size_t bytes;
};

/** Mbufs that a lost device may still reach. */
struct vdpdk_quarantine {
	struct rte_mbuf **mbufs;
	uint32_t n, room;
};

/* --- The port --- */

struct vdpdk_port {
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_eth_dev *dev; /* the process' own, primary */
	struct vdpdk_args args;
	const char *where; /* the device: a socket's path or a PCI address */
	struct vdpdk_transport *transport;
	uint16_t n_queue_pairs; /* of the port, for its whole life; settled by the first session */
	struct vdpdk_range ranges[RTE_MAX_MEMSEG_LISTS];
	uint32_t n_ranges;
	bool memory_is_fixed; /* EAL's neither grows nor shrinks */

	pthread_mutex_t lock;
	/* Those that are set up; ethdev's own arrays may move while the session thread looks. */
	struct vdpdk_rx_queue *rx_queues[VDPDK_QUEUE_PAIRS_MAX];
	struct vdpdk_tx_queue *tx_queues[VDPDK_QUEUE_PAIRS_MAX];
	bool up;               /* a session, handshake done */
	bool ending;           /* there was one, and its host hasn't let go yet */
	bool stuck;            /* it never did: what it was given is kept for ever */
	bool started;          /* by the program; queues run while up */
	bool removed;          /* the device goes or went for good */
	bool told_removal;     /* the session thread's */
	bool gone;             /* it went without having let go */
	atomic_bool unplugged; /* EAL says that the device is to be removed */
	uint16_t mtu;          /* wanted by the program */
	bool mac_set;          /* data->mac_addrs[0] is the program's choice */
	uint64_t features;
	struct vdpdk_info info; /* of the last session */
	uint32_t ring_max_log2, ring_recommended_log2;
	struct vdpdk_control_area *area; /* in area_memory */
	struct vdpdk_shared area_memory;
	uint32_t submit_seq; /* of slot 0, the only one used: `lock` allows one request */
	struct vdpdk_quarantine quarantine;

	struct rte_eth_link link; /* as the device says */
	atomic_bool lost;         /* the connection is known to be gone */
	uint64_t sessions, timeouts, faults;
	uint64_t kept;                   /* mbufs that the device never gave back */
	struct nmx_dpdk_counters served; /* to secondaries */

	pthread_t thread;
	bool has_thread;
	int control_fd;                       /* eventfd: vector 0 */
	int event_fds[VDPDK_QUEUE_PAIRS_MAX]; /* vectors of Rx queues */
	int wake_fd;                          /* eventfd: the session thread shall look again */
	int stop_fd; /* eventfd, never read: set, the thread ends and no request waits */
};

/* vdpdk_args.c */

#define VDPDK_ARG_PATH   "path"
#define VDPDK_ARG_QUEUES "queues"
#define VDPDK_ARG_MAC    "mac"

/**
 * Read devargs.
 *
 * @param text      NULL: none
 * @param has_path  a path is wanted; else it isn't known
 * @return 0 and *args, its path to be freed; -EINVAL after one logged sentence
 */
int vdpdk_parse_args(const char *text, bool has_path, struct vdpdk_args *args);

/* vdpdk_ethdev.c */

/** Make a port's transport. @return NULL: no memory */
typedef struct vdpdk_transport *(*vdpdk_make_transport)(struct vdpdk_port *port, void *device);

/**
 * Make the ethdev's port: first session, queues' descriptors, thread. Logs why it fails.
 *
 * @param args    copied; its path is the port's from now on, also on failure
 * @param device  for make()
 */
int vdpdk_init_port(struct rte_eth_dev *dev, const struct vdpdk_args *args,
	vdpdk_make_transport make, void *device);
/** Of a secondary's view of the port. */
extern const struct eth_dev_ops vdpdk_view_operations;

/* vdpdk_queue.c: queues on the control side. */

int vdpdk_set_up_rx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_slots,
	unsigned int socket, const struct rte_eth_rxconf *conf, struct rte_mempool *pool);
int vdpdk_set_up_tx_queue(struct rte_eth_dev *dev, uint16_t index, uint16_t n_slots,
	unsigned int socket, const struct rte_eth_txconf *conf);
void vdpdk_release_rx_queue(struct rte_eth_dev *dev, uint16_t index);
void vdpdk_release_tx_queue(struct rte_eth_dev *dev, uint16_t index);
/** True if frames of `mtu` fit into what all Rx queues post; else logs. Lock held. */
bool vdpdk_check_mtu(const struct vdpdk_port *port, uint16_t mtu);
/** Start all queues with the device. Lock held. @return 0; -errno: the session is to be given up */
int vdpdk_start_queues(struct vdpdk_port *port);
/** Stop all queues with the device, if it is there. All mbufs come back. Lock held. */
void vdpdk_stop_queues(struct vdpdk_port *port);
/** Take all queues away from their bursts, and what the device had into quarantine. Lock held. */
void vdpdk_abandon_queues(struct vdpdk_port *port);
/** Free what is in quarantine: the host has let go. Lock held. */
void vdpdk_release_quarantine(struct vdpdk_port *port);

/* vdpdk_rx.c, vdpdk_tx.c: bursts. */

uint16_t vdpdk_receive(void *queue, struct rte_mbuf **mbufs, uint16_t n);
/** Post what the pool gives, up to the ring's room. Context: bracket held, or not running. */
void vdpdk_refill(struct vdpdk_rx_queue *queue);
/** Wake the program that waits for the queue. Any thread. */
void vdpdk_wake_program(struct vdpdk_rx_queue *queue);
/** Rx interrupt on and off. Data thread. */
int vdpdk_enable_rx_interrupt(struct rte_eth_dev *dev, uint16_t index);
int vdpdk_disable_rx_interrupt(struct rte_eth_dev *dev, uint16_t index);
uint16_t vdpdk_transmit(void *queue, struct rte_mbuf **mbufs, uint16_t n);
/** Free what the device has given back: about n mbufs, 0: all. @return how many */
int vdpdk_clean_up_tx(void *queue, uint32_t n);
/** Judge frames before they are sent. @return the index of the first bad one, or n */
uint16_t vdpdk_prepare(void *queue, struct rte_mbuf **mbufs, uint16_t n);
/** A device's breach, found by a burst: the queue stops until it is started anew. */
void vdpdk_break_queue(struct vdpdk_queue *queue);

/* vdpdk_info.c: what a program may ask about a queue. */

void vdpdk_get_rx_info(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_rxq_info *info);
void vdpdk_get_tx_info(struct rte_eth_dev *dev, uint16_t index, struct rte_eth_txq_info *info);
int vdpdk_get_rx_burst_mode(
	struct rte_eth_dev *dev, uint16_t index, struct rte_eth_burst_mode *mode);
int vdpdk_get_tx_burst_mode(
	struct rte_eth_dev *dev, uint16_t index, struct rte_eth_burst_mode *mode);
/** Slots that the device has filled, and the program hasn't received. Data thread. */
uint32_t vdpdk_count_received(void *queue);
/** RTE_ETH_RX_DESC_* of the slot `offset` behind the next one to be received. Data thread. */
int vdpdk_get_rx_status(void *queue, uint16_t offset);
/** RTE_ETH_TX_DESC_* of the slot `offset` behind the next one to be filled. Data thread. */
int vdpdk_get_tx_status(void *queue, uint16_t offset);

/* vdpdk_bounce.c: frames in memory that the device can't reach. */

/** True if the device reaches the bytes; remembers the range. */
bool vdpdk_find_range(struct vdpdk_tx_queue *queue, const void *start, size_t bytes);
/** Copy a frame into mbufs that the device reaches, and free it. @return NULL: no mbuf, kept */
struct rte_mbuf *vdpdk_bounce_frame(struct vdpdk_tx_queue *queue, struct rte_mbuf *mbuf);
/** Make the queue's pool for that. @return 0; -ENOMEM */
int vdpdk_make_bounce_pool(struct vdpdk_tx_queue *queue, unsigned int socket);
/** Free it, unless the device has some of it for ever. */
void vdpdk_free_bounce_pool(struct vdpdk_tx_queue *queue);

/* vdpdk_memory.c: EAL's memory as the device sees it. */

/** Learn which memory the device can reach. @return 0; -ENOTSUP none; logged */
int vdpdk_find_ranges(struct vdpdk_port *port);
/** Allocate shared memory. @return 0 and *ret; -ENOMEM */
int vdpdk_allocate_shared(const struct vdpdk_port *port, size_t bytes, unsigned int align,
	unsigned int socket, struct vdpdk_shared *ret);
/** Free it; without effect on what was never allocated. */
void vdpdk_free_shared(struct vdpdk_shared *shared);
/** True if [start, start + bytes) lies in memory that the device reaches. */
bool vdpdk_is_reachable(const struct vdpdk_port *port, const void *start, size_t bytes);
/** True if all of a pool's buffers do; else logs why not. */
bool vdpdk_check_pool(const struct vdpdk_port *port, struct rte_mempool *pool);
/** Keep the device in step with EAL's memory, if EAL doesn't itself. @return 0; -errno */
int vdpdk_watch_memory(struct vdpdk_port *port);
void vdpdk_unwatch_memory(struct vdpdk_port *port);

/* vdpdk_device.c: handshake and requests. Lock held. */

/** Take the device from reset to running; fills info, features, ring sizes. @return 0; -errno */
int vdpdk_start_device(struct vdpdk_port *port);
/** Reset it and wait until it is. @return 0; -ETIMEDOUT; -errno */
int vdpdk_reset_device(struct vdpdk_port *port);
/**
 * A request and its answer.
 *
 * @param answer  room for `answer_bytes`, exactly as many are expected; NULL with 0
 * @return 0; -errno made of the answer; -ENOTCONN: the session is lost, and its thread knows
 */
int vdpdk_request(struct vdpdk_port *port, uint32_t op, const void *body, uint32_t body_bytes,
	void *answer, uint32_t answer_bytes);
/** Tell the device what the program wants: MTU, MAC. @return 0; -errno */
int vdpdk_apply_settings(struct vdpdk_port *port);

/* vdpdk_session.c */

/** Connect and start the device, and the queues if the port is started. @return 0; -errno */
int vdpdk_connect(struct vdpdk_port *port, const char **ret_reason);
/** End the session, if there is one. Session thread, or without one. Lock held. */
void vdpdk_disconnect(struct vdpdk_port *port);
/** Have the session given up, by the session thread. Any thread. */
void vdpdk_lose_session(struct vdpdk_port *port);
/** Make the interrupts of all queues. @return 0; -errno */
int vdpdk_make_interrupts(struct vdpdk_port *port, struct rte_intr_handle **ret_handle);
/**
 * Wait until a lost session's host has let go, for a while. Lock not held.
 *
 * @return false: it hasn't; what it was given is kept for ever now
 */
bool vdpdk_wait_for_end(struct vdpdk_port *port);
int vdpdk_start_thread(struct vdpdk_port *port);
/** Stop it; called by itself, in a program's callback, it ends after that. */
void vdpdk_stop_thread(struct vdpdk_port *port);
/** Let the session thread look again. Any thread. */
void vdpdk_wake_thread(struct vdpdk_port *port);
/** The link as ethdev shall show it. @return 0 if it changed */
int vdpdk_update_link(struct rte_eth_dev *dev, int wait);

/* vdpdk_stats.c: in secondaries, too. */

/** Answer secondaries from now on; nmx_dpdk_end_counters(&port->served) ends that. */
void vdpdk_serve_counters(struct vdpdk_port *port);
int vdpdk_get_stats(struct rte_eth_dev *dev, struct rte_eth_stats *stats);
int vdpdk_reset_stats(struct rte_eth_dev *dev);
int vdpdk_get_xstats(struct rte_eth_dev *dev, struct rte_eth_xstat *xstats, unsigned int n);
int vdpdk_get_xstats_names(
	struct rte_eth_dev *dev, struct rte_eth_xstat_name *names, unsigned int n);

#endif
