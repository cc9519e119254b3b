/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Requests, one by one, as any client could send them. */

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "rig_test.h"

/* --- Requests --- */

static void
information_is_told(void **unused)
{
	struct nmx_vfu_device_info info = { .argsz = 32 };
	struct nmx_vfu_region_info region = { .argsz = 32, .index = 0 };
	struct nmx_vfu_irq_info irq = { .argsz = 16, .index = NMX_VFU_IRQ_MSIX };
	uint8_t spdk[4064] = { 0 };
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	reply = ask(&rig, NMX_VFU_GET_INFO, &info, sizeof(info));
	memcpy(&info, reply.body, sizeof(info));
	assert_int_equal(reply.size, 32);
	assert_int_equal(info.flags, 3);
	assert_int_equal(info.n_regions, 9);
	assert_int_equal(info.n_irqs, 5);
	reply = ask(&rig, NMX_VFU_GET_REGION_INFO, &region, sizeof(region));
	assert_int_equal(reply.size, 48);
	memcpy(&region, reply.body, sizeof(region));
	assert_int_equal(region.argsz, 32);
	assert_int_equal(region.flags, 3);
	assert_int_equal(region.size, 4096);
	/* An absent region is a success of size 0; SPDK sends a page where 32 bytes do. */
	region = (struct nmx_vfu_region_info){ .argsz = 4064, .index = 8 };
	memcpy(spdk, &region, sizeof(region));
	reply = ask(&rig, NMX_VFU_GET_REGION_INFO, spdk, sizeof(spdk));
	assert_int_equal(reply.header.error, 0);
	memcpy(&region, reply.body, sizeof(region));
	assert_int_equal(region.size + region.flags, 0);
	reply = ask(&rig, NMX_VFU_GET_IRQ_INFO, &irq, sizeof(irq));
	assert_int_equal(reply.size, 32);
	memcpy(&irq, reply.body, sizeof(irq));
	assert_int_equal(irq.flags, 1);
	assert_int_equal(irq.count, 4);
	stop(&rig);
}

static void
bad_arguments_are_refused(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
#define REFUSED(command, type, ...) \
	assert_int_equal(ask_error(&rig, command, &(type)__VA_ARGS__, sizeof(type)), EINVAL)
	REFUSED(NMX_VFU_GET_INFO, struct nmx_vfu_device_info, { .argsz = 15 });
	REFUSED(NMX_VFU_GET_REGION_INFO, struct nmx_vfu_region_info, { .argsz = 31 });
	REFUSED(NMX_VFU_GET_REGION_INFO, struct nmx_vfu_region_info, { .argsz = 32, .index = 9 });
	REFUSED(NMX_VFU_GET_IRQ_INFO, struct nmx_vfu_irq_info, { .argsz = 16, .index = 5 });
	REFUSED(NMX_VFU_GET_REGION_IO_FDS, struct nmx_vfu_io_fds, { .argsz = 16, .flags = 1 });
	REFUSED(NMX_VFU_GET_REGION_IO_FDS, struct nmx_vfu_io_fds, { .argsz = 16, .count = 1 });
	REFUSED(NMX_VFU_GET_REGION_IO_FDS, struct nmx_vfu_io_fds, { .argsz = 16, .index = 9 });
	REFUSED(NMX_VFU_DMA_MAP, struct nmx_vfu_dma_map, { .argsz = 31, .flags = 3, .size = 1 });
	REFUSED(NMX_VFU_DMA_MAP, struct nmx_vfu_dma_map, { .argsz = 32, .flags = 4, .size = 1 });
	REFUSED(NMX_VFU_DMA_MAP, struct nmx_vfu_dma_map, { .argsz = 32, .flags = 3, .size = 0 });
	REFUSED(NMX_VFU_DMA_MAP, struct nmx_vfu_dma_map,
		{ .argsz = 32, .flags = 3, .size = 2, .address = UINT64_MAX });
	REFUSED(NMX_VFU_DMA_UNMAP, struct nmx_vfu_dma_unmap,
		{ .argsz = 24, .flags = 1, .size = 1 });
	REFUSED(NMX_VFU_DMA_UNMAP, struct nmx_vfu_dma_unmap,
		{ .argsz = 24, .flags = 2, .size = 1 });
	REFUSED(NMX_VFU_DMA_UNMAP, struct nmx_vfu_dma_unmap,
		{ .argsz = 24, .flags = 0, .size = 0 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 4096, 0, 1 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 4093, 0, 4 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { UINT64_MAX, 0, 4 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 0, 0, UINT32_MAX });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 0, 1, 4 });
	REFUSED(NMX_VFU_REGION_READ, struct nmx_vfu_region_access, { 0, 9, 4 });
	REFUSED(NMX_VFU_REGION_WRITE, struct nmx_vfu_region_access, { 0, 0, 4 }); /* no data */
#undef REFUSED
	for (uint16_t command = 0; command < 40; command++) {
		bool known = command >= NMX_VFU_VERSION && command <= NMX_VFU_RESET &&
			     command != 11 && command != 12;

		/* Without a body only RESET means something. */
		if (known && command != NMX_VFU_VERSION && command != NMX_VFU_RESET)
			assert_int_equal(ask_error(&rig, command, NULL, 0), EINVAL);
		if (!known)
			assert_int_equal(ask_error(&rig, command, "12345678", 8), EINVAL);
	}
	assert_int_equal(rig.n_maps + rig.n_unmaps + rig.n_unmap_alls, 0);
	stop(&rig);
}

static void
memory_is_handed_over(void **unused)
{
	struct nmx_vfu_dma_map map = { 32, 3, 0x3000, 0x100000, 0x2000 };
	struct nmx_vfu_dma_unmap unmap = { 24, 0, 0x100000, 0x2000 };
	struct reply reply;
	struct rig rig;
	int file;

	(void)unused;
	start(&rig);
	file = memfd_create("nmx-vfu-test", MFD_CLOEXEC);
	reply = ask_with_fds(&rig, NMX_VFU_DMA_MAP, &map, sizeof(map), &file, 1);
	assert_int_equal(reply.header.error, 0);
	assert_int_equal(reply.size, 16);
	assert_int_equal(rig.map.range.start, 0x100000);
	assert_int_equal(rig.map.range.size, 0x2000);
	assert_int_equal(rig.map.offset, 0x3000);
	assert_true(rig.map_fd >= 0);
	assert_int_equal(ask_error(&rig, NMX_VFU_DMA_MAP, &map, sizeof(map)), 0);
	assert_int_equal(rig.map_fd, -1);
	map.offset = 0xbad000;
	reply = ask_with_fds(&rig, NMX_VFU_DMA_MAP, &map, sizeof(map), &file, 1);
	assert_int_equal(reply.header.error, EEXIST);
	/* Clients differ in what they expect of this reply; the whole structure suits all. */
	reply = ask(&rig, NMX_VFU_DMA_UNMAP, &unmap, sizeof(unmap));
	assert_int_equal(reply.size, 40);
	assert_memory_equal(reply.body, &unmap, sizeof(unmap));
	assert_int_equal(rig.n_unmaps, 1);
	unmap = (struct nmx_vfu_dma_unmap){ 24, NMX_VFU_UNMAP_ALL, 0, 0 };
	assert_int_equal(ask_error(&rig, NMX_VFU_DMA_UNMAP, &unmap, sizeof(unmap)), 0);
	assert_int_equal(rig.n_unmap_alls, 1);
	nmx_base_close_fd(&file);
	stop(&rig);
}

static void
parked_requests_hold_up_their_client_only(void **unused)
{
	struct nmx_vfu_dma_unmap unmap = { 24, 0, 0x100000, 0x2000 };
	struct reply reply;
	struct rig rig;
	uint8_t message[16];

	(void)unused;
	start(&rig);
	rig.later = true;
	reply = ask(&rig, NMX_VFU_DMA_UNMAP, &unmap, sizeof(unmap));
	assert_int_equal(reply.size, -1);
	assert_true(nmx_vfu_is_parked(rig.server));
	assert_false(nmx_vfu_wants_input(rig.server));
	send_bytes(&rig, message, build(message, NMX_VFU_RESET, 0, NULL, 0), NULL, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	assert_int_equal(rig.n_resets, 0);
	rig.later = false;
	nmx_vfu_answer(rig.server, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	assert_int_equal(rig.n_resets, 1);
	receive_reply(&rig, &reply);
	assert_int_equal(reply.header.command, NMX_VFU_DMA_UNMAP);
	assert_int_equal(reply.header.size, 40);
	assert_memory_equal(reply.body, &unmap, sizeof(unmap));
	stop(&rig);
}

static void
posted_writes_get_no_reply_not_even_an_error(void **unused)
{
	struct {
		struct nmx_vfu_region_access access;
		uint8_t data[4];
	} body = { { 4, NMX_VFU_REGION_CONFIG, 4 }, "wxyz" };
	uint8_t message[64];
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	send_bytes(&rig, message, build(message, NMX_VFU_REGION_WRITE, NMX_VFU_NO_REPLY, &body, 20),
		NULL, 0);
	body.access.region = 5;
	send_bytes(&rig, message, build(message, NMX_VFU_REGION_WRITE, NMX_VFU_NO_REPLY, &body, 20),
		NULL, 0);
	assert_int_equal(serve(&rig), -EAGAIN);
	assert_memory_equal(rig.config + 4, "wxyz", 4);
	receive_reply(&rig, &reply);
	assert_int_equal(reply.size, -1);
	stop(&rig);
}

static void
regions_are_read_and_written(void **unused)
{
	struct nmx_vfu_region_access access = { 0, NMX_VFU_REGION_CONFIG, CONFIG_BYTES };
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	rig.config[255] = 0x77;
	reply = ask(&rig, NMX_VFU_REGION_READ, &access, sizeof(access));
	assert_int_equal(reply.size, 32 + CONFIG_BYTES);
	assert_int_equal(reply.body[16 + 255], 0x77);
	access.count = 0;
	reply = ask(&rig, NMX_VFU_REGION_READ, &access, sizeof(access));
	assert_int_equal(reply.size, 32);
	stop(&rig);
}

/** A SET_IRQS with data NONE, or eventfds if fds is given; returns the errno. */
static uint32_t
set_irqs(struct rig *rig, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	const int *fds, unsigned int n_fds)
{
	struct nmx_vfu_set_irqs body = { 20, flags, index, start, count };

	return ask_with_fds(rig, NMX_VFU_SET_IRQS, &body, sizeof(body), fds, n_fds).header.error;
}

static void
vectors_are_connected_and_disconnected(void **unused)
{
	const uint32_t assign = NMX_VFU_IRQ_DATA_EVENTFD | NMX_VFU_IRQ_TRIGGER;
	const uint32_t none = NMX_VFU_IRQ_DATA_NONE | NMX_VFU_IRQ_TRIGGER;
	int fds[4], wrong[1];
	struct rig rig;

	(void)unused;
	start(&rig);
	for (unsigned int i = 0; i < 4; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	wrong[0] = memfd_create("nmx-no-eventfd", MFD_CLOEXEC);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 0, 4, fds, 4), 0);
	assert_true(rig.vectors[3] >= 0);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 2, 1, NULL, 0), 0);
	assert_int_equal(rig.vectors[2], -1);
	assert_int_equal(set_irqs(&rig, none, NMX_VFU_IRQ_MSIX, 1, 3, NULL, 0), 0);
	assert_int_equal(rig.n_triggers, 0xe);
	assert_int_equal(set_irqs(&rig, none, NMX_VFU_IRQ_MSIX, 0, 0, NULL, 0), 0);
	assert_int_equal(rig.vectors[0], -1);
	assert_int_equal(set_irqs(&rig, none, 0, 0, 0, NULL, 0), 0); /* disabling nothing */

	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 0, 3, fds, 4), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 1, 4, fds, 4), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, UINT32_MAX, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 0, 0, NULL, 0), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, NMX_VFU_IRQ_MSIX, 0, 1, wrong, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, assign, 5, 0, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, none, NMX_VFU_IRQ_MSIX, 0, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, none, NMX_VFU_IRQ_MSIX, 0, 5, NULL, 0), EINVAL);
	assert_int_equal(set_irqs(&rig, 0x0c, NMX_VFU_IRQ_MSIX, 0, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, 0x25, NMX_VFU_IRQ_MSIX, 0, 1, fds, 1), EINVAL);
	assert_int_equal(set_irqs(&rig, 0x22, NMX_VFU_IRQ_MSIX, 0, 1, NULL, 0), EINVAL);
	nmx_base_close_fds(fds, 4);
	nmx_base_close_fds(wrong, 1);
	stop(&rig);
}

static void
doorbells_are_listed_with_their_fds(void **unused)
{
	struct nmx_vfu_io_fds head = { .argsz = 4096, .index = 0 };
	struct nmx_vfu_io_fd entry;
	struct reply reply;
	struct rig rig;

	(void)unused;
	start(&rig);
	reply = ask(&rig, NMX_VFU_GET_REGION_IO_FDS, &head, sizeof(head));
	assert_int_equal(reply.size, 16 + 16 + 2 * 40);
	assert_int_equal(reply.n_fds, 2);
	memcpy(&entry, reply.body + 16 + 40, sizeof(entry));
	assert_int_equal(entry.offset, 0x104);
	assert_int_equal(entry.size, 4);
	assert_int_equal(entry.fd_index, 1);
	head.argsz = 16; /* asks how much there would be */
	reply = ask(&rig, NMX_VFU_GET_REGION_IO_FDS, &head, sizeof(head));
	memcpy(&head, reply.body, sizeof(head));
	assert_int_equal(reply.size, 32);
	assert_int_equal(head.argsz, 16 + 2 * 40);
	assert_int_equal(head.count, 2);
	assert_int_equal(reply.n_fds, 0);
	stop(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(information_is_told),
		cmocka_unit_test(bad_arguments_are_refused),
		cmocka_unit_test(memory_is_handed_over),
		cmocka_unit_test(parked_requests_hold_up_their_client_only),
		cmocka_unit_test(posted_writes_get_no_reply_not_even_an_error),
		cmocka_unit_test(regions_are_read_and_written),
		cmocka_unit_test(vectors_are_connected_and_disconnected),
		cmocka_unit_test(doorbells_are_listed_with_their_fds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
