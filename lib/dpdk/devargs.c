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
nmx_dpdk_parse_mac(const char *text, struct rte_ether_addr *ret_mac)
{
	struct rte_ether_addr mac;

	if (text == NULL || rte_ether_unformat_addr(text, &mac) != 0 ||
		!rte_is_valid_assigned_ether_addr(&mac))
		return -EINVAL;
	*ret_mac = mac;
	return 0;
}
