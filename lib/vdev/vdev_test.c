/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The device with a driver of a few lines in front and nothing behind it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/vdev/vdev.h"

#define AREA       UINT64_C(0x100000)
#define AREA_BYTES sizeof(struct vdpdk_control_area)
#define COMMAND    0x04

static const struct nmx_vdev_grant grant = {
	.vendor_id = VDPDK_PCI_VENDOR_ID,
	.device_id = VDPDK_PCI_DEVICE_ID,
	.n_queue_pairs = 10,
	.ring_max_log2 = 12,
	.ring_recommended_log2 = 10,
	.features = VDPDK_FEATURE_RX_SCATTER,
	.rx_frame_max = 9728,
	.tx_frame_max = 9000,
	.mtu_min = 68,
	.mtu_max = 9000,
	.mtu = 1500,
	.mac = { 2, 0, 0, 0, 0, 1 },
	.dma_maps_max = 100,
};

struct rig {
	struct nmx_vdev *vdev;
	struct nmx_mem *mem;
	struct vdpdk_control_area *area; /* as the guest sees it */
	int lost;
	uint32_t submit_seq[VDPDK_CONTROL_SLOTS];

	/* Of the backend. */
	unsigned int n_runs, n_resets, n_halts, n_signals, n_doorbells, n_stats_resets;
	struct nmx_vdev_queue started;
	struct nmx_vdev_ticket ticket;
	uint32_t stop_answer;
	bool reset_later;
	uint8_t mac[6];
	uint16_t mtu;
};

static void
on_run(void *context)
{
	((struct rig *)context)->n_runs++;
}

static uint32_t
on_start(void *context, const struct nmx_vdev_queue *queue)
{
	((struct rig *)context)->started = *queue;
	return VDPDK_ANSWER_OK;
}

static uint32_t
on_stop(void *context, uint16_t direction, uint16_t index, struct nmx_vdev_ticket ticket)
{
	struct rig *rig = context;

	(void)direction;
	(void)index;
	rig->ticket = ticket;
	return rig->stop_answer;
}

static uint32_t
on_mac(void *context, const uint8_t mac[6])
{
	memcpy(((struct rig *)context)->mac, mac, 6);
	return VDPDK_ANSWER_OK;
}

static uint32_t
on_mtu(void *context, uint16_t mtu)
{
	((struct rig *)context)->mtu = mtu;
	return VDPDK_ANSWER_OK;
}

static void
on_stats(void *context, uint16_t index, struct vdpdk_queue_stats *stats)
{
	(void)context;
	stats->rx_frames = 100u + index;
}

static void
on_stats_reset(void *context)
{
	((struct rig *)context)->n_stats_resets++;
}

static void
on_doorbell(void *context, uint16_t index)
{
	((struct rig *)context)->n_doorbells += 1u + index;
}

static void
on_signal(void *context, uint16_t vector)
{
	assert_int_equal(vector, VDPDK_VECTOR_CONTROL);
	((struct rig *)context)->n_signals++;
}

static void
on_halt(void *context)
{
	((struct rig *)context)->n_halts++;
}

static bool
on_reset(void *context)
{
	struct rig *rig = context;

	rig->n_resets++;
	return !rig->reset_later;
}

static const struct nmx_vdev_backend backend = {
	.run = on_run,
	.start_queue = on_start,
	.stop_queue = on_stop,
	.set_mac = on_mac,
	.set_mtu = on_mtu,
	.get_stats = on_stats,
	.reset_stats = on_stats_reset,
	.ring_doorbell = on_doorbell,
	.signal = on_signal,
	.halt = on_halt,
	.reset = on_reset,
};

static void
start(struct rig *rig)
{
	static const struct nmx_mem_limits limits = { .maps_max = 16, .bytes_max = 1 << 20 };
	struct nmx_mem_map map = { { AREA, AREA_BYTES }, 0, 3 };
	int file = memfd_create("nmx-vdev-test", MFD_CLOEXEC);

	memset(rig, 0, sizeof(*rig));
	rig->lost = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(ftruncate(file, AREA_BYTES), 0);
	rig->area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	assert_true(rig->area != MAP_FAILED);
	assert_int_equal(nmx_mem_create(&limits, rig->lost, &rig->mem), 0);
	assert_int_equal(nmx_mem_map(rig->mem, &map, &file), 0);
	assert_int_equal(nmx_vdev_create(&grant, &backend, rig, &rig->vdev), 0);
	nmx_vdev_attach(rig->vdev, rig->mem);
}

static void
stop(struct rig *rig)
{
	nmx_vdev_destroy(rig->vdev);
	nmx_mem_destroy(rig->mem);
	munmap(rig->area, AREA_BYTES);
	nmx_base_close_fd(&rig->lost);
}

static uint32_t
read32(struct rig *rig, uint32_t region, uint64_t offset)
{
	const struct nmx_vfu_access access = { region, 4, offset };
	uint32_t value;

	assert_int_equal(nmx_vdev_read(rig->vdev, &access, (uint8_t *)&value), 0);
	return value;
}

static void
write32(struct rig *rig, uint32_t region, uint64_t offset, uint32_t value)
{
	const struct nmx_vfu_access access = { region, 4, offset };

	assert_int_equal(nmx_vdev_write(rig->vdev, &access, (const uint8_t *)&value), 0);
}

static uint32_t
get(struct rig *rig, uint64_t reg)
{
	return read32(rig, VDPDK_BAR_SIGNAL, reg);
}

static void
set(struct rig *rig, uint64_t reg, uint32_t value)
{
	write32(rig, VDPDK_BAR_SIGNAL, reg, value);
}

static void
set_master(struct rig *rig, bool on)
{
	write32(rig, NMX_VFU_REGION_CONFIG, COMMAND, on ? 6 : 2);
}

static void
set_area(struct rig *rig, uint64_t address)
{
	set(rig, VDPDK_REG_CONTROL_AREA_LOW, (uint32_t)address);
	set(rig, VDPDK_REG_CONTROL_AREA_HIGH, (uint32_t)(address >> 32));
}

#define OK_RUNNING (VDPDK_STATUS_FEATURES_OK | VDPDK_STATUS_RUNNING)

static void
run(struct rig *rig)
{
	set_master(rig, true);
	set(rig, VDPDK_REG_STATUS, 0);
	set(rig, VDPDK_REG_DRIVER_FEATURES_LOW, VDPDK_FEATURE_RX_SCATTER);
	set(rig, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
	memset(rig->area, 0, AREA_BYTES);
	memset(rig->submit_seq, 0, sizeof(rig->submit_seq));
	set_area(rig, AREA);
	set(rig, VDPDK_REG_STATUS, OK_RUNNING);
	assert_int_equal(get(rig, VDPDK_REG_STATUS), OK_RUNNING);
}

static void
submit(struct rig *rig, uint32_t slot, uint32_t op, const void *body, uint32_t length)
{
	struct vdpdk_slot *s = &rig->area->slot[slot];

	s->driver.op = op;
	s->driver.length = length;
	if (length > 0 && length <= sizeof(s->body))
		memcpy(s->body, body, length);
	s->driver.submit_seq = ++rig->submit_seq[slot];
	set(rig, VDPDK_REG_CONTROL_DOORBELL, slot);
}

static bool
is_answered(struct rig *rig, uint32_t slot)
{
	return rig->area->slot[slot].device.done_seq == rig->submit_seq[slot];
}

/** A request in slot 3, answered at once. */
static uint32_t
ask(struct rig *rig, uint32_t op, const void *body, uint32_t length)
{
	submit(rig, 3, op, body, length);
	assert_true(is_answered(rig, 3));
	return rig->area->slot[3].device.status;
}

/* --- STATUS --- */

static void
identity_is_told(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	assert_int_equal(get(&rig, VDPDK_REG_MAGIC), VDPDK_MAGIC);
	assert_int_equal(get(&rig, VDPDK_REG_ABI), VDPDK_ABI_MAJOR << 16 | VDPDK_ABI_MINOR);
	assert_int_equal(get(&rig, VDPDK_REG_QUEUE_PAIRS), 10);
	assert_int_equal(VDPDK_RING_SIZES_MAX_LOG2(get(&rig, VDPDK_REG_RING_SIZES)), 12);
	assert_int_equal(VDPDK_RING_SIZES_RECOMMENDED_LOG2(get(&rig, VDPDK_REG_RING_SIZES)), 10);
	assert_int_equal(get(&rig, VDPDK_REG_FEATURES_LOW), VDPDK_FEATURE_RX_SCATTER);
	assert_int_equal(get(&rig, 0x00c), 0);
	assert_int_equal(get(&rig, 0xffc), 0);
	assert_int_equal(read32(&rig, VDPDK_BAR_SIGNAL, 1), 0);
	assert_int_equal(read32(&rig, VDPDK_BAR_MSIX, 0x800), 0);
	stop(&rig);
}

static void
the_order_of_starting_is_kept(void **unused)
{
	static const struct {
		uint32_t status[3];
		uint32_t end;
	} row[] = {
		{ { VDPDK_STATUS_FEATURES_OK, OK_RUNNING, 0 }, 0 },
		{ { VDPDK_STATUS_RUNNING, OK_RUNNING, OK_RUNNING }, VDPDK_STATUS_FAILED },
		{ { OK_RUNNING, OK_RUNNING, OK_RUNNING }, VDPDK_STATUS_FAILED },
		{ { OK_RUNNING, 0, VDPDK_STATUS_FEATURES_OK }, VDPDK_STATUS_FEATURES_OK },
		{ { VDPDK_STATUS_FEATURES_OK, VDPDK_STATUS_RUNNING, 0x8000 },
			VDPDK_STATUS_FEATURES_OK | VDPDK_STATUS_FAILED },
		{ { VDPDK_STATUS_FEATURES_OK, OK_RUNNING, OK_RUNNING }, OK_RUNNING },
		{ { VDPDK_STATUS_FEATURES_OK, OK_RUNNING, VDPDK_STATUS_FEATURES_OK },
			OK_RUNNING | VDPDK_STATUS_FAILED },
		{ { 0x8000, 0, 0 }, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig;

		start(&rig);
		set_master(&rig, true);
		set_area(&rig, AREA);
		for (size_t k = 0; k < 3; k++)
			set(&rig, VDPDK_REG_STATUS, row[i].status[k]);
		assert_int_equal(get(&rig, VDPDK_REG_STATUS), row[i].end);
		if (row[i].end & VDPDK_STATUS_FAILED)
			assert_int_equal(rig.n_halts, 1);
		stop(&rig);
	}
}

static void
unknown_features_are_not_accepted(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	set(&rig, VDPDK_REG_DRIVER_FEATURES_HIGH, 1);
	set(&rig, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
	assert_int_equal(get(&rig, VDPDK_REG_STATUS), 0);
	set(&rig, VDPDK_REG_DRIVER_FEATURES_HIGH, 0);
	set(&rig, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
	assert_int_equal(get(&rig, VDPDK_REG_STATUS), VDPDK_STATUS_FEATURES_OK);
	/* What was judged stays. */
	set(&rig, VDPDK_REG_DRIVER_FEATURES_HIGH, 1);
	assert_int_equal(nmx_vdev_get_counters(rig.vdev)->ignored_writes, 1);
	stop(&rig);
}

static void
bad_control_areas_fail_the_device(void **unused)
{
	static const uint64_t row[] = { 0, AREA + 64, AREA + 4096, AREA - 4096, UINT64_MAX - 4095 };

	(void)unused;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rig rig;

		start(&rig);
		set_master(&rig, true);
		set(&rig, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
		set_area(&rig, row[i]);
		set(&rig, VDPDK_REG_STATUS, OK_RUNNING);
		assert_true(get(&rig, VDPDK_REG_STATUS) & VDPDK_STATUS_FAILED);
		assert_int_equal(rig.n_runs, 0);
		run(&rig);
		stop(&rig);
	}
}

static void
without_bus_mastering_nothing_runs(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	set(&rig, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
	set_area(&rig, AREA);
	set(&rig, VDPDK_REG_STATUS, OK_RUNNING);
	assert_true(get(&rig, VDPDK_REG_STATUS) & VDPDK_STATUS_FAILED);
	run(&rig);
	rig.n_resets = 0;
	set_master(&rig, false);
	assert_int_equal(rig.n_resets, 1);
	set_master(&rig, true); /* resumes nothing */
	assert_int_equal(get(&rig, VDPDK_REG_STATUS), 0);
	stop(&rig);
}

static void
resets_last_until_the_backend_is_quiet(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	rig.reset_later = true;
	assert_false(nmx_vdev_reset(rig.vdev));
	assert_int_equal(get(&rig, VDPDK_REG_STATUS), VDPDK_STATUS_RESETTING);
	set(&rig, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
	assert_int_equal(get(&rig, VDPDK_REG_STATUS), VDPDK_STATUS_RESETTING);
	set(&rig, VDPDK_REG_STATUS, 0);
	assert_int_equal(rig.n_resets, 2); /* run() reset once before */
	nmx_vdev_finish_reset(rig.vdev);
	assert_int_equal(get(&rig, VDPDK_REG_STATUS), 0);
	stop(&rig);
}

/** Answered at the end, unlike STATUS = 0. */
static void
configuration_waits_for_the_reset(void **unused)
{
	const struct nmx_vfu_access row[] = { { NMX_VFU_REGION_CONFIG, 2, COMMAND },
		{ NMX_VFU_REGION_CONFIG, 2, 0x48 } };
	const uint8_t data[2][2] = { { 2, 0 }, { 0, 0x80 } }; /* master off; function-level reset */
	struct rig rig;

	(void)unused;
	start(&rig);
	for (unsigned int i = 0; i < 2; i++) {
		run(&rig);
		rig.reset_later = true;
		assert_int_equal(nmx_vdev_write(rig.vdev, &row[i], data[i]), NMX_VFU_LATER);
		set_master(&rig, true);
		assert_int_equal(nmx_vdev_write(rig.vdev, &row[i], data[i]), NMX_VFU_LATER);
		nmx_vdev_finish_reset(rig.vdev);
		rig.reset_later = false;
	}
	stop(&rig);
}

/** What was written, and what happened, while a reset was under way. */
static void
resets_during_a_reset_forget_again(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	rig.reset_later = true;
	set(&rig, VDPDK_REG_STATUS, 0);
	set_area(&rig, AREA);
	nmx_vdev_report_fault(rig.vdev); /* of a queue that is being stopped */
	(void)nmx_vdev_reset(rig.vdev);
	nmx_vdev_finish_reset(rig.vdev);
	set_master(&rig, true);
	set(&rig, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
	set(&rig, VDPDK_REG_STATUS, OK_RUNNING);
	assert_true(get(&rig, VDPDK_REG_STATUS) & VDPDK_STATUS_FAILED); /* it named no area */
	rig.reset_later = false;
	run(&rig);
	assert_int_equal(rig.area->page.n_queue_errors, 0);
	stop(&rig);
}

/* --- Requests --- */

static void
information_matches_the_grant(void **unused)
{
	struct vdpdk_info info;
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	assert_int_equal(ask(&rig, VDPDK_OP_INFO_GET, NULL, 0), VDPDK_ANSWER_OK);
	assert_int_equal(rig.area->slot[3].device.length, sizeof(info));
	memcpy(&info, rig.area->slot[3].body, sizeof(info));
	assert_int_equal(info.n_queue_pairs, 10);
	assert_int_equal(info.mtu, 1500);
	assert_int_equal(info.rx_frame_max, 9728);
	assert_int_equal(info.tx_frame_max, 9000);
	assert_memory_equal(info.mac, grant.mac, 6);
	stop(&rig);
}

static void
requests_are_answered_as_the_table_says(void **unused)
{
	struct vdpdk_queue_start good = { VDPDK_DIRECTION_RX, 9, VDPDK_QUEUE_SCATTER, 0x200000, 64,
		0 };
	struct vdpdk_queue_start bad[10];
	struct vdpdk_mac mac = { { 2, 1, 2, 3, 4, 5 }, { 0, 0 } };
	struct vdpdk_mtu mtu = { 9000, 0 };
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	assert_int_equal(ask(&rig, VDPDK_OP_QUEUE_START, &good, sizeof(good)), VDPDK_ANSWER_OK);
	assert_int_equal(rig.started.index, 9);
	assert_int_equal(rig.started.ring_address, 0x200000);
	assert_true(rig.started.scatter);
	for (size_t i = 0; i < 10; i++)
		bad[i] = good;
	bad[0].direction = 2;
	bad[1].index = 10;
	bad[2].flags = 2;
	bad[3].ring_address += 64;
	bad[4].n_slots = 32;
	bad[5].n_slots = 8192;
	bad[6].n_slots = 96;
	bad[7].n_slots = 0;
	bad[8].reserved = 1;
	bad[9].direction = VDPDK_DIRECTION_TX; /* with SCATTER */
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(ask(&rig, VDPDK_OP_QUEUE_START, &bad[i], sizeof(good)),
			VDPDK_ANSWER_INVALID);
	assert_int_equal(ask(&rig, VDPDK_OP_QUEUE_START, &good, 23), VDPDK_ANSWER_INVALID);
	assert_int_equal(ask(&rig, VDPDK_OP_QUEUE_START, &good, 897), VDPDK_ANSWER_INVALID);
	assert_int_equal(ask(&rig, VDPDK_OP_QUEUE_START, &good, UINT32_MAX), VDPDK_ANSWER_INVALID);
	assert_int_equal(ask(&rig, VDPDK_OP_INFO_GET, &good, 1), VDPDK_ANSWER_INVALID);
	assert_int_equal(ask(&rig, 0, NULL, 0), VDPDK_ANSWER_UNKNOWN);
	assert_int_equal(ask(&rig, VDPDK_OP_FLOW_CREATE, &good, 24), VDPDK_ANSWER_NOT_SUPPORTED);
	assert_int_equal(ask(&rig, VDPDK_OP_MAC_SET, &mac, sizeof(mac)), VDPDK_ANSWER_OK);
	assert_memory_equal(rig.mac, mac.address, 6);
	mac.address[0] = 1;
	assert_int_equal(ask(&rig, VDPDK_OP_MAC_SET, &mac, sizeof(mac)), VDPDK_ANSWER_INVALID);
	memset(&mac, 0, sizeof(mac));
	assert_int_equal(ask(&rig, VDPDK_OP_MAC_SET, &mac, sizeof(mac)), VDPDK_ANSWER_INVALID);
	assert_int_equal(ask(&rig, VDPDK_OP_MTU_SET, &mtu, sizeof(mtu)), VDPDK_ANSWER_OK);
	assert_int_equal(rig.mtu, 9000);
	mtu.mtu = 9001;
	assert_int_equal(ask(&rig, VDPDK_OP_MTU_SET, &mtu, sizeof(mtu)), VDPDK_ANSWER_INVALID);
	mtu.mtu = 65536 + 1500;
	assert_int_equal(ask(&rig, VDPDK_OP_MTU_SET, &mtu, sizeof(mtu)), VDPDK_ANSWER_INVALID);
	assert_int_equal(ask(&rig, VDPDK_OP_STATS_RESET, NULL, 0), VDPDK_ANSWER_OK);
	assert_int_equal(rig.n_stats_resets, 1);
	stop(&rig);
}

static void
statistics_come_eight_queues_at_a_time(void **unused)
{
	struct vdpdk_stats_get get = { 0, 0 };
	struct vdpdk_stats stats;
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	assert_int_equal(ask(&rig, VDPDK_OP_STATS_GET, &get, sizeof(get)), VDPDK_ANSWER_OK);
	memcpy(&stats, rig.area->slot[3].body, sizeof(stats));
	assert_int_equal(stats.n_queues, 8);
	assert_int_equal(stats.queue[7].rx_frames, 107);
	get.first_queue = 8;
	assert_int_equal(ask(&rig, VDPDK_OP_STATS_GET, &get, sizeof(get)), VDPDK_ANSWER_OK);
	memcpy(&stats, rig.area->slot[3].body, sizeof(stats));
	assert_int_equal(stats.n_queues, 2);
	assert_int_equal(stats.queue[1].rx_frames, 109);
	assert_int_equal(stats.queue[2].rx_frames, 0);
	get.first_queue = 10;
	assert_int_equal(ask(&rig, VDPDK_OP_STATS_GET, &get, sizeof(get)), VDPDK_ANSWER_INVALID);
	stop(&rig);
}

static void
doorbells_out_of_order_are_ignored(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	set(&rig, VDPDK_REG_CONTROL_DOORBELL, 0); /* not running */
	set(&rig, VDPDK_REG_TX_DOORBELL(0), 0);
	run(&rig);
	set(&rig, VDPDK_REG_CONTROL_DOORBELL, 0);  /* nothing submitted */
	set(&rig, VDPDK_REG_CONTROL_DOORBELL, 16); /* no such slot */
	set(&rig, VDPDK_REG_CONTROL_DOORBELL, UINT32_MAX);
	rig.area->slot[0].driver.submit_seq = 2; /* not the next number */
	set(&rig, VDPDK_REG_CONTROL_DOORBELL, 0);
	set(&rig, VDPDK_REG_TX_DOORBELL(10), 0); /* not granted */
	assert_int_equal(nmx_vdev_get_counters(rig.vdev)->ignored_doorbells, 7);
	assert_int_equal(nmx_vdev_get_counters(rig.vdev)->requests, 0);
	set(&rig, VDPDK_REG_TX_DOORBELL(9), 0);
	assert_int_equal(rig.n_doorbells, 10);
	/* The device's own numbers count, not what is in the slot. */
	assert_int_equal(ask(&rig, VDPDK_OP_STATS_RESET, NULL, 0), VDPDK_ANSWER_OK);
	rig.area->slot[3].device.done_seq = 0;
	set(&rig, VDPDK_REG_CONTROL_DOORBELL, 3);
	assert_int_equal(rig.n_stats_resets, 1);
	stop(&rig);
}

static void
slow_requests_keep_their_slot_only(void **unused)
{
	struct vdpdk_queue_stop body = { VDPDK_DIRECTION_TX, 0, 0 };
	struct nmx_vdev_ticket used;
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	rig.stop_answer = NMX_VDEV_LATER;
	submit(&rig, 5, VDPDK_OP_QUEUE_STOP, &body, sizeof(body));
	assert_false(is_answered(&rig, 5));
	rig.area->slot[5].driver.submit_seq++; /* the slot is busy, whatever it says */
	set(&rig, VDPDK_REG_CONTROL_DOORBELL, 5);
	rig.area->slot[5].driver.submit_seq--;
	assert_int_equal(nmx_vdev_get_counters(rig.vdev)->ignored_doorbells, 1);
	assert_int_equal(ask(&rig, VDPDK_OP_INFO_GET, NULL, 0), VDPDK_ANSWER_OK);
	nmx_vdev_answer(rig.vdev, rig.ticket, VDPDK_ANSWER_BUSY);
	assert_true(is_answered(&rig, 5));
	assert_int_equal(rig.area->slot[5].device.status, VDPDK_ANSWER_BUSY);
	nmx_vdev_answer(rig.vdev, rig.ticket, VDPDK_ANSWER_OK); /* used */
	assert_int_equal(rig.area->slot[5].device.done_seq, 1);
	used = rig.ticket;
	submit(&rig, 5, VDPDK_OP_QUEUE_STOP, &body, sizeof(body));
	nmx_vdev_answer(rig.vdev, used, VDPDK_ANSWER_OK);
	assert_false(is_answered(&rig, 5));
	stop(&rig);
}

static void
tickets_of_a_former_life_are_void(void **unused)
{
	struct vdpdk_queue_stop body = { VDPDK_DIRECTION_TX, 0, 0 };
	struct nmx_vdev_ticket old;
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	rig.stop_answer = NMX_VDEV_LATER;
	submit(&rig, 5, VDPDK_OP_QUEUE_STOP, &body, sizeof(body));
	old = rig.ticket;
	run(&rig);
	submit(&rig, 5, VDPDK_OP_QUEUE_STOP, &body, sizeof(body));
	nmx_vdev_answer(rig.vdev, old, VDPDK_ANSWER_OK);
	assert_false(is_answered(&rig, 5));
	nmx_vdev_answer(rig.vdev, rig.ticket, VDPDK_ANSWER_OK);
	assert_true(is_answered(&rig, 5));
	stop(&rig);
}

static void
resets_return_to_what_was_granted(void **unused)
{
	struct vdpdk_mac mac = { { 2, 1, 2, 3, 4, 5 }, { 0, 0 } };
	struct vdpdk_info info;
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	assert_int_equal(ask(&rig, VDPDK_OP_MAC_SET, &mac, sizeof(mac)), VDPDK_ANSWER_OK);
	run(&rig);
	assert_int_equal(ask(&rig, VDPDK_OP_INFO_GET, NULL, 0), VDPDK_ANSWER_OK);
	memcpy(&info, rig.area->slot[3].body, sizeof(info));
	assert_memory_equal(info.mac, grant.mac, 6);
	stop(&rig);
}

static void
a_lost_control_area_fails_the_device(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	assert_int_equal(nmx_mem_unmap(rig.mem, (struct nmx_range){ AREA, AREA_BYTES }), 0);
	nmx_mem_reclaim(rig.mem);
	nmx_vdev_check_memory(rig.vdev);
	assert_true(get(&rig, VDPDK_REG_STATUS) & VDPDK_STATUS_FAILED);
	set(&rig, VDPDK_REG_CONTROL_DOORBELL, 0);
	nmx_vdev_set_link(rig.vdev, true, 1000);
	nmx_vdev_report_fault(rig.vdev);
	stop(&rig);
}

/* --- Page 0 --- */

static void
link_and_errors_are_shown(void **unused)
{
	struct rig rig;
	uint64_t link;

	(void)unused;
	start(&rig);
	nmx_vdev_set_link(rig.vdev, true, 10000); /* before anybody looks */
	run(&rig);
	assert_int_equal(rig.area->page.link, VDPDK_LINK(1, 10000, 1));
	rig.n_signals = 0;
	nmx_vdev_set_link(rig.vdev, true, 10000);
	assert_int_equal(rig.n_signals, 0);
	nmx_vdev_set_link(rig.vdev, false, 10000);
	assert_int_equal(rig.n_signals, 1);
	assert_int_equal(VDPDK_LINK_GENERATION(rig.area->page.link), 2);
	assert_false(VDPDK_LINK_IS_UP(rig.area->page.link));
	assert_int_equal(VDPDK_LINK_SPEED_MBPS(rig.area->page.link), 10000);
	assert_int_equal(ask(&rig, VDPDK_OP_LINK_GET, NULL, 0), VDPDK_ANSWER_OK);
	memcpy(&link, rig.area->slot[3].body, sizeof(link));
	assert_int_equal(link, rig.area->page.link);
	nmx_vdev_report_fault(rig.vdev);
	assert_int_equal(rig.area->page.n_queue_errors, 1);
	assert_int_equal(rig.n_signals, 2);
	nmx_vdev_remove(rig.vdev);
	assert_true(get(&rig, VDPDK_REG_STATUS) & VDPDK_STATUS_REMOVED);
	stop(&rig);
}

static void
answers_signal_if_asked(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	rig.n_signals = 0;
	ask(&rig, VDPDK_OP_INFO_GET, NULL, 0);
	assert_int_equal(rig.n_signals, 0);
	rig.area->slot[3].driver.flags = VDPDK_REQUEST_SIGNAL;
	ask(&rig, VDPDK_OP_INFO_GET, NULL, 0);
	assert_int_equal(rig.n_signals, 1);
	rig.area->slot[3].driver.flags = 2;
	assert_int_equal(ask(&rig, VDPDK_OP_INFO_GET, NULL, 0), VDPDK_ANSWER_INVALID);
	rig.area->slot[3].driver.flags = 0;
	rig.area->slot[3].driver.reserved[47] = 1;
	assert_int_equal(ask(&rig, VDPDK_OP_INFO_GET, NULL, 0), VDPDK_ANSWER_INVALID);
	stop(&rig);
}

/* --- Configuration space --- */

static void
configuration_space_is_a_pci_function(void **unused)
{
	struct rig rig;
	uint32_t bar;

	(void)unused;
	start(&rig);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x00), 0x10f81af4);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x08), 0x02000000 | VDPDK_ABI_MAJOR);
	for (bar = 0; bar < 6; bar++) {
		bool there = bar == VDPDK_BAR_SIGNAL || bar == VDPDK_BAR_MSIX;

		write32(&rig, NMX_VFU_REGION_CONFIG, 0x10 + 4 * bar, UINT32_MAX);
		assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x10 + 4 * bar),
			there ? 0xfffff000 : 0);
		write32(&rig, NMX_VFU_REGION_CONFIG, 0x10 + 4 * bar, 0xfebf1000);
		assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x10 + 4 * bar),
			there ? 0xfebf1000 : 0);
	}
	write32(&rig, NMX_VFU_REGION_CONFIG, 0x30, UINT32_MAX);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x30), 0);
	/* Express capability at 0x40 with FLR, MSI-X behind it with a vector a queue and one. */
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x34), 0x40);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x40) & 0xffff, 0x8010);
	assert_true(read32(&rig, NMX_VFU_REGION_CONFIG, 0x44) & 1u << 28);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x80), 0x000a0011);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x84), 0x002);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x88), 0x802);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x100), 0);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0xffc), 0);
	stop(&rig);
}

static void
function_level_reset_resets(void **unused)
{
	struct rig rig;

	(void)unused;
	start(&rig);
	run(&rig);
	write32(&rig, NMX_VFU_REGION_CONFIG, 0x48, 0x8000);
	assert_int_equal(get(&rig, VDPDK_REG_STATUS), 0);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, 0x48), 0);
	assert_int_equal(read32(&rig, NMX_VFU_REGION_CONFIG, COMMAND) & 0xffff, 0);
	stop(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_is_told),
		cmocka_unit_test(the_order_of_starting_is_kept),
		cmocka_unit_test(unknown_features_are_not_accepted),
		cmocka_unit_test(bad_control_areas_fail_the_device),
		cmocka_unit_test(without_bus_mastering_nothing_runs),
		cmocka_unit_test(resets_last_until_the_backend_is_quiet),
		cmocka_unit_test(configuration_waits_for_the_reset),
		cmocka_unit_test(resets_during_a_reset_forget_again),
		cmocka_unit_test(information_matches_the_grant),
		cmocka_unit_test(requests_are_answered_as_the_table_says),
		cmocka_unit_test(statistics_come_eight_queues_at_a_time),
		cmocka_unit_test(doorbells_out_of_order_are_ignored),
		cmocka_unit_test(slow_requests_keep_their_slot_only),
		cmocka_unit_test(tickets_of_a_former_life_are_void),
		cmocka_unit_test(resets_return_to_what_was_granted),
		cmocka_unit_test(a_lost_control_area_fails_the_device),
		cmocka_unit_test(link_and_errors_are_shown),
		cmocka_unit_test(answers_signal_if_asked),
		cmocka_unit_test(configuration_space_is_a_pci_function),
		cmocka_unit_test(function_level_reset_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
