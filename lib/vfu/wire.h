/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * vfio-user on the wire: numbers and layouts, in host byte order.
 *
 * Source: QEMU's docs/interop/vfio-user.rst, protocol 0.x. "argsz" counts the payload, without the
 * header: what the client is ready to receive, or in a reply what it would have needed.
 */

#ifndef NMX_VFU_WIRE_H
#define NMX_VFU_WIRE_H

#include <assert.h>
#include <stdint.h>

#define NMX_VFU_MAJOR 0
#define NMX_VFU_MINOR 0

/** Ours as a receiver; also QEMU's upper bound for what it accepts of a server. */
#define NMX_VFU_MSG_FDS_MAX 16
/** Of one reply: what our client is ready to receive; the kernel allows 253 in a message. */
#define NMX_VFU_REPLY_FDS_MAX 128
/** Data of one REGION_READ or REGION_WRITE. No region of a vDPDK device is larger than a page. */
#define NMX_VFU_DATA_BYTES_MAX 65536
#define NMX_VFU_MSG_BYTES_MAX  (NMX_VFU_DATA_BYTES_MAX + 32)
/** Of a VERSION message, all that is accepted before it. */
#define NMX_VFU_VERSION_BYTES_MAX 4096

enum nmx_vfu_command {
	NMX_VFU_VERSION = 1,
	NMX_VFU_DMA_MAP = 2,
	NMX_VFU_DMA_UNMAP = 3,
	NMX_VFU_GET_INFO = 4,
	NMX_VFU_GET_REGION_INFO = 5,
	NMX_VFU_GET_REGION_IO_FDS = 6,
	NMX_VFU_GET_IRQ_INFO = 7,
	NMX_VFU_SET_IRQS = 8,
	NMX_VFU_REGION_READ = 9,
	NMX_VFU_REGION_WRITE = 10,
	NMX_VFU_RESET = 13,
};

#define NMX_VFU_TYPE_MASK UINT32_C(0xf)
#define NMX_VFU_REPLY     UINT32_C(0x1) /* type; 0 is a request */
#define NMX_VFU_NO_REPLY  UINT32_C(0x10)
#define NMX_VFU_ERROR     UINT32_C(0x20)

struct nmx_vfu_header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* with this header */
	uint32_t flags;
	uint32_t error; /* positive errno with NMX_VFU_ERROR */
};

struct nmx_vfu_version {
	uint16_t major, minor; /* a JSON text with its NUL follows, or nothing */
};

#define NMX_VFU_MAP_READ  UINT32_C(1)
#define NMX_VFU_MAP_WRITE UINT32_C(2)

struct nmx_vfu_dma_map {
	uint32_t argsz;
	uint32_t flags; /* NMX_VFU_MAP_* */
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};

#define NMX_VFU_UNMAP_ALL UINT32_C(2)

struct nmx_vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags; /* NMX_VFU_UNMAP_* */
	uint64_t address;
	uint64_t size;
};

#define NMX_VFU_DEVICE_RESET UINT32_C(1)
#define NMX_VFU_DEVICE_PCI   UINT32_C(2)

struct nmx_vfu_device_info {
	uint32_t argsz;
	uint32_t flags; /* NMX_VFU_DEVICE_* */
	uint32_t n_regions;
	uint32_t n_irqs;
};

/** Regions 0 to 5 are the BARs. */
#define NMX_VFU_REGION_CONFIG 7
#define NMX_VFU_N_REGIONS     9

#define NMX_VFU_IRQ_MSIX 2
#define NMX_VFU_IRQ_ERR  3
#define NMX_VFU_IRQ_REQ  4
#define NMX_VFU_N_IRQS   5

#define NMX_VFU_REGION_READABLE UINT32_C(1)
#define NMX_VFU_REGION_WRITABLE UINT32_C(2)

struct nmx_vfu_region_info {
	uint32_t argsz;
	uint32_t flags; /* NMX_VFU_REGION_* */
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};

/** Head of DEVICE_GET_REGION_IO_FDS; in a reply `count` entries follow. */
struct nmx_vfu_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

/** An ioeventfd: a write to the region that the client may replace by a write to the eventfd. */
struct nmx_vfu_io_fd {
	uint64_t offset;
	uint64_t size;
	uint32_t fd_index;
	uint32_t type; /* 0: ioeventfd */
	uint32_t flags;
	uint32_t pad;
	uint64_t datamatch;
};

#define NMX_VFU_IRQ_EVENTFD UINT32_C(1)

struct nmx_vfu_irq_info {
	uint32_t argsz;
	uint32_t flags; /* NMX_VFU_IRQ_EVENTFD */
	uint32_t index;
	uint32_t count;
};

#define NMX_VFU_IRQ_DATA_NONE    UINT32_C(0x01)
#define NMX_VFU_IRQ_DATA_BOOL    UINT32_C(0x02)
#define NMX_VFU_IRQ_DATA_EVENTFD UINT32_C(0x04)
#define NMX_VFU_IRQ_DATA_MASK    UINT32_C(0x07)
#define NMX_VFU_IRQ_TRIGGER      UINT32_C(0x20)

struct nmx_vfu_set_irqs {
	uint32_t argsz;
	uint32_t flags; /* one NMX_VFU_IRQ_DATA_*, one action */
	uint32_t index;
	uint32_t start;
	uint32_t count; /* with DATA_BOOL, as many bytes follow */
};

/** REGION_READ and REGION_WRITE; the data follows in a write and in a read's reply. */
struct nmx_vfu_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

static_assert(sizeof(struct nmx_vfu_header) == 16, "header");
static_assert(sizeof(struct nmx_vfu_version) == 4, "VERSION");
static_assert(sizeof(struct nmx_vfu_dma_map) == 32, "DMA_MAP");
static_assert(sizeof(struct nmx_vfu_dma_unmap) == 24, "DMA_UNMAP");
static_assert(sizeof(struct nmx_vfu_device_info) == 16, "DEVICE_GET_INFO");
static_assert(sizeof(struct nmx_vfu_region_info) == 32, "DEVICE_GET_REGION_INFO");
static_assert(sizeof(struct nmx_vfu_io_fds) == 16, "DEVICE_GET_REGION_IO_FDS");
static_assert(sizeof(struct nmx_vfu_io_fd) == 40, "an entry of it");
static_assert(sizeof(struct nmx_vfu_irq_info) == 16, "DEVICE_GET_IRQ_INFO");
static_assert(sizeof(struct nmx_vfu_set_irqs) == 20, "DEVICE_SET_IRQS");
static_assert(sizeof(struct nmx_vfu_region_access) == 16, "REGION_READ, REGION_WRITE");

#endif
