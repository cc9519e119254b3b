/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The net header in front of each frame, for devices that compute no checksums and cut nothing.
 *
 * Theory of operation
 *
 * To the guest every header is the same, but for the number of buffers, and a guest that posts the
 * same buffers again posts yesterday's headers. So it is compared first and written only if it
 * differs: the line stays shared by both CPUs. What the comparison sees decides about nothing but
 * that.
 *
 * `header_bytes` is NMX_SPLIT_NET_BYTES with VIRTIO_F_VERSION_1 or VIRTIO_NET_F_MRG_RXBUF, else
 * NMX_SPLIT_NET_BYTES_LEGACY; constant. Source: virtio 1.1/1.2, 5.1.6.
 */

#ifndef NMX_RING_SPLIT_HEADER_H
#define NMX_RING_SPLIT_HEADER_H

#include <string.h>

#include "abi/vdpdk_ring.h"
#include "lib/base/shared.h"
#include "lib/ring/split_layout.h"

/**
 * Put a header in front of a frame to the guest.
 *
 * @param data       where the frame begins in its first buffer; the header before it is mapped
 * @param n_buffers  that hold the frame: 1 without VIRTIO_NET_F_MRG_RXBUF
 *
 * Context: inside a burst bracket, before the frame's first buffer is published. Source: 5.1.6.4
 */
static inline void
nmx_ring_put_net_header(NMX_SHARED uint8_t *data, uint16_t n_buffers, const uint32_t header_bytes)
{
	const struct nmx_split_net_header wanted = { .n_buffers = n_buffers };
	struct nmx_split_net_header found;

	nmx_base_copy_from_shared(&found, data - header_bytes, header_bytes);
	if (__builtin_expect(memcmp(&found, &wanted, header_bytes) != 0, 0))
		nmx_base_copy_to_shared(data - header_bytes, &wanted, header_bytes);
}

/**
 * Judge the header of a frame from the guest, by a private copy: VDPDK_FAULT_*. It may ask for
 * nothing, as no such feature was offered; all else in it says nothing. Pure. Source: 5.1.6.2.1
 */
static inline uint16_t
nmx_ring_check_net_header(const struct nmx_split_net_header *header)
{
	return (header->flags & NMX_SPLIT_NET_NEEDS_CSUM) ||
			       header->gso_type != NMX_SPLIT_NET_GSO_NONE
		       ? VDPDK_FAULT_FLAGS
		       : VDPDK_FAULT_NONE;
}

/**
 * Read the header of a frame from the guest, once.
 *
 * @param data  where the frame begins; the header before it is mapped
 * @return VDPDK_FAULT_*
 */
static inline uint16_t
nmx_ring_load_net_header(const NMX_SHARED uint8_t *data, const uint32_t header_bytes)
{
	struct nmx_split_net_header header = { 0 };

	nmx_base_copy_from_shared(&header, data - header_bytes, header_bytes);
	return nmx_ring_check_net_header(&header);
}

#endif
