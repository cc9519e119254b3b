/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * nmx-count-calls.so: counts, for each thread, calls that a data path must not make.
 *
 * Preloaded into a program. Writes its counts into the file that NMX_COUNT_CALLS names, while the
 * program runs: an array of struct thread_calls, as tests/e2e/test_data_path.py reads it.
 * Allocators go on to glibc's own entry points, as dlsym() allocates itself.
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS_MAX 256
/** The place for threads beyond that; its tid is UINT64_MAX then, and the counts are worth nothing.
 */
#define OVERFLOW 0

enum call { ALLOCATE, FREE, LOCK, LOG, N_CALLS };

struct thread_calls {
	uint64_t tid; /* 0: none */
	uint64_t n[N_CALLS];
};

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static struct thread_calls *all; /* THREADS_MAX; NULL before open_file() */
static atomic_uint n_threads = OVERFLOW + 1;
static __thread struct thread_calls *mine;

__attribute__((constructor)) static void
open_file(void)
{
	const char *path = getenv("NMX_COUNT_CALLS");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *memory;

	/* Without a file nothing is counted, and that is what the test finds. */
	if (fd < 0 || ftruncate(fd, THREADS_MAX * sizeof(*all)) != 0)
		return;
	memory = mmap(NULL, THREADS_MAX * sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED)
		all = memory;
	close(fd);
}

static void
count(enum call call)
{
	if (all == NULL)
		return;
	if (mine == NULL) {
		unsigned int i = atomic_fetch_add(&n_threads, 1);

		mine = &all[i < THREADS_MAX ? i : OVERFLOW];
		mine->tid = i < THREADS_MAX ? (uint64_t)syscall(SYS_gettid) : UINT64_MAX;
	}
	mine->n[call]++;
}

/** The function that would have been called without us. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define EXPORT __attribute__((visibility("default")))

EXPORT void *
malloc(size_t size)
{
	count(ALLOCATE);
	return __libc_malloc(size);
}

EXPORT void *
calloc(size_t n, size_t size)
{
	count(ALLOCATE);
	return __libc_calloc(n, size);
}

EXPORT void *
realloc(void *memory, size_t size)
{
	count(ALLOCATE);
	return __libc_realloc(memory, size);
}

EXPORT void *
aligned_alloc(size_t alignment, size_t size)
{
	count(ALLOCATE);
	return __libc_memalign(alignment, size);
}

EXPORT void
free(void *memory)
{
	count(FREE);
	__libc_free(memory);
}

EXPORT int
pthread_mutex_lock(pthread_mutex_t *mutex)
{
	count(LOCK);
	return NEXT(pthread_mutex_lock)(mutex);
}

EXPORT int
pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	count(LOCK);
	return NEXT(pthread_rwlock_rdlock)(lock);
}

EXPORT int
pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	count(LOCK);
	return NEXT(pthread_rwlock_wrlock)(lock);
}

/* EAL's, by the names that DPDK's headers give them. */

EXPORT int rte_log(uint32_t level, uint32_t type, const char *format, ...);
EXPORT void *rte_malloc(const char *type, size_t size, unsigned int alignment);
EXPORT void *rte_zmalloc(const char *type, size_t size, unsigned int alignment);
EXPORT void rte_free(void *memory);

EXPORT int
rte_log(uint32_t level, uint32_t type, const char *format, ...)
{
	int (*next)(uint32_t, uint32_t, const char *, va_list) = dlsym(RTLD_NEXT, "rte_vlog");
	va_list arguments;
	int ret;

	count(LOG);
	va_start(arguments, format);
	ret = next(level, type, format, arguments);
	va_end(arguments);
	return ret;
}

EXPORT void *
rte_malloc(const char *type, size_t size, unsigned int alignment)
{
	count(ALLOCATE);
	return NEXT(rte_malloc)(type, size, alignment);
}

EXPORT void *
rte_zmalloc(const char *type, size_t size, unsigned int alignment)
{
	count(ALLOCATE);
	return NEXT(rte_zmalloc)(type, size, alignment);
}

EXPORT void
rte_free(void *memory)
{
	count(FREE);
	NEXT(rte_free)(memory);
}
