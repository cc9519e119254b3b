/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "lib/mem/rig_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME "nmx-mem-test"

/** The owner's file, mapped; NULL: there are no such pages. */
static uint8_t *
make_file(struct client *client, unsigned int flags)
{
	void *own = MAP_FAILED;

	client->file = memfd_create(NAME, MFD_CLOEXEC | flags);
	if (client->file >= 0 && ftruncate(client->file, (off_t)client->bytes) == 0)
		own = mmap(
			NULL, client->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, client->file, 0);
	return own == MAP_FAILED ? NULL : own;
}

void
start_client(struct client *client, size_t bytes, unsigned int flags,
	const struct nmx_mem_limits *limits)
{
	client->bytes = bytes;
	client->own = make_file(client, flags);
	if (client->own == NULL && (flags & MFD_HUGETLB) != 0) {
		nmx_base_close_fd(&client->file);
		skip();
	}
	assert_non_null(client->own);
	client->lost = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(client->lost >= 0);
	assert_int_equal(nmx_mem_create(limits, client->lost, &client->mem), 0);
}

void
stop_client(struct client *client)
{
	nmx_mem_destroy(client->mem);
	munmap(client->own, client->bytes);
	nmx_base_close_fd(&client->file);
	nmx_base_close_fd(&client->lost);
}

int
map_file(struct client *client, int file, uint64_t start, uint64_t size, uint64_t offset,
	uint32_t protection)
{
	struct nmx_mem_map wanted = { { start, size }, offset, protection };
	int fd = fcntl(file, F_DUPFD_CLOEXEC, 0), ret;

	assert_true(fd >= 0);
	ret = nmx_mem_map(client->mem, &wanted, &fd);
	assert_true((fd >= 0) == (ret == -EBUSY));
	nmx_base_close_fd(&fd);
	return ret;
}

int
map(struct client *client, uint64_t start, uint64_t size, uint64_t offset, uint32_t protection)
{
	return map_file(client, client->file, start, size, offset, protection);
}

int
unmap(struct client *client, uint64_t start, uint64_t size)
{
	int ret = nmx_mem_unmap(client->mem, (struct nmx_range){ start, size });

	nmx_mem_reclaim(client->mem);
	return ret;
}

int
translate(struct client *client, uint64_t start, uint64_t size, uint32_t protection, uint8_t **ret)
{
	struct nmx_mem_cache cache = { 0 };
	NMX_SHARED uint8_t *at = NULL;
	int error = nmx_mem_translate(
		nmx_mem_get_view(client->mem), &cache, start, size, protection, &at);

	*ret = NMX_SHARED_PLAIN(uint8_t, at);
	return error;
}

unsigned int
count_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		n += strstr(line, NAME) != NULL;
	fclose(file);
	return n - 1;
}
