/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The vDPDK device as a PCI function: identity, regions, registers, interrupt vectors.
 *
 * docs/device.md, sections "PCI function" and "Registers".
 */

#ifndef VDPDK_DEVICE_H
#define VDPDK_DEVICE_H

#include <assert.h>
#include <stdint.h>

/* --- Identity --- */

/** From the range that QEMU keeps for experiments; to be registered. */
#define VDPDK_PCI_VENDOR_ID 0x1af4
#define VDPDK_PCI_DEVICE_ID 0x10f8
/** Network controller, Ethernet. */
#define VDPDK_PCI_CLASS 0x020000

/** Also the PCI revision. A driver refuses another major number; a higher minor one only adds. */
#define VDPDK_ABI_MAJOR 1
#define VDPDK_ABI_MINOR 0

/* --- Regions and vectors --- */

/** Signal region. No region of the device may be mapped: only so does QEMU post register writes. */
#define VDPDK_BAR_SIGNAL       0
#define VDPDK_BAR_SIGNAL_BYTES 4096
/** MSI-X table and pending bits; the VMM's matter. */
#define VDPDK_BAR_MSIX          2
#define VDPDK_BAR_MSIX_BYTES    4096
#define VDPDK_MSIX_TABLE_OFFSET 0x000
#define VDPDK_MSIX_PBA_OFFSET   0x800

#define VDPDK_QUEUE_PAIRS_MAX 64

/** Vector 0: link, status, a queue error, an answer that asked for it. Vector 1 + q: Rx queue q. */
#define VDPDK_VECTOR_CONTROL 0
#define VDPDK_VECTOR_RX(q)   (1 + (q))

static_assert(16 * VDPDK_VECTOR_RX(VDPDK_QUEUE_PAIRS_MAX) <= VDPDK_MSIX_PBA_OFFSET,
	"the MSI-X table reaches the PBA");

/* --- Registers of the signal region ---
 *
 * Aligned 4-byte accesses. No read has a side effect. Anything else reads 0; writes to it are
 * ignored and counted.
 */

#define VDPDK_REG_MAGIC                0x000 /* R: VDPDK_MAGIC */
#define VDPDK_REG_ABI                  0x004 /* R: major << 16 | minor */
#define VDPDK_REG_STATUS               0x008 /* RW: VDPDK_STATUS_* */
#define VDPDK_REG_FEATURES_LOW         0x010 /* R: what the device offers, VDPDK_FEATURE_* */
#define VDPDK_REG_FEATURES_HIGH        0x014 /* R */
#define VDPDK_REG_DRIVER_FEATURES_LOW  0x018 /* W: what the driver takes of it */
#define VDPDK_REG_DRIVER_FEATURES_HIGH 0x01c /* W */
#define VDPDK_REG_QUEUE_PAIRS          0x020 /* R: granted, 1 to VDPDK_QUEUE_PAIRS_MAX */
#define VDPDK_REG_RING_SIZES           0x024 /* R: VDPDK_RING_SIZES_* */
#define VDPDK_REG_CONTROL_AREA_LOW     0x028 /* W: address of struct vdpdk_control_area */
#define VDPDK_REG_CONTROL_AREA_HIGH    0x02c /* W */
#define VDPDK_REG_CONTROL_DOORBELL     0x030 /* W: number of the submitted slot */
/** W: Tx queue q has work. The value is ignored: a doorbell is a hint, never an argument. */
#define VDPDK_REG_TX_DOORBELL(q) (0x100 + 4 * (q))

static_assert(VDPDK_REG_TX_DOORBELL(VDPDK_QUEUE_PAIRS_MAX) <= VDPDK_BAR_SIGNAL_BYTES,
	"doorbells beyond the region");

/** The bytes "vDPK" in memory order. */
#define VDPDK_MAGIC UINT32_C(0x4b504476)

/**
 * STATUS. The driver writes 0 (reset), then FEATURES_OK, then FEATURES_OK | RUNNING; the device
 * owns the other bits. FEATURES_OK reads back set if the device accepts DRIVER_FEATURES.
 */
#define VDPDK_STATUS_FEATURES_OK UINT32_C(0x0001)
#define VDPDK_STATUS_RUNNING     UINT32_C(0x0002)
/** The driver broke the order or gave a bad control area: reset to go on. */
#define VDPDK_STATUS_FAILED UINT32_C(0x0100)
/** The operator takes the device away: the connection closes soon. */
#define VDPDK_STATUS_REMOVED UINT32_C(0x0200)
/** A reset is under way: the guest's memory may still be reached. Cleared when it no longer is. */
#define VDPDK_STATUS_RESETTING UINT32_C(0x0400)

/** RING_SIZES: the largest and the recommended number of slots, as powers of two. */
#define VDPDK_RING_SIZES_MAX_LOG2(v)         ((v)&0xff)
#define VDPDK_RING_SIZES_RECOMMENDED_LOG2(v) (((v) >> 8) & 0xff)
#define VDPDK_RING_SIZES(max_log2, recommended_log2) \
	((uint32_t)(max_log2) | (uint32_t)(recommended_log2) << 8)

/* --- Features ---
 *
 * A number that stands here and isn't offered is reserved for what its name says.
 */

/** A frame to the guest may take several buffers, on queues with VDPDK_QUEUE_SCATTER. */
#define VDPDK_FEATURE_RX_SCATTER (UINT64_C(1) << 0)
/** Checksums by the device on Tx: flags and header lengths in the first descriptor. Reserved. */
#define VDPDK_FEATURE_TX_CHECKSUM (UINT64_C(1) << 1)
/** Tx offload records: TSO, tunnels, VLAN insertion. Reserved. */
#define VDPDK_FEATURE_TX_RECORD (UINT64_C(1) << 2)
/** Rx completions tell of checksums and packet types. Reserved. */
#define VDPDK_FEATURE_RX_CHECKSUM (UINT64_C(1) << 3)
/** Rx completions with VLAN stripped. Reserved. */
#define VDPDK_FEATURE_RX_VLAN (UINT64_C(1) << 4)
/** Frames to the guest may be larger than any on the wire (coalesced). Reserved. */
#define VDPDK_FEATURE_RX_COALESCE (UINT64_C(1) << 5)
/** RSS_SET, RSS_GET, hashes in completions. Reserved. */
#define VDPDK_FEATURE_RSS (UINT64_C(1) << 6)
/** The FLOW_* requests, marks in completions. Reserved. */
#define VDPDK_FEATURE_FLOW (UINT64_C(1) << 7)
/** MAC_ADD, MAC_DEL, MC_LIST, PROMISC, ALLMULTI: the device filters by address. Reserved. */
#define VDPDK_FEATURE_MAC_FILTER (UINT64_C(1) << 8)
/** VLAN_FILTER. Reserved. */
#define VDPDK_FEATURE_VLAN_FILTER (UINT64_C(1) << 9)

#endif
