/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The net header in front of each frame: what is asked for beside carrying it.
 *
 * Theory of operation
 *
 * A header asks for nothing, or to complete a checksum, or to cut a large frame into many (and
 * complete theirs); the latter two only if features that allow it were negotiated. A header is
 * *plain* if it asks for nothing.
 *
 * To the guest nearly every header is the same, but for the number of buffers, and a guest that
 * posts the same buffers again posts yesterday's headers. So it is compared first and written only
 * if it differs: the line stays shared by both CPUs. What the comparison sees decides about nothing
 * but that.
 *
 * `header_bytes` is NMX_SPLIT_NET_BYTES with VIRTIO_F_VERSION_1 or VIRTIO_NET_F_MRG_RXBUF, else
 * NMX_SPLIT_NET_BYTES_LEGACY; constant. Source: virtio 1.1/1.2, 5.1.6.
 */

#ifndef NMX_RING_SPLIT_HEADER_H
#define NMX_RING_SPLIT_HEADER_H

#include <stdbool.h>
#include <string.h>

#include "abi/vdpdk_ring.h"
#include "lib/base/shared.h"
#include "lib/ring/split_layout.h"

/* What headers may ask for: bits. */
#define NMX_RING_MAY_CSUM 0x1 /* VIRTIO_NET_F_CSUM; to the guest: GUEST_CSUM */
#define NMX_RING_MAY_TSO4 0x2 /* HOST_TSO4; GUEST_TSO4 */
#define NMX_RING_MAY_TSO6 0x4 /* HOST_TSO6; GUEST_TSO6 */

/**
 * Put a header in front of a frame to the guest.
 *
 * @param data    where the frame begins in its first buffer; the header before it is mapped
 * @param wanted  n_buffers of it: those that hold the frame; 1 without VIRTIO_NET_F_MRG_RXBUF
 *
 * Context: inside a burst bracket, before the frame's first buffer is published. Source: 5.1.6.4
 */
static inline void
nmx_ring_put_net_request(NMX_SHARED uint8_t *data, const struct nmx_split_net_header *wanted,
	const uint32_t header_bytes)
{
	struct nmx_split_net_header found;

	nmx_base_copy_from_shared(&found, data - header_bytes, header_bytes);
	if (__builtin_expect(memcmp(&found, wanted, header_bytes) != 0, 0))
		nmx_base_copy_to_shared(data - header_bytes, wanted, header_bytes);
}

/** The same, plain. */
static inline void
nmx_ring_put_net_header(NMX_SHARED uint8_t *data, uint16_t n_buffers, const uint32_t header_bytes)
{
	const struct nmx_split_net_header wanted = { .n_buffers = n_buffers };

	nmx_ring_put_net_request(data, &wanted, header_bytes);
}

/**
 * Read the header of a frame from the guest, once.
 *
 * @param data  where the frame begins; the header before it is mapped
 */
static inline struct nmx_split_net_header
nmx_ring_load_net_header(const NMX_SHARED uint8_t *data, const uint32_t header_bytes)
{
	struct nmx_split_net_header header = { 0 };

	nmx_base_copy_from_shared(&header, data - header_bytes, header_bytes);
	return header;
}

/** True if it asks for nothing; all else in it says nothing then. Source: 5.1.6.2.1 */
static inline bool
nmx_ring_is_plain(const struct nmx_split_net_header *header)
{
	return !(header->flags & NMX_SPLIT_NET_NEEDS_CSUM) &&
	       header->gso_type == NMX_SPLIT_NET_GSO_NONE;
}

/**
 * Judge what the header of a frame from the guest asks for, by a private copy. Where the checksum
 * is to be is judged by who computes it.
 *
 * @param may  NMX_RING_MAY_*, as negotiated
 * @return VDPDK_FAULT_NONE; VDPDK_FAULT_FLAGS what wasn't negotiated, or contradicts itself
 *
 * Source: 5.1.6.2.1. The bit for congestion notification was never offered.
 */
uint16_t nmx_ring_judge_request(const struct nmx_split_net_header *header, uint32_t may);

#endif
