/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** An address space under test, and its client, who has a file of memory. For tests. */

#ifndef NMX_MEM_RIG_TEST_H
#define NMX_MEM_RIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/mem/mem.h"

#define PAGE   NMX_MEM_PAGE_BYTES
#define HUGE   (UINT64_C(2) << 20)
#define WINDOW NMX_MEM_WINDOW_BYTES
#define RW     (NMX_MEM_READ | NMX_MEM_WRITE)

struct client {
	struct nmx_mem *mem;
	int file, lost;
	uint8_t *own; /* the file, mapped by its owner */
	size_t bytes;
};

/**
 * Make it. Skips the test where it wants huge pages and there are none; nothing else is excused.
 *
 * @param flags  of memfd_create(), but MFD_CLOEXEC
 */
void start_client(struct client *client, size_t bytes, unsigned int flags,
	const struct nmx_mem_limits *limits);
void stop_client(struct client *client);

/** Map a file of any kind; the descriptor stays the caller's. Checks who owns the duplicate. */
int map_file(struct client *client, int file, uint64_t start, uint64_t size, uint64_t offset,
	uint32_t protection);
/** Map the client's own. */
int map(struct client *client, uint64_t start, uint64_t size, uint64_t offset, uint32_t protection);
/** Unmap, both steps at once. */
int unmap(struct client *client, uint64_t start, uint64_t size);
/** As a burst would that has just begun. */
int translate(
	struct client *client, uint64_t start, uint64_t size, uint32_t protection, uint8_t **ret);
/** How many mappings of client's files this process has, but for the owner's own. */
unsigned int count_mappings(void);

#endif
