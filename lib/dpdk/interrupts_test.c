/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/dpdk/interrupts.h"

static void
each_queue_has_its_descriptor(void **unused)
{
	const int fds[] = { 11, 12, 13 };
	struct rte_intr_handle *handle = nmx_dpdk_make_rx_interrupts(fds, 3, 8);

	(void)unused;
	assert_non_null(handle);
	assert_int_equal(rte_intr_type_get(handle), RTE_INTR_HANDLE_VDEV);
	assert_int_equal(rte_intr_nb_efd_get(handle), 3);
	assert_int_equal(rte_intr_efd_counter_size_get(handle), 8);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rte_intr_efds_index_get(handle, i), fds[i]);
		assert_int_equal(
			rte_intr_vec_list_index_get(handle, i), RTE_INTR_VEC_RXTX_OFFSET + i);
	}
	nmx_dpdk_free_rx_interrupts(handle);
	nmx_dpdk_free_rx_interrupts(NULL);
}

static void
more_queues_than_vectors_are_refused(void **unused)
{
	static const int fds[RTE_MAX_RXTX_INTR_VEC_ID + 1];

	(void)unused;
	assert_null(nmx_dpdk_make_rx_interrupts(fds, RTE_MAX_RXTX_INTR_VEC_ID + 1, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_queue_has_its_descriptor),
		cmocka_unit_test(more_queues_than_vectors_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
