/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Grace periods over a set of brackets: waiting for data threads without waiting.
 *
 * Theory of operation
 *
 * Whoever withdrew something asks for a grace period and gets its number; when that number is
 * complete, no burst that could have seen what was withdrawn is running any more. A period begins
 * after it was asked for, so one that is running already doesn't count. Any number of changes share
 * one period and its single system call. The control thread advances periods as it comes by; it
 * never blocks on a data thread.
 *
 * Context: one control thread. See bracket.h for the proof.
 */

#ifndef NMX_BASE_GRACE_H
#define NMX_BASE_GRACE_H

#include "bracket.h"

struct nmx_grace {
	const struct nmx_bracket **brackets; /* n of them, the caller's */
	uint32_t *seen;                      /* n words */
	uint32_t n;
	uint64_t wanted, started, completed; /* numbers of periods */
};

/**
 * Make an object without a period.
 *
 * @param brackets  n pointers, and seen, n words: the caller's, as long as the object
 */
void nmx_base_init_grace(
	struct nmx_grace *grace, const struct nmx_bracket **brackets, uint32_t *seen, uint32_t n);

/** Ask for a period that begins from now on. @return its number */
uint64_t nmx_base_ask_grace(struct nmx_grace *grace);

/** Do what can be done now. */
void nmx_base_advance_grace(struct nmx_grace *grace);

/** True if nothing that was asked for is left. */
static inline bool
nmx_base_is_grace_idle(const struct nmx_grace *grace)
{
	return grace->completed >= grace->wanted;
}

static inline bool
nmx_base_is_grace_over(const struct nmx_grace *grace, uint64_t number)
{
	return grace->completed >= number;
}

/** A bracket that the present period waits for: its index; n if there is none. */
uint32_t nmx_base_find_open_bracket(const struct nmx_grace *grace);

#endif
