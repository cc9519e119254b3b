/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Where in a JSON text a value stands: the library that parses it doesn't say. */

#ifndef NMX_MUX_JSON_LINE_H
#define NMX_MUX_JSON_LINE_H

/** How deep a place may lie. */
#define NMX_MUX_PLACE_DEPTH 8

/** Into an object or an array. */
struct nmx_mux_step {
	const char *key;    /* of an object; NULL: an array's */
	unsigned int index; /* ... element, from 0 */
};

/** The way to a value: "guests", then index 2, then "path". */
struct nmx_mux_place {
	unsigned int depth; /* steps; 0: the whole text */
	struct nmx_mux_step steps[NMX_MUX_PLACE_DEPTH];
};

/**
 * The line of a value, from 1.
 *
 * @param text  valid JSON
 * @return the line of the key, or of the array's element; of the innermost container found, if the
 *         value isn't there
 */
unsigned int nmx_mux_find_line(const char *text, const struct nmx_mux_place *place);

#endif
