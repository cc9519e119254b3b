/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "grace.h"

void
nmx_base_init_grace(
	struct nmx_grace *grace, const struct nmx_bracket **brackets, uint32_t *seen, uint32_t n)
{
	grace->brackets = brackets;
	grace->seen = seen;
	grace->n = n;
	grace->wanted = grace->started = grace->completed = 0;
}

uint64_t
nmx_base_ask_grace(struct nmx_grace *grace)
{
	grace->wanted = grace->started + 1;
	return grace->wanted;
}

static bool
begin_period(struct nmx_grace *grace)
{
	if (!nmx_base_fence_brackets())
		return false;
	grace->started++;
	for (uint32_t i = 0; i < grace->n; i++)
		grace->seen[i] = nmx_base_read_bracket(grace->brackets[i]);
	return true;
}

static bool
is_period_quiet(struct nmx_grace *grace)
{
	for (uint32_t i = 0; i < grace->n; i++) {
		if (!nmx_base_is_bracket_quiet(grace->brackets[i], grace->seen[i]))
			return false;
		grace->seen[i] = 0; /* quiet for good: not to be looked at again */
	}
	return true;
}

void
nmx_base_advance_grace(struct nmx_grace *grace)
{
	while (!nmx_base_is_grace_idle(grace)) {
		if (grace->started == grace->completed && !begin_period(grace))
			return;
		if (!is_period_quiet(grace))
			return;
		grace->completed = grace->started;
	}
}

uint32_t
nmx_base_find_open_bracket(const struct nmx_grace *grace)
{
	uint32_t i = 0;

	while (i < grace->n && nmx_base_is_bracket_quiet(grace->brackets[i], grace->seen[i]))
		i++;
	return i;
}
