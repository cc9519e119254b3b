/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/stream/path.h"

#define TIMEOUT_MS 5000

static int
complain(const char *what, int error)
{
	fprintf(stderr, "nmx-test-guest: %s: %s\n", what, strerror(-error));
	return error;
}

/* --- Memory --- */

static uint64_t
round_up(uint64_t n)
{
	return (n + 4095) & ~UINT64_C(4095);
}

static int
make_memory(struct guest *guest)
{
	const uint64_t ring_bytes = round_up(VDPDK_RING_BYTES(GUEST_SLOTS));
	uint64_t at = 0;

	guest->maps[GUEST_AREA].bytes = sizeof(struct vdpdk_control_area);
	guest->maps[GUEST_RINGS].bytes = 2 * guest->n_queues * ring_bytes;
	guest->maps[GUEST_BUFFERS].bytes = (uint64_t)guest->n_queues * GUEST_SLOTS *
					   GUEST_BUFFER_BYTES;
	for (unsigned int i = 0; i < GUEST_PARTS; i++) {
		guest->maps[i].offset = at;
		at += guest->maps[i].bytes;
	}
	guest->bytes = at;
	guest->file = memfd_create("nmx-test-guest", MFD_CLOEXEC);
	if (guest->file < 0 || ftruncate(guest->file, (off_t)at) != 0)
		return complain("no memory file", -errno);
	guest->memory = mmap(NULL, at, PROT_READ | PROT_WRITE, MAP_SHARED, guest->file, 0);
	if (guest->memory == MAP_FAILED)
		return complain("no memory", -errno);
	guest->area = (struct vdpdk_control_area *)guest->memory;
	return 0;
}

static struct nmx_range
get_range(const struct guest *guest, enum guest_part part)
{
	return (struct nmx_range){ GUEST_BASE + guest->maps[part].offset, guest->maps[part].bytes };
}

int
guest_map(struct guest *guest, enum guest_part part)
{
	const struct nmx_vfu_memory memory = { get_range(guest, part), guest->maps[part].offset,
		guest->file };
	uint32_t failed;
	int ret = nmx_vfu_map_memory(guest->client, &memory, 1, &failed);

	guest->maps[part].mapped = ret == 0;
	return ret == 0 ? 0 : complain("map", ret);
}

int
guest_unmap(struct guest *guest, enum guest_part part)
{
	int ret = nmx_vfu_unmap_memory(guest->client, get_range(guest, part));

	if (ret == 0)
		guest->maps[part].mapped = false;
	return ret == 0 ? 0 : complain("unmap", ret);
}

/* --- Registers and requests --- */

uint32_t
guest_read_register(struct guest *guest, uint32_t offset)
{
	uint32_t value = UINT32_MAX;

	(void)nmx_vfu_read_region(guest->client, VDPDK_BAR_SIGNAL, offset, &value, sizeof(value));
	return value;
}

int
guest_write_register(struct guest *guest, uint32_t offset, uint32_t value)
{
	return nmx_vfu_write_region(guest->client, VDPDK_BAR_SIGNAL, offset, &value, sizeof(value));
}

int
guest_request(struct guest *guest, uint32_t op, const void *body, uint32_t bytes)
{
	struct vdpdk_slot *slot = &guest->area->slot[0];
	uint64_t deadline_ns = nmx_base_read_clock_ns() + TIMEOUT_MS * NMX_NS_PER_MS;
	int ret;

	memcpy(slot->body, body, bytes);
	slot->driver.op = op;
	slot->driver.length = bytes;
	__atomic_store_n(&slot->driver.submit_seq, ++guest->submit_seq, __ATOMIC_RELEASE);
	ret = guest_write_register(guest, VDPDK_REG_CONTROL_DOORBELL, 0);
	if (ret != 0)
		return complain("doorbell", ret);
	while (__atomic_load_n(&slot->device.done_seq, __ATOMIC_ACQUIRE) != guest->submit_seq) {
		if (nmx_base_read_clock_ns() >= deadline_ns)
			return complain("request", -ETIMEDOUT);
		nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
	}
	return (int)slot->device.status;
}

int
guest_start_device(struct guest *guest)
{
	const uint32_t running = VDPDK_STATUS_FEATURES_OK | VDPDK_STATUS_RUNNING;
	const struct vdpdk_mtu mtu = { 9000, 0 };

	guest_write_register(guest, VDPDK_REG_STATUS, 0);
	while (guest_read_register(guest, VDPDK_REG_STATUS) & VDPDK_STATUS_RESETTING)
		usleep(100);
	guest_write_register(guest, VDPDK_REG_DRIVER_FEATURES_LOW, VDPDK_FEATURE_RX_SCATTER);
	guest_write_register(guest, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
	memset(guest->area, 0, sizeof(*guest->area));
	guest->submit_seq = 0;
	guest_write_register(guest, VDPDK_REG_CONTROL_AREA_LOW, (uint32_t)GUEST_BASE);
	guest_write_register(guest, VDPDK_REG_CONTROL_AREA_HIGH, (uint32_t)(GUEST_BASE >> 32));
	guest_write_register(guest, VDPDK_REG_STATUS, running);
	if (guest_read_register(guest, VDPDK_REG_STATUS) != running)
		return complain("the device doesn't run", -EPROTO);
	if (guest_request(guest, VDPDK_OP_INFO_GET, NULL, 0) != VDPDK_ANSWER_OK)
		return complain("no information", -EPROTO);
	memcpy(&guest->info, guest->area->slot[0].body, sizeof(guest->info));
	if (guest->info.n_queue_pairs < guest->n_queues)
		return complain("too few queues", -ENOSPC);
	if (guest_request(guest, VDPDK_OP_MTU_SET, &mtu, sizeof(mtu)) != VDPDK_ANSWER_OK)
		return complain("MTU of 9000", -EPROTO);
	return 0;
}

/* --- Opening --- */

static int
take_doorbells(struct guest *guest)
{
	struct nmx_vfu_bell bells[VDPDK_QUEUE_PAIRS_MAX];
	uint32_t n = 0;
	int ret = nmx_vfu_get_doorbells(
		guest->client, VDPDK_BAR_SIGNAL, bells, VDPDK_QUEUE_PAIRS_MAX, &n);

	for (uint32_t i = 0; ret == 0 && i < n; i++) {
		if (i < guest->n_queues)
			guest->queues[i].doorbell = nmx_base_take_fd(&bells[i].fd);
		nmx_base_close_fd(&bells[i].fd);
	}
	return ret == 0 && n < guest->n_queues ? -EPROTO : ret;
}

int
guest_open(struct guest *guest, const char *path, uint16_t n_queues)
{
	const uint16_t command = 0x0006; /* memory, bus master */
	int fd, ret;

	memset(guest, 0, sizeof(*guest));
	guest->n_queues = n_queues;
	for (uint16_t q = 0; q < GUEST_QUEUES_MAX; q++)
		guest->queues[q].doorbell = -1;
	ret = make_memory(guest);
	if (ret != 0)
		return ret;
	fd = nmx_stream_connect_path(path);
	if (fd < 0)
		return complain(nmx_stream_explain_connect(fd), fd);
	ret = nmx_vfu_create_client(&fd, TIMEOUT_MS, -1, &guest->client);
	if (ret != 0)
		return complain("VERSION", ret);
	ret = nmx_vfu_write_region(
		guest->client, NMX_VFU_REGION_CONFIG, 0x04, &command, sizeof(command));
	for (unsigned int i = 0; ret == 0 && i < GUEST_PARTS; i++)
		ret = guest_map(guest, i);
	if (ret == 0)
		ret = take_doorbells(guest);
	return ret == 0 ? guest_start_device(guest) : complain("set-up", ret);
}

void
guest_close(struct guest *guest)
{
	nmx_vfu_destroy_client(guest->client);
	for (uint16_t q = 0; q < GUEST_QUEUES_MAX; q++)
		nmx_base_close_fd(&guest->queues[q].doorbell);
	munmap(guest->memory, guest->bytes);
	nmx_base_close_fd(&guest->file);
}
