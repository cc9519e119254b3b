/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "devargs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
nmx_dpdk_keep_text(const char *key, const char *value, void *into)
{
	char **text = into;

	(void)key;
	free(*text);
	*text = strdup(value == NULL ? "" : value);
	return *text == NULL ? -ENOMEM : 0;
}

/** The bracket that closes the one at `open`; NULL: none does. */
static char *
find_closing(char *open)
{
	unsigned int depth = 0;

	for (char *c = open; *c != '\0'; c++) {
		depth += *c == '[';
		depth -= *c == ']';
		if (depth == 0)
			return c;
	}
	return NULL;
}

/** Where a key's value begins, outside of brackets; NULL: the key isn't there. */
static char *
find_value(char *text, const char *key)
{
	size_t bytes = strlen(key);

	while (text != NULL) {
		if (strncmp(text, key, bytes) == 0 && text[bytes] == '=')
			return text + bytes + 1;
		text = strpbrk(text, ",[");
		if (text != NULL && *text == '[')
			text = find_closing(text);
		if (text != NULL)
			text++;
	}
	return NULL;
}

int
nmx_dpdk_take_brackets(char *text, const char *key, char **ret_value)
{
	char *begin = find_value(text, key), *end = NULL;

	*ret_value = NULL;
	if (begin != NULL && *begin == '[')
		end = find_closing(begin);
	if (end == NULL)
		return 0;
	*ret_value = strndup(begin, (size_t)(end - begin) + 1);
	if (*ret_value == NULL)
		return -ENOMEM;
	memmove(begin + 1, end, strlen(end) + 1);
	return 0;
}

static unsigned int
get_unit_log2(char unit)
{
	switch (unit) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	default:
		return 0;
	}
}

int
nmx_dpdk_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number)
{
	unsigned int shift;
	uint64_t number;
	char *end;

	/* strtoull() takes signs and blanks, too. */
	if (text == NULL || !isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 0);
	shift = get_unit_log2(*end);
	end += shift != 0;
	if (errno != 0 || *end != '\0' || number > max >> shift || number << shift < min)
		return -EINVAL;
	*ret_number = number << shift;
	return 0;
}

int
nmx_dpdk_parse_word(
	const char *text, const char *const *words, unsigned int n, unsigned int *ret_index)
{
	for (unsigned int i = 0; text != NULL && i < n; i++)
		if (strcmp(text, words[i]) == 0) {
			*ret_index = i;
			return 0;
		}
	return -EINVAL;
}

int
nmx_dpdk_parse_mac(const char *text, struct rte_ether_addr *ret_mac)
{
	struct rte_ether_addr mac;

	if (text == NULL || rte_ether_unformat_addr(text, &mac) != 0 ||
		!rte_is_valid_assigned_ether_addr(&mac))
		return -EINVAL;
	*ret_mac = mac;
	return 0;
}
