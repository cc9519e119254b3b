/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "interrupts.h"

int
nmx_dpdk_set_rx_interrupts(struct rte_intr_handle *handle, const int *fds, int n)
{
	int ret = rte_intr_vec_list_alloc(handle, NULL, n);

	if (ret == 0)
		ret = rte_intr_nb_efd_set(handle, n);
	if (ret == 0)
		ret = rte_intr_max_intr_set(handle, n + 1);

	for (int i = 0; i < n && ret == 0; i++) {
		ret = rte_intr_efds_index_set(handle, i, fds[i]);
		if (ret == 0)
			ret = rte_intr_vec_list_index_set(handle, i, RTE_INTR_VEC_RXTX_OFFSET + i);
	}
	return ret;
}

struct rte_intr_handle *
nmx_dpdk_make_rx_interrupts(const int *fds, int n, uint8_t bytes_read)
{
	struct rte_intr_handle *handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);

	if (handle == NULL)
		return NULL;
	if (rte_intr_type_set(handle, RTE_INTR_HANDLE_VDEV) != 0 ||
		rte_intr_efd_counter_size_set(handle, bytes_read) != 0 ||
		nmx_dpdk_set_rx_interrupts(handle, fds, n) != 0) {
		nmx_dpdk_free_rx_interrupts(handle);
		return NULL;
	}
	return handle;
}

void
nmx_dpdk_free_rx_interrupts(struct rte_intr_handle *handle)
{
	if (handle == NULL)
		return;
	rte_intr_vec_list_free(handle);
	rte_intr_instance_free(handle);
}
