/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * vhost-user on the wire: numbers and layouts, in host byte order.
 *
 * Source: QEMU's docs/interop/vhost-user.rst. A front end is QEMU or virtio-user; we are its back
 * end. What no front end of a network device sends, or only asks for what isn't offered here, has
 * no layout.
 */

#ifndef NMX_VHU_WIRE_H
#define NMX_VHU_WIRE_H

#include <assert.h>
#include <stdint.h>

enum nmx_vhu_request {
	NMX_VHU_GET_FEATURES = 1,
	NMX_VHU_SET_FEATURES = 2,
	NMX_VHU_SET_OWNER = 3,
	NMX_VHU_RESET_OWNER = 4,
	NMX_VHU_SET_MEM_TABLE = 5,
	NMX_VHU_SET_VRING_NUM = 8,
	NMX_VHU_SET_VRING_ADDR = 9,
	NMX_VHU_SET_VRING_BASE = 10,
	NMX_VHU_GET_VRING_BASE = 11,
	NMX_VHU_SET_VRING_KICK = 12,
	NMX_VHU_SET_VRING_CALL = 13,
	NMX_VHU_SET_VRING_ERR = 14,
	NMX_VHU_GET_PROTOCOL_FEATURES = 15,
	NMX_VHU_SET_PROTOCOL_FEATURES = 16,
	NMX_VHU_GET_QUEUE_NUM = 17,
	NMX_VHU_SET_VRING_ENABLE = 18,
	NMX_VHU_NET_SET_MTU = 20,
};

#define NMX_VHU_VERSION_MASK UINT32_C(0x3)
#define NMX_VHU_VERSION      UINT32_C(0x1)
#define NMX_VHU_REPLY        UINT32_C(0x4)
#define NMX_VHU_NEED_REPLY   UINT32_C(0x8)

struct nmx_vhu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of what follows */
};

/* --- Features that the protocol itself knows --- */

#define NMX_VHU_FEATURE_LOG_ALL           (UINT64_C(1) << 26)
#define NMX_VHU_FEATURE_PROTOCOL_FEATURES (UINT64_C(1) << 30)
#define NMX_VHU_FEATURE_RING_PACKED       (UINT64_C(1) << 34)

#define NMX_VHU_PROTOCOL_MQ        (UINT64_C(1) << 0)
#define NMX_VHU_PROTOCOL_REPLY_ACK (UINT64_C(1) << 3)
#define NMX_VHU_PROTOCOL_NET_MTU   (UINT64_C(1) << 4)

/* --- Payloads; many are one 64-bit number --- */

/** NUM, BASE, ENABLE. */
struct nmx_vhu_state {
	uint32_t index;
	uint32_t num;
};

#define NMX_VHU_ADDR_LOG UINT32_C(1)

/** Addresses are those of the front end's process. */
struct nmx_vhu_addresses {
	uint32_t index;
	uint32_t flags; /* NMX_VHU_ADDR_* */
	uint64_t desc;
	uint64_t used; /* before avail */
	uint64_t avail;
	uint64_t log; /* of `used`, a guest's address */
};

/** KICK, CALL, ERR: of the 64-bit number. */
#define NMX_VHU_FILE_INDEX UINT64_C(0xff)
#define NMX_VHU_FILE_NONE  UINT64_C(0x100)

/** A piece of the guest's memory; a file descriptor comes with it. */
struct nmx_vhu_region {
	uint64_t guest; /* address that descriptors have */
	uint64_t size;
	uint64_t user;   /* address in the front end's process, which rings have */
	uint64_t offset; /* in the file */
};

#define NMX_VHU_REGIONS_MAX 8

struct nmx_vhu_table {
	uint32_t n_regions;
	uint32_t padding;
	struct nmx_vhu_region regions[NMX_VHU_REGIONS_MAX]; /* as many as there are */
};

#define NMX_VHU_BODY_BYTES_MAX sizeof(struct nmx_vhu_table)

static_assert(sizeof(struct nmx_vhu_header) == 12, "header");
static_assert(sizeof(struct nmx_vhu_state) == 8, "ring state");
static_assert(sizeof(struct nmx_vhu_addresses) == 40, "ring addresses");
static_assert(sizeof(struct nmx_vhu_table) == 8 + 8 * 32, "memory table");

#endif
