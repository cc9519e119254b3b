/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** Which files of a peer may become guest memory. */

#ifndef NMX_MEM_FILE_H
#define NMX_MEM_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** What is remembered of an admitted file. */
struct nmx_mem_file {
	dev_t device;
	ino_t inode;
	uint64_t page_bytes; /* the grain in which it can be mapped */
	bool writable;       /* by the descriptor */
};

/**
 * Admit a file: a regular one on tmpfs or hugetlbfs (a memfd, /dev/shm, huge pages), with all pages
 * that the claim touches, open for what is asked. Anything else could block us (FUSE, network file
 * systems) or be no memory at all. Nothing here waits for a lock that the file's other holders can
 * keep; so it isn't sealed against shrinking either, and the guard is what answers for that.
 *
 * @param fd      hostile, not taken over
 * @param offset  bytes; offset + size doesn't wrap
 * @return 0; -EINVAL kind of file; -EACCES not open for writing; -EFAULT shorter than claimed
 */
int nmx_mem_admit_file(
	int fd, uint64_t offset, uint64_t size, bool write, struct nmx_mem_file *ret_file);

#endif
