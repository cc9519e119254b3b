/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Page 0 and the request slots. docs/device.md, section "Control area".
 *
 * The area is translated anew at each access: it is the guest's to unmap. If it is gone when it is
 * needed, the device fails.
 */

#include <string.h>

#include "device.h"

#define PROTECTION (NMX_MEM_READ | NMX_MEM_WRITE)

/** The area as it is mapped now, or NULL. */
static NMX_SHARED struct vdpdk_control_area *
find_area(const struct nmx_vdev *vdev, uint64_t address)
{
	struct nmx_mem_cache cache = { 0 };
	NMX_SHARED uint8_t *at;

	if (vdev->mem == NULL || nmx_mem_translate(nmx_mem_get_view(vdev->mem), &cache, address,
					 sizeof(struct vdpdk_control_area), PROTECTION, &at) != 0)
		return NULL;
	return (NMX_SHARED struct vdpdk_control_area *)at;
}

/** The area of a running device; without, it fails. */
static NMX_SHARED struct vdpdk_control_area *
get_area(struct nmx_vdev *vdev)
{
	NMX_SHARED struct vdpdk_control_area *area;

	if (!nmx_vdev_is_running(vdev))
		return NULL;
	area = find_area(vdev, vdev->area);
	if (area == NULL)
		nmx_vdev_fail(vdev);
	return area;
}

bool
nmx_vdev_check_area(const struct nmx_vdev *vdev, uint64_t address)
{
	return nmx_base_is_aligned(address, VDPDK_CONTROL_ALIGN) &&
	       find_area(vdev, address) != NULL;
}

void
nmx_vdev_check_memory(struct nmx_vdev *vdev)
{
	(void)get_area(vdev);
}

uint64_t
nmx_vdev_get_link_word(const struct nmx_vdev *vdev)
{
	return VDPDK_LINK(vdev->link_generation, vdev->link_speed_mbps, vdev->link_up);
}

void
nmx_vdev_show_link(struct nmx_vdev *vdev)
{
	NMX_SHARED struct vdpdk_control_area *area = get_area(vdev);

	if (area != NULL)
		nmx_base_store64_release(&area->page.link, nmx_vdev_get_link_word(vdev));
}

void
nmx_vdev_show_queue_errors(struct nmx_vdev *vdev)
{
	NMX_SHARED struct vdpdk_control_area *area = get_area(vdev);

	if (area != NULL)
		nmx_base_store32_release(&area->page.n_queue_errors, vdev->n_queue_errors);
}

/** Copy a submitted request out of its slot; false if the slot holds none. */
static bool
copy_request(const NMX_SHARED struct vdpdk_slot *slot, uint32_t done_seq,
	struct vdpdk_slot_driver *ret_line, struct nmx_vdev_request *request)
{
	/* Orders submit_seq before line and body; pairs with the driver's release. */
	if (nmx_base_load32_acquire(&slot->driver.submit_seq) != done_seq + 1)
		return false;
	nmx_base_copy_from_shared(ret_line, &slot->driver, sizeof(*ret_line));
	request->op = ret_line->op;
	request->length = ret_line->length;
	if (request->length <= sizeof(request->body))
		nmx_base_copy_from_shared(request->body, &slot->body, request->length);
	return true;
}

/** True if nothing reserved is set. */
static bool
check_line(const struct vdpdk_slot_driver *line)
{
	static const uint8_t zero[sizeof(line->reserved)];

	return (line->flags & ~VDPDK_REQUEST_SIGNAL) == 0 &&
	       memcmp(line->reserved, zero, sizeof(zero)) == 0;
}

/** Write the answer, then done_seq; signal if the request asked. */
static void
write_answer(
	struct nmx_vdev *vdev, uint32_t index, uint32_t answer, const void *body, uint32_t length)
{
	struct nmx_vdev_slot *own = &vdev->slots[index];
	NMX_SHARED struct vdpdk_control_area *area = get_area(vdev);
	NMX_SHARED struct vdpdk_slot *slot;

	own->busy = false;
	vdev->counters.refused_requests += answer != VDPDK_ANSWER_OK;
	if (area == NULL)
		return;
	slot = &area->slot[index];
	if (length > 0)
		nmx_base_copy_to_shared(&slot->body, body, length);
	nmx_base_store32(&slot->device.status, answer);
	nmx_base_store32(&slot->device.length, length);
	/* Orders the answer before done_seq; pairs with the driver's acquire. */
	nmx_base_store32_release(&slot->device.done_seq, ++own->done_seq);
	if (own->wants_signal)
		vdev->backend->signal(vdev->context, VDPDK_VECTOR_CONTROL);
}

void
nmx_vdev_take_request(struct nmx_vdev *vdev, uint32_t index)
{
	struct nmx_vdev_request request = { .length = 0 };
	NMX_SHARED struct vdpdk_control_area *area;
	struct vdpdk_slot_driver line;
	struct nmx_vdev_slot *own;
	uint32_t answer;

	if (!nmx_vdev_is_running(vdev) || index >= VDPDK_CONTROL_SLOTS || vdev->slots[index].busy) {
		vdev->counters.ignored_doorbells++;
		return;
	}
	own = &vdev->slots[index];
	area = get_area(vdev);
	if (area == NULL)
		return;
	if (!copy_request(&area->slot[index], own->done_seq, &line, &request)) {
		vdev->counters.ignored_doorbells++;
		return;
	}
	vdev->counters.requests++;
	own->busy = true;
	own->wants_signal = (line.flags & VDPDK_REQUEST_SIGNAL) != 0;
	request.ticket.generation = vdev->generation;
	request.ticket.slot = index;
	request.ticket.done_seq = own->done_seq;
	answer = check_line(&line) ? nmx_vdev_execute(vdev, &request) : VDPDK_ANSWER_INVALID;
	if (answer == VDPDK_ANSWER_OK)
		write_answer(vdev, index, answer, request.body, request.length);
	else if (answer != NMX_VDEV_LATER)
		write_answer(vdev, index, answer, NULL, 0);
}

void
nmx_vdev_answer(struct nmx_vdev *vdev, struct nmx_vdev_ticket ticket, uint32_t answer)
{
	if (ticket.generation != vdev->generation || ticket.slot >= VDPDK_CONTROL_SLOTS ||
		!vdev->slots[ticket.slot].busy ||
		vdev->slots[ticket.slot].done_seq != ticket.done_seq)
		return;
	write_answer(vdev, ticket.slot, answer, NULL, 0);
}
