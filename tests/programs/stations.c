/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-stations [EAL options] -- STREAMS FRAMES WINDOW SEED MAC...: hosts of an Ethernet that tell
 * if it loses, changes, doubles, disorders or misdelivers a frame.
 *
 * Theory of operation
 *
 * Each port of the process is a station; MAC... are the addresses of all stations, here and in
 * other processes; +MAC is one whose frames may come, but which is no station. A station sends
 * STREAMS streams of FRAMES frames, each stream to a station that it draws, with at most WINDOW
 * frames unacknowledged: so a network that loses nothing under such load must lose nothing, and a
 * stream that stops is a frame lost. Nothing is ever sent again.
 *
 *   frame  Ethernet header (type 0x88b5), struct message, filling of random length, all under a CRC
 *   data   {from, to, stream, sequence}; answered by an ack of the same numbers
 *   echo   data that comes back with the peer's source address: the peer is a program that swaps
 *          addresses, and this counts as its ack
 *
 * Prints "ready"; after a line of input it sends; "finished" when all streams are acknowledged;
 * goes on answering; on a further line, or the end of input, prints the counters and ends. The exit
 * code is 0 if nothing was wrong and all was acknowledged.
 */

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_hash_crc.h>
#include <rte_mbuf.h>

#define PEERS_MAX 256
#define SLOTS     1024
#define BURST     32
#define TYPE      0x88b5 /* for local experiments */
#define MAGIC     0x6e6d7831u
#define BYTES_MAX 1514

enum kind {
	DATA = 1,
	ACK = 2,
};

struct message {
	uint32_t magic;
	uint16_t kind, from, to;
	uint16_t bytes; /* of the frame */
	uint32_t stream;
	uint32_t sequence;
	uint32_t crc; /* of the frame behind the Ethernet header, this 0 */
};

#define HEAD_BYTES (sizeof(struct rte_ether_hdr) + sizeof(struct message))

/** What a station expects of another. */
struct source {
	uint32_t stream, sequence;
};

struct station {
	uint16_t port, index; /* in the list of addresses */
	uint64_t random;
	uint32_t streams; /* finished */
	uint32_t stream;  /* under way, from 1 */
	uint16_t peer;
	uint32_t sent, acked; /* of its frames */
	struct source sources[PEERS_MAX];
};

/** What was seen, of all stations. */
struct counters {
	uint64_t sent, acked, received, strange;
	uint64_t lost, changed, doubled, foreign; /* wrong, each of them */
};

static struct {
	uint32_t streams, frames, window;
	struct rte_ether_addr macs[PEERS_MAX];
	uint16_t n_macs;  /* of stations */
	uint16_t n_known; /* those, and behind them others */
	struct rte_mempool *pool;
	struct counters counters;
	struct station *stations;
	uint16_t n_stations;
} net;

static uint64_t
draw(struct station *station, uint64_t below)
{
	/* xorshift64*, Vigna 2016. */
	station->random ^= station->random >> 12;
	station->random ^= station->random << 25;
	station->random ^= station->random >> 27;
	return (station->random * UINT64_C(2685821657736338717) >> 33) % below;
}

/* --- Frames --- */

static uint32_t
compute_crc(const uint8_t *frame, uint32_t bytes)
{
	const uint8_t *start = frame + sizeof(struct rte_ether_hdr);

	return rte_hash_crc(start, bytes - (uint32_t)sizeof(struct rte_ether_hdr), MAGIC);
}

/** Send, however long it takes: the host always takes something in the end. */
static void
send_frame(const struct station *station, const struct message *wanted)
{
	struct rte_mbuf *mbuf;
	struct rte_ether_hdr *header;
	struct message *message;
	uint8_t *frame;

	while ((mbuf = rte_pktmbuf_alloc(net.pool)) == NULL)
		(void)rte_eth_tx_done_cleanup(station->port, 0, 0);
	frame = (uint8_t *)rte_pktmbuf_append(mbuf, wanted->bytes);
	header = (struct rte_ether_hdr *)frame;
	header->dst_addr = net.macs[wanted->to];
	header->src_addr = net.macs[station->index];
	header->ether_type = rte_cpu_to_be_16(TYPE);
	message = (struct message *)(header + 1);
	*message = *wanted;
	message->crc = 0;
	memset(message + 1, (int)(wanted->sequence + wanted->from), wanted->bytes - HEAD_BYTES);
	message->crc = compute_crc(frame, wanted->bytes);
	while (rte_eth_tx_burst(station->port, 0, &mbuf, 1) == 0)
		sched_yield();
}

/** Judge a frame. @return false: it isn't what a station sent */
static bool
check_frame(const struct rte_mbuf *mbuf, struct message *ret_message)
{
	uint8_t copy[BYTES_MAX];
	struct message *message = (struct message *)(copy + sizeof(struct rte_ether_hdr));
	uint32_t bytes = mbuf->pkt_len, crc;
	const void *frame;

	if (bytes < HEAD_BYTES || bytes > BYTES_MAX)
		return false;
	frame = rte_pktmbuf_read(mbuf, 0, bytes, copy);
	if (frame != copy)
		memcpy(copy, frame, bytes);
	*ret_message = *message;
	crc = message->crc;
	message->crc = 0;
	return ret_message->bytes == bytes && crc == compute_crc(copy, bytes) &&
	       ret_message->from < net.n_macs && ret_message->to < net.n_macs;
}

/* --- Receiving --- */

static void
take_ack(struct station *station, const struct message *message)
{
	if (message->stream != station->stream || message->sequence != station->acked) {
		net.counters.doubled++;
		return;
	}
	station->acked++;
	net.counters.acked++;
}

static void
take_data(struct station *station, const struct message *message)
{
	struct source *source = &station->sources[message->from];
	struct message answer = *message;

	if (message->stream > source->stream) {
		source->stream = message->stream;
		source->sequence = 0;
	}
	if (message->stream < source->stream || message->sequence < source->sequence) {
		net.counters.doubled++;
		return;
	}
	net.counters.lost += message->sequence - source->sequence;
	source->sequence = message->sequence + 1;
	net.counters.received++;
	answer.kind = ACK;
	answer.from = station->index;
	answer.to = message->from;
	answer.bytes = 60;
	send_frame(station, &answer);
}

static bool
is_known(const struct rte_ether_addr *source)
{
	for (uint16_t i = 0; i < net.n_known; i++)
		if (rte_is_same_ether_addr(&net.macs[i], source))
			return true;
	return false;
}

static void
take_frame(struct station *station, const struct rte_mbuf *mbuf)
{
	const struct rte_ether_hdr *header = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const struct rte_ether_addr *own = &net.macs[station->index];
	struct message message;
	bool echo;

	if (!is_known(&header->src_addr) ||
		(!rte_is_same_ether_addr(&header->dst_addr, own) &&
			!rte_is_multicast_ether_addr(&header->dst_addr))) {
		net.counters.foreign++;
		return;
	}
	if (header->ether_type != rte_cpu_to_be_16(TYPE)) {
		net.counters.strange++; /* of somebody who is known */
		return;
	}
	if (!check_frame(mbuf, &message)) {
		net.counters.changed++;
		return;
	}
	echo = message.kind == DATA && message.from == station->index;
	if (!rte_is_same_ether_addr(
		    &header->src_addr, &net.macs[echo ? message.to : message.from]) ||
		(!echo && message.to != station->index))
		net.counters.foreign++;
	else if (echo || message.kind == ACK)
		take_ack(station, &message);
	else
		take_data(station, &message);
}

/** @return frames */
static uint16_t
receive(struct station *station)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t n = rte_eth_rx_burst(station->port, 0, mbufs, BURST);

	for (uint16_t i = 0; i < n; i++) {
		take_frame(station, mbufs[i]);
		rte_pktmbuf_free(mbufs[i]);
	}
	return n;
}

/* --- Sending --- */

/** Begin the next stream, to somebody else. */
static void
begin_stream(struct station *station)
{
	station->peer = (uint16_t)draw(station, net.n_macs - 1u);
	station->peer = (uint16_t)(station->peer + (station->peer >= station->index));
	station->stream++;
	station->sent = station->acked = 0;
}

/** @return frames */
static uint32_t
transmit(struct station *station)
{
	uint32_t n = 0;

	if (station->streams == net.streams)
		return 0;
	if (station->stream == station->streams)
		begin_stream(station);
	while (station->sent < net.frames && station->sent - station->acked < net.window) {
		struct message message = {
			.magic = MAGIC,
			.kind = DATA,
			.from = station->index,
			.to = station->peer,
			.bytes = (uint16_t)(60 + draw(station, BYTES_MAX - 60 + 1)),
			.stream = station->stream,
			.sequence = station->sent,
		};

		send_frame(station, &message);
		station->sent++;
		net.counters.sent++;
		n++;
	}
	if (station->acked == net.frames)
		station->streams++;
	return n;
}

/* --- Life --- */

static bool
start_station(struct station *station, uint16_t port, uint64_t seed)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_ether_addr mac;

	if (rte_eth_macaddr_get(port, &mac) != 0)
		return false;
	station->port = port;
	station->random = seed * 1000003 + port + 1;
	while (station->index < net.n_macs &&
		!rte_is_same_ether_addr(&net.macs[station->index], &mac))
		station->index++;
	if (station->index == net.n_macs)
		return false;
	return rte_eth_dev_configure(port, 1, 1, &conf) == 0 &&
	       rte_eth_rx_queue_setup(port, 0, SLOTS, 0, NULL, net.pool) == 0 &&
	       rte_eth_tx_queue_setup(port, 0, SLOTS, 0, NULL) == 0 && rte_eth_dev_start(port) == 0;
}

static bool
start(int argc, char **argv)
{
	uint16_t n_ports = rte_eth_dev_count_avail(), port;
	uint64_t seed;

	if (argc < 6 || argc - 5 > PEERS_MAX)
		return false;
	net.streams = (uint32_t)strtoul(argv[1], NULL, 0);
	net.frames = (uint32_t)strtoul(argv[2], NULL, 0);
	net.window = (uint32_t)strtoul(argv[3], NULL, 0);
	seed = strtoull(argv[4], NULL, 0);
	for (int i = 5; i < argc; i++) {
		bool known = argv[i][0] == '+';

		if (rte_ether_unformat_addr(argv[i] + known, &net.macs[net.n_known++]) != 0)
			return false;
		if (!known)
			net.n_macs = net.n_known;
	}
	net.pool = rte_pktmbuf_pool_create("stations", n_ports * (2u * SLOTS + 64u) + 1024u, 256, 0,
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	net.stations = calloc(n_ports, sizeof(*net.stations));
	if (net.pool == NULL || net.stations == NULL)
		return false;
	RTE_ETH_FOREACH_DEV(port)
	if (!start_station(&net.stations[net.n_stations++], port, seed))
		return false;
	return true;
}

/** A line, or the end, was typed. */
static bool
has_input(void)
{
	char line[64];

	return read(STDIN_FILENO, line, sizeof(line)) >= 0;
}

static bool
are_finished(void)
{
	for (uint16_t i = 0; i < net.n_stations; i++)
		if (net.stations[i].streams < net.streams)
			return false;
	return true;
}

static void
say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

static void
print_unfinished(void)
{
	for (uint16_t i = 0; i < net.n_stations; i++) {
		const struct station *s = &net.stations[i];

		if (s->streams < net.streams)
			printf("station %u: stream %u to %u: %u sent, %u acknowledged\n", s->index,
				s->stream, s->peer, s->sent, s->acked);
	}
}

/** @return true if nothing was wrong */
static bool
print_counters(void)
{
	const struct counters *c = &net.counters;

	print_unfinished();
	printf("sent %lu acked %lu received %lu strange %lu lost %lu changed %lu doubled %lu "
	       "foreign %lu\n",
		(unsigned long)c->sent, (unsigned long)c->acked, (unsigned long)c->received,
		(unsigned long)c->strange, (unsigned long)c->lost, (unsigned long)c->changed,
		(unsigned long)c->doubled, (unsigned long)c->foreign);
	fflush(stdout);
	return are_finished() && c->lost + c->changed + c->doubled + c->foreign == 0;
}

static void
run(void)
{
	bool sending = false, finished = false;

	say("ready");
	for (;;) {
		uint32_t n = 0;

		for (uint16_t i = 0; i < net.n_stations; i++) {
			n += receive(&net.stations[i]);
			if (sending)
				n += transmit(&net.stations[i]);
		}
		if (sending && !finished && are_finished()) {
			finished = true;
			say("finished");
		}
		if (n > 0)
			continue;
		sched_yield();
		if (has_input()) {
			if (sending)
				return;
			sending = true;
		}
	}
}

int
main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	bool good;

	if (used < 0 || !start(argc - used, argv + used)) {
		fprintf(stderr,
			"nmx-stations: [EAL] -- STREAMS FRAMES WINDOW SEED MAC..., with the "
			"MACs of all ports among them\n");
		return 1;
	}
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	run();
	good = print_counters();
	for (uint16_t i = 0; i < net.n_stations; i++) {
		rte_eth_dev_stop(net.stations[i].port);
		rte_eth_dev_close(net.stations[i].port);
	}
	rte_eal_cleanup();
	return good ? 0 : 1;
}
