/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_kvargs.h>

#include "lib/dpdk/devargs.h"
#include "tnic_audit.h"
#include "tnic_pace.h"

enum role_bit {
	ROLE_SENDS = 1 << 0,
	ROLE_AUDITS = 1 << 1,
	ROLE_WRAPS = 1 << 2, /* another port's frames pass; it neither makes any nor audits */
};

struct option {
	const char *key;
	unsigned int roles; /* it means something if the port does one of these */
	/* Returns false on a bad value and leaves the configuration alone. */
	bool (*parse)(const char *value, struct tnic_config *config);
	const char *wants; /* what a good value is, for the sentence on a bad one */
};

/** A decimal number and nothing else, that ends where `end` is. */
static bool
parse_number(const char *text, const char *end, uint64_t *ret_n)
{
	uint64_t n = 0;

	if (text == end)
		return false;
	for (; text < end; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9' || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret_n = n;
	return true;
}

static bool
parse_number_within(const char *text, uint64_t low, uint64_t high, uint64_t *ret_n)
{
	uint64_t n;

	if (!parse_number(text, text + strlen(text), &n) || n < low || n > high)
		return false;
	*ret_n = n;
	return true;
}

static bool
parse_word_within(const char *text, uint32_t high, uint32_t *ret_n)
{
	uint64_t n;

	if (!parse_number_within(text, 0, high, &n))
		return false;
	*ret_n = (uint32_t)n;
	return true;
}

/** LO-HI, or one number for both. */
static bool
parse_range(const char *text, struct tnic_range limits, struct tnic_range *ret_range)
{
	const char *dash = strchr(text, '-'), *end = text + strlen(text);
	uint64_t low, high;

	if (!parse_number(text, dash != NULL ? dash : end, &low))
		return false;
	high = low;
	if (dash != NULL && !parse_number(dash + 1, end, &high))
		return false;
	if (low < limits.low || high > limits.high || low > high)
		return false;
	*ret_range = (struct tnic_range){ (uint32_t)low, (uint32_t)high };
	return true;
}

static bool
parse_mac(const char *text, uint8_t ret_mac[6])
{
	struct rte_ether_addr mac;

	if (rte_ether_unformat_addr(text, &mac) != 0)
		return false;
	memcpy(ret_mac, mac.addr_bytes, sizeof(mac.addr_bytes));
	return true;
}

static bool
parse_lower(const char *value, struct tnic_config *config)
{
	if (strcmp(value, "[]") == 0)
		return config->lower[0] != '\0'; /* taken by take_devargs() */
	if (value[0] == '\0' || value[0] == '[' || strlen(value) >= sizeof(config->lower))
		return false;
	strcpy(config->lower, value);
	return true;
}

static bool
parse_file(const char *value, struct tnic_config *config)
{
	if (value[0] == '\0' || strlen(value) >= sizeof(config->file))
		return false;
	strcpy(config->file, value);
	return true;
}

static bool
parse_places(const char *value, struct tnic_config *config)
{
	if (value[0] == '\0' || strlen(value) >= sizeof(config->places))
		return false;
	strcpy(config->places, value);
	return true;
}

static bool
parse_role(const char *value, struct tnic_config *config)
{
	bool is_both = strcmp(value, "both") == 0;
	bool sends = is_both || strcmp(value, "send") == 0;
	bool audits = is_both || strcmp(value, "audit") == 0;

	if (!sends && !audits)
		return false;
	config->sends = sends;
	config->audits = audits;
	return true;
}

static bool
parse_frames(const char *value, struct tnic_config *config)
{
	return parse_number_within(value, 0, UINT64_MAX, &config->frames);
}

static bool
parse_sizes(const char *value, struct tnic_config *config)
{
	const struct tnic_range limits = { TNIC_FRAME_MIN_BYTES, TNIC_FRAME_MAX_BYTES };

	return parse_range(value, limits, &config->sizes);
}

static bool
parse_segments(const char *value, struct tnic_config *config)
{
	const struct tnic_range limits = { 1, TNIC_ARGS_MAX_SEGMENTS };

	return parse_range(value, limits, &config->segments);
}

static bool
parse_flows(const char *value, struct tnic_config *config)
{
	uint64_t n;

	if (!parse_number_within(value, 1, TNIC_MAX_FLOWS, &n))
		return false;
	config->n_flows = (uint32_t)n;
	return true;
}

static bool
parse_window(const char *value, struct tnic_config *config)
{
	return parse_word_within(value, TNIC_SEEN_SEQS, &config->window);
}

static bool
parse_rate(const char *value, struct tnic_config *config)
{
	return parse_number_within(value, 0, TNIC_PACE_MAX_RATE, &config->rate);
}

static bool
parse_dst(const char *value, struct tnic_config *config)
{
	return parse_mac(value, config->macs.dst);
}

static bool
parse_src(const char *value, struct tnic_config *config)
{
	uint8_t mac[6];

	if (!parse_mac(value, mac) || (mac[0] & RTE_ETHER_GROUP_ADDR) != 0)
		return false;
	memcpy(config->macs.src, mac, sizeof(mac));
	return true;
}

static bool
parse_macs(const char *value, struct tnic_config *config)
{
	if (strcmp(value, "same") == 0)
		config->macs_expected = TNIC_MACS_SAME;
	else if (strcmp(value, "swapped") == 0)
		config->macs_expected = TNIC_MACS_SWAPPED;
	else
		return false;
	return true;
}

static bool
parse_seed(const char *value, struct tnic_config *config)
{
	return parse_number_within(value, 0, UINT64_MAX, &config->seed);
}

static bool
parse_ring(const char *value, struct tnic_config *config)
{
	uint64_t n;

	if (!parse_number_within(value, 0, TNIC_RING_MAX, &n) || n % TNIC_RING_REFILL != 0)
		return false;
	config->ring = (uint32_t)n;
	return true;
}

static bool
parse_round(const char *value, struct tnic_config *config)
{
	size_t length = strlen(value);
	bool up = length > 2 && strcmp(value + length - 2, "up") == 0;
	uint64_t n;

	if (!parse_number(value, value + length - (up ? 2 : 0), &n) || n < 1 || n > 1024)
		return false;
	config->round = (uint32_t)n;
	config->rounds_up = up;
	return true;
}

static bool
parse_stop(const char *value, struct tnic_config *config)
{
	static const char *const names[] = {
		[TNIC_STOP_RETURNS] = "returns",
		[TNIC_STOP_REFUSES] = "refuses",
		[TNIC_STOP_LIES] = "lies",
		[TNIC_STOP_REFUSES_LATER] = "refuses-later",
		[TNIC_STOP_LIES_LATER] = "lies-later",
	};

	unsigned int found;

	if (nmx_dpdk_parse_word(value, names, sizeof(names) / sizeof(names[0]), &found) != 0)
		return false;
	config->stop = (enum tnic_ring_stop)found;
	return true;
}

static bool
parse_order(const char *value, const char *straight, bool *ret_shuffled)
{
	*ret_shuffled = strcmp(value, "shuffled") == 0;
	return *ret_shuffled || strcmp(value, straight) == 0;
}

static bool
parse_rx_order(const char *value, struct tnic_config *config)
{
	return parse_order(value, "posted", &config->rx_shuffled);
}

static bool
parse_alloc_fail(const char *value, struct tnic_config *config)
{
	uint64_t n;

	/* If each one failed no frame would ever come. */
	if (!parse_number_within(value, 0, 1000000, &n) || n == 1)
		return false;
	config->alloc_fail = (uint32_t)n;
	return true;
}

static bool
parse_tx_ring(const char *value, struct tnic_config *config)
{
	uint64_t n;

	if (!parse_number_within(value, 0, TNIC_TX_RING_MAX, &n) || (n & (n - 1)) != 0 ||
		(n != 0 && n < 2 * TNIC_TX_FREE))
		return false;
	config->tx_ring = (uint32_t)n;
	return true;
}

static bool
parse_tx_order(const char *value, struct tnic_config *config)
{
	return parse_order(value, "sent", &config->tx_shuffled);
}

static bool
parse_tx_keep(const char *value, struct tnic_config *config)
{
	static const char *const names[] = {
		[TNIC_TX_KEEP_NO] = "no",
		[TNIC_TX_KEEP_UNTIL_ASKED] = "until-asked",
		[TNIC_TX_KEEP_UNTIL_STOP] = "until-stop",
		[TNIC_TX_KEEP_UNTIL_CLOSE] = "until-close",
	};
	unsigned int found;

	if (nmx_dpdk_parse_word(value, names, sizeof(names) / sizeof(names[0]), &found) != 0)
		return false;
	config->tx_keep = (enum tnic_tx_keep)found;
	return true;
}

static bool
parse_flap(const char *value, struct tnic_config *config)
{
	return parse_word_within(value, 60000, &config->flap_ms);
}

static bool
parse_dma(const char *value, struct tnic_config *config)
{
	return parse_word_within(value, TNIC_DMA_MAX, &config->dma);
}

static bool
parse_spoil(const char *value, struct tnic_config *config)
{
	uint64_t n;

	if (!parse_number_within(value, 0, 1, &n))
		return false;
	config->spoils = n == 1;
	return true;
}

static bool
parse_first(const char *value, struct tnic_config *config)
{
	return parse_word_within(value, TNIC_MAX_QUEUES - 1, &config->first_queue);
}

static const struct option options[] = {
	{ "lower", ROLE_WRAPS, parse_lower, "a port's name, or [devargs], shorter than 512 bytes" },
	{ "file", ROLE_SENDS | ROLE_AUDITS, parse_file, "a path, shorter than 4096 bytes" },
	{ "places", ROLE_SENDS | ROLE_AUDITS | ROLE_WRAPS, parse_places,
		"a path, shorter than 4096 bytes" },
	{ "role", ROLE_SENDS | ROLE_AUDITS, parse_role, "both, send or audit" },
	{ "frames", ROLE_SENDS, parse_frames, "a number; 0 for no end" },
	{ "sizes", ROLE_SENDS, parse_sizes, "LO-HI in bytes, with 60 <= LO <= HI <= 9728" },
	{ "segments", ROLE_SENDS, parse_segments, "LO-HI, with 1 <= LO <= HI <= 64" },
	{ "flows", ROLE_SENDS, parse_flows, "a number from 1 to 4096" },
	{ "window", ROLE_SENDS, parse_window, "a number from 0 (no window) to 4096" },
	{ "rate", ROLE_SENDS, parse_rate, "frames a second, from 0 (no limit) to 1000000000" },
	{ "dst", ROLE_SENDS | ROLE_AUDITS, parse_dst, "a MAC address like 02:00:00:00:00:01" },
	{ "src", ROLE_SENDS | ROLE_AUDITS, parse_src,
		"a MAC address of one station, like 02:00:00:00:00:01" },
	{ "macs", ROLE_AUDITS, parse_macs, "same or swapped" },
	{ "seed", ROLE_SENDS | ROLE_WRAPS, parse_seed, "a number below 2^64" },
	{ "ring", ROLE_SENDS | ROLE_WRAPS, parse_ring,
		"a multiple of 32 up to 4096; 0 for no ring" },
	{ "round", ROLE_SENDS | ROLE_WRAPS, parse_round,
		"a number from 1 to 1024, and perhaps \"up\"" },
	{ "dma", ROLE_SENDS | ROLE_WRAPS, parse_dma,
		"a number of maps up to 1024; 0 for no IOMMU" },
	{ "stop", ROLE_SENDS | ROLE_WRAPS, parse_stop,
		"returns, refuses, lies, refuses-later or lies-later" },
	{ "spoil", ROLE_SENDS | ROLE_WRAPS, parse_spoil, "0 or 1" },
	{ "first", ROLE_SENDS, parse_first, "a queue's number, from 0 to 15" },
	{ "rx_order", ROLE_SENDS | ROLE_WRAPS, parse_rx_order, "posted or shuffled" },
	{ "alloc_fail", ROLE_SENDS | ROLE_WRAPS, parse_alloc_fail,
		"a number from 2 to 1000000; 0 for none" },
	{ "tx_ring", ROLE_AUDITS | ROLE_WRAPS, parse_tx_ring,
		"a power of 2 from 64 to 4096; 0 for no ring" },
	{ "tx_order", ROLE_AUDITS | ROLE_WRAPS, parse_tx_order, "sent or shuffled" },
	{ "tx_keep", ROLE_AUDITS | ROLE_WRAPS, parse_tx_keep,
		"no, until-asked, until-stop or until-close" },
	{ "flap_ms", ROLE_SENDS | ROLE_AUDITS | ROLE_WRAPS, parse_flap,
		"milliseconds, up to 60000; 0 for none" },
};

/** Options that mean nothing without another one. */
static const struct {
	const char *key;
	const char *needs;
} needs[] = {
	{ "rx_order", "ring" },
	{ "alloc_fail", "ring" },
	{ "tx_order", "tx_ring" },
	{ "tx_keep", "tx_ring" },
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static_assert(TNIC_FRAME_MIN_BYTES == 60 && TNIC_FRAME_MAX_BYTES == 9728, "as in the sentence");
static_assert(TNIC_ARGS_MAX_SEGMENTS == 64, "as in the sentence");
static_assert(TNIC_MAX_FLOWS == 4096 && TNIC_SEEN_SEQS == 4096, "as in the sentence");
static_assert(TNIC_PACE_MAX_RATE == 1000000000, "as in the sentence");
static_assert(PATH_MAX == 4096, "as in the sentence");
static_assert(TNIC_ARGS_LOWER_BYTES == 512, "as in the sentence");
static_assert(TNIC_DMA_MAX == 1024, "as in the sentence");
static_assert(TNIC_MAX_QUEUES == 16, "as in the sentence");
static_assert(TNIC_RING_REFILL == 32 && TNIC_RING_MAX == 4096, "as in the sentence");
static_assert(TNIC_TX_FREE == 32 && TNIC_TX_RING_MAX == 4096, "as in the sentence");

static const struct option *
find_option(const char *key)
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (strcmp(options[i].key, key) == 0)
			return &options[i];
	return NULL;
}

static int
parse_pair(
	const struct rte_kvargs_pair *pair, struct tnic_config *config, struct tnic_reason *reason)
{
	const struct option *option = find_option(pair->key);

	if (option == NULL)
		return tnic_refuse(reason, EINVAL,
			"%.64s: no such argument; this driver knows " TNIC_ARGS_HELP, pair->key);
	if (pair->value == NULL || !option->parse(pair->value, config))
		return tnic_refuse(reason, EINVAL, "%s=%.256s: bad value; it must be %s",
			option->key, pair->value != NULL ? pair->value : "", option->wants);
	return 0;
}

static unsigned int
get_roles(const struct tnic_config *config)
{
	if (config->lower[0] != '\0')
		return ROLE_WRAPS;
	return (config->sends ? ROLE_SENDS : 0) | (config->audits ? ROLE_AUDITS : 0);
}

/** Say that a key means nothing to a port as it is. */
static int
refuse_key(const char *key, const struct tnic_config *config, struct tnic_reason *reason)
{
	if (config->lower[0] != '\0')
		return tnic_refuse(reason, EINVAL,
			"%s=: means nothing with lower=, whose frames are made and judged by "
			"others; remove one of the two",
			key);
	return tnic_refuse(reason, EINVAL,
		"%s=: means nothing to a port that only %s; remove it, or give it to the other "
		"port",
		key, config->sends ? "sends" : "audits");
}

/** What is wrong with the arguments as a whole. */
static int
check_pairs(const struct rte_kvargs *pairs, const struct tnic_config *config,
	struct tnic_reason *reason)
{
	unsigned int roles = get_roles(config);

	for (size_t i = 0; i < N_OPTIONS; i++) {
		unsigned int n = rte_kvargs_count(pairs, options[i].key);

		if (n > 1)
			return tnic_refuse(reason, EINVAL, "%s=: given %u times; give it once",
				options[i].key, n);
		if (n > 0 && (options[i].roles & roles) == 0)
			return refuse_key(options[i].key, config, reason);
	}
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (rte_kvargs_count(pairs, needs[i].key) > 0 &&
			rte_kvargs_count(pairs, needs[i].needs) == 0)
			return tnic_refuse(reason, EINVAL,
				"%s=: means nothing without %s=; give both, or neither",
				needs[i].key, needs[i].needs);
	if (roles != ROLE_WRAPS && config->file[0] == '\0')
		return tnic_refuse(reason, EINVAL,
			"file=: missing; name the file that sending and auditing port share, or "
			"lower=, the port whose frames are to pass");
	return 0;
}

/** Take devargs in brackets out of the text: "lower=[]" is left. @return 0; -ENOMEM */
static int
take_devargs(char *text, struct tnic_config *config)
{
	char *value;
	int ret = nmx_dpdk_take_brackets(text, "lower", &value);

	if (ret == 0 && value != NULL && strcmp(value, "[]") != 0 &&
		strlen(value) < sizeof(config->lower))
		strcpy(config->lower, value);
	free(value);
	return ret;
}

int
tnic_parse_args(const char *text, struct tnic_config *ret_config, struct tnic_reason *reason)
{
	struct tnic_config config = {
		.sends = true,
		.audits = true,
		.sizes = { 60, 1514 },
		.segments = { 1, 1 },
		.n_flows = 16,
		.macs = { .dst = { 0x02, 't', 'n', 'i', 'c', 2 },
			.src = { 0x02, 't', 'n', 'i', 'c', 1 } },
		.seed = 1,
		.round = 1,
		.spoils = true,
	};
	struct rte_kvargs *pairs;
	char *rest = strdup(text);
	int ret = 0;

	if (rest == NULL || take_devargs(rest, &config) != 0) {
		free(rest);
		return tnic_refuse(reason, ENOMEM, "no memory; give more");
	}
	pairs = rte_kvargs_parse(rest, NULL);
	free(rest);
	if (pairs == NULL)
		return tnic_refuse(reason, EINVAL,
			"\"%.256s\": not a list of key=value,...; give " TNIC_ARGS_HELP, text);
	for (unsigned int i = 0; i < pairs->count && ret == 0; i++)
		ret = parse_pair(&pairs->pairs[i], &config, reason);
	if (ret == 0)
		ret = check_pairs(pairs, &config, reason);
	rte_kvargs_free(pairs);
	if (ret == 0)
		*ret_config = config;
	return ret;
}

struct tnic_macs
tnic_get_expected_macs(const struct tnic_config *config)
{
	struct tnic_macs macs = config->macs;

	if (config->macs_expected == TNIC_MACS_SWAPPED) {
		memcpy(macs.dst, config->macs.src, sizeof(macs.dst));
		memcpy(macs.src, config->macs.dst, sizeof(macs.src));
	}
	return macs;
}
