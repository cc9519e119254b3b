/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "lib/base/fd.h"
#include "lib/base/range.h"
#include "mem.h"

static bool
is_writable(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	int seals = fcntl(fd, F_GET_SEALS);

	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR)
		return false;
	return seals < 0 || (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0;
}

/** True if the file has all pages that the slice touches. The sum doesn't wrap. */
static bool
has_pages(const struct stat *status, uint64_t offset, uint64_t size, uint64_t page_bytes)
{
	uint64_t start = offset & ~(page_bytes - 1);
	uint64_t end = ((offset + size - 1) | (page_bytes - 1)) + 1;

	return status->st_size >= 0 &&
	       nmx_base_check_slice(offset, size, (uint64_t)status->st_size) &&
	       nmx_base_check_slice(start, end - start, (uint64_t)status->st_size);
}

int
nmx_mem_admit_file(
	int fd, uint64_t offset, uint64_t size, bool write, struct nmx_mem_file *ret_file)
{
	uint64_t page_bytes = NMX_MEM_PAGE_BYTES;
	struct stat status;
	struct statfs fs;
	bool writable;
	int flags;

	/* First of all: another file's own file system could make the next calls wait. */
	if (!nmx_base_is_memory(fd))
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
		fstatfs(fd, &fs) != 0)
		return -EINVAL;
	writable = is_writable(fd);
	if ((flags & O_ACCMODE) == O_WRONLY || (write && !writable))
		return -EACCES;
	if (fs.f_type == HUGETLBFS_MAGIC)
		page_bytes = (uint64_t)fs.f_bsize;
	if (!has_pages(&status, offset, size, page_bytes))
		return -EFAULT;
	*ret_file = (struct nmx_mem_file){ status.st_dev, status.st_ino, page_bytes, writable };
	return 0;
}
