/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * The bytes of an audited frame: how they are made, and how they are checked.
 *
 * Theory of operation
 *
 * A frame proves by itself that it is whole: its header says who it is (run, flow, number in the
 * flow) and how long it is, the payload is a pattern that follows from who it is, and a checksum
 * covers every byte behind the MAC addresses. So the checker needs no memory of what was sent. The
 * MAC addresses stay out of the checksum: a program under test may swap them on purpose.
 *
 * Integers are little endian, but for the ethertype.
 *
 *    0  destination MAC    14  magic     26  length of the whole frame   38  checksum (CRC32C)
 *    6  source MAC         18  run       30  number in the flow          42  zero
 *   12  ethertype          22  flow                                      44  when it was made
 *                                                                        52  pattern
 *
 * All here is pure code over spans of bytes: no DPDK, no state, any thread.
 */

#ifndef TNIC_FRAME_H
#define TNIC_FRAME_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define TNIC_FRAME_MIN_BYTES 60
#define TNIC_FRAME_MAX_BYTES 9728
#define TNIC_ETHERTYPE       0x88b5 /* IEEE 802: for local experiments */
#define TNIC_FRAME_MAGIC     UINT32_C(0x43494e54)

/** A frame's head as it is on the wire. */
struct tnic_wire_header {
	uint8_t dst[6];
	uint8_t src[6];
	uint8_t ethertype[2]; /* big endian */
	uint32_t magic;
	uint32_t run;
	uint32_t flow;
	uint32_t length;
	uint64_t seq;
	uint32_t checksum; /* counts as 0 in its own sum */
	uint16_t zero;
	uint64_t sent_tsc;
} __attribute__((packed));

static_assert(offsetof(struct tnic_wire_header, magic) == 14, "wire format");
static_assert(offsetof(struct tnic_wire_header, run) == 18, "wire format");
static_assert(offsetof(struct tnic_wire_header, flow) == 22, "wire format");
static_assert(offsetof(struct tnic_wire_header, length) == 26, "wire format");
static_assert(offsetof(struct tnic_wire_header, seq) == 30, "wire format");
static_assert(offsetof(struct tnic_wire_header, checksum) == 38, "wire format");
static_assert(offsetof(struct tnic_wire_header, sent_tsc) == 44, "wire format");
static_assert(sizeof(struct tnic_wire_header) == 52, "wire format");

/** A frame's bytes are those of its spans, one after the other. */
struct tnic_span {
	uint8_t *data;
	uint32_t size;
};

struct tnic_macs {
	uint8_t dst[6];
	uint8_t src[6];
};

/** Who a frame is, and when it was made. */
struct tnic_identity {
	uint32_t run;
	uint32_t flow;
	uint64_t seq;      /* number in its flow, from 0 */
	uint64_t sent_tsc; /* the pattern doesn't depend on it, the checksum covers it */
};

/** What a frame looks like, worst last. Only in the first two is its identity to be trusted. */
enum tnic_frame_state {
	TNIC_FRAME_INTACT,
	TNIC_FRAME_READDRESSED, /* intact behind the MAC addresses; these are wrong */
	TNIC_FRAME_CHANGED,     /* bears our magic; a byte or the length is wrong */
	TNIC_FRAME_FOREIGN,     /* not one of ours */
};

/**
 * Write a frame.
 *
 * @param spans  where to; their sum, TNIC_FRAME_MIN_BYTES or more, is the frame's length
 */
void tnic_build_frame(const struct tnic_identity *identity, const struct tnic_macs *macs,
	const struct tnic_span *spans, uint32_t n_spans);

/**
 * Check a frame.
 *
 * @param macs      the addresses that it should bear
 * @param spans     the frame; only read; any number, any sizes
 * @param identity  who it says it is; written if it is intact or readdressed
 */
enum tnic_frame_state tnic_check_frame(const struct tnic_macs *macs, const struct tnic_span *spans,
	uint32_t n_spans, struct tnic_identity *ret_identity);

#endif
