/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** The device's protocol: handshake, requests. docs/device.md. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "vdpdk.h"
#include "vdpdk_transport.h"

/** A reset lasts as long as a burst of the host; this is for a host without a processor. */
#define RESET_NS (5 * NMX_NS_PER_S)
/** How long an answer is waited for without sleeping; most need no more. */
#define SPIN_NS  (50 * NMX_NS_PER_US)
#define PAUSE_NS (100 * NMX_NS_PER_US)
/** How often a device is looked at meanwhile, if nothing else tells of its end. */
#define LOOK_NS (20 * NMX_NS_PER_MS)

static int
read_register(struct vdpdk_port *port, uint32_t offset, uint32_t *value)
{
	return port->transport->ops->read_register(port->transport, offset, value);
}

static int
write_register(struct vdpdk_port *port, uint32_t offset, uint32_t value)
{
	return port->transport->ops->write_register(port->transport, offset, value);
}

static void
pause_ns(uint64_t ns)
{
	struct timespec time = { .tv_nsec = (long)ns };

	nanosleep(&time, NULL);
}

/* --- Handshake --- */

int
vdpdk_reset_device(struct vdpdk_port *port)
{
	uint64_t deadline_ns = nmx_base_read_clock_ns() + RESET_NS;
	uint32_t status;
	int ret = write_register(port, VDPDK_REG_STATUS, 0);

	while (ret == 0) {
		ret = read_register(port, VDPDK_REG_STATUS, &status);
		if (ret != 0 || !(status & VDPDK_STATUS_RESETTING))
			break;
		if (nmx_base_read_clock_ns() >= deadline_ns)
			ret = -ETIMEDOUT;
		pause_ns(PAUSE_NS);
	}
	return ret;
}

static int
check_identity(struct vdpdk_port *port)
{
	uint32_t magic, abi, sizes;
	int ret = read_register(port, VDPDK_REG_MAGIC, &magic);

	if (ret == 0)
		ret = read_register(port, VDPDK_REG_ABI, &abi);
	if (ret == 0)
		ret = read_register(port, VDPDK_REG_RING_SIZES, &sizes);
	if (ret != 0)
		return ret;
	if (magic != VDPDK_MAGIC || abi >> 16 != VDPDK_ABI_MAJOR)
		return -EPROTONOSUPPORT;
	port->ring_max_log2 = VDPDK_RING_SIZES_MAX_LOG2(sizes);
	port->ring_recommended_log2 = VDPDK_RING_SIZES_RECOMMENDED_LOG2(sizes);
	if (port->ring_max_log2 > 12 || UINT32_C(1) << port->ring_max_log2 < VDPDK_RING_SLOTS_MIN)
		return -EPROTO;
	return 0;
}

static int
choose_features(struct vdpdk_port *port)
{
	uint32_t low, high, status;
	int ret = read_register(port, VDPDK_REG_FEATURES_LOW, &low);

	if (ret == 0)
		ret = read_register(port, VDPDK_REG_FEATURES_HIGH, &high);
	if (ret != 0)
		return ret;
	port->features = ((uint64_t)high << 32 | low) & VDPDK_FEATURES_USED;
	ret = write_register(port, VDPDK_REG_DRIVER_FEATURES_LOW, (uint32_t)port->features);
	if (ret == 0)
		ret = write_register(
			port, VDPDK_REG_DRIVER_FEATURES_HIGH, (uint32_t)(port->features >> 32));
	if (ret == 0)
		ret = write_register(port, VDPDK_REG_STATUS, VDPDK_STATUS_FEATURES_OK);
	if (ret == 0)
		ret = read_register(port, VDPDK_REG_STATUS, &status);
	if (ret == 0 && status != VDPDK_STATUS_FEATURES_OK)
		ret = -EPROTO;
	return ret;
}

static int
run_device(struct vdpdk_port *port)
{
	const uint32_t running = VDPDK_STATUS_FEATURES_OK | VDPDK_STATUS_RUNNING;
	uint64_t area = port->area_memory.address;
	uint32_t status;
	int ret;

	memset(port->area, 0, sizeof(*port->area));
	port->submit_seq = 0;
	ret = write_register(port, VDPDK_REG_CONTROL_AREA_LOW, (uint32_t)area);
	if (ret == 0)
		ret = write_register(port, VDPDK_REG_CONTROL_AREA_HIGH, (uint32_t)(area >> 32));
	if (ret == 0)
		ret = write_register(port, VDPDK_REG_STATUS, running);
	if (ret == 0)
		ret = read_register(port, VDPDK_REG_STATUS, &status);
	if (ret == 0 && status != running)
		ret = -EPROTO;
	return ret;
}

/** What the device says of itself is believed only within limits that the code here has. */
static bool
check_info(const struct vdpdk_info *info)
{
	return info->n_queue_pairs >= 1 && info->n_queue_pairs <= VDPDK_QUEUE_PAIRS_MAX &&
	       info->rx_frame_max >= 64 && info->tx_frame_max >= 64 &&
	       info->mtu_min <= info->mtu_max &&
	       rte_is_valid_assigned_ether_addr((const struct rte_ether_addr *)info->mac);
}

int
vdpdk_start_device(struct vdpdk_port *port)
{
	struct vdpdk_info info;
	int ret = check_identity(port);

	if (ret == 0)
		ret = vdpdk_reset_device(port);
	if (ret == 0)
		ret = choose_features(port);
	if (ret == 0)
		ret = run_device(port);
	if (ret == 0)
		ret = vdpdk_request(port, VDPDK_OP_INFO_GET, NULL, 0, &info, sizeof(info));
	if (ret == 0 && !check_info(&info))
		ret = -EPROTO;
	if (ret == 0)
		port->info = info;
	return ret;
}

/* --- Requests --- */

static int
make_error(uint32_t answer)
{
	static const int errors[] = {
		[VDPDK_ANSWER_OK] = 0,
		[VDPDK_ANSWER_UNKNOWN] = -ENOTSUP,
		[VDPDK_ANSWER_NOT_SUPPORTED] = -ENOTSUP,
		[VDPDK_ANSWER_INVALID] = -EINVAL,
		[VDPDK_ANSWER_STATE] = -EALREADY,
		[VDPDK_ANSWER_BUSY] = -EBUSY,
		[VDPDK_ANSWER_ADDRESS] = -EFAULT,
		[VDPDK_ANSWER_NO_MEMORY] = -ENOMEM,
		[VDPDK_ANSWER_NO_SPACE] = -ENOSPC,
		[VDPDK_ANSWER_NOT_FOUND] = -ENOENT,
		[VDPDK_ANSWER_EXISTS] = -EEXIST,
		[VDPDK_ANSWER_DENIED] = -EPERM,
		[VDPDK_ANSWER_IO] = -EIO,
	};

	return answer < RTE_DIM(errors) ? errors[answer] : -EPROTO;
}

/** The request slot, which the device writes, too. */
static NMX_SHARED struct vdpdk_slot *
get_slot(struct vdpdk_port *port)
{
	return (NMX_SHARED struct vdpdk_slot *)&port->area->slot[0];
}

/** Wait until the slot is answered. */
static int
wait_answer(struct vdpdk_port *port)
{
	NMX_SHARED struct vdpdk_slot *slot = get_slot(port);
	uint64_t begin_ns = nmx_base_read_clock_ns(), now_ns, look_ns = begin_ns + LOOK_NS;
	uint32_t status;

	/* Orders done_seq before the answer; pairs with the device's release. */
	while (nmx_base_load32_acquire(&slot->device.done_seq) != port->submit_seq) {
		if (atomic_load(&port->lost))
			return -ENOTCONN;
		now_ns = nmx_base_read_clock_ns();
		if (now_ns - begin_ns >= VDPDK_REQUEST_TIMEOUT_MS * NMX_NS_PER_MS) {
			port->timeouts++;
			PORT_LOG(port, ERR, "the host doesn't answer a request; connecting anew");
			return -ENOTCONN;
		}
		if (now_ns >= look_ns && port->transport->polls) {
			/* A device that is gone never answers. */
			look_ns = now_ns + LOOK_NS;
			if (read_register(port, VDPDK_REG_STATUS, &status) != 0)
				return -ENOTCONN;
		}
		if (now_ns - begin_ns >= SPIN_NS)
			pause_ns(PAUSE_NS);
	}
	return 0;
}

static int
submit_request(struct vdpdk_port *port, uint32_t op, const void *body, uint32_t body_bytes)
{
	NMX_SHARED struct vdpdk_slot *slot = get_slot(port);

	if (body_bytes > 0)
		nmx_base_copy_to_shared(&slot->body, body, body_bytes);
	nmx_base_store32(&slot->driver.op, op);
	nmx_base_store32(&slot->driver.length, body_bytes);
	nmx_base_store32(&slot->driver.flags, 0);
	/* Orders the request before its number; pairs with the device's acquire. */
	nmx_base_store32_release(&slot->driver.submit_seq, ++port->submit_seq);
	return port->transport->ops->post_register(port->transport, VDPDK_REG_CONTROL_DOORBELL, 0);
}

int
vdpdk_request(struct vdpdk_port *port, uint32_t op, const void *body, uint32_t body_bytes,
	void *answer, uint32_t answer_bytes)
{
	NMX_SHARED struct vdpdk_slot *slot = get_slot(port);
	int ret = atomic_load(&port->lost) ? -ENOTCONN : submit_request(port, op, body, body_bytes);

	if (ret == 0)
		ret = wait_answer(port);
	if (ret != 0) {
		vdpdk_lose_session(port);
		return -ENOTCONN;
	}
	ret = make_error(nmx_base_load32(&slot->device.status));
	if (ret != 0)
		return ret;
	if (nmx_base_load32(&slot->device.length) != answer_bytes)
		return -EPROTO;
	if (answer_bytes > 0)
		nmx_base_copy_from_shared(answer, &slot->body, answer_bytes);
	return 0;
}

int
vdpdk_apply_settings(struct vdpdk_port *port)
{
	const struct vdpdk_mtu mtu = { .mtu = port->mtu };
	struct vdpdk_mac mac = { .reserved = { 0, 0 } };
	int ret = 0;

	if (port->mtu != port->info.mtu)
		ret = vdpdk_request(port, VDPDK_OP_MTU_SET, &mtu, sizeof(mtu), NULL, 0);
	if (ret == 0)
		port->info.mtu = port->mtu;
	if (ret != 0 || !port->mac_set)
		return ret;
	memcpy(mac.address, port->dev->data->mac_addrs[0].addr_bytes, sizeof(mac.address));
	return vdpdk_request(port, VDPDK_OP_MAC_SET, &mac, sizeof(mac), NULL, 0);
}
