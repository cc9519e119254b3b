/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A port over another port: what every such driver does the same way.
 *
 * The upper port owns the lower one (rte_eth_dev_owner_set()), so no program takes it for itself,
 * and hands all control on to it: configuration, queues, start and stop, link, addresses, MTU,
 * statistics. There is no rule of the data path in here; the driver sets the bursts, and replaces
 * what it does otherwise in its copy of the operations.
 *
 * An upper port's private data begins with a struct nmx_wrapport. Context of all: as ethdev's
 * operations, one at a time a port. Primary only.
 */

#ifndef NMX_WRAPPORT_H
#define NMX_WRAPPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <ethdev_driver.h>

struct nmx_wrapport {
	uint16_t lower; /* port id */
	bool made;      /* by nmx_wrapport_open(): it ends with the upper one */
	struct rte_eth_dev_owner owner;
};

/**
 * Take hold of a lower port.
 *
 * @param wrap        uninitialised
 * @param lower       name of a port, or "[devargs]" of one to be made
 * @param upper       name of the upper port
 * @param ret_reason  on failure: one sentence, why and what to do; constant
 * @return 0; -ENODEV no such port; -EBUSY somebody owns it; -errno of its driver
 */
int nmx_wrapport_open(
	struct nmx_wrapport *wrap, const char *lower, const char *upper, const char **ret_reason);

/** Let the lower port go; close it if it was made by nmx_wrapport_open(). */
void nmx_wrapport_close(struct nmx_wrapport *wrap);

/**
 * Fill in what an upper port has from its lower one: flags, addresses, operations.
 *
 * @param operations  nmx_wrapport_get_operations() with the changes of the driver; kept
 * @return 0; -ENOMEM
 */
int nmx_wrapport_init_port(struct rte_eth_dev *dev, const struct eth_dev_ops *operations);

/** The opposite, for a port's close operation; the lower one is another matter. */
void nmx_wrapport_fini_port(struct rte_eth_dev *dev);

/** Set *operations to what hands on to the lower port. Queues' set-up passes the caller's pool. */
void nmx_wrapport_get_operations(struct eth_dev_ops *ret_operations);

#endif
