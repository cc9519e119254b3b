/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_device.h"

#include <time.h>

#include "tnic_port.h"

/** Between two rounds of sending. A frame waits for one at least. */
#define PAUSE_US 50
/** Between two looks of the link's thread whether it is to end. */
#define LINK_PAUSE_MS 1

void
tnic_send_round(struct tnic_device *device, uint64_t now_tsc)
{
	struct tnic_port *port = device->dev->data->dev_private;

	if (atomic_load(&device->link_is_down) || pthread_mutex_trylock(&device->lock) != 0)
		return;
	for (uint16_t i = 0; i < device->dev->data->nb_tx_queues; i++)
		tnic_send_posted(&port->sinks[i]);
	atomic_store_explicit(
		&device->next_send_tsc, now_tsc + device->pause_cycles, memory_order_relaxed);
	pthread_mutex_unlock(&device->lock);
}

static void
set_link(struct tnic_device *device, bool is_up)
{
	struct rte_eth_link link = device->dev->data->dev_link;

	link.link_status = is_up ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
	atomic_store(&device->link_is_down, !is_up);
	(void)rte_eth_linkstatus_set(device->dev, &link);
	(void)rte_eth_dev_callback_process(device->dev, RTE_ETH_EVENT_INTR_LSC, NULL);
}

/** Half of the period up, half of it down. */
static void *
flap(void *context)
{
	static const struct timespec pause = { 0, LINK_PAUSE_MS * 1000000 };
	struct tnic_device *device = context;
	const struct tnic_port *port = device->dev->data->dev_private;
	uint64_t cycles = rte_get_tsc_hz() / 2000 * port->config.flap_ms;
	uint64_t next_tsc = rte_rdtsc() + cycles;

	while (!atomic_load(&device->ending)) {
		if (rte_rdtsc() >= next_tsc) {
			set_link(device, atomic_load(&device->link_is_down));
			next_tsc = rte_rdtsc() + cycles;
		}
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int
tnic_start_device(struct tnic_device *device, struct rte_eth_dev *dev)
{
	const struct tnic_config *config = &((struct tnic_port *)dev->data->dev_private)->config;
	int ret = 0;

	device->dev = dev;
	device->pause_cycles = rte_get_tsc_hz() / 1000000 * PAUSE_US;
	device->sends = config->tx_ring != 0;
	atomic_store(&device->ending, false);
	if (config->flap_ms != 0) {
		ret = pthread_create(&device->thread, NULL, flap, device);
		device->flaps = ret == 0;
	}
	return -ret;
}

void
tnic_stop_device(struct tnic_device *device)
{
	device->sends = false;
	if (!device->flaps)
		return;
	atomic_store(&device->ending, true);
	pthread_join(device->thread, NULL);
	device->flaps = false;
	atomic_store(&device->link_is_down, false);
}
