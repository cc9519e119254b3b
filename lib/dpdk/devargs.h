/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Reading values of device arguments. Each returns 0, or -EINVAL and leaves its result alone. */

#ifndef NMX_DPDK_DEVARGS_H
#define NMX_DPDK_DEVARGS_H

#include <stdint.h>

#include <rte_ether.h>

/**
 * For rte_kvargs_process(): keep a value as it is.
 *
 * @param into  char **, freed before; the caller's to free(). "" without a value
 * @return 0; -ENOMEM
 */
int nmx_dpdk_keep_text(const char *key, const char *value, void *into);

/**
 * Take a key's value in brackets out of devargs, since rte_kvargs knows brackets as lists and
 * splits at each '=': of "a=1,lower=[net_null0,size=64]" is left "a=1,lower=[]". Brackets may nest.
 *
 * @param text       cut
 * @param ret_value  "[net_null0,size=64]", the caller's to free(); NULL: there is no such value
 * @return 0; -ENOMEM
 */
int nmx_dpdk_take_brackets(char *text, const char *key, char **ret_value);

/** A whole number, decimal or 0x..., with an optional unit K, M or G (powers of 1024). */
int nmx_dpdk_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number);

/** One of n words. @param ret_index  which */
int nmx_dpdk_parse_word(
	const char *text, const char *const *words, unsigned int n, unsigned int *ret_index);

/** A unicast MAC address that isn't zero. */
int nmx_dpdk_parse_mac(const char *text, struct rte_ether_addr *ret_mac);

#endif
