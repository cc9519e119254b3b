/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What the fuzz targets share: drawing decisions from the fuzzer's bytes, and oracles.
 *
 * Theory of operation
 *
 * A target reads its input as a list of decisions, most of one byte, and never runs out: past the
 * end every draw is 0. So each prefix of an input is an input, and what a mutation doesn't touch
 * stays as it was. The first choice of each list is the harmless one.
 *
 * corpus/NAME is what long runs found in less than 96 bytes, for speed, made small by
 * "fuzz_NAME -set_cover_merge=1 -use_counters=0 NEW OLD"; "finding-*" are inputs that broke an
 * oracle once. A change of what a target draws makes a corpus worse, not wrong. tests/fuzz/coverage
 * tells how much it covers of the files in fuzz_NAME.files.
 */

#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/** An oracle: what holds whatever the input is. libFuzzer keeps the input that breaks it. */
#define FUZZ_CHECK(condition)                                                             \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s:%d: oracle broken: %s\n", __FILE__, __LINE__, \
				#condition);                                              \
			__builtin_trap();                                                 \
		}                                                                         \
	} while (0)

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/** Longer inputs say no more than this much of them: many short runs find more than few long ones.
 */
#define FUZZ_BYTES_MAX 512

/** libFuzzer's way in: each target has one. @return 0 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct fuzz_input
fuzz_open_input(const uint8_t *data, size_t size)
{
	return (struct fuzz_input){ data, size < FUZZ_BYTES_MAX ? size : FUZZ_BYTES_MAX };
}

static inline bool
fuzz_is_over(const struct fuzz_input *input)
{
	return input->left == 0;
}

static inline void
fuzz_take(struct fuzz_input *input, void *to, size_t size)
{
	size_t n = size < input->left ? size : input->left;

	if (n > 0)
		memcpy(to, input->at, n);
	if (n < size)
		memset((uint8_t *)to + n, 0, size - n);
	input->at += n;
	input->left -= n;
}

static inline uint8_t
fuzz_take8(struct fuzz_input *input)
{
	uint8_t value;

	fuzz_take(input, &value, sizeof(value));
	return value;
}

static inline uint16_t
fuzz_take16(struct fuzz_input *input)
{
	uint16_t value;

	fuzz_take(input, &value, sizeof(value));
	return value;
}

static inline uint32_t
fuzz_take32(struct fuzz_input *input)
{
	uint32_t value;

	fuzz_take(input, &value, sizeof(value));
	return value;
}

static inline uint64_t
fuzz_take64(struct fuzz_input *input)
{
	uint64_t value;

	fuzz_take(input, &value, sizeof(value));
	return value;
}

/** A number below n; n is 1 to 65536. */
static inline uint32_t
fuzz_choose(struct fuzz_input *input, uint32_t n)
{
	return (n <= 256 ? fuzz_take8(input) : fuzz_take16(input)) % n;
}

/** True once in n draws of random bytes, never at the end of the input. */
static inline bool
fuzz_once_in(struct fuzz_input *input, uint32_t n)
{
	return fuzz_choose(input, n) == n - 1;
}

#endif
