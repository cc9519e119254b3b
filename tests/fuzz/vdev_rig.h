/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The parts of fuzz_vdev: the device, guest memory, a model of both, the backend.
 *
 * Theory of operation
 *
 * A step is one call into the device. Before or in it the model is told what happens; whatever the
 * device does is checked against it: memory by the bytes in `expected` (vdev_memory.c), the guest's
 * driver by the hook that draws what each load finds (vdev_driver.c), calls of the backend by their
 * arguments and their place (vdev_backend.c), STATUS, counters and configuration space after the
 * step (vdev_model.c). Requests are judged a second time from the bytes that the hook handed out.
 */

#ifndef FUZZ_VDEV_RIG_H
#define FUZZ_VDEV_RIG_H

#include "input.h"
#include "lib/vdev/vdev.h"

#define STATUS_READY   VDPDK_STATUS_FEATURES_OK
#define STATUS_RUNNING (VDPDK_STATUS_FEATURES_OK | VDPDK_STATUS_RUNNING)
#define CONFIG_BYTES   256
#define N_TICKETS      32
#define N_PIECES       2
#define PIECE_BYTES    (4 * NMX_MEM_PAGE_BYTES)
#define MEMORY_BYTES   (N_PIECES * PIECE_BYTES)
#define MEMORY_START   UINT64_C(0x10000000) /* the guest's address of it */
#define NO_SLOT        VDPDK_CONTROL_SLOTS

/** Guest memory: two pieces, mapped or not, which a control area may lie across. */
struct vdev_memory {
	struct nmx_mem *mem;
	uint8_t *host;  /* as the device reaches it */
	uint8_t *guest; /* as the guest does: always, all of it */
	uint8_t expected[MEMORY_BYTES];
	uint32_t protection[N_PIECES]; /* NMX_MEM_*; 0: not mapped */
};

/** What the driver finds out, or thinks, of the device. */
struct vdev_model {
	uint32_t status;
	bool attached;
	uint64_t features;
	uint64_t area_register, area;
	uint8_t config[CONFIG_BYTES], power_on[CONFIG_BYTES];
	uint32_t life; /* counts resets */
	struct {
		uint32_t done_seq;
		bool busy, wants_signal;
	} slot[VDPDK_CONTROL_SLOTS];
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t link_generation, link_speed;
	bool link_up;
	uint32_t n_queue_errors;
	struct nmx_vdev_counters counters;
};

/** A ticket that the device gave out. */
struct vdev_ticket {
	struct nmx_vdev_ticket ticket;
	uint32_t life, done_seq; /* when it was given */
};

/** What happened in the step under way. */
struct vdev_step {
	uint32_t slot; /* of the request, or NO_SLOT */
	bool has_seq, has_line, has_body;
	uint32_t seq;
	struct vdpdk_slot_driver line;
	_Alignas(8) uint8_t body[VDPDK_REQUEST_BODY_BYTES];
	uint32_t config_start, config_size; /* what is to be compared of configuration space */
	bool may_run, has_run;
	bool may_reset, has_reset, reset_is_done;
	bool config_resets;   /* a write to configuration space, which waits for the reset's end */
	uint32_t tx_doorbell; /* the queue whose doorbell may ring, or UINT32_MAX */
	uint32_t n_tx_doorbells;
	uint32_t n_calls; /* of the backend for a request */
	uint32_t answer;  /* the backend's last */
	bool is_answered; /* already, by a ticket used within the call */
	uint32_t n_signals;
};

struct vdev_rig {
	struct fuzz_input input;
	struct nmx_vdev *vdev;
	struct vdev_memory *memory;
	struct nmx_vdev_grant grant;
	struct vdev_model model;
	struct vdev_step step;
	struct vdev_ticket tickets[N_TICKETS];
	uint32_t n_tickets; /* ever given; the array has the last ones */
	uint64_t n_halts;   /* calls of the backend */
};

/* --- vdev_memory.c --- */

/** The process' guest memory: mapped, zero. */
struct vdev_memory *vdev_open_memory(void);
/** Map a piece with a protection, or unmap it with 0. The device isn't told. */
void vdev_map_piece(struct vdev_memory *memory, uint32_t piece, uint32_t protection);
/** True if a control area can be at the address. */
bool vdev_has_area(const struct vdev_memory *memory, uint64_t address);
/** The device, or the guest, is expected to have written. */
void vdev_expect_bytes(
	struct vdev_memory *memory, uint64_t address, const void *bytes, size_t size);
/** Compare some of the memory, or all of it, with what is expected. */
void vdev_check_bytes(const struct vdev_memory *memory, uint64_t address, size_t size);
void vdev_check_memory(const struct vdev_memory *memory);

/* --- vdev_driver.c --- */

/** Whose loads the hook serves. NULL: there must be none. */
void vdev_hook_rig(struct vdev_rig *rig);

/* --- vdev_backend.c --- */

extern const struct nmx_vdev_backend vdev_backend;

/* --- vdev_model.c --- */

void vdev_init_model(struct vdev_rig *rig);
bool vdev_model_runs(const struct vdev_model *model);
/** True if the device runs and its control area is there; without, it fails. */
bool vdev_model_reaches_area(struct vdev_rig *rig);
void vdev_model_resets(struct vdev_rig *rig);
void vdev_model_writes_status(struct vdev_rig *rig, uint32_t value);
/** Configuration space is as it was after power-on. */
void vdev_model_powers_on(struct vdev_rig *rig);
void vdev_model_writes_config(
	struct vdev_rig *rig, uint64_t offset, const uint8_t *data, uint32_t count);
void vdev_model_sets_link(struct vdev_rig *rig, bool up, uint32_t speed);
void vdev_model_reports_fault(struct vdev_rig *rig);
void vdev_model_shows_link(struct vdev_rig *rig);
uint64_t vdev_model_link_word(const struct vdev_model *model);
void vdev_begin_step(struct vdev_rig *rig);
/** What can be seen of the device, but for what is long and unlikely to have changed. */
void vdev_end_step(struct vdev_rig *rig);
/** Everything, after the last step. */
void vdev_check_all(struct vdev_rig *rig);

/* --- vdev_request.c --- */

/** True if the step's request is this operation, and good: the backend is to be asked. */
bool vdev_is_request_for_backend(const struct vdev_rig *rig, uint32_t op);
/** The control doorbell is about to ring: may the device look at the slot? */
void vdev_model_rings(struct vdev_rig *rig, uint32_t slot);
/** The model answers a slot. */
void vdev_model_answers(
	struct vdev_rig *rig, uint32_t slot, uint32_t answer, const void *body, uint32_t length);
/** The control doorbell has rung: what it has come to. */
void vdev_model_takes_request(struct vdev_rig *rig);

#endif
