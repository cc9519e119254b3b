/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What the daemon itself counts, beside what a guestport does: frames that it doesn't pass on, by a
 * closed list of reasons. Written by the worker that owns the counter; read by anyone, maybe a
 * burst old.
 */

#ifndef NMX_MUX_COUNTERS_H
#define NMX_MUX_COUNTERS_H

#include <stdint.h>

/** Why a frame that was taken from a guest went no further. */
enum nmx_mux_from_guest_drop {
	NMX_MUX_SPOOFED,     /* its source address isn't the guest's */
	NMX_MUX_FLOODS,      /* broadcast or multicast over the guest's budget */
	NMX_MUX_TO_ITSELF,   /* its destination is the guest's own address */
	NMX_MUX_UPLINK_FULL, /* the uplink took no more */
	NMX_MUX_NO_BUFFER,   /* no mbuf to copy it to for the uplink */
	NMX_MUX_FROM_GUEST_DROPS
};

/** Why a frame for a guest didn't get there, beside the guestport's reasons. */
enum nmx_mux_to_guest_drop {
	NMX_MUX_NO_POSTED, /* the guest had no buffer posted */
	NMX_MUX_TO_GUEST_DROPS
};

/** Why a frame from the uplink went no further. */
enum nmx_mux_from_uplink_drop {
	NMX_MUX_NO_GUEST,      /* its destination is no guest's */
	NMX_MUX_UPLINK_FLOODS, /* broadcast or multicast over the uplink's budget */
	NMX_MUX_MALFORMED,     /* shorter than an Ethernet header */
	NMX_MUX_FROM_UPLINK_DROPS
};

#endif
