/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ethdev_driver.h>
#include <rte_dev.h>
#include <rte_eal.h>

#include "lib/dpdk/port.h"

#define NAME "net_test0"

/** What the one port's operations were asked. */
struct story {
	int init_ret;
	unsigned int stops;
	unsigned int closes;
};

static struct story story;

static int
stop(struct rte_eth_dev *dev)
{
	(void)dev;
	story.stops++;
	return 0;
}

static int
close_port(struct rte_eth_dev *dev)
{
	/* Not on the heap: the ethdev layer is not to free it. */
	dev->data->mac_addrs = NULL;
	story.closes++;
	return 0;
}

static const struct eth_dev_ops ops = { .dev_stop = stop, .dev_close = close_port };

static int
init(struct rte_eth_dev *dev, void *context)
{
	struct story *told = context;

	dev->dev_ops = &ops;
	return told->init_ret;
}

static int
set_up(void **unused)
{
	(void)unused;
	story = (struct story){ 0 };
	return 0;
}

static int
probe(struct rte_eth_dev *dev)
{
	return nmx_dpdk_end_probe(dev, init, &story, RTE_LOGTYPE_USER1, "net_test");
}

static void
a_filled_port_is_shown(void **unused)
{
	uint16_t port;

	(void)unused;
	assert_int_equal(probe(rte_eth_dev_allocate(NAME)), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(NAME, &port), 0);
	assert_true(rte_eth_dev_is_valid_port(port));
	assert_int_equal(nmx_dpdk_remove_port(NAME), 0);
	assert_false(rte_eth_dev_is_valid_port(port));
	assert_int_equal(story.closes, 1);
}

static void
a_port_that_fails_leaves_its_place(void **unused)
{
	(void)unused;
	story.init_ret = -EBUSY;
	/* One place lost in each round would leave none for the last. */
	for (int i = 0; i <= RTE_MAX_ETHPORTS; i++) {
		struct rte_eth_dev *dev = rte_eth_dev_allocate(NAME);

		assert_non_null(dev);
		assert_int_equal(probe(dev), -EBUSY);
		assert_null(rte_eth_dev_allocated(NAME));
	}
	assert_int_equal(story.closes, 0);
}

static void
no_room_is_an_error(void **unused)
{
	(void)unused;
	assert_int_equal(probe(NULL), -ENOSPC);
}

static void
what_is_removed_is_stopped_first_and_once(void **unused)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocate(NAME);

	(void)unused;
	assert_int_equal(probe(dev), 0);
	dev->data->dev_started = 1;
	assert_int_equal(nmx_dpdk_remove_port(NAME), 0);
	assert_int_equal(story.stops, 1);
	assert_int_equal(story.closes, 1);
	/* The program may have closed it already: nothing is left to do. */
	assert_int_equal(nmx_dpdk_remove_port(NAME), 0);
	assert_int_equal(story.stops, 1);
	assert_int_equal(story.closes, 1);
}

static void
a_primary_goes_on_with_its_probe(void **unused)
{
	static struct rte_device device = { .name = NAME };

	(void)unused;
	assert_int_equal(nmx_dpdk_begin_probe(&device, &ops, RTE_LOGTYPE_USER1, "net_test"), 0);
	assert_null(rte_eth_dev_allocated(NAME));
}

int
main(void)
{
	static char *eal[] = { (char *)"port_test", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"--no-telemetry", (char *)"--lcores=0@0", (char *)"-m",
		(char *)"16", (char *)"--log-level=error", NULL };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_filled_port_is_shown, set_up),
		cmocka_unit_test_setup(a_port_that_fails_leaves_its_place, set_up),
		cmocka_unit_test_setup(no_room_is_an_error, set_up),
		cmocka_unit_test_setup(what_is_removed_is_stopped_first_and_once, set_up),
		cmocka_unit_test_setup(a_primary_goes_on_with_its_probe, set_up),
	};

	if (rte_eal_init((int)RTE_DIM(eal) - 1, eal) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
