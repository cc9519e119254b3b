/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Theory of operation
 *
 * One pass over the text, which is known to be valid. A container is *on the way* if all steps to
 * it are those of the place; how many steps that is, is `matched`. Only inside the innermost
 * container on the way keys and elements are compared; a container off the way is passed over by
 * its depth.
 */

#include "json_line.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/** Where the pass is. */
struct pass {
	const char *at;
	unsigned int line;
	unsigned int depth;   /* of containers that are open */
	unsigned int matched; /* of them, on the way */
	unsigned int index;   /* of the element, in the innermost one on the way */
};

/** Pass a string; `at` is on its first quote, and afterwards behind its last. */
static void
pass_string(struct pass *pass)
{
	for (pass->at++; *pass->at != '"' && *pass->at != '\0'; pass->at++)
		if (*pass->at == '\\' && pass->at[1] != '\0')
			pass->at++;
	if (*pass->at == '"')
		pass->at++;
}

/** True if the string from `start` to `end`, with its quotes, is the key. */
static bool
is_key(const char *start, const char *end, const char *key)
{
	size_t bytes = strlen(key);

	return (size_t)(end - start) == bytes + 2 && memcmp(start + 1, key, bytes) == 0;
}

/** True if what was passed is a key: a colon follows. */
static bool
is_before_colon(const char *at)
{
	while (isspace((unsigned char)*at))
		at++;
	return *at == ':';
}

unsigned int
nmx_mux_find_line(const char *text, const struct nmx_mux_place *place)
{
	struct pass pass = { .at = text, .line = 1 };
	unsigned int found = 1; /* line of the innermost step found */
	bool hit = false;       /* the value that follows is the next step */

	while (*pass.at != '\0') {
		bool inside = pass.depth == pass.matched && pass.depth > 0;
		unsigned int step = pass.matched == 0 ? 0 : pass.matched - 1;
		bool by_key = step < place->depth && place->steps[step].key != NULL;
		const char *start = pass.at;

		if (inside && step < place->depth && !by_key && !hit &&
			strchr(" \t\r\n,]", *pass.at) == NULL &&
			pass.index == place->steps[step].index) {
			hit = true;
			found = pass.line;
			if (step + 1 == place->depth)
				return found;
		}
		switch (*pass.at) {
		case '"':
			pass_string(&pass);
			if (inside && by_key && is_before_colon(pass.at) &&
				is_key(start, pass.at, place->steps[step].key)) {
				hit = true;
				found = pass.line;
				if (step + 1 == place->depth)
					return found;
			}
			continue;
		case '{':
		case '[':
			if (pass.depth == 0 || hit) {
				pass.matched++;
				pass.index = 0;
			}
			hit = false;
			pass.depth++;
			break;
		case '}':
		case ']':
			/* The end of a container on the way: the value isn't in it. */
			if (inside)
				return found;
			pass.depth--;
			break;
		case ',':
			hit = false;
			pass.index += inside;
			break;
		case '\n':
			pass.line++;
			break;
		}
		pass.at++;
	}
	return found;
}
