/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** One sentence for the operator: what went wrong, why, and what to do. */

#ifndef NMX_MUX_ERROR_H
#define NMX_MUX_ERROR_H

#include <stdarg.h>
#include <stdio.h>

struct nmx_mux_error {
	char text[512];
};

/** Say it. */
static inline __attribute__((format(printf, 2, 3))) void
nmx_mux_set_error(struct nmx_mux_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
}

#endif
