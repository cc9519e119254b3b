/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * CRC32C (Castagnoli): reflected, polynomial 0x82f63b78, as iSCSI and SCTP use it.
 *
 * A running value starts as TNIC_CRC_START and is fed any number of pieces; where the cuts between
 * them are doesn't matter. tnic_finish_crc() makes the checksum of it.
 */

#ifndef TNIC_CRC_H
#define TNIC_CRC_H

#include <stdint.h>
#include <string.h>

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Frames and report are little endian; a big-endian host needs conversions."
#endif

#define TNIC_CRC_START UINT32_MAX

/** Feed bytes, on any processor. */
static inline uint32_t
tnic_feed_crc_portably(uint32_t crc, const uint8_t *data, uint32_t size)
{
	/* Entry i: what four bits of value i make of a remainder. */
	static const uint32_t nibble[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6,
		0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };

	for (; size > 0; size--) {
		crc ^= *data++;
		crc = nibble[crc & 15] ^ (crc >> 4);
		crc = nibble[crc & 15] ^ (crc >> 4);
	}
	return crc;
}

/** Feed bytes, by the processor's own instruction where the build may use it. */
static inline uint32_t
tnic_feed_crc(uint32_t crc, const uint8_t *data, uint32_t size)
{
#ifdef __SSE4_2__
	uint64_t word, wide = crc;

	for (; size >= sizeof(word); size -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		wide = _mm_crc32_u64(wide, word);
		data += sizeof(word);
	}
	crc = (uint32_t)wide;
	for (; size > 0; size--)
		crc = _mm_crc32_u8(crc, *data++);
	return crc;
#else
	return tnic_feed_crc_portably(crc, data, size);
#endif
}

static inline uint32_t
tnic_finish_crc(uint32_t crc)
{
	return ~crc;
}

#endif
