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

int
nmx_mem_admit_file(
	int fd, uint64_t offset, uint64_t size, bool write, struct nmx_mem_file *ret_file)
{
	struct stat status;
	struct statfs fs;
	int flags;

	/* First of all: another file's own file system could make the next calls wait. */
	if (!nmx_base_is_memory(fd))
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ||
		fstatfs(fd, &fs) != 0)
		return -EINVAL;
	if ((flags & O_ACCMODE) == O_WRONLY || (write && !is_writable(fd)))
		return -EACCES;
	if (status.st_size < 0 || !nmx_base_check_slice(offset, size, (uint64_t)status.st_size))
		return -EFAULT;
	ret_file->device = status.st_dev;
	ret_file->inode = status.st_ino;
	ret_file->page_bytes = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize
							    : NMX_MEM_PAGE_BYTES;
	return 0;
}
