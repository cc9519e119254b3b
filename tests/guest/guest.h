/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The light test guest: a vDPDK driver without DPDK, up in milliseconds, well-behaved or not.
 *
 * Its memory is one file, mapped for the device in three parts that can be unmapped one by one:
 * the control area, the rings, the buffers. Device addresses are offsets in the file plus a base.
 */

#ifndef NMX_TEST_GUEST_H
#define NMX_TEST_GUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/vdpdk.h"
#include "lib/ring/ring_event.h"
#include "lib/ring/ring_guest.h"
#include "lib/vfu/client.h"

#define GUEST_BASE         UINT64_C(0x100000000)
#define GUEST_BUFFER_BYTES 2048
#define GUEST_SLOTS        256
#define GUEST_QUEUES_MAX   8

enum guest_part { GUEST_AREA, GUEST_RINGS, GUEST_BUFFERS, GUEST_PARTS };

/** One part of the guest's memory. */
struct guest_map {
	uint64_t offset, bytes; /* in the file */
	bool mapped;            /* the device has it */
};

/** A queue pair. Buffers go round: posted, received, sent back, posted again. */
struct guest_queue {
	struct nmx_ring_guest rx, tx;
	struct nmx_ring_bell bell;
	int doorbell; /* eventfd of the host's */
	uint16_t n_buffers;
	/* Of each buffer, by its id: who has it, to find completions that make no sense. */
	enum { GUEST_FREE, GUEST_POSTED, GUEST_SENT } owner[GUEST_SLOTS];
	uint64_t frames, bytes, errors;
};

/** What the sender sends. */
struct guest_order {
	uint8_t to[6], from[6], forged[6];
	uint16_t bytes;
	uint8_t fill;
};

struct guest {
	struct nmx_vfu_client *client;
	int file;
	uint8_t *memory;
	uint64_t bytes;
	struct guest_map maps[GUEST_PARTS];
	struct vdpdk_control_area *area;
	uint32_t submit_seq;
	struct vdpdk_info info;
	uint16_t n_queues;
	struct guest_queue queues[GUEST_QUEUES_MAX];
	struct guest_order order;
	atomic_bool reflecting, flipping, sending, forging;
};

/* device.c: memory and the device's protocol. Each returns 0 or -errno, and says why on stderr. */

int guest_open(struct guest *guest, const char *path, uint16_t n_queues);
void guest_close(struct guest *guest);
int guest_map(struct guest *guest, enum guest_part part);
int guest_unmap(struct guest *guest, enum guest_part part);
/** From reset to running. */
int guest_start_device(struct guest *guest);
/** A request in slot 0. @return VDPDK_ANSWER_*; -errno */
int guest_request(struct guest *guest, uint32_t op, const void *body, uint32_t bytes);
uint32_t guest_read_register(struct guest *guest, uint32_t offset);
int guest_write_register(struct guest *guest, uint32_t offset, uint32_t value);

/* queue.c: rings and frames. */

/** @param n_posted  buffers of each queue that are posted; the others are free to be sent */
int guest_start_queues(struct guest *guest, uint16_t n_posted);
/** Stop all queues; checks that every buffer came back exactly once. */
int guest_stop_queues(struct guest *guest);
/** Send back what came. @return frames */
unsigned int guest_reflect(struct guest *guest, struct guest_queue *queue);
/** Hand one slot over as it is, good or bad. */
void guest_submit_raw(struct nmx_ring_guest *ring, uint64_t w0, uint64_t w1);
/** Address of a buffer as the device knows it. */
uint64_t guest_get_buffer(const struct guest *guest, const struct guest_queue *queue, uint16_t id);

/* sender.c: threads over `order`, until `sending` or `forging` is cleared. */

void *guest_run_sender(void *guest);
void *guest_run_forger(void *guest);

#endif
