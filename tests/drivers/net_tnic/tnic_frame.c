/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_frame.h"

#include <stdbool.h>
#include <string.h>

#include "tnic_crc.h"
#include "tnic_random.h"

/** The part of a span that is payload. */
struct piece {
	uint8_t *data;
	uint32_t size;
	uint32_t offset; /* of its first byte in the payload */
};

/** @param position  of the span's first byte in the frame */
static struct piece
cut_payload(const struct tnic_span *span, uint32_t position)
{
	uint32_t skip = 0;

	if (position < sizeof(struct tnic_wire_header))
		skip = sizeof(struct tnic_wire_header) - position;
	if (skip >= span->size)
		return (struct piece){ .data = NULL };
	return (struct piece){ span->data + skip, span->size - skip,
		position + skip - (uint32_t)sizeof(struct tnic_wire_header) };
}

/** Copy the frame's first `size` bytes from the spans, or to them. */
static void
copy_head(const struct tnic_span *spans, uint32_t n_spans, void *head, uint32_t size, bool to_spans)
{
	uint8_t *at = head;

	for (uint32_t i = 0; i < n_spans && size > 0; i++) {
		uint32_t n = spans[i].size < size ? spans[i].size : size;

		if (to_spans)
			memcpy(spans[i].data, at, n);
		else
			memcpy(at, spans[i].data, n);
		at += n;
		size -= n;
	}
}

static uint64_t
count_bytes(const struct tnic_span *spans, uint32_t n_spans)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < n_spans; i++)
		n += spans[i].size;
	return n;
}

/** What a frame's pattern follows from. */
static uint64_t
make_key(const struct tnic_identity *identity)
{
	uint64_t key = tnic_mix((uint64_t)identity->run << 32 | identity->flow);

	return tnic_mix(key ^ identity->seq);
}

/** Eight bytes of the pattern. Any place of it can be had without those before. */
static uint64_t
make_pattern(uint64_t key, uint32_t word_idx)
{
	return tnic_mix(key + word_idx * TNIC_RANDOM_STEP);
}

static uint32_t
count_to_word_end(uint32_t offset, uint32_t size)
{
	uint32_t n = (uint32_t)sizeof(uint64_t) - offset % (uint32_t)sizeof(uint64_t);

	return n < size ? n : size;
}

static void
fill_pattern(struct piece piece, uint64_t key)
{
	while (piece.size > 0) {
		uint64_t word = make_pattern(key, piece.offset / sizeof(word));
		uint32_t n = count_to_word_end(piece.offset, piece.size);

		if (n == sizeof(word))
			memcpy(piece.data, &word, sizeof(word));
		else
			memcpy(piece.data, (uint8_t *)&word + piece.offset % sizeof(word), n);
		piece.data += n;
		piece.offset += n;
		piece.size -= n;
	}
}

static bool
has_pattern(struct piece piece, uint64_t key)
{
	while (piece.size > 0) {
		uint64_t word = make_pattern(key, piece.offset / sizeof(word)), found = word;
		uint32_t n = count_to_word_end(piece.offset, piece.size);

		/* What isn't overwritten stays as it should be. */
		if (n == sizeof(word))
			memcpy(&found, piece.data, sizeof(found));
		else
			memcpy((uint8_t *)&found + piece.offset % sizeof(word), piece.data, n);
		if (found != word)
			return false;
		piece.data += n;
		piece.offset += n;
		piece.size -= n;
	}
	return true;
}

/** The sum over the header behind the MAC addresses; its checksum field is 0. */
static uint32_t
start_checksum(const struct tnic_wire_header *header)
{
	const uint32_t start = offsetof(struct tnic_wire_header, ethertype);

	return tnic_feed_crc(
		TNIC_CRC_START, (const uint8_t *)header + start, sizeof(*header) - start);
}

void
tnic_build_frame(const struct tnic_identity *identity, const struct tnic_macs *macs,
	const struct tnic_span *spans, uint32_t n_spans)
{
	struct tnic_wire_header header = {
		.ethertype = { TNIC_ETHERTYPE >> 8, TNIC_ETHERTYPE & 0xff },
		.magic = TNIC_FRAME_MAGIC,
		.run = identity->run,
		.flow = identity->flow,
		.length = (uint32_t)count_bytes(spans, n_spans),
		.seq = identity->seq,
		.sent_tsc = identity->sent_tsc,
	};
	uint64_t key = make_key(identity);
	uint32_t position = 0, crc;

	memcpy(header.dst, macs->dst, sizeof(header.dst));
	memcpy(header.src, macs->src, sizeof(header.src));
	crc = start_checksum(&header);
	for (uint32_t i = 0; i < n_spans; i++) {
		struct piece piece = cut_payload(&spans[i], position);

		fill_pattern(piece, key);
		crc = tnic_feed_crc(crc, piece.data, piece.size);
		position += spans[i].size;
	}
	header.checksum = tnic_finish_crc(crc);
	copy_head(spans, n_spans, &header, sizeof(header), true);
}

/** True if checksum and pattern are those of the header. */
static bool
check_contents(
	const struct tnic_wire_header *header, const struct tnic_span *spans, uint32_t n_spans)
{
	const struct tnic_identity identity = { header->run, header->flow, header->seq, 0 };
	struct tnic_wire_header summed = *header;
	uint64_t key = make_key(&identity);
	uint32_t position = 0, crc;

	summed.checksum = 0;
	crc = start_checksum(&summed);
	for (uint32_t i = 0; i < n_spans; i++) {
		struct piece piece = cut_payload(&spans[i], position);

		if (!has_pattern(piece, key))
			return false;
		crc = tnic_feed_crc(crc, piece.data, piece.size);
		position += spans[i].size;
	}
	return header->checksum == tnic_finish_crc(crc);
}

enum tnic_frame_state
tnic_check_frame(const struct tnic_macs *macs, const struct tnic_span *spans, uint32_t n_spans,
	struct tnic_identity *ret_identity)
{
	uint64_t size = count_bytes(spans, n_spans);
	struct tnic_wire_header header = { .magic = 0 };

	copy_head(spans, n_spans, &header, sizeof(header), false);
	/* The rest of a header that the frame is too short for is zero. */
	if (header.magic != TNIC_FRAME_MAGIC)
		return TNIC_FRAME_FOREIGN;
	if (size < TNIC_FRAME_MIN_BYTES || size > TNIC_FRAME_MAX_BYTES || size != header.length)
		return TNIC_FRAME_CHANGED;
	if (!check_contents(&header, spans, n_spans))
		return TNIC_FRAME_CHANGED;
	*ret_identity = (struct tnic_identity){ header.run, header.flow, header.seq,
		header.sent_tsc };
	if (memcmp(header.dst, macs->dst, sizeof(header.dst)) != 0 ||
		memcmp(header.src, macs->src, sizeof(header.src)) != 0)
		return TNIC_FRAME_READDRESSED;
	return TNIC_FRAME_INTACT;
}
