/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Theory of operation
 *
 * A burst is first *sorted*: each frame is judged by its first bytes, which lie in host memory, and
 * put into the outboxes of its destinations. Then each outbox is delivered, in one go. A frame
 * comes at most once into an outbox, so an outbox has room for a burst.
 *
 *   from a guest   its source address must be one of the guest's
 *     to a guest     copied from one guest's memory into the other's
 *     to a group     to all others, and to the uplink, within the guest's budget
 *     to none        to the uplink
 *   from the uplink
 *     to a guest     copied into its memory
 *     to a group     to all, within the uplink's budget
 *     to none        dropped
 *
 * From a mapped queue of the uplink all frames are one guest's, and most are in its memory already.
 *
 * A frame that isn't delivered is counted, with a reason, where the closed lists of counters.h and
 * of the guestport say.
 */

#include "forward.h"

#include <rte_branch_prediction.h>
#include <rte_ethdev.h>
#include <rte_memcpy.h>

#include "flow_hash.h"
#include "lib/dpdk/mbufs.h"

/** Ethernet's least, without FCS: a NIC may pad a shorter frame with whatever it has. */
#define FRAME_BYTES_MIN (RTE_ETHER_MIN_LEN - RTE_ETHER_CRC_LEN)

static_assert(NMX_MUX_BURST <= NMX_DPDK_FREE_MAX, "a burst is freed in one call");

/** Entries of a redirection table (docs/device.md). */
#define REDIRECTIONS 128

/* --- Sorting --- */

/** Whose address it is. Frames come in runs to one address: the table is asked once for a run. */
static inline struct nmx_mux_guest *
find_guest(struct nmx_mux_forwarder *forwarder, uint64_t mac)
{
	if (mac != forwarder->last_mac) {
		forwarder->last_guest = nmx_mux_find_guest(forwarder->fdb, mac);
		forwarder->last_mac = mac;
	}
	return forwarder->last_guest;
}

static inline void
put_frame(struct nmx_mux_forwarder *forwarder, struct nmx_mux_outbox *outbox, struct rte_mbuf *mbuf)
{
	if (outbox->n == 0) {
		outbox->next = forwarder->outboxes;
		forwarder->outboxes = outbox;
	}
	outbox->mbufs[outbox->n++] = mbuf;
}

/** The queue for a frame: by its flow, or the first one that the guest has started. */
static struct nmx_mux_outbox *
choose_queue(struct nmx_mux_guest *guest, const struct rte_mbuf *mbuf)
{
	/* As a redirection table filled round robin, which is what a guest that sets none has. */
	uint32_t index = nmx_mux_hash_flow(mbuf) % REDIRECTIONS % guest->n_queue_pairs;

	if (nmx_guestport_is_started(guest->outboxes[index].queue))
		return &guest->outboxes[index];
	for (index = 0; index < guest->n_queue_pairs; index++)
		if (nmx_guestport_is_started(guest->outboxes[index].queue))
			return &guest->outboxes[index];
	return &guest->outboxes[0]; /* which counts it as no_queue */
}

static inline void
put_to_guest(
	struct nmx_mux_forwarder *forwarder, struct nmx_mux_guest *guest, struct rte_mbuf *mbuf)
{
	put_frame(forwarder,
		likely(guest->n_queue_pairs == 1) ? guest->outboxes : choose_queue(guest, mbuf),
		mbuf);
}

/** @param but  the sender, or NULL */
static void
put_to_all(
	struct nmx_mux_forwarder *forwarder, const struct nmx_mux_guest *but, struct rte_mbuf *mbuf)
{
	const struct nmx_mux_fdb *fdb = forwarder->fdb;

	for (uint32_t i = 0; i < fdb->n_guests; i++)
		if (fdb->guests[i] != but)
			put_to_guest(forwarder, fdb->guests[i], mbuf);
}

/* --- Delivering --- */

static void
deliver_to_guests(struct nmx_mux_forwarder *forwarder)
{
	struct nmx_mux_outbox *outbox = forwarder->outboxes;

	for (; outbox != NULL; outbox = outbox->next) {
		uint16_t sent = nmx_guestport_relay(outbox->queue, outbox->mbufs, outbox->n);

		outbox->guest->to_drops[NMX_MUX_NO_POSTED] += (uint64_t)outbox->n - sent;
		outbox->n = 0;
	}
	forwarder->outboxes = NULL;
}

/** Copy a frame into a raw mbuf of the uplink's, in one segment, padded with zeros. */
static inline void
copy_frame(const struct nmx_mux_uplink *uplink, const struct rte_mbuf *from, struct rte_mbuf *to)
{
	uint16_t bytes = RTE_MAX((uint16_t)from->pkt_len, (uint16_t)FRAME_BYTES_MIN);
	uint8_t *at;

	nmx_dpdk_fill_mbuf(to, uplink->rearm, bytes);
	at = rte_pktmbuf_mtod(to, uint8_t *);
	if (unlikely(from->pkt_len < FRAME_BYTES_MIN))
		memset(at + from->pkt_len, 0, FRAME_BYTES_MIN - from->pkt_len);
	for (; from != NULL; from = from->next) {
		rte_memcpy(at, rte_pktmbuf_mtod(from, void *), from->data_len);
		at += from->data_len;
	}
}

/**
 * Fill mbufs with frames: some are put on the guest's memory, if it has a Tx queue of its own, the
 * others copied.
 */
static inline void
fill_mbufs(struct nmx_mux_forwarder *forwarder, const struct nmx_rxmap_tx *tx,
	struct rte_mbuf **mbufs, uint16_t n)
{
	uint32_t attached = 0;

	if (unlikely(tx != NULL))
		attached = nmx_guestport_attach_shown(
			forwarder->peek, forwarder->to_uplink, mbufs, n);
	for (uint16_t i = 0; i < n; i++)
		if (likely(!(attached >> i & 1)))
			copy_frame(forwarder->uplink, forwarder->to_uplink[i], mbufs[i]);
}

/** @param tx  the guest's own queue, entered, or NULL: everybody's @return frames sent */
static inline uint16_t
transmit(struct nmx_mux_forwarder *forwarder, struct nmx_mux_guest *guest, struct nmx_rxmap_tx *tx,
	uint16_t n)
{
	struct nmx_mux_uplink *uplink = forwarder->uplink;
	struct rte_mbuf *mbufs[NMX_MUX_BURST];
	uint16_t sent;

	if (unlikely(rte_mempool_get_bulk(uplink->pool, (void **)mbufs, n) != 0)) {
		guest->from_drops[NMX_MUX_NO_BUFFER] += n;
		return 0;
	}
	fill_mbufs(forwarder, tx, mbufs, n);
	sent = likely(tx == NULL) ? rte_eth_tx_burst(uplink->port_id, 0, mbufs, n)
				  : nmx_rxmap_transmit(tx, mbufs, n, forwarder->now);
	if (unlikely(sent < n)) {
		guest->from_drops[NMX_MUX_UPLINK_FULL] += (uint64_t)n - sent;
		nmx_dpdk_free_mbufs(mbufs + sent, n - sent, true);
	}
	return sent;
}

/** @param tx  the queue of the guest, whose frames they are, or NULL */
static void
deliver_to_uplink(
	struct nmx_mux_forwarder *forwarder, struct nmx_mux_guest *guest, struct nmx_rxmap_tx *tx)
{
	struct nmx_mux_uplink *uplink = forwarder->uplink;
	uint16_t n = forwarder->n_to_uplink, sent;
	uint64_t bytes = 0;

	forwarder->n_to_uplink = 0;
	if (likely(tx == NULL) || unlikely(!nmx_rxmap_enter_queue(&tx->uplink))) {
		/* Or its own is being stopped, and started again. */
		sent = transmit(forwarder, guest, NULL, n);
	} else {
		sent = transmit(forwarder, guest, tx, n);
		nmx_rxmap_leave_queue(&tx->uplink);
	}
	for (uint16_t i = 0; i < sent; i++)
		bytes += forwarder->to_uplink[i]->pkt_len;
	uplink->to_frames += sent;
	uplink->to_bytes += bytes;
}

/* --- From a guest --- */

static void
sort_from_guest(
	struct nmx_mux_forwarder *forwarder, struct nmx_mux_guest *guest, struct rte_mbuf *mbuf)
{
	const struct rte_ether_hdr *header = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	uint64_t to = nmx_mux_load_mac(&header->dst_addr);
	struct nmx_mux_guest *other;

	if (unlikely(!nmx_mux_owns_mac(guest, nmx_mux_load_mac(&header->src_addr)))) {
		guest->from_drops[NMX_MUX_SPOOFED]++;
		return;
	}
	if (unlikely(nmx_mux_is_group(to))) {
		if (!nmx_base_take_rate(&guest->floods, forwarder->now)) {
			guest->from_drops[NMX_MUX_FLOODS]++;
			return;
		}
		put_to_all(forwarder, guest, mbuf);
		forwarder->to_uplink[forwarder->n_to_uplink++] = mbuf;
		return;
	}
	other = find_guest(forwarder, to);
	if (other == NULL)
		forwarder->to_uplink[forwarder->n_to_uplink++] = mbuf;
	else if (likely(other != guest))
		put_to_guest(forwarder, other, mbuf);
	else
		guest->from_drops[NMX_MUX_TO_ITSELF]++;
}

uint16_t
nmx_mux_forward_guest(
	struct nmx_mux_forwarder *forwarder, struct nmx_mux_guest *guest, uint16_t queue)
{
	struct rte_mbuf *mbufs[NMX_MUX_BURST];
	struct nmx_rxmap_tx *tx = guest->txs[queue];
	uint16_t n = nmx_guestport_open_peek(
		forwarder->peek, guest->from[queue], mbufs, NMX_MUX_BURST);

	if (n == 0) {
		if (tx != NULL)
			nmx_rxmap_tidy(tx, forwarder->now);
		return 0;
	}
	for (uint16_t i = 0; i < n; i++)
		sort_from_guest(forwarder, guest, mbufs[i]);
	deliver_to_guests(forwarder);
	if (forwarder->n_to_uplink > 0)
		deliver_to_uplink(forwarder, guest, tx);
	nmx_guestport_close_peek(forwarder->peek);
	return n;
}

/* --- From the uplink --- */

static void
sort_from_uplink(struct nmx_mux_forwarder *forwarder, struct rte_mbuf *mbuf)
{
	const struct rte_ether_hdr *header = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	struct nmx_mux_uplink *uplink = forwarder->uplink;
	struct nmx_mux_guest *guest;
	uint64_t to;

	if (unlikely(mbuf->data_len < sizeof(*header))) {
		uplink->from_drops[NMX_MUX_MALFORMED]++;
		return;
	}
	to = nmx_mux_load_mac(&header->dst_addr);
	if (unlikely(nmx_mux_is_group(to))) {
		if (nmx_base_take_rate(&uplink->floods, forwarder->now))
			put_to_all(forwarder, NULL, mbuf);
		else
			uplink->from_drops[NMX_MUX_UPLINK_FLOODS]++;
		return;
	}
	guest = find_guest(forwarder, to);
	if (likely(guest != NULL))
		put_to_guest(forwarder, guest, mbuf);
	else
		uplink->from_drops[NMX_MUX_NO_GUEST]++;
}

uint16_t
nmx_mux_forward_uplink(struct nmx_mux_forwarder *forwarder)
{
	struct nmx_mux_uplink *uplink = forwarder->uplink;
	struct rte_mbuf *mbufs[NMX_MUX_BURST];
	uint16_t n = rte_eth_rx_burst(uplink->port_id, 0, mbufs, NMX_MUX_BURST);

	for (uint16_t i = 0; i < n; i++) {
		uplink->from_bytes += mbufs[i]->pkt_len;
		sort_from_uplink(forwarder, mbufs[i]);
	}
	uplink->from_frames += n;
	deliver_to_guests(forwarder);
	nmx_dpdk_free_mbufs(mbufs, n, true);
	return n;
}

/* --- From a mapped queue --- */

/** True if a frame may be the guest's: to one of its addresses, or to a group. */
static inline bool
is_for_guest(const struct nmx_mux_guest *guest, const struct rte_mbuf *mbuf)
{
	uint64_t to;

	if (unlikely(mbuf->data_len < sizeof(struct rte_ether_hdr)))
		return false;
	/* In the guest's memory, who may change it: then it stops its own queue. */
	to = nmx_mux_load_mac(rte_pktmbuf_mtod(mbuf, const void *));
	return nmx_mux_is_group(to) || nmx_mux_owns_mac(guest, to);
}

/** Frames in front of the first foreign one, with which the queue stops. */
static inline uint16_t
verify_frames(struct nmx_mux_mapped *mapped, const struct nmx_mux_guest *guest,
	struct rte_mbuf **mbufs, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		if (unlikely(!is_for_guest(guest, mbufs[i]))) {
			atomic_store_explicit(&mapped->stopped, true, memory_order_relaxed);
			return i;
		}
	return n;
}

uint16_t
nmx_mux_forward_mapped(struct nmx_mux_forwarder *forwarder, uint16_t queue)
{
	struct nmx_mux_mapped *mapped = &forwarder->uplink->mapped[queue];
	const struct nmx_mux_outbox *owner = forwarder->fdb->owners[queue];
	struct rte_mbuf *mbufs[NMX_MUX_BURST];
	uint16_t n = nmx_rxmap_receive(mapped->map, mbufs, NMX_MUX_BURST), good = n, sent = 0;

	if (n == 0)
		return 0;
	for (uint16_t i = 0; i < n; i++)
		mapped->bytes += mbufs[i]->pkt_len;
	mapped->frames += n;
	if (unlikely(owner == NULL)) {
		mapped->unowned += n;
		good = 0;
	} else if (owner->guest->config.verify) {
		good = unlikely(atomic_load_explicit(&mapped->stopped, memory_order_relaxed))
			       ? 0
			       : verify_frames(mapped, owner->guest, mbufs, n);
		mapped->foreign += (uint64_t)n - good;
	}
	if (likely(good > 0)) {
		sent = nmx_guestport_send(owner->queue, mbufs, good);
		owner->guest->to_drops[NMX_MUX_NO_POSTED] += (uint64_t)good - sent;
	}
	if (unlikely(sent < n))
		nmx_dpdk_free_mbufs(mbufs + sent, n - sent, true);
	return n;
}
