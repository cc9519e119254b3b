/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "json_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEY(name)       \
	{               \
		name, 0 \
	}
#define INDEX(index)        \
	{                   \
		NULL, index \
	}
#define LINE(text, ...)                                                                           \
	nmx_mux_find_line(text, &(const struct nmx_mux_place){                                    \
					.depth = sizeof((struct nmx_mux_step[]){ __VA_ARGS__ }) / \
						 sizeof(struct nmx_mux_step),                     \
					.steps = { __VA_ARGS__ } })

static const char text[] = "{\n"                               /* 1 */
			   " \"a\": {\"b\": 1,\n"              /* 2 */
			   "  \"c\": [1, [\n"                  /* 3 */
			   "   2],\n"                          /* 4 */
			   "   {\"d\": \"}\\\"]\",\n"          /* 5 */
			   "    \"e\" : 5}]},\n"               /* 6 */
			   " \"b\":\n"                         /* 7 */
			   "  \"a\", \"c\": [{}, {\"b\": 0,\n" /* 8 */
			   "   \"d\": 1}]}\n";                 /* 9 */

static void
keys_and_elements_are_found(void **unused)
{
	(void)unused;
	assert_int_equal(LINE(text, KEY("a")), 2);
	assert_int_equal(LINE(text, KEY("a"), KEY("c")), 3);
	assert_int_equal(LINE(text, KEY("a"), KEY("c"), INDEX(1)), 3);
	assert_int_equal(LINE(text, KEY("a"), KEY("c"), INDEX(1), INDEX(0)), 4);
	assert_int_equal(LINE(text, KEY("a"), KEY("c"), INDEX(2)), 5);
	assert_int_equal(LINE(text, KEY("a"), KEY("c"), INDEX(2), KEY("e")), 6);
	assert_int_equal(LINE(text, KEY("b")), 7);
	assert_int_equal(LINE(text, KEY("c"), INDEX(1), KEY("d")), 9);
}

static void
a_value_that_is_not_there_has_the_line_of_its_container(void **unused)
{
	(void)unused;
	assert_int_equal(LINE(text, KEY("z")), 1);
	assert_int_equal(LINE(text, KEY("a"), KEY("z")), 2);
	assert_int_equal(LINE(text, KEY("c"), INDEX(1), KEY("z")), 8);
	assert_int_equal(LINE(text, KEY("c"), INDEX(7)), 8);
}

static void
a_text_of_another_shape_ends_the_search(void **unused)
{
	(void)unused;
	assert_int_equal(LINE("", KEY("a")), 1);
	assert_int_equal(LINE("\n7", KEY("a")), 1);
	assert_int_equal(LINE("[\n\"a\"]", KEY("a")), 1);
	assert_int_equal(LINE("{\n\"a\":\n1}", KEY("a"), KEY("b")), 2);
	assert_int_equal(LINE("{\"a", KEY("a")), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_elements_are_found),
		cmocka_unit_test(a_value_that_is_not_there_has_the_line_of_its_container),
		cmocka_unit_test(a_text_of_another_shape_ends_the_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
