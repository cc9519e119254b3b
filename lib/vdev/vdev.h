/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The vDPDK device without a NIC: configuration space, registers, STATUS, control area, requests.
 *
 * Theory of operation
 *
 *            FEATURES_OK accepted          RUNNING, control area good
 *   RESET ------------------------> READY ---------------------------> RUNNING
 *     ^                               |  order broken, area bad           |
 *     |                               +-----------> FAILED <--------------+
 *     +---- backend quiet ---- RESETTING <---- STATUS = 0, FLR, DEVICE_RESET, bus master off,
 *                                              connection lost (from any state)
 *
 * In RESET and READY no memory of the guest is touched. In RUNNING the control area is, and queues
 * may be started. RESETTING lasts until the backend says that no thread can reach guest memory any
 * more. What a state doesn't allow is counted and ignored, or leads to FAILED.
 *
 * A request slot is judged by the device's own done_seq and busy mark, never by what it wrote into
 * guest memory. A request is copied once; the copy is checked and executed. A backend that can't
 * answer at once gets a ticket, good for one answer, that a reset makes void.
 *
 * Threads: one control thread. docs/device.md.
 */

#ifndef NMX_VDEV_VDEV_H
#define NMX_VDEV_VDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/vdpdk.h"
#include "lib/mem/mem.h"
#include "lib/vfu/server.h"

/** What the device grants; what a reset returns to. */
struct nmx_vdev_grant {
	uint16_t vendor_id, device_id;
	uint16_t n_queue_pairs; /* 1 to VDPDK_QUEUE_PAIRS_MAX */
	uint8_t ring_max_log2, ring_recommended_log2;
	uint64_t features; /* VDPDK_FEATURE_* */
	uint32_t rx_frame_max, tx_frame_max;
	uint16_t mtu_min, mtu_max, mtu;
	uint8_t mac[6];
	uint32_t dma_maps_max;
	bool without_vectors; /* no MSI-X: the driver polls */
};

/** A checked QUEUE_START, but for the ring's memory: that is the backend's to translate. */
struct nmx_vdev_queue {
	uint16_t direction; /* VDPDK_DIRECTION_* */
	uint16_t index;     /* below n_queue_pairs */
	bool scatter;
	uint32_t n_slots;
	uint64_t ring_address; /* aligned */
};

/** A request that is answered later. */
struct nmx_vdev_ticket {
	uint32_t generation; /* of the device's life between two resets */
	uint32_t slot;
	uint32_t done_seq; /* of the slot, when it took the request */
};

/** A backend's way to say that it answers later. */
#define NMX_VDEV_LATER UINT32_MAX

/** The data path's side. Answers are VDPDK_ANSWER_*. */
struct nmx_vdev_backend {
	/** The driver runs: link and statistics begin. */
	void (*run)(void *context);
	uint32_t (*start_queue)(void *context, const struct nmx_vdev_queue *queue);
	/** May be NMX_VDEV_LATER, then nmx_vdev_answer() with the ticket. */
	uint32_t (*stop_queue)(
		void *context, uint16_t direction, uint16_t index, struct nmx_vdev_ticket ticket);
	/** Checked: unicast, not zero; in range. */
	uint32_t (*set_mac)(void *context, const uint8_t mac[6]);
	uint32_t (*set_mtu)(void *context, uint16_t mtu);
	/** Counters of one queue pair since the last reset_stats(). */
	void (*get_stats)(void *context, uint16_t index, struct vdpdk_queue_stats *ret_stats);
	void (*reset_stats)(void *context);
	/** Tx queue q has work, said by message. */
	void (*ring_doorbell)(void *context, uint16_t index);
	/** Signal a vector, if the guest has connected it. */
	void (*signal)(void *context, uint16_t vector);
	/** The device failed: begin to stop all queues; nothing is answered. A reset follows. */
	void (*halt)(void *context);
	/**
	 * Stop everything that reaches guest memory. True: done; false: nmx_vdev_finish_reset()
	 * follows. Queues need not be answered.
	 */
	bool (*reset)(void *context);
};

/** What was ignored or refused, for the operator. */
struct nmx_vdev_counters {
	uint64_t requests;
	uint64_t refused_requests; /* answered with anything but OK */
	uint64_t ignored_writes;   /* to registers that aren't there or not now */
	uint64_t ignored_doorbells;
	uint64_t failures; /* STATUS went to FAILED */
	uint64_t resets;
};

struct nmx_vdev;

/**
 * Make a device in state RESET.
 *
 * @param backend  and its context: the caller's, as long as the device
 * @return 0; -ENOMEM
 */
int nmx_vdev_create(const struct nmx_vdev_grant *grant, const struct nmx_vdev_backend *backend,
	void *context, struct nmx_vdev **ret_vdev);

/** Free it. The backend isn't called. NULL is nothing. */
void nmx_vdev_destroy(struct nmx_vdev *vdev);

/** Begin or, with NULL, end a session: the device lives in this address space. In state RESET. */
void nmx_vdev_attach(struct nmx_vdev *vdev, struct nmx_mem *mem);

/** What the vfio-user server has to know. */
void nmx_vdev_describe(const struct nmx_vdev *vdev, struct nmx_vfu_device *ret_device);

/** A checked access of the client's. @return 0; -EINVAL no such region */
int nmx_vdev_read(struct nmx_vdev *vdev, const struct nmx_vfu_access *access, uint8_t *data);

/**
 * @return as nmx_vdev_read(); NMX_VFU_LATER: a write to configuration space that resets, and the
 *         reset isn't done; it is answered when RESETTING ends. Whoever clears bus mastering may
 *         give the device's memory away as soon as that is answered
 */
int nmx_vdev_write(struct nmx_vdev *vdev, const struct nmx_vfu_access *access, const uint8_t *data);

/** Reset as DEVICE_RESET and loss of the connection do: to power-on. True: done already. */
bool nmx_vdev_reset(struct nmx_vdev *vdev);

/** The backend is quiet: RESETTING ends. */
void nmx_vdev_finish_reset(struct nmx_vdev *vdev);

bool nmx_vdev_is_running(const struct nmx_vdev *vdev);
/** True while a driver has written STATUS and not reset it, or a kernel lets it be bus master. */
bool nmx_vdev_is_held(const struct nmx_vdev *vdev);
bool nmx_vdev_is_resetting(const struct nmx_vdev *vdev);

/** Features that the driver took; 0 unless running. */
uint64_t nmx_vdev_get_features(const struct nmx_vdev *vdev);

/** Answer a request; without effect if the ticket is void. */
void nmx_vdev_answer(struct nmx_vdev *vdev, struct nmx_vdev_ticket ticket, uint32_t answer);

/** Set the link; the guest is told if it changed. */
void nmx_vdev_set_link(struct nmx_vdev *vdev, bool up, uint32_t speed_mbps);

/**
 * A queue went to error: count it where the guest sees it, and signal. Without effect unless
 * running: the fault is then of a queue that a driver of before had started.
 */
void nmx_vdev_report_fault(struct nmx_vdev *vdev);

/** Tell the guest that the device goes: REMOVED, link down, vector 0. */
void nmx_vdev_remove(struct nmx_vdev *vdev);

/** Memory was unmapped: a running device whose control area was there fails. */
void nmx_vdev_check_memory(struct nmx_vdev *vdev);

const struct nmx_vdev_counters *nmx_vdev_get_counters(const struct nmx_vdev *vdev);

#endif
