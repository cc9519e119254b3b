/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "counters.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

/** How long a secondary waits: longer than a device may take to answer the primary. */
#define WAIT_S 6

/** An answer's payload; a question's is the port's name. */
struct answer {
	int32_t result; /* 0 or -errno */
	uint32_t n;
	uint64_t numbers[NMX_DPDK_COUNTERS_MAX];
};

static_assert(sizeof(struct answer) <= RTE_MP_MAX_PARAM_LEN, "an answer is one message");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, nmx_dpdk_counters) served = LIST_HEAD_INITIALIZER(served);

static struct nmx_dpdk_counters *
find_port(const char *port)
{
	struct nmx_dpdk_counters *one;

	LIST_FOREACH(one, &served, next)
	if (strcmp(one->port, port) == 0)
		return one;
	return NULL;
}

static int
on_question(const struct rte_mp_msg *question, const void *peer)
{
	struct answer answer = { .result = -ENODEV };
	struct rte_mp_msg message = { .len_param = sizeof(answer) };
	char port[RTE_MP_MAX_PARAM_LEN] = "";
	struct nmx_dpdk_counters *one;

	if (question->len_param > 0 && question->len_param < (int)sizeof(port))
		memcpy(port, question->param, (size_t)question->len_param);
	pthread_mutex_lock(&lock);
	one = find_port(port);
	if (one != NULL) {
		answer.result = 0;
		answer.n = one->n;
		one->read(one->context, answer.numbers);
	}
	pthread_mutex_unlock(&lock);
	memcpy(message.name, question->name, sizeof(message.name));
	memcpy(message.param, &answer, sizeof(answer));
	return rte_mp_reply(&message, peer);
}

void
nmx_dpdk_serve_counters(const char *action, struct nmx_dpdk_counters *counters)
{
	pthread_mutex_lock(&lock);
	LIST_INSERT_HEAD(&served, counters, next);
	pthread_mutex_unlock(&lock);
	/* Once for all ports of a driver: the second time it exists. */
	(void)rte_mp_action_register(action, on_question);
}

void
nmx_dpdk_end_counters(struct nmx_dpdk_counters *counters)
{
	pthread_mutex_lock(&lock);
	LIST_REMOVE(counters, next);
	pthread_mutex_unlock(&lock);
}

/** Read the one message of a reply. */
static int
take_answer(const struct rte_mp_reply *reply, uint64_t *ret_numbers, uint32_t n)
{
	struct answer answer;

	if (reply->nb_received != 1)
		return -ETIMEDOUT;
	if (reply->msgs[0].len_param != sizeof(answer))
		return -EPROTO;
	memcpy(&answer, reply->msgs[0].param, sizeof(answer));
	if (answer.result != 0)
		return answer.result;
	if (answer.n != n)
		return -EPROTO;
	memcpy(ret_numbers, answer.numbers, n * sizeof(*ret_numbers));
	return 0;
}

int
nmx_dpdk_ask_counters(const char *action, const char *port, uint64_t *ret_numbers, uint32_t n)
{
	const struct timespec wait = { .tv_sec = WAIT_S };
	struct rte_mp_msg question = { .len_param = (int)strlen(port) + 1 };
	struct rte_mp_reply reply = { .nb_received = 0 };
	int ret;

	memset(ret_numbers, 0, n * sizeof(*ret_numbers));
	snprintf(question.name, sizeof(question.name), "%s", action);
	snprintf((char *)question.param, sizeof(question.param), "%s", port);
	if (rte_mp_request_sync(&question, &reply, &wait) != 0)
		return -rte_errno;
	ret = take_answer(&reply, ret_numbers, n);
	free(reply.msgs);
	return ret;
}
