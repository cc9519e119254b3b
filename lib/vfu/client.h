/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * A vfio-user client: the other end, for drivers in containers and for tests.
 *
 * Theory of operation
 *
 * A call sends its request and waits for the reply, with a time-out. Maps are sent in a pipeline,
 * since there may be thousands. After an error of the stream (no reply in time, a reply that isn't
 * one, end of file) its sending side is shut down, the client is *broken*, and every further call
 * returns -ENOTCONN at once. An error that the server answers with breaks nothing.
 *
 * No call but nmx_vfu_create_client() allocates memory: a driver calls from inside its allocator's
 * callbacks. One thread at a time. Source: QEMU's docs/interop/vfio-user.rst.
 */

#ifndef NMX_VFU_CLIENT_H
#define NMX_VFU_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/range.h"
#include "wire.h"

struct nmx_vfu_client;

/** Memory to be mapped. */
struct nmx_vfu_memory {
	struct nmx_range range; /* addresses that the device will use */
	uint64_t offset;        /* in the file */
	int fd;                 /* stays the caller's */
};

/** An eventfd that replaces a write to a region. */
struct nmx_vfu_bell {
	uint64_t offset; /* in the region */
	int fd;          /* the receiver's */
};

/**
 * Agree on a version with a server.
 *
 * @param fd          connected non-blocking socket, taken over on every path
 * @param timeout_ms  for this and every later reply
 * @param cancel_fd   once poll() finds it readable, calls that wait end with -ECANCELED, and so
 * does the stream; stays the caller's. -1: none
 * @return 0; -EPROTO no common version or a malformed answer; -ETIMEDOUT; -EPIPE; -ENOMEM; -errno
 */
int nmx_vfu_create_client(
	int *fd, int timeout_ms, int cancel_fd, struct nmx_vfu_client **ret_client);

/** Close the connection and free the client. NULL is nothing. */
void nmx_vfu_destroy_client(struct nmx_vfu_client *client);

/** The socket, for polling: readable at rest means that the server closed or broke the rules. */
int nmx_vfu_get_fd(const struct nmx_vfu_client *client);

/** Ask the server to end the session: nothing is sent any more. */
void nmx_vfu_end_client(struct nmx_vfu_client *client);

/** True once the server has closed its end, be it that its process is gone. */
bool nmx_vfu_has_ended(const struct nmx_vfu_client *client);

/** What the device has. @return 0; -EPROTO not a PCI device with our regions; stream error */
int nmx_vfu_check_device(struct nmx_vfu_client *client);

/** Number of vectors of an interrupt index. */
int nmx_vfu_count_vectors(struct nmx_vfu_client *client, uint32_t index, uint32_t *ret_n);

/** Read a region; `size` at most NMX_VFU_DATA_BYTES_MAX. */
int nmx_vfu_read_region(struct nmx_vfu_client *client, uint32_t region, uint64_t offset,
	void *buffer, uint32_t size);

/** Write a region and wait. */
int nmx_vfu_write_region(struct nmx_vfu_client *client, uint32_t region, uint64_t offset,
	const void *buffer, uint32_t size);

/** Write a region without an answer: 0 says only that it was sent. */
int nmx_vfu_post_region(struct nmx_vfu_client *client, uint32_t region, uint64_t offset,
	const void *buffer, uint32_t size);

/**
 * Map memory for reading and writing by the device.
 *
 * @return 0; the server's first error, with *ret_failed its index; stream error
 */
int nmx_vfu_map_memory(struct nmx_vfu_client *client, const struct nmx_vfu_memory *memory,
	uint32_t n, uint32_t *ret_failed);

/** Unmap what was mapped, exactly; after success the device doesn't reach it any more. */
int nmx_vfu_unmap_memory(struct nmx_vfu_client *client, struct nmx_range range);

/** Unmap everything. */
int nmx_vfu_unmap_all(struct nmx_vfu_client *client);

/** Connect vectors from `start` on to eventfds, which stay the caller's. */
int nmx_vfu_connect_vectors(
	struct nmx_vfu_client *client, uint32_t index, uint32_t start, const int *fds, uint32_t n);

/**
 * Get a region's doorbells.
 *
 * @param list   room for `room` entries, whose descriptors become the caller's
 * @param ret_n  their number
 * @return 0; -EMSGSIZE more than room; the server's error; stream error
 */
int nmx_vfu_get_doorbells(struct nmx_vfu_client *client, uint32_t region, struct nmx_vfu_bell *list,
	uint32_t room, uint32_t *ret_n);

/** Reset the device; after success it doesn't reach any memory until it is set up again. */
int nmx_vfu_reset_device(struct nmx_vfu_client *client);

#endif
