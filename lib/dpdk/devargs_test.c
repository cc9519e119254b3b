/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/dpdk/devargs.h"

static void
numbers_are_read_with_their_units(void **unused)
{
	static const struct {
		const char *text;
		uint64_t number;
	} row[] = {
		{ "0", 0 },
		{ "17", 17 },
		{ "0x1F", 31 },
		{ "4K", 4096 },
		{ "3M", 3 << 20 },
		{ "64G", UINT64_C(64) << 30 },
		{ "18446744073709551615", UINT64_MAX },
	};
	uint64_t number;

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		assert_int_equal(nmx_dpdk_parse_number(row[i].text, 0, UINT64_MAX, &number), 0);
		assert_int_equal(number, row[i].number);
	}
}

static void
what_is_no_number_in_its_bounds_is_refused(void **unused)
{
	static const char *const bad[] = { NULL, "", " 20", "+20", "-20", "x", "20x", "20KB", "20k",
		"K", "9", "101", "1K", "0.5", "18446744073709551616", "17179869185G" };
	uint64_t number = 7;

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(nmx_dpdk_parse_number(bad[i], 10, 100, &number), -EINVAL);
	/* A unit doesn't wrap past the bound. */
	assert_int_equal(nmx_dpdk_parse_number("17179869184G", 0, UINT64_MAX, &number), -EINVAL);
	assert_int_equal(number, 7);
	assert_int_equal(nmx_dpdk_parse_number("10", 10, 100, &number), 0);
	assert_int_equal(nmx_dpdk_parse_number("100", 10, 100, &number), 0);
}

static void
addresses_are_of_one_station(void **unused)
{
	static const char *const bad[] = { NULL, "", "02:00:00:00:00", "00:00:00:00:00:00",
		"01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:0g" };
	struct rte_ether_addr mac = { { 1, 2, 3, 4, 5, 6 } };

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(nmx_dpdk_parse_mac(bad[i], &mac), -EINVAL);
		assert_int_equal(mac.addr_bytes[5], 6);
	}
	assert_int_equal(nmx_dpdk_parse_mac("02:00:00:00:00:0a", &mac), 0);
	assert_int_equal(mac.addr_bytes[0], 2);
	assert_int_equal(mac.addr_bytes[5], 10);
}

static void
words_are_whole_ones_of_a_list(void **unused)
{
	static const char *const words[] = { "auto", "map", "copy" };
	static const char *const bad[] = { NULL, "", "ma", "maps", "Map", "map,copy" };
	unsigned int i = 9;

	(void)unused;
	for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
		assert_int_equal(nmx_dpdk_parse_word(bad[k], words, 3, &i), -EINVAL);
		assert_int_equal(i, 9);
	}
	assert_int_equal(nmx_dpdk_parse_word("copy", words, 2, &i), -EINVAL);
	assert_int_equal(nmx_dpdk_parse_word("copy", words, 3, &i), 0);
	assert_int_equal(i, 2);
}

static void
what_is_in_brackets_is_one_value(void **unused)
{
	static const struct {
		const char *text, *rest, *value;
	} row[] = {
		{ "lower=[net_null0,size=64],map=0:g", "lower=[],map=0:g", "[net_null0,size=64]" },
		{ "a=1,lower=[a[b=1]c,d=[2]]", "a=1,lower=[]", "[a[b=1]c,d=[2]]" },
		{ "lower=net_null0,map=0:g", "lower=net_null0,map=0:g", NULL },
		{ "b=[lower=[x]],c=1", "b=[lower=[x]],c=1", NULL },
		{ "slower=[x]", "slower=[x]", NULL },
		{ "lower=[x", "lower=[x", NULL },
		{ "b=[x,lower=[y]", "b=[x,lower=[y]", NULL },
		{ "lower=[]", "lower=[]", "[]" },
		{ "lower", "lower", NULL },
		{ "", "", NULL },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char *text = strdup(row[i].text), *value;

		assert_non_null(text);
		assert_int_equal(nmx_dpdk_take_brackets(text, "lower", &value), 0);
		assert_string_equal(text, row[i].rest);
		if (row[i].value == NULL)
			assert_null(value);
		else
			assert_string_equal(value, row[i].value);
		free(value);
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_read_with_their_units),
		cmocka_unit_test(what_is_no_number_in_its_bounds_is_refused),
		cmocka_unit_test(addresses_are_of_one_station),
		cmocka_unit_test(words_are_whole_ones_of_a_list),
		cmocka_unit_test(what_is_in_brackets_is_one_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
