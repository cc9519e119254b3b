/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

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
	int flags = fcntl(fd, F_GETFL);

	/* O_PATH descriptors answer fstat() but are no open files. */
	if (flags < 0 || (flags & O_PATH) != 0)
		return -EINVAL;
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || fstatfs(fd, &fs) != 0)
		return -EINVAL;
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC)
		return -EINVAL;
	if ((flags & O_ACCMODE) == O_WRONLY || (write && !is_writable(fd)))
		return -EACCES;
	/* No use in its result: huge pages of files and memfds of DPDK can't be sealed. What can
	 * still vanish is caught by the guard. */
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	if (fstat(fd, &status) != 0 || status.st_size < 0 ||
		!nmx_base_check_slice(offset, size, (uint64_t)status.st_size))
		return -EFAULT;
	ret_file->device = status.st_dev;
	ret_file->inode = status.st_ino;
	ret_file->page_bytes = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize
							    : NMX_MEM_PAGE_BYTES;
	return 0;
}
