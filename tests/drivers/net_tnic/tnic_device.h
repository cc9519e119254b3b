/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * What the NIC does by itself, at the same time as the program: it sends what is in its Tx rings,
 * and its link may go down and up.
 *
 * What is in Tx rings is sent by whatever thread polls the port next, once a moment has passed: a
 * thread of its own would take its time from those that it is to judge. The link has a thread, as
 * its news comes from one. While it is down nothing comes and nothing is sent; both wait.
 */

#ifndef TNIC_DEVICE_H
#define TNIC_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <ethdev_driver.h>
#include <rte_cycles.h>

struct tnic_device {
	struct rte_eth_dev *dev;
	pthread_t thread;
	pthread_mutex_t lock; /* of the Tx rings' reading side */
	bool sends;           /* there are Tx rings */
	bool flaps;           /* the thread runs */
	_Atomic bool ending;
	_Atomic bool link_is_down;
	_Atomic uint64_t next_send_tsc;
	uint64_t pause_cycles; /* between two rounds of sending */
};

/** Context: control thread. @return 0; -errno */
int tnic_start_device(struct tnic_device *device, struct rte_eth_dev *dev);

/** The link is up then. One that wasn't started is welcome. Context: control thread. */
void tnic_stop_device(struct tnic_device *device);

/** A round of sending; see tnic_poll_device(). */
void tnic_send_round(struct tnic_device *device, uint64_t now_tsc);

/** Let the device do what it is time for. Context: any thread that polls. */
static inline void
tnic_poll_device(struct tnic_device *device)
{
	uint64_t now_tsc;

	if (!device->sends)
		return;
	now_tsc = rte_rdtsc();
	if (now_tsc >= atomic_load_explicit(&device->next_send_tsc, memory_order_relaxed))
		tnic_send_round(device, now_tsc);
}

#endif
