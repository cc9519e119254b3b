/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/stream/path.h"

#define MODE 0600

static const struct nmx_stream_permit permit_own = { MODE, (uid_t)-1, (gid_t)-1 };

/** A folder of its own for each test; `path` is in it. */
struct place {
	char folder[64];
	char path[96];
};

static void
start(struct place *place)
{
	snprintf(place->folder, sizeof(place->folder), "/var/tmp/nmx-path-test-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	snprintf(place->path, sizeof(place->path), "%s/socket", place->folder);
}

/** Also: nothing else was left there. */
static void
stop(struct place *place)
{
	unlink(place->path);
	assert_int_equal(rmdir(place->folder), 0);
}

static struct nmx_stream_listener
listen_at(const char *path)
{
	struct nmx_stream_listener listener = { .fd = -1 };

	assert_int_equal(nmx_stream_open_listener(path, &permit_own, &listener), 0);
	assert_true(listener.fd >= 0);
	return listener;
}

static int
try_to_listen(const char *path)
{
	struct nmx_stream_listener listener = { .fd = -1 };
	int ret = nmx_stream_open_listener(path, &permit_own, &listener);

	assert_int_equal(listener.fd, -1); /* untouched on failure */
	return ret;
}

static void
end(struct nmx_stream_listener *listener)
{
	int fd = nmx_stream_end_listener(listener);

	nmx_base_close_fd(&fd);
	assert_int_equal(listener->fd, -1);
}

/** A socket file that this process doesn't listen at by the functions under test. */
static int
bind_socket(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/** What connecting from another process gives: 0 or a negative errno. */
static int
connect_elsewhere(const char *path)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		int fd = nmx_stream_connect_path(path);

		_exit(fd < 0 ? -fd : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void
other_processes_connect_and_are_accepted(void **unused)
{
	struct nmx_stream_listener listener;
	struct place place;
	struct stat status;
	int fd;

	(void)unused;
	start(&place);
	listener = listen_at(place.path);
	assert_int_equal(stat(place.path, &status), 0);
	assert_int_equal(status.st_mode, S_IFSOCK | MODE);
	assert_int_equal(nmx_stream_accept(&listener), -EAGAIN);
	assert_int_equal(connect_elsewhere(place.path), 0);
	fd = nmx_stream_accept(&listener);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	nmx_base_close_fd(&fd);
	/* Guest and host in one process would wait for each other. */
	assert_int_equal(nmx_stream_connect_path(place.path), -ELOOP);
	end(&listener);
	assert_int_equal(access(place.path, F_OK), -1);
	assert_int_equal(nmx_stream_end_listener(&listener), -1);
	assert_true(nmx_stream_accept(&listener) < 0);
	stop(&place);
}

static void
sockets_of_dead_servers_are_replaced(void **unused)
{
	struct nmx_stream_listener first, second;
	struct place place;

	(void)unused;
	start(&place);
	first = listen_at(place.path);
	nmx_base_close_fd(&first.fd); /* as death does: the file stays */
	second = listen_at(place.path);
	assert_int_equal(connect_elsewhere(place.path), 0);
	end(&second);
	stop(&place);
}

static void
live_servers_are_left_alone(void **unused)
{
	struct nmx_stream_listener listener;
	struct place place;
	int i;

	(void)unused;
	start(&place);
	listener = listen_at(place.path);
	assert_int_equal(try_to_listen(place.path), -EADDRINUSE);
	/* One that accepts nobody is alive as well. */
	for (i = 0; i < 100 && connect_elsewhere(place.path) == 0; i++)
		;
	assert_in_range(i, 1, 99);
	assert_int_equal(connect_elsewhere(place.path), -EAGAIN);
	assert_int_equal(try_to_listen(place.path), -EADDRINUSE);
	end(&listener);
	stop(&place);
}

static void
other_files_are_left_alone(void **unused)
{
	char below[128], link[96];
	struct place place;
	int fd;

	(void)unused;
	start(&place);
	fd = open(place.path, O_CREAT | O_WRONLY | O_CLOEXEC, MODE);
	assert_true(fd >= 0);
	nmx_base_close_fd(&fd);
	assert_int_equal(try_to_listen(place.path), -EEXIST);
	assert_int_equal(nmx_stream_connect_path(place.path), -ECONNREFUSED);
	snprintf(below, sizeof(below), "%s/socket", place.path);
	assert_int_equal(try_to_listen(below), -ENOTDIR);
	snprintf(link, sizeof(link), "%s/link", place.folder);
	assert_int_equal(symlink("socket", link), 0);
	assert_int_equal(try_to_listen(link), -ELOOP);
	assert_int_equal(unlink(link), 0);
	unlink(place.path);

	fd = bind_socket(place.path, SOCK_DGRAM);
	assert_int_equal(try_to_listen(place.path), -EPROTOTYPE);
	assert_int_equal(nmx_stream_connect_path(place.path), -EPROTOTYPE);
	nmx_base_close_fd(&fd);
	stop(&place);
}

static void
ending_removes_no_file_but_its_own(void **unused)
{
	struct nmx_stream_listener listener;
	struct place place;
	int fd;

	(void)unused;
	start(&place);
	listener = listen_at(place.path);
	unlink(place.path);
	fd = bind_socket(place.path, SOCK_STREAM);
	end(&listener);
	assert_int_equal(access(place.path, F_OK), 0);
	nmx_base_close_fd(&fd);
	stop(&place);
}

static void
paths_that_cannot_be_are_refused(void **unused)
{
	char longest[NMX_STREAM_PATH_BYTES_MAX + 2];
	struct place place;

	(void)unused;
	start(&place);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(try_to_listen(longest), -ENAMETOOLONG);
	assert_int_equal(nmx_stream_connect_path(longest), -ENAMETOOLONG);
	assert_int_equal(try_to_listen(""), -ENOENT);
	assert_int_equal(nmx_stream_connect_path(""), -ENOENT);
	assert_int_equal(nmx_stream_connect_path(place.path), -ENOENT);
	snprintf(longest, sizeof(longest), "%s/no/socket", place.folder);
	assert_int_equal(try_to_listen(longest), -ENOENT);
	stop(&place);
}

static void
locked_folders_are_waited_for_a_second(void **unused)
{
	struct nmx_stream_listener listener;
	struct place place;
	int folder;

	(void)unused;
	start(&place);
	folder = open(place.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(folder, LOCK_EX), 0);
	assert_int_equal(try_to_listen(place.path), -EBUSY);
	nmx_base_close_fd(&folder);
	listener = listen_at(place.path);
	end(&listener);
	stop(&place);
}

static void
a_process_without_descriptors_is_told(void **unused)
{
	struct rlimit limit, none;
	struct place place;

	(void)unused;
	start(&place);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ 0, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(try_to_listen(place.path), -EMFILE);
	assert_int_equal(nmx_stream_connect_path(place.path), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	stop(&place);
}

/** A sentence of its own for each error that a user can mend. */
static void
errors_are_explained(void **unused)
{
	static const int of_listen[] = { ENAMETOOLONG, ENOENT, EADDRINUSE, EBUSY, ELOOP, EEXIST,
		EACCES, EMFILE, EIO };
	static const int of_connect[] = { ENAMETOOLONG, ENOENT, ECONNREFUSED, EPROTOTYPE, ELOOP,
		EACCES, EAGAIN, EIO };
	const size_t n_listen = sizeof(of_listen) / sizeof(of_listen[0]);
	const size_t n_connect = sizeof(of_connect) / sizeof(of_connect[0]);

	(void)unused;
	for (size_t i = 0; i < n_listen; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(nmx_stream_explain_listen(-of_listen[i]),
				nmx_stream_explain_listen(-of_listen[j]));
	for (size_t i = 0; i < n_connect; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(nmx_stream_explain_connect(-of_connect[i]),
				nmx_stream_explain_connect(-of_connect[j]));
}

static void
a_socket_is_given_to_its_owner(void **unused)
{
	const struct nmx_stream_permit permit = { 0660, getuid(), 4711 };
	struct nmx_stream_listener listener;
	struct place place;
	struct stat status;

	(void)unused;
	start(&place);
	if (geteuid() != 0) {
		stop(&place);
		skip();
	}
	assert_int_equal(nmx_stream_open_listener(place.path, &permit, &listener), 0);
	assert_int_equal(lstat(place.path, &status), 0);
	assert_int_equal(status.st_mode, S_IFSOCK | 0660);
	assert_int_equal(status.st_gid, 4711);
	end(&listener);
	stop(&place);
}

static void
nothing_is_given_away_in_a_folder_open_to_others(void **unused)
{
	const struct nmx_stream_permit given = { MODE, getuid(), (gid_t)-1 };
	struct nmx_stream_listener listener = { .fd = -1 };
	struct place place;

	(void)unused;
	start(&place);
	assert_int_equal(chmod(place.folder, 0770), 0);
	assert_int_equal(nmx_stream_open_listener(place.path, &given, &listener), -EPERM);
	assert_int_equal(access(place.path, F_OK), -1);
	stop(&place);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_is_given_to_its_owner),
		cmocka_unit_test(nothing_is_given_away_in_a_folder_open_to_others),
		cmocka_unit_test(other_processes_connect_and_are_accepted),
		cmocka_unit_test(sockets_of_dead_servers_are_replaced),
		cmocka_unit_test(live_servers_are_left_alone),
		cmocka_unit_test(other_files_are_left_alone),
		cmocka_unit_test(ending_removes_no_file_but_its_own),
		cmocka_unit_test(paths_that_cannot_be_are_refused),
		cmocka_unit_test(locked_folders_are_waited_for_a_second),
		cmocka_unit_test(a_process_without_descriptors_is_told),
		cmocka_unit_test(errors_are_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
