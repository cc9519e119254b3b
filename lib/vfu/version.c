/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "version.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/** The protocol's defaults. */
static const struct nmx_vfu_capabilities defaults = {
	.msg_fds_max = 1,
	.data_bytes_max = 1 << 20,
	.dma_maps_max = 65535,
};

size_t
nmx_vfu_format_version(
	const struct nmx_vfu_capabilities *capabilities, uint8_t *buffer, size_t size)
{
	const struct nmx_vfu_version version = { NMX_VFU_MAJOR, NMX_VFU_MINOR };
	int n;

	if (size < sizeof(version))
		return 0;
	memcpy(buffer, &version, sizeof(version));
	/* Terse, since QEMU receives the reply into the 214 bytes of its own request. */
	n = snprintf((char *)buffer + sizeof(version), size - sizeof(version),
		"{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
		"\"pgsizes\":4096,\"max_dma_maps\":%u}}",
		capabilities->msg_fds_max, capabilities->data_bytes_max,
		capabilities->dma_maps_max);
	if (n < 0 || (size_t)n >= size - sizeof(version))
		return 0;
	return sizeof(version) + (size_t)n + 1;
}

/** Read a number that may be absent. */
static int
read_number(const json_t *object, const char *key, uint32_t max, uint32_t *value)
{
	const json_t *number = json_object_get(object, key);

	if (number == NULL)
		return 0;
	if (!json_is_integer(number) || json_integer_value(number) < 0 ||
		json_integer_value(number) > max)
		return -EINVAL;
	*value = (uint32_t)json_integer_value(number);
	return 0;
}

static int
read_capabilities(const json_t *root, struct nmx_vfu_capabilities *capabilities)
{
	const json_t *object = json_object_get(root, "capabilities");

	if (!json_is_object(root))
		return -EINVAL;
	if (object == NULL)
		return 0;
	if (!json_is_object(object) ||
		read_number(object, "max_msg_fds", 1024, &capabilities->msg_fds_max) != 0 ||
		read_number(object, "max_data_xfer_size", INT32_MAX,
			&capabilities->data_bytes_max) != 0 ||
		read_number(object, "max_dma_maps", INT32_MAX, &capabilities->dma_maps_max) != 0)
		return -EINVAL;
	return 0;
}

int
nmx_vfu_parse_version(const uint8_t *payload, size_t size, struct nmx_vfu_version *ret_version,
	struct nmx_vfu_capabilities *ret_capabilities)
{
	struct nmx_vfu_capabilities capabilities = defaults;
	struct nmx_vfu_version version;
	int ret = 0;

	if (size < sizeof(version))
		return -EINVAL;
	memcpy(&version, payload, sizeof(version));
	if (size > sizeof(version)) {
		json_t *root;

		/* Also: no NUL before the end, as loading a text with one fails. */
		if (payload[size - 1] != '\0')
			return -EINVAL;
		root = json_loadb((const char *)payload + sizeof(version),
			size - sizeof(version) - 1, JSON_REJECT_DUPLICATES, NULL);
		ret = root == NULL ? -EINVAL : read_capabilities(root, &capabilities);
		json_decref(root);
	}
	if (ret != 0)
		return ret;
	*ret_version = version;
	*ret_capabilities = capabilities;
	return 0;
}
