/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Theory of operation
 *
 * Every object has a table of its keys: name, function that reads the value, whether it may be left
 * out. A key that stands in no table is refused. The reader keeps the way to the value it is at, so
 * that a complaint can name the line.
 */

#include "config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "abi/vdpdk_device.h"
#include "json_line.h"
#include "lib/dpdk/devargs.h"

/** A file being read. */
struct reader {
	const char *file;
	char *text;
	struct nmx_mux_place place;
	struct nmx_mux_error *error;
};

/** A key of an object. */
struct key {
	const char *name;
	/** @param into  the object's structure @return 0; -EINVAL, and said why */
	int (*read)(struct reader *reader, const json_t *value, void *into);
	bool optional;
};

/* --- Complaints --- */

/** "guests[2].path" */
static void
print_place(const struct nmx_mux_place *place, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < place->depth && used < bytes; i++) {
		const char *key = place->steps[i].key;

		if (key != NULL)
			used += (size_t)snprintf(
				text + used, bytes - used, "%s%s", i > 0 ? "." : "", key);
		else
			used += (size_t)snprintf(
				text + used, bytes - used, "[%u]", place->steps[i].index);
	}
}

/** Complain about the value at the reader's place. @return -EINVAL */
static __attribute__((format(printf, 2, 3))) int
complain(struct reader *reader, const char *format, ...)
{
	char where[128], what[300];
	va_list arguments;

	print_place(&reader->place, where, sizeof(where));
	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	nmx_mux_set_error(reader->error, "%s:%u: %s: %s", reader->file,
		nmx_mux_find_line(reader->text, &reader->place),
		where[0] == '\0' ? "the file" : where, what);
	return -EINVAL;
}

static void
enter_key(struct reader *reader, const char *key)
{
	reader->place.steps[reader->place.depth].key = key;
	reader->place.depth++;
}

static void
enter_index(struct reader *reader, size_t index)
{
	reader->place.steps[reader->place.depth].key = NULL;
	reader->place.steps[reader->place.depth].index = (unsigned int)index;
	reader->place.depth++;
}

static void
leave(struct reader *reader)
{
	reader->place.depth--;
}

/* --- Objects --- */

/** The names in a table, for a complaint. */
static void
list_keys(const struct key *keys, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (; keys->name != NULL && used < bytes; keys++)
		used += (size_t)snprintf(
			text + used, bytes - used, "%s%s", used > 0 ? ", " : "", keys->name);
}

static const struct key *
find_key(const struct key *keys, const char *name)
{
	while (keys->name != NULL && strcmp(keys->name, name) != 0)
		keys++;
	return keys->name == NULL ? NULL : keys;
}

static int
read_object(struct reader *reader, const json_t *object, const struct key *keys, void *into)
{
	const char *name;
	json_t *value;
	int ret = 0;

	if (!json_is_object(object))
		return complain(reader, "is no object; write { ... }");
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		const struct key *key = find_key(keys, name);
		char known[200];

		enter_key(reader, name);
		if (key != NULL) {
			ret = key->read(reader, value, into);
		} else {
			list_keys(keys, known, sizeof(known));
			ret = complain(reader, "no such key; known are: %s", known);
		}
		if (ret != 0)
			return ret;
		leave(reader);
	}
	for (; keys->name != NULL; keys++)
		if (!keys->optional && json_object_get(object, keys->name) == NULL)
			return complain(reader, "has no \"%s\"; add it", keys->name);
	return 0;
}

/* --- Values --- */

/** A string without control characters that fits. */
static int
read_string(struct reader *reader, const json_t *value, char *into, size_t bytes)
{
	const char *text = json_string_value(value);

	if (text == NULL || text[0] == '\0')
		return complain(reader, "is no string; write \"...\"");
	if (strlen(text) >= bytes)
		return complain(reader, "is longer than %zu bytes; shorten it", bytes - 1);
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ')
			return complain(reader, "has a control character in it; remove it");
	strcpy(into, text);
	return 0;
}

/** A name: it stands in telemetry's parameters and in log lines. */
static int
read_name(struct reader *reader, const json_t *value, char *into)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";
	int ret = read_string(reader, value, into, NMX_MUX_NAME_BYTES);

	if (ret == 0 && into[strspn(into, allowed)] != '\0')
		return complain(
			reader, "\"%s\" is no name; take letters, digits, '-', '_', '.'", into);
	return ret;
}

/** A number, or a string as "64G". */
static int
read_number(struct reader *reader, const json_t *value, uint64_t min, uint64_t max, uint64_t *into)
{
	const char *text = json_string_value(value);
	json_int_t number = json_integer_value(value);

	if (text != NULL && nmx_dpdk_parse_number(text, min, max, into) == 0)
		return 0;
	if (!json_is_integer(value) || number < 0 || (uint64_t)number < min ||
		(uint64_t)number > max)
		return complain(reader, "is no number from %llu to %llu; correct it",
			(unsigned long long)min, (unsigned long long)max);
	*into = (uint64_t)number;
	return 0;
}

static int
read_boolean(struct reader *reader, const json_t *value, bool *into)
{
	if (!json_is_boolean(value))
		return complain(reader, "is neither true nor false; correct it");
	*into = json_is_true(value);
	return 0;
}

/** A word of which there is only one, so far. @param what  it is, for a complaint */
static int
read_only_word(struct reader *reader, const json_t *value, const char *word, const char *what)
{
	const char *text = json_string_value(value);

	if (text == NULL || strcmp(text, word) != 0)
		return complain(reader, "is no %s; write \"%s\"", what, word);
	return 0;
}

/** Defines read_FIELD(): a number of the structure. */
#define NUMBER_READER(function, type, structure, field, min, max)                   \
	static int function(struct reader *reader, const json_t *value, void *into) \
	{                                                                           \
		uint64_t number;                                                    \
		int ret = read_number(reader, value, min, max, &number);            \
                                                                                    \
		if (ret == 0)                                                       \
			((struct structure *)into)->field = (type)number;           \
		return ret;                                                         \
	}

/* --- Guests --- */

NUMBER_READER(read_queues, uint16_t, nmx_mux_guest_config, n_queue_pairs, 1, VDPDK_QUEUE_PAIRS_MAX)
NUMBER_READER(read_memory, uint64_t, nmx_mux_guest_config, mem_bytes_max, 1 << 20, INT64_MAX)
NUMBER_READER(read_guest_floods, uint32_t, nmx_mux_guest_config, floods_max, 1, 1000000000)
NUMBER_READER(read_signals, uint32_t, nmx_mux_guest_config, signals_max, 1, 1000000000)

static int
read_interrupts(struct reader *reader, const json_t *value, void *into)
{
	bool wanted = true;
	int ret = read_boolean(reader, value, &wanted);

	((struct nmx_mux_guest_config *)into)->without_vectors = !wanted;
	return ret;
}

/** Numbers of mapped queues; whether there are so many is looked at behind all. */
static int
read_uplink_queues(struct reader *reader, const json_t *value, void *into)
{
	struct nmx_mux_guest_config *guest = into;
	size_t n = json_array_size(value);
	int ret = 0;

	if (n == 0 || n > VDPDK_QUEUE_PAIRS_MAX)
		return complain(reader, "is no list of the uplink's queues; write [1]");
	for (size_t i = 0; ret == 0 && i < n; i++) {
		uint64_t number;

		enter_index(reader, i);
		ret = read_number(reader, json_array_get(value, i), 1,
			NMX_MUX_UPLINK_QUEUES_MAX - 1, &number);
		if (ret != 0)
			return ret;
		guest->uplink_queues[i] = (uint16_t)number;
		leave(reader);
	}
	guest->n_uplink_queues = (uint16_t)n;
	return 0;
}

static int
read_verify(struct reader *reader, const json_t *value, void *into)
{
	return read_boolean(reader, value, &((struct nmx_mux_guest_config *)into)->verify);
}

static int
read_guest_name(struct reader *reader, const json_t *value, void *into)
{
	return read_name(reader, value, ((struct nmx_mux_guest_config *)into)->name);
}

/**
 * A word of two.
 *
 * @param what     it is, for a complaint
 * @param ret      its number
 */
static int
read_word(struct reader *reader, const json_t *value, const char *const words[2], const char *what,
	unsigned int *ret)
{
	const char *text = json_string_value(value);

	for (*ret = 0; *ret < 2; (*ret)++)
		if (text != NULL && strcmp(text, words[*ret]) == 0)
			return 0;
	return complain(reader, "is no %s; write \"%s\" or \"%s\"", what, words[0], words[1]);
}

static int
read_type(struct reader *reader, const json_t *value, void *into)
{
	static const char *const words[] = { "vdpdk", "vhost-user" };
	unsigned int i;
	int ret = read_word(reader, value, words, "type of guest", &i);

	((struct nmx_mux_guest_config *)into)->kind = i == 0 ? NMX_GUEST_VDPDK : NMX_GUEST_VIRTIO;
	return ret;
}

static int
read_role(struct reader *reader, const json_t *value, void *into)
{
	static const char *const words[] = { "listen", "connect" };
	unsigned int i;
	int ret = read_word(reader, value, words, "role", &i);

	((struct nmx_mux_guest_config *)into)->role = i == 0 ? NMX_MUX_ROLE_LISTEN
							     : NMX_MUX_ROLE_CONNECT;
	return ret;
}

static int
read_path(struct reader *reader, const json_t *value, void *into)
{
	struct nmx_mux_guest_config *guest = into;
	int ret = read_string(reader, value, guest->path, sizeof(guest->path));

	if (ret == 0 && guest->path[0] != '/')
		return complain(reader, "\"%s\" depends on the current folder; begin it with /",
			guest->path);
	return ret;
}

/** "USER", "USER:GROUP" or ":GROUP" */
static int
read_owner(struct reader *reader, const json_t *value, void *into)
{
	struct nmx_mux_guest_config *guest = into;
	char text[128], *colon;
	int ret = read_string(reader, value, text, sizeof(text));

	if (ret != 0)
		return ret;
	colon = strchr(text, ':');
	if (colon != NULL)
		*colon = '\0';
	if (text[0] != '\0') {
		const struct passwd *user = getpwnam(text);

		if (user == NULL)
			return complain(reader, "there is no user \"%s\"; create it", text);
		guest->user = user->pw_uid;
	}
	if (colon != NULL && colon[1] != '\0') {
		const struct group *group = getgrnam(colon + 1);

		if (group == NULL)
			return complain(reader, "there is no group \"%s\"; create it", colon + 1);
		guest->group = group->gr_gid;
	}
	return 0;
}

/** Octal, as chmod's. */
static int
read_mode(struct reader *reader, const json_t *value, void *into)
{
	const char *text = json_string_value(value);
	char *end = NULL;
	unsigned long mode = text == NULL ? 0 : strtoul(text, &end, 8);

	if (text == NULL || end == text || *end != '\0' || mode > 0777)
		return complain(reader, "is no mode; write it as chmod's, \"0660\"");
	((struct nmx_mux_guest_config *)into)->mode = (mode_t)mode;
	return 0;
}

static int
read_macs(struct reader *reader, const json_t *value, void *into)
{
	struct nmx_mux_guest_config *guest = into;
	size_t n = json_array_size(value);

	if (n == 0 || n > NMX_MACS_MAX)
		return complain(reader, "is no list of 1 to %u MAC addresses; write [\"02:...\"]",
			NMX_MACS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(value, i));

		enter_index(reader, i);
		if (text == NULL || nmx_dpdk_parse_mac(text, &guest->macs[i]) != 0)
			return complain(reader, "is no unicast MAC address; write "
						"\"02:00:00:00:00:01\"");
		leave(reader);
	}
	guest->n_macs = (uint16_t)n;
	return 0;
}

static const struct key guest_keys[] = {
	{ "name", read_guest_name, false },
	{ "type", read_type, false },
	{ "path", read_path, false },
	{ "macs", read_macs, false },
	{ "role", read_role, true },
	{ "owner", read_owner, true },
	{ "mode", read_mode, true },
	{ "queues", read_queues, true },
	{ "memory_max", read_memory, true },
	{ "floods_max", read_guest_floods, true },
	{ "signals_max", read_signals, true },
	{ "interrupts", read_interrupts, true },
	{ "uplink_queues", read_uplink_queues, true },
	{ "verify", read_verify, true },
	{ NULL, NULL, false },
};

/** Its keys are good, each for itself. */
static int
settle_role(struct reader *reader, struct nmx_mux_guest_config *guest)
{
	const bool is_vdpdk = guest->kind == NMX_GUEST_VDPDK;

	if (guest->role == NMX_MUX_ROLE_DEFAULT)
		guest->role = is_vdpdk ? NMX_MUX_ROLE_LISTEN : NMX_MUX_ROLE_CONNECT;
	if (is_vdpdk && guest->role == NMX_MUX_ROLE_CONNECT) {
		enter_key(reader, "role");
		return complain(reader, "isn't for vDPDK guests, who connect; leave it out");
	}
	return 0;
}

/** A guest's own keys are good; now it is compared with those before it. */
static int
compare_guest(struct reader *reader, const struct nmx_mux_config *config, uint32_t index)
{
	const struct nmx_mux_guest_config *guest = &config->guests[index];

	for (uint32_t i = 0; i < index; i++) {
		const struct nmx_mux_guest_config *other = &config->guests[i];

		if (strcmp(guest->name, other->name) == 0) {
			enter_key(reader, "name");
			return complain(reader, "\"%s\" is guests[%u]'s already; take another",
				guest->name, i);
		}
		if (strcmp(guest->path, other->path) == 0) {
			enter_key(reader, "path");
			return complain(reader, "\"%s\" is guest %s's already; take another",
				guest->path, other->name);
		}
	}
	return 0;
}

/** An address belongs to one guest, once. */
static int
compare_macs(struct reader *reader, const struct nmx_mux_config *config, uint32_t index)
{
	const struct nmx_mux_guest_config *guest = &config->guests[index];

	for (uint16_t m = 0; m < guest->n_macs; m++)
		for (uint32_t i = 0; i <= index; i++) {
			const struct nmx_mux_guest_config *other = &config->guests[i];
			uint16_t n = i < index ? other->n_macs : m;

			for (uint16_t k = 0; k < n; k++)
				if (rte_is_same_ether_addr(&guest->macs[m], &other->macs[k])) {
					enter_key(reader, "macs");
					enter_index(reader, m);
					return complain(reader,
						"this address is guest %s's already; take another",
						other->name);
				}
		}
	return 0;
}

static int
read_guests(struct reader *reader, const json_t *value, void *into)
{
	struct nmx_mux_config *config = into;

	for (uint32_t i = 0; i < config->n_guests; i++) {
		struct nmx_mux_guest_config *guest = &config->guests[i];
		int ret;

		guest->mode = 0600;
		guest->user = (uid_t)-1;
		guest->group = (gid_t)-1;
		guest->n_queue_pairs = 1;
		guest->mem_bytes_max = NMX_MUX_MEM_BYTES_DEFAULT;
		guest->floods_max = NMX_MUX_FLOODS_DEFAULT;
		guest->signals_max = NMX_MUX_SIGNALS_DEFAULT;
		guest->verify = true;
		enter_index(reader, i);
		ret = read_object(reader, json_array_get(value, i), guest_keys, guest);
		if (ret == 0)
			ret = settle_role(reader, guest);
		if (ret == 0)
			ret = compare_guest(reader, config, i);
		if (ret == 0)
			ret = compare_macs(reader, config, i);
		if (ret != 0)
			return ret;
		leave(reader);
	}
	return 0;
}

/* --- Uplinks --- */

NUMBER_READER(read_ring, uint16_t, nmx_mux_uplink_config, ring, 64, 32768)
NUMBER_READER(read_mtu, uint16_t, nmx_mux_uplink_config, mtu, NMX_MTU_MIN, NMX_MTU_MAX)
NUMBER_READER(read_buffers, uint32_t, nmx_mux_uplink_config, n_buffers, 1024, 1 << 24)
NUMBER_READER(read_uplink_floods, uint32_t, nmx_mux_uplink_config, floods_max, 1, 1000000000)

NUMBER_READER(read_uplink_queue_count, uint16_t, nmx_mux_uplink_config, n_queues, 1,
	NMX_MUX_UPLINK_QUEUES_MAX)
static int
read_tx_zc(struct reader *reader, const json_t *value, void *into)
{
	return read_boolean(reader, value, &((struct nmx_mux_uplink_config *)into)->tx_zc);
}

NUMBER_READER(read_mapped_ring, uint16_t, nmx_mux_uplink_config, mapped_ring, 32, 4096)

static int
read_steering(struct reader *reader, const json_t *value, void *into)
{
	(void)into;
	return read_only_word(reader, value, "static", "way of steering");
}

static int
read_uplink_name(struct reader *reader, const json_t *value, void *into)
{
	return read_name(reader, value, ((struct nmx_mux_uplink_config *)into)->name);
}

static int
read_device(struct reader *reader, const json_t *value, void *into)
{
	return read_string(reader, value, ((struct nmx_mux_uplink_config *)into)->device,
		NMX_MUX_DEVICE_BYTES);
}

static const struct key uplink_keys[] = {
	{ "name", read_uplink_name, false },
	{ "device", read_device, false },
	{ "ring", read_ring, true },
	{ "mtu", read_mtu, true },
	{ "buffers", read_buffers, true },
	{ "floods_max", read_uplink_floods, true },
	{ "steering", read_steering, true },
	{ "queues", read_uplink_queue_count, true },
	{ "mapped_ring", read_mapped_ring, true },
	{ "tx_zc", read_tx_zc, true },
	{ NULL, NULL, false },
};

static int
read_uplinks(struct reader *reader, const json_t *value, void *into)
{
	struct nmx_mux_uplink_config *uplink = &((struct nmx_mux_config *)into)->uplink;
	uint32_t n_held;
	int ret;

	if (json_array_size(value) != 1)
		return complain(reader, "is no list of one uplink; write [{ ... }]");
	uplink->ring = NMX_MUX_RING_DEFAULT;
	uplink->mtu = NMX_MTU_DEFAULT;
	uplink->n_buffers = NMX_MUX_BUFFERS_DEFAULT;
	uplink->floods_max = NMX_MUX_FLOODS_DEFAULT;
	uplink->n_queues = 1;
	uplink->mapped_ring = NMX_MUX_MAPPED_RING_DEFAULT;
	enter_index(reader, 0);
	ret = read_object(reader, json_array_get(value, 0), uplink_keys, uplink);
	if (ret != 0)
		return ret;
	/* A driver may hold all rings' worth. */
	n_held = uplink->ring * (1u + (uplink->tx_zc ? uplink->n_queues : 1u));
	if (uplink->n_buffers < n_held + NMX_MUX_BUFFERS_SPARE)
		return complain(reader,
			"%u buffers are too few for rings of %u; give \"buffers\" %u or more",
			uplink->n_buffers, uplink->ring, n_held + NMX_MUX_BUFFERS_SPARE);
	if (uplink->n_queues > 1 && json_object_get(json_array_get(value, 0), "steering") == NULL)
		return complain(reader,
			"has \"queues\", but nothing says what comes in them; add \"steering\": "
			"\"static\"");
	if (uplink->tx_zc && uplink->n_queues == 1)
		return complain(reader, "has \"tx_zc\", which is for guests' own queues, but none "
					"of these; raise its "
					"\"queues\"");
	leave(reader);
	return 0;
}

/** A mapped queue is there, and one guest's. */
static int
compare_uplink_queues(struct reader *reader, const struct nmx_mux_config *config)
{
	int owners[NMX_MUX_UPLINK_QUEUES_MAX];

	memset(owners, -1, sizeof(owners));
	enter_key(reader, "guests");
	for (uint32_t i = 0; i < config->n_guests; i++) {
		const struct nmx_mux_guest_config *guest = &config->guests[i];

		enter_index(reader, i);
		enter_key(reader, "uplink_queues");
		if (guest->n_uplink_queues > guest->n_queue_pairs)
			return complain(reader,
				"are %u, but the guest has %u; raise its \"queues\"",
				guest->n_uplink_queues, guest->n_queue_pairs);
		for (uint16_t k = 0; k < guest->n_uplink_queues; k++) {
			uint16_t queue = guest->uplink_queues[k];

			enter_index(reader, k);
			if (queue >= config->uplink.n_queues)
				return complain(reader,
					"the uplink has %u queues, from 0 on; raise its \"queues\"",
					config->uplink.n_queues);
			if (owners[queue] >= 0)
				return complain(reader,
					"this queue is guest %s's already; take another",
					config->guests[owners[queue]].name);
			owners[queue] = (int)i;
			leave(reader);
		}
		leave(reader);
		leave(reader);
	}
	leave(reader);
	return 0;
}

static const struct key root_keys[] = {
	{ "uplinks", read_uplinks, false },
	{ "guests", read_guests, false },
	{ NULL, NULL, false },
};

/* --- The file --- */

/** All of a file, as a string. @return NULL, and said why */
static char *
load_text(const char *path, struct nmx_mux_error *error)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;

	if (file == NULL) {
		nmx_mux_set_error(
			error, "%s: %s; say the right one with --config", path, strerror(errno));
		return NULL;
	}
	/* No JSON text has a 0 in it, so this is the whole file. */
	if (getdelim(&text, &room, '\0', file) < 0) {
		nmx_mux_set_error(
			error, "%s: it is empty, or can't be read; write a configuration", path);
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

static int
read_root(struct reader *reader, const json_t *root, struct nmx_mux_config **ret_config)
{
	const json_t *guests = json_object_get(root, "guests");
	size_t n = json_array_size(guests);
	struct nmx_mux_config *config;
	int ret;

	if (guests != NULL && (!json_is_array(guests) || n > NMX_MUX_GUESTS_MAX)) {
		enter_key(reader, "guests");
		return complain(reader, "is no list of at most %u guests; write [ ... ]",
			NMX_MUX_GUESTS_MAX);
	}
	config = calloc(1, sizeof(*config) + n * sizeof(config->guests[0]));
	if (config == NULL) {
		nmx_mux_set_error(reader->error, "%s: no memory to read it", reader->file);
		return -ENOMEM;
	}
	config->n_guests = (uint32_t)n;
	ret = read_object(reader, root, root_keys, config);
	if (ret == 0)
		ret = compare_uplink_queues(reader, config);
	if (ret != 0) {
		free(config);
		return ret;
	}
	*ret_config = config;
	return 0;
}

int
nmx_mux_read_config(
	const char *path, struct nmx_mux_config **ret_config, struct nmx_mux_error *ret_error)
{
	struct reader reader = { .file = path, .error = ret_error };
	json_error_t where;
	json_t *root;
	int ret;

	reader.text = load_text(path, ret_error);
	if (reader.text == NULL)
		return -EINVAL;
	root = json_loads(reader.text, JSON_REJECT_DUPLICATES, &where);
	if (root == NULL) {
		nmx_mux_set_error(ret_error, "%s:%d: it is no JSON: %s; correct it", path,
			where.line, where.text);
		ret = -EINVAL;
	} else {
		ret = read_root(&reader, root, ret_config);
		json_decref(root);
	}
	free(reader.text);
	return ret;
}
