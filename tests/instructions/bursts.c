/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-bursts [EAL options] -- ROUNDS [mapped|shown]: all four bursts of a vDPDK device, one after
 * the other, in one thread, for callgrind to count what they execute. With a third word the frames
 * come in the guest's own buffers, and, if it is "shown", are made fit for any program.
 *
 * Theory of operation
 *
 * The bursts are the object files of the plugins. Control sides, sockets and maps there are none:
 * both ends of two rings are made here by hand, as QUEUE_START would make them, over memory that
 * both ends address alike. So nothing runs beside, and each round executes the same:
 *
 *   refill()                  takes BURST mbufs, as a NIC's driver does
 *   nmx_rxmap_show()          if they are to be shown
 *   nmx_guestport_send()      BURST frames of FRAME_BYTES, one segment each
 *   vdpdk_receive()           gets them all, and posts as many buffers
 *   vdpdk_transmit()          sends them back; frees what the device has given back
 *   nmx_guestport_receive()   gets them all
 *
 * (The host end can't be had whole: it reserves 64 GiB of addresses for a guest, and valgrind has
 * no room for that.) Prints "frames N" at the end.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "drivers/common/guestport/control.h"
#include "drivers/common/guestport/port.h"
#include "drivers/common/rxmap/pool.h"
#include "drivers/common/rxmap/recaller.h"
#include "drivers/common/rxmap/telemetry.h"
/* Each end has macros of these names. */
#undef BURST_MAX
#undef PORT_LOG
#include "drivers/net/vdpdk/vdpdk.h"

#define MBUFS       4095
#define SLOTS       256
#define BURST       32
#define FRAME_BYTES 64

/** All of the address space as one region that the guest has mapped, at the guest's addresses. */
static struct {
	struct nmx_mem_view view;
	struct nmx_mem_region region;
} everything = {
	.view = { .generation = 1, .n_regions = 1 },
	.region = { .size = UINT64_MAX, .protection = NMX_MEM_READ | NMX_MEM_WRITE | NMX_MEM_DMA },
};

static struct nmx_guestport host;
static struct nmx_to_guest to_guest;
static struct nmx_from_guest from_guest;
static struct vdpdk_port guest;
static struct vdpdk_rx_queue guest_rx;
static struct vdpdk_tx_queue guest_tx;

/* --- What the bursts call of the sides that aren't here --- */

int nmx_guestport_logtype;

static bool strayed; /* into what no burst of this program should call */

const struct nmx_mem_view *
nmx_mem_get_view(const struct nmx_mem *mem)
{
	(void)mem;
	return &everything.view;
}

const struct nmx_mem_region *
nmx_mem_find_region(const struct nmx_mem_view *view, uint64_t address)
{
	(void)view;
	(void)address;
	return &everything.region;
}

bool
nmx_guestport_ring_bell(struct nmx_guestport *port, struct guest_bell *bell)
{
	(void)port;
	(void)bell;
	strayed = true;
	return true;
}

void
nmx_guestport_send_signal(int fd)
{
	(void)fd;
	strayed = true;
}

void
nmx_control_wake(void)
{
	strayed = true;
}

void
nmx_guestport_set_fault(struct nmx_guestport *port, struct guest_ring *ring,
	_Atomic(struct guest_ring *) *active, uint16_t fault)
{
	(void)port;
	(void)ring;
	(void)active;
	(void)fault;
	strayed = true;
}

/* --- What lending calls of its control side --- */

void
nmx_control_lock(void)
{
}

void
nmx_control_unlock(void)
{
}

bool
nmx_guestport_advance(struct nmx_guestport *port, uint64_t now_ns)
{
	(void)now_ns;
	nmx_base_advance_grace(&port->grace);
	return true;
}

int
nmx_guestport_enter_domain(struct nmx_to_guest *queue, const struct nmx_rxmap *map)
{
	(void)queue;
	(void)map;
	return 0;
}

void
nmx_guestport_leave_domain(struct nmx_to_guest *queue)
{
	(void)queue;
}

void
nmx_guestport_leave_tx_domain(struct nmx_from_guest *queue)
{
	(void)queue;
}

int
nmx_guestport_revoke_memory(struct nmx_guestport *port)
{
	(void)port;
	strayed = true;
	return 0;
}

void
nmx_mem_keep_zeroes(struct nmx_mem *mem)
{
	(void)mem;
	strayed = true;
}

void
nmx_rxmap_recall(struct nmx_rxmap_queue *queue)
{
	(void)queue;
	strayed = true;
}

void
nmx_rxmap_add_queue(struct nmx_rxmap_recaller *recaller, struct nmx_rxmap_queue *queue)
{
	(void)recaller;
	(void)queue;
}

void
nmx_rxmap_remove_queue(struct nmx_rxmap_queue *queue)
{
	(void)queue;
}

void
nmx_rxmap_show_in_telemetry(struct nmx_rxmap *map)
{
	(void)map;
}

void
nmx_rxmap_hide_in_telemetry(struct nmx_rxmap *map)
{
	(void)map;
}

void
vdpdk_wake_thread(struct vdpdk_port *port)
{
	(void)port;
	strayed = true;
}

/* --- Making both ends --- */

/** The guest's end of a ring. @return false without memory */
static bool
make_guest_end(struct vdpdk_queue *queue)
{
	queue->memory.start = aligned_alloc(VDPDK_RING_ALIGN, VDPDK_RING_BYTES(SLOTS));
	queue->mbufs = calloc(SLOTS, sizeof(*queue->mbufs));
	queue->ids.fifo = calloc(SLOTS, sizeof(*queue->ids.fifo));
	if (queue->memory.start == NULL || queue->mbufs == NULL || queue->ids.fifo == NULL)
		return false;
	nmx_ring_init_guest(&queue->ring, queue->memory.start, SLOTS);
	for (uint16_t id = 0; id < SLOTS; id++)
		queue->ids.fifo[id] = id;
	queue->ids.mask = SLOTS - 1;
	queue->n_slots = SLOTS;
	queue->ids.tail = SLOTS;
	queue->port = &guest;
	atomic_store(&queue->running, true);
	return true;
}

/** The host's end of the same. @return NULL without memory */
static struct guest_ring *
make_host_end(const struct vdpdk_queue *queue)
{
	size_t bytes = sizeof(struct guest_ring) + SLOTS * sizeof(struct nmx_ring_slot);
	struct guest_ring *ring = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(bytes, (size_t)RTE_CACHE_LINE_SIZE));

	if (ring == NULL)
		return NULL;
	memset(ring, 0, bytes);
	nmx_ring_init_host(&ring->half.vdpdk, queue->ring.header, ring->taken, SLOTS);
	ring->bell.word = &queue->ring.header->driver.event_seq;
	return ring;
}

static bool
make_ends(struct rte_mempool *host_pool, struct rte_mempool *guest_pool)
{
	guest.info.tx_frame_max = NMX_FRAME_BYTES_MAX;
	atomic_store(&host.to_guest_bytes_max, NMX_FRAME_BYTES_MAX);
	atomic_store(&host.from_guest_bytes_max, NMX_FRAME_BYTES_MAX);
	to_guest.port = from_guest.port = &host;
	nmx_guestport_set_pool(&from_guest, host_pool, 0, false);
	if (!make_guest_end(&guest_rx.common) || !make_guest_end(&guest_tx.common))
		return false;
	guest_rx.pool = guest_pool;
	/* data_off, refcnt 1, nb_segs 1, port 0 */
	guest_rx.rearm = (uint64_t)RTE_PKTMBUF_HEADROOM | UINT64_C(1) << 16 | UINT64_C(1) << 32;
	guest_rx.buffer_bytes = RTE_MBUF_DEFAULT_DATAROOM;
	guest_tx.fast_free = true;
	guest_tx.reachable_bytes = UINTPTR_MAX;
	guest_tx.bell.word = &guest_tx.common.ring.header->device.event_seq;
	atomic_store(&to_guest.active, make_host_end(&guest_rx.common));
	atomic_store(&from_guest.active, make_host_end(&guest_tx.common));
	return atomic_load(&to_guest.active) != NULL && atomic_load(&from_guest.active) != NULL;
}

/* --- Running --- */

/** A map for the guest's buffers. @return NULL without memory */
static struct nmx_rxmap *
make_map(bool shown)
{
	const struct nmx_rxmap_config config = {
		.name = "map",
		.n_shells = SLOTS,
		.room = RTE_MBUF_DEFAULT_DATAROOM,
		.socket = SOCKET_ID_ANY,
		.shown = shown,
	};
	struct nmx_rxmap *map;
	const char *reason;

	if (nmx_rxmap_create(&config, &map, &reason) != 0)
		return NULL;
	atomic_store(&map->verdict, NMX_RXMAP_HOLDS_NOTHING);
	return nmx_guestport_lend_to(&to_guest, map) == 0 ? map : NULL;
}

/** What a NIC's driver does to get buffers. @return false without */
static __rte_noinline bool
refill(struct rte_mempool *pool, struct rte_mbuf **mbufs)
{
	return rte_mempool_get_bulk(pool, (void **)mbufs, BURST) == 0;
}

/** Make a burst of frames. @return false without mbufs */
static bool
make_frames(struct rte_mempool *pool, struct rte_mbuf **mbufs)
{
	if (!refill(pool, mbufs))
		return false;
	for (unsigned int i = 0; i < BURST; i++) {
		rte_pktmbuf_reset(mbufs[i]);
		rte_pktmbuf_append(mbufs[i], FRAME_BYTES);
	}
	return true;
}

/**
 * To the guest and back.
 *
 * @param pool  where frames for the guest come from, a map's
 * @return false if a burst didn't do all of its frames
 */
static bool
run_round(struct rte_mempool *pool, const struct nmx_rxmap *map)
{
	struct rte_mbuf *mbufs[BURST];

	if (!make_frames(pool, mbufs))
		return false;
	if (map != NULL && map->shown)
		nmx_rxmap_show(map, mbufs, BURST);
	if (nmx_guestport_send(&to_guest, mbufs, BURST) != BURST ||
		vdpdk_receive(&guest_rx, mbufs, BURST) != BURST ||
		vdpdk_transmit(&guest_tx, mbufs, BURST) != BURST ||
		nmx_guestport_receive(&from_guest, mbufs, BURST) != BURST)
		return false;
	rte_pktmbuf_free_bulk(mbufs, BURST);
	return true;
}

/** @param form  NULL: copies; "mapped" or "shown" */
static unsigned long
run(unsigned long rounds, const char *form)
{
	struct rte_mempool *host_pool = rte_pktmbuf_pool_create(
		"host", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	struct rte_mempool *guest_pool = rte_pktmbuf_pool_create(
		"guest", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	struct rte_mempool *pool = host_pool;
	struct nmx_rxmap *map = NULL;
	unsigned long done = 0;

	if (host_pool == NULL || guest_pool == NULL || !make_ends(host_pool, guest_pool))
		return 0;
	vdpdk_refill(&guest_rx);
	if (form != NULL) {
		map = make_map(strcmp(form, "shown") == 0);
		if (map == NULL)
			return 0;
		pool = nmx_rxmap_get_pool(map);
	}
	while (done < rounds && run_round(pool, map) && !strayed)
		done++;
	/* All by the way that was meant. */
	return to_guest.counters.mapped == (form == NULL ? 0 : done * BURST) ? done : 0;
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	unsigned long rounds, done;

	if (used < 0 || argc - used < 2) {
		fprintf(stderr, "nmx-bursts: [EAL] -- ROUNDS [mapped|shown]\n");
		return 1;
	}
	rounds = strtoul(argv[used + 1], NULL, 0);
	done = run(rounds, argv[used + 2]);
	rte_eal_cleanup();
	if (done < rounds) {
		fprintf(stderr, "nmx-bursts: round %lu of %lu: a burst fell short or strayed\n",
			done + 1, rounds);
		return 1;
	}
	printf("frames %lu\n", done * BURST);
	return 0;
}
