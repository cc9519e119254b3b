/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Messages of fuzz_vhu: mostly such as make sense, so that something comes of them. */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vhu_rig.h"

enum kind { EVENTFD, MEMFD, PIPE, KINDS };

#define REGION_BYTES UINT64_C(0x100000)
#define GUEST_START  UINT64_C(0x10000000)
#define USER_START   UINT64_C(0x7f0000000000)

/** Duplicates of these are what is sent. Opened once. */
static int
get_template(enum kind kind)
{
	static int fds[KINDS];
	int ends[2];

	if (fds[EVENTFD] == 0) {
		fds[EVENTFD] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fds[MEMFD] = memfd_create("guest", MFD_CLOEXEC);
		FUZZ_CHECK(fds[EVENTFD] > 0 && fds[MEMFD] > 0 && pipe2(ends, O_CLOEXEC) == 0);
		fds[PIPE] = ends[1];
	}
	return fds[kind];
}

static void
attach(struct vhu_rig *rig, enum kind kind)
{
	int fd;

	if (rig->n_fds == N_FDS ||
		rig->n_sent_fds == sizeof(rig->sent_fds) / sizeof(rig->sent_fds[0]))
		return;
	/* A number of its own, so that it can be looked for in the end. */
	fd = fcntl(get_template(kind), F_DUPFD_CLOEXEC, 100 + (int)rig->n_fds);
	FUZZ_CHECK(fd >= 0);
	rig->sent_fds[rig->n_sent_fds++] = fd;
	rig->fds[rig->n_fds++] = fd;
}

void
vhu_check_fds(const struct vhu_rig *rig)
{
	for (unsigned int i = 0; i < rig->n_fds; i++)
		FUZZ_CHECK(fcntl(rig->fds[i], F_GETFD) == -1);
}

bool
vhu_asks(uint32_t request)
{
	return request == NMX_VHU_GET_FEATURES || request == NMX_VHU_GET_PROTOCOL_FEATURES ||
	       request == NMX_VHU_GET_QUEUE_NUM || request == NMX_VHU_GET_VRING_BASE;
}

/* --- Bodies: each returns its size --- */

static uint32_t
draw_index(struct vhu_rig *rig)
{
	return fuzz_once_in(&rig->input, 16) ? fuzz_take32(&rig->input)
					     : fuzz_choose(&rig->input, N_RINGS);
}

static size_t
make_state(struct vhu_rig *rig, uint8_t *body)
{
	static const uint32_t nums[] = { 256, 1, 0, 64, 1024, 2048, 3, UINT32_MAX };
	const struct nmx_vhu_state state = { draw_index(rig), nums[fuzz_choose(&rig->input, 8)] };

	memcpy(body, &state, sizeof(state));
	return sizeof(state);
}

static size_t
make_addresses(struct vhu_rig *rig, uint8_t *body)
{
	static const uint64_t places[] = { 0, 0x1000, 0x20000, 8, 1, REGION_BYTES - 16,
		REGION_BYTES, 2 * REGION_BYTES - 0x8000, -UINT64_C(16) };
	const uint64_t n = sizeof(places) / sizeof(places[0]);
	const struct nmx_vhu_addresses addresses = {
		.index = draw_index(rig),
		.flags = fuzz_once_in(&rig->input, 4),
		.desc = USER_START + places[fuzz_choose(&rig->input, n)],
		.avail = USER_START + 0x8000 + places[fuzz_choose(&rig->input, n)],
		.used = USER_START + 0x10000 + places[fuzz_choose(&rig->input, n)],
	};

	memcpy(body, &addresses, sizeof(addresses));
	return sizeof(addresses);
}

static size_t
make_file(struct vhu_rig *rig, uint8_t *body)
{
	uint64_t number = draw_index(rig);
	bool has_fd = !fuzz_once_in(&rig->input, 4);

	if (has_fd == !fuzz_once_in(&rig->input, 16))
		attach(rig, EVENTFD);
	number |= has_fd ? 0 : NMX_VHU_FILE_NONE;
	memcpy(body, &number, sizeof(number));
	return sizeof(number);
}

static size_t
make_table(struct vhu_rig *rig, uint8_t *body)
{
	static const uint64_t sizes[] = { REGION_BYTES, 2 * REGION_BYTES, 0x9000, 0, UINT64_MAX };
	struct nmx_vhu_table table = { .n_regions = 1 + fuzz_choose(&rig->input, 3) };

	for (uint32_t i = 0; i < table.n_regions; i++) {
		uint64_t at = i * REGION_BYTES + (fuzz_once_in(&rig->input, 8) ? 4096 : 0);
		uint64_t size = sizes[fuzz_choose(&rig->input, 5)];
		bool is_last = fuzz_once_in(&rig->input, 8); /* up to the last address there is */

		table.regions[i] = (struct nmx_vhu_region){
			.guest = is_last ? -size : GUEST_START + at,
			.size = size,
			.user = USER_START + at,
			.offset = fuzz_once_in(&rig->input, 8) ? fuzz_take64(&rig->input) : at,
		};
		attach(rig, MEMFD);
	}
	if (fuzz_once_in(&rig->input, 16))
		table.n_regions = fuzz_take32(&rig->input);
	memcpy(body, &table, sizeof(table));
	return sizeof(table);
}

static size_t
make_number(struct vhu_rig *rig, uint8_t *body)
{
	uint64_t number = fuzz_take16(&rig->input);

	number |= (uint64_t)fuzz_take8(&rig->input) << 24 | (uint64_t)fuzz_take8(&rig->input) << 56;
	memcpy(body, &number, sizeof(number));
	return sizeof(number);
}

static size_t
make_nothing(struct vhu_rig *rig, uint8_t *body)
{
	(void)rig;
	(void)body;
	return 0;
}

/* --- Messages --- */

static void
queue(struct vhu_rig *rig, uint32_t flags, const uint8_t *body, size_t size)
{
	struct nmx_vhu_header header = { rig->request, NMX_VHU_VERSION | flags, (uint32_t)size };

	rig->start = rig->fds_at = 0;
	memcpy(rig->bytes + sizeof(header), body, size);
	rig->end = sizeof(header) + size;
	if (fuzz_once_in(&rig->input, 32)) {
		/* A header that is anything, or descriptors that come late. */
		if (fuzz_once_in(&rig->input, 2))
			header.flags = fuzz_take32(&rig->input);
		else if (size > 0)
			rig->fds_at = sizeof(header);
		header.size = fuzz_once_in(&rig->input, 2) ? fuzz_take32(&rig->input) : header.size;
		rig->is_torn = true;
	}
	memcpy(rig->bytes, &header, sizeof(header));
}

void
vhu_make_agreement(struct vhu_rig *rig, uint32_t request)
{
	uint64_t number = request == NMX_VHU_SET_FEATURES
				  ? vhu_offer.features | NMX_VHU_FEATURE_PROTOCOL_FEATURES
				  : vhu_offer.protocol_features;

	rig->request = request;
	queue(rig, 0, (const uint8_t *)&number, sizeof(number));
}

void
vhu_make_message(struct vhu_rig *rig)
{
	static const struct {
		uint32_t request;
		size_t (*make)(struct vhu_rig *rig, uint8_t *body);
	} kinds[] = {
		{ NMX_VHU_GET_FEATURES, make_nothing },
		{ NMX_VHU_SET_MEM_TABLE, make_table },
		{ NMX_VHU_SET_VRING_NUM, make_state },
		{ NMX_VHU_SET_VRING_ADDR, make_addresses },
		{ NMX_VHU_SET_VRING_BASE, make_state },
		{ NMX_VHU_SET_VRING_KICK, make_file },
		{ NMX_VHU_SET_VRING_CALL, make_file },
		{ NMX_VHU_SET_VRING_ERR, make_file },
		{ NMX_VHU_SET_VRING_ENABLE, make_state },
		{ NMX_VHU_GET_VRING_BASE, make_state },
		{ NMX_VHU_SET_FEATURES, make_number },
		{ NMX_VHU_SET_PROTOCOL_FEATURES, make_number },
		{ NMX_VHU_GET_PROTOCOL_FEATURES, make_nothing },
		{ NMX_VHU_GET_QUEUE_NUM, make_nothing },
		{ NMX_VHU_NET_SET_MTU, make_number },
		{ NMX_VHU_SET_OWNER, make_nothing },
		{ NMX_VHU_RESET_OWNER, make_nothing },
	};
	uint8_t body[2 * NMX_VHU_BODY_BYTES_MAX] = { 0 };
	uint32_t i = fuzz_choose(&rig->input, sizeof(kinds) / sizeof(kinds[0]));
	size_t size = kinds[i].make(rig, body);
	uint32_t flags = fuzz_once_in(&rig->input, 4) ? 0 : NMX_VHU_NEED_REPLY;

	rig->request = fuzz_once_in(&rig->input, 32) ? fuzz_take8(&rig->input) : kinds[i].request;
	if (fuzz_once_in(&rig->input, 16))
		size = fuzz_choose(&rig->input, sizeof(body));
	if (fuzz_once_in(&rig->input, 16))
		attach(rig, (enum kind)fuzz_choose(&rig->input, KINDS));
	queue(rig, flags, body, size);
}
