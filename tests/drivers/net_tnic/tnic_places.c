/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "tnic_places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES (TNIC_PLACES * sizeof(struct tnic_place))

int
tnic_open_places(const char *path, struct tnic_place **ret_places, struct tnic_reason *reason)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), error;
	void *places = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, BYTES) == 0)
		places = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	error = errno;
	if (fd >= 0)
		close(fd);
	if (places == MAP_FAILED)
		return tnic_refuse(reason, error, "places=%s: %s; name a file that can be written",
			path, strerror(error));
	*ret_places = places;
	return 0;
}

void
tnic_close_places(struct tnic_place *places)
{
	if (places != NULL)
		munmap(places, BYTES);
}
