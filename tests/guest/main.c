/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-test-guest SOCKET [QUEUES]: connects, starts the device, then obeys commands from stdin, one
 * a line, and answers each with one line that begins with "ok" or "error".
 *
 *   start [N]           start the queues, all buffers posted, or N of each
 *   reflect | pause     send back what comes, in a thread of its own; end that
 *   stop                stop the queues; all buffers must come back
 *   reset               reset the device and take it to where queues can be started
 *   count               "ok FRAMES BYTES ERRORS"
 *   state               "ok STATUS RXSTATE/REASON TXSTATE/REASON" of queue 0
 *   unmap | map PART    area, rings or buffers; "ok MICROSECONDS"
 *   post | submit ADDRESS LENGTH FLAGS   one slot of queue 0, as it is
 *   flip | unflip       turn AVAIL bits at random, all the time, in a thread of its own
 *   send TO FROM LENGTH FILL [FORGED]   send one frame again and again from what isn't posted, in a
 *                       thread of its own; another writes FORGED and FROM in turn meanwhile
 *   quiet               end that
 *   set_mac MAC         "ok ANSWER" of the device
 *   saturate            fill the doorbell of queue 0, and make it block whoever writes to it
 *   quit
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "lib/base/clock.h"

static void *
run_reflector(void *opaque)
{
	struct guest *guest = opaque;

	while (atomic_load_explicit(&guest->reflecting, memory_order_relaxed)) {
		unsigned int n = 0;

		for (uint16_t q = 0; q < guest->n_queues; q++)
			n += guest_reflect(guest, &guest->queues[q]);
		if (n == 0)
			sched_yield();
	}
	return NULL;
}

/** What a guest does that plays with the host: no rule of the ring is kept. */
static void *
run_flipper(void *opaque)
{
	struct guest *guest = opaque;
	uint64_t random = 1;

	while (atomic_load_explicit(&guest->flipping, memory_order_relaxed)) {
		struct guest_queue *queue;
		struct nmx_ring_guest *ring;
		uint64_t *word;

		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		queue = &guest->queues[(random >> 33) % guest->n_queues];
		ring = random >> 40 & 1 ? &queue->rx : &queue->tx;
		word = NMX_SHARED_PLAIN(uint64_t, &ring->slots[(random >> 41) & ring->mask].w1);
		__atomic_fetch_xor(word, VDPDK_W1_AVAIL, __ATOMIC_RELAXED);
		if ((random >> 50) % 64 == 0)
			sched_yield();
	}
	return NULL;
}

/** A thread that a flag keeps running. */
struct worker {
	pthread_t thread;
	bool running;
	atomic_bool *flag;
	void *(*run)(void *);
};

static int
start_worker(struct worker *worker, struct guest *guest)
{
	if (worker->running)
		return -EALREADY;
	atomic_store(worker->flag, true);
	worker->running = pthread_create(&worker->thread, NULL, worker->run, guest) == 0;
	return worker->running ? 0 : -EAGAIN;
}

static int
stop_worker(struct worker *worker)
{
	if (!worker->running)
		return -EALREADY;
	atomic_store(worker->flag, false);
	pthread_join(worker->thread, NULL);
	worker->running = false;
	return 0;
}

/* --- Commands --- */

static struct guest guest;
static struct worker reflector = { .flag = &guest.reflecting, .run = run_reflector };
static struct worker flipper = { .flag = &guest.flipping, .run = run_flipper };
static struct worker sender = { .flag = &guest.sending, .run = guest_run_sender };
static struct worker forger = { .flag = &guest.forging, .run = guest_run_forger };

static int
do_start(char **words)
{
	unsigned long n = words[1] == NULL ? GUEST_SLOTS : strtoul(words[1], NULL, 0);

	return n > GUEST_SLOTS ? -EINVAL : guest_start_queues(&guest, (uint16_t)n);
}

static int
do_reflect(char **words)
{
	(void)words;
	return start_worker(&reflector, &guest);
}

static int
do_pause(char **words)
{
	(void)words;
	return stop_worker(&reflector);
}

static int
do_stop(char **words)
{
	(void)words;
	return guest_stop_queues(&guest);
}

static int
do_reset(char **words)
{
	(void)words;
	return guest_start_device(&guest);
}

static int
do_count(char **words)
{
	uint64_t frames = 0, bytes = 0, errors = 0;

	(void)words;
	for (uint16_t q = 0; q < guest.n_queues; q++) {
		frames += guest.queues[q].frames;
		bytes += guest.queues[q].bytes;
		errors += guest.queues[q].errors;
	}
	printf("ok %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", frames, bytes, errors);
	return 1;
}

static int
do_state(char **words)
{
	const struct nmx_ring_guest *rx = &guest.queues[0].rx, *tx = &guest.queues[0].tx;
	const struct vdpdk_ring_header *r = NMX_SHARED_PLAIN(struct vdpdk_ring_header, rx->header);
	const struct vdpdk_ring_header *t = NMX_SHARED_PLAIN(struct vdpdk_ring_header, tx->header);
	uint32_t rx_word = r == NULL ? 0 : r->device.state,
		 tx_word = t == NULL ? 0 : t->device.state;

	(void)words;
	printf("ok %#x %u/%u %u/%u\n", guest_read_register(&guest, VDPDK_REG_STATUS),
		VDPDK_QUEUE_STATE(rx_word), VDPDK_QUEUE_FAULT(rx_word), VDPDK_QUEUE_STATE(tx_word),
		VDPDK_QUEUE_FAULT(tx_word));
	return 1;
}

static int
find_part(const char *name)
{
	static const char *const names[] = { "area", "rings", "buffers" };

	for (int i = 0; name != NULL && i < GUEST_PARTS; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

static int
do_map_or_unmap(char **words, int (*change)(struct guest *, enum guest_part))
{
	int part = find_part(words[1]), ret;
	uint64_t begin_ns = nmx_base_read_clock_ns();

	if (part < 0)
		return -EINVAL;
	ret = change(&guest, (enum guest_part)part);
	if (ret != 0)
		return ret;
	printf("ok %" PRIu64 "\n", (nmx_base_read_clock_ns() - begin_ns) / NMX_NS_PER_US);
	return 1;
}

static int
do_map(char **words)
{
	return do_map_or_unmap(words, guest_map);
}

static int
do_unmap(char **words)
{
	return do_map_or_unmap(words, guest_unmap);
}

static int
submit(char **words, struct nmx_ring_guest *ring)
{
	if (words[1] == NULL || words[2] == NULL || words[3] == NULL)
		return -EINVAL;
	guest_submit_raw(ring, strtoull(words[1], NULL, 0),
		VDPDK_W1(strtoul(words[2], NULL, 0), 0, strtoul(words[3], NULL, 0), 0));
	return 0;
}

static int
do_post(char **words)
{
	return submit(words, &guest.queues[0].rx);
}

static int
do_submit(char **words)
{
	return submit(words, &guest.queues[0].tx);
}

static int
do_flip(char **words)
{
	(void)words;
	return start_worker(&flipper, &guest);
}

static int
do_unflip(char **words)
{
	(void)words;
	return stop_worker(&flipper);
}

static int
do_saturate(char **words)
{
	const uint64_t nearly_all = UINT64_MAX - 1;
	int fd = guest.queues[0].doorbell;

	(void)words;
	/* The flag belongs to the open file, which the host has, too. */
	if (write(fd, &nearly_all, sizeof(nearly_all)) < 0 || fcntl(fd, F_SETFL, 0) != 0)
		return -errno;
	return 0;
}

static bool
read_mac(const char *word, uint8_t mac[6])
{
	return word != NULL && sscanf(word, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1],
				       &mac[2], &mac[3], &mac[4], &mac[5]) == 6;
}

static int
do_send(char **words)
{
	struct guest_order *order = &guest.order;
	int ret;

	if (sender.running || !read_mac(words[1], order->to) || !read_mac(words[2], order->from) ||
		words[3] == NULL || words[4] == NULL)
		return -EINVAL;
	order->bytes = (uint16_t)strtoul(words[3], NULL, 0);
	order->fill = (uint8_t)strtoul(words[4], NULL, 0);
	if (order->bytes < 14 || order->bytes > GUEST_BUFFER_BYTES)
		return -EINVAL;
	ret = start_worker(&sender, &guest);
	if (ret == 0 && read_mac(words[5], order->forged))
		ret = start_worker(&forger, &guest);
	return ret;
}

static int
do_quiet(char **words)
{
	(void)words;
	(void)stop_worker(&forger);
	return stop_worker(&sender);
}

static int
do_set_mac(char **words)
{
	struct vdpdk_mac body = { 0 };

	if (!read_mac(words[1], body.address))
		return -EINVAL;
	printf("ok %d\n", guest_request(&guest, VDPDK_OP_MAC_SET, &body, sizeof(body)));
	return 1;
}

/** Each prints its own answer and returns 1, or leaves it to the caller: 0 or -errno. */
static const struct {
	const char *name;
	int (*run)(char **words);
} commands[] = {
	{ "start", do_start },
	{ "reflect", do_reflect },
	{ "pause", do_pause },
	{ "stop", do_stop },
	{ "reset", do_reset },
	{ "count", do_count },
	{ "state", do_state },
	{ "map", do_map },
	{ "unmap", do_unmap },
	{ "post", do_post },
	{ "submit", do_submit },
	{ "flip", do_flip },
	{ "unflip", do_unflip },
	{ "send", do_send },
	{ "quiet", do_quiet },
	{ "set_mac", do_set_mac },
	{ "saturate", do_saturate },
};

static int
obey(char *line)
{
	char *words[7] = { NULL }, *rest = NULL;

	for (unsigned int i = 0; i < 6; i++)
		words[i] = strtok_r(i == 0 ? line : NULL, " \n", &rest);
	if (words[0] == NULL)
		return -EINVAL;
	for (unsigned int i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(words[0], commands[i].name) == 0)
			return commands[i].run(words);
	return -EINVAL;
}

int
main(int argc, char **argv)
{
	unsigned long n_queues = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	char line[256];

	if (argc < 2 || n_queues < 1 || n_queues > GUEST_QUEUES_MAX) {
		fprintf(stderr, "usage: nmx-test-guest SOCKET [QUEUES, 1 to %d]\n",
			GUEST_QUEUES_MAX);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (guest_open(&guest, argv[1], (uint16_t)n_queues) != 0)
		return 1;
	printf("ok\n");
	while (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "quit\n") != 0) {
		int ret = obey(line);

		if (ret <= 0)
			printf(ret == 0 ? "ok\n" : "error %s\n", strerror(-ret));
	}
	(void)stop_worker(&reflector);
	(void)stop_worker(&flipper);
	(void)stop_worker(&forger);
	(void)stop_worker(&sender);
	guest_close(&guest);
	return 0;
}
