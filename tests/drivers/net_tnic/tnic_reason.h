/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Why something was refused: one sentence for the user, and the errno for the program. */

#ifndef TNIC_REASON_H
#define TNIC_REASON_H

#include <stdarg.h>
#include <stdio.h>

struct tnic_reason {
	char text[640];
};

/** Set the sentence: what, why, what to do. @return -error */
__attribute__((format(printf, 3, 4))) static inline int
tnic_refuse(struct tnic_reason *reason, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason->text, sizeof(reason->text), format, arguments);
	va_end(arguments);
	return -error;
}

#endif
