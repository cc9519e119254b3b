/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The configuration of nicmuxd: one JSON file, described by dist/nicmuxd.schema.json.
 *
 * A file is read and checked whole: what is returned contradicts itself nowhere. What only the
 * machine can tell (does the uplink exist, is there memory) is found when it is applied.
 */

#ifndef NMX_MUX_CONFIG_H
#define NMX_MUX_CONFIG_H

#include <stdint.h>
#include <sys/types.h>

#include <rte_ether.h>

#include "abi/vdpdk_device.h"
#include "drivers/common/guestport/guestport.h"
#include "error.h"
#include "mapped.h"

#define NMX_MUX_NAME_BYTES   32 /* with the 0 at the end */
#define NMX_MUX_DEVICE_BYTES 256
#define NMX_MUX_PATH_BYTES   108
#define NMX_MUX_GUESTS_MAX   1024

/** Defaults of keys that may be left out. */
#define NMX_MUX_FLOODS_DEFAULT  10000 /* frames a second */
#define NMX_MUX_SIGNALS_DEFAULT 50000
/** Of a second's floods this part may come at once: a tenth. */
#define NMX_MUX_FLOODS_AT_ONCE  10
#define NMX_MUX_BUFFERS_DEFAULT 16384
#define NMX_MUX_RING_DEFAULT    1024
/** Of queues that hold guests' buffers: well below half of a guest's ring of 1024. */
#define NMX_MUX_MAPPED_RING_DEFAULT 256
/** Buffers that there must be beside those in the rings. */
#define NMX_MUX_BUFFERS_SPARE     512
#define NMX_MUX_MEM_BYTES_DEFAULT (UINT64_C(64) << 30)

struct nmx_mux_uplink_config {
	char name[NMX_MUX_NAME_BYTES];
	char device[NMX_MUX_DEVICE_BYTES]; /* DPDK's devargs */
	uint16_t ring;                     /* descriptors */
	uint16_t mtu;
	uint32_t n_buffers;
	uint32_t floods_max;  /* frames a second from here to all guests */
	uint16_t n_queues;    /* Rx; all but the first are mapped */
	uint16_t mapped_ring; /* descriptors of those */
	bool tx_zc;           /* each has a Tx queue beside it, for sending in place */
};

/** Whose a guest's socket is. */
enum nmx_mux_role {
	NMX_MUX_ROLE_DEFAULT, /* nicmuxd listens to vDPDK guests, connects to others */
	NMX_MUX_ROLE_LISTEN,
	NMX_MUX_ROLE_CONNECT,
};

struct nmx_mux_guest_config {
	char name[NMX_MUX_NAME_BYTES];
	enum nmx_guest_kind kind;
	enum nmx_mux_role role;        /* not the default, once it is read */
	char path[NMX_MUX_PATH_BYTES]; /* of its socket */
	mode_t mode;
	uid_t user;  /* -1: nicmuxd's */
	gid_t group; /* -1: nicmuxd's */
	struct rte_ether_addr macs[NMX_MACS_MAX];
	uint16_t n_macs; /* at least 1 */
	uint16_t n_queue_pairs;
	uint64_t mem_bytes_max;
	uint32_t floods_max;  /* frames a second from it to all others */
	uint32_t signals_max; /* a second to it */
	bool without_vectors;
	uint16_t uplink_queues[VDPDK_QUEUE_PAIRS_MAX]; /* that are the guest's, by its queues */
	uint16_t n_uplink_queues;
	bool verify; /* the frames of these */
};

struct nmx_mux_config {
	struct nmx_mux_uplink_config uplink; /* the one there is, for now */
	uint32_t n_guests;
	struct nmx_mux_guest_config guests[];
};

/**
 * Read and check a file.
 *
 * @param ret_config  the caller's to free(); all of it zeroed but what was read, so that two
 *                    entries can be compared by memcmp()
 * @param ret_error   written on failure: file, line, key, reason and mend
 * @return 0; -EINVAL; -ENOMEM
 */
int nmx_mux_read_config(
	const char *path, struct nmx_mux_config **ret_config, struct nmx_mux_error *ret_error);

#endif
