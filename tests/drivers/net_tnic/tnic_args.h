/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Device arguments: --vdev net_tnic0,file=PATH,... */

#ifndef TNIC_ARGS_H
#define TNIC_ARGS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "tnic_dma.h"
#include "tnic_frame.h"
#include "tnic_random.h"
#include "tnic_reason.h"
#include "tnic_ring.h"
#include "tnic_tx_ring.h"

#define TNIC_ARGS_MAX_SEGMENTS 64
#define TNIC_ARGS_LOWER_BYTES  512

enum tnic_macs_expected {
	TNIC_MACS_SAME,
	TNIC_MACS_SWAPPED,
};

struct tnic_config {
	char lower[TNIC_ARGS_LOWER_BYTES]; /* a port's name, or "[devargs]"; empty: there is none */
	char file[PATH_MAX];
	char places[PATH_MAX];   /* empty: places aren't noted */
	bool sends;              /* the application receives what we make */
	bool audits;             /* what the application transmits is judged */
	uint64_t frames;         /* to send in all; 0 endless */
	struct tnic_range sizes; /* bytes */
	struct tnic_range segments;
	uint32_t n_flows;
	uint64_t rate;         /* frames a second, all queues; 0 as fast as it goes */
	uint32_t window;       /* frames unacknowledged per queue; 0 any number */
	struct tnic_macs macs; /* as sent */
	enum tnic_macs_expected macs_expected;
	uint64_t seed;
	uint32_t ring;  /* posted Rx buffers of a queue; 0: taken as frames come */
	uint32_t round; /* of a posted buffer's length */
	bool rounds_up;
	enum tnic_ring_stop stop;
	uint32_t dma;         /* maps for which there is room; 0: the NIC reaches everything */
	bool spoils;          /* what of a posted buffer is behind its frame */
	uint32_t first_queue; /* those below it send nothing */
	bool rx_shuffled;     /* posted buffers are filled out of order */
	uint32_t alloc_fail;  /* each so many-th refill of a ring fails; 0 none */
	uint32_t tx_ring; /* slots of a queue; 0: what is transmitted is read and freed at once */
	bool tx_shuffled; /* mbufs are given back out of order */
	enum tnic_tx_keep tx_keep;
	uint32_t flap_ms; /* the link goes down and up once in that time; 0 it stays up */
};

/** For RTE_PMD_REGISTER_PARAM_STRING. */
#define TNIC_ARGS_HELP                                                                             \
	"lower=<port|[devargs]> "                                                                  \
	"file=<path> role=both|send|audit frames=<int> sizes=<int>-<int> segments=<int>-<int> "    \
	"flows=<int> window=<int> rate=<int> dst=<mac> src=<mac> macs=same|swapped seed=<int> "    \
	"ring=<int> round=<int>[up] stop=returns|refuses|lies|refuses-later|lies-later "           \
	"dma=<int> places=<path> spoil=0|1 first=<int> rx_order=posted|shuffled alloc_fail=<int> " \
	"tx_ring=<int> tx_order=sent|shuffled tx_keep=no|until-asked|until-stop|until-close "      \
	"flap_ms=<int>"

/**
 * Read device arguments.
 *
 * @param text    key=value,...; may be empty
 * @param reason  set on failure
 * @return 0; -EINVAL; -ENOMEM
 */
int tnic_parse_args(const char *text, struct tnic_config *ret_config, struct tnic_reason *reason);

/** The addresses that the auditor expects of a frame. */
struct tnic_macs tnic_get_expected_macs(const struct tnic_config *config);

#endif
