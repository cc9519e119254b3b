/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "window.h"

#define RANGES_MAX 8192

/**
 * A guarded range. `base` is stored last and cleared first, so the handler, which may run at any
 * moment on any thread, sees either nothing or a whole entry. An entry is only cleared when nothing
 * touches its range, so no handler can be busy with it.
 */
struct range {
	_Atomic uintptr_t base; /* 0: free */
	size_t size;
	struct nmx_mem_guarded *owner;
};

static struct range ranges[RANGES_MAX];
static _Atomic unsigned int n_ranges; /* entries ever used */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous; /* before ours */
static bool installed;

static const struct range *
find_range(uintptr_t address)
{
	unsigned int n = atomic_load_explicit(&n_ranges, memory_order_acquire);

	for (unsigned int i = 0; i < n; i++) {
		uintptr_t base = atomic_load_explicit(&ranges[i].base, memory_order_acquire);

		if (base != 0 && address - base < ranges[i].size)
			return &ranges[i];
	}
	return NULL;
}

/** Put zeroes where the page was. Pages of a file can be 4 KiB, 2 MiB or 1 GiB. */
static bool
replace_page(uintptr_t address, const struct range *range)
{
	static const uintptr_t page_bytes[] = { 1u << 12, 1u << 21, 1u << 30 };

	for (unsigned int i = 0; i < sizeof(page_bytes) / sizeof(page_bytes[0]); i++)
		if (nmx_mem_map_untouched((void *)(address & ~(page_bytes[i] - 1)), page_bytes[i],
			    PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0) != NULL)
			return true;
	/* Splitting a mapping makes one more, and there may be as many as there can be. */
	return nmx_mem_map_untouched((void *)atomic_load(&range->base), range->size,
		       PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0) != NULL;
}

void
nmx_mem_mark_lost(struct nmx_mem_guarded *owner)
{
	const uint64_t one = 1;

	if (atomic_exchange(&owner->lost, true))
		return;
	/* The eventfd is ours and non-blocking; should it be full, its reader is awake anyway. */
	if (write(owner->lost_fd, &one, sizeof(one)) < 0)
		return;
}

static void
pass_on(int number, siginfo_t *info, void *context)
{
	if (previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(number, info, context);
	else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
		previous.sa_handler(number);
	else
		/* The access faults again, now with the default action. */
		signal(number, SIG_DFL);
}

/** Only async-signal-safe calls; mmap is a bare system call on Linux. */
static void
handle_sigbus(int number, siginfo_t *info, void *context)
{
	int kept = errno;
	const struct range *range = find_range((uintptr_t)info->si_addr);

	if (range != NULL && replace_page((uintptr_t)info->si_addr, range))
		nmx_mem_mark_lost(range->owner);
	else
		pass_on(number, info, context);
	errno = kept;
}

int
nmx_mem_install_guard(void)
{
	struct sigaction action = { .sa_sigaction = handle_sigbus,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	int ret = 0;

	pthread_mutex_lock(&lock);
	if (!installed && sigaction(SIGBUS, &action, &previous) != 0)
		ret = -errno;
	installed = installed || ret == 0;
	pthread_mutex_unlock(&lock);
	return ret;
}

/** Context: lock held. */
static int
store_range(void *base, size_t size, struct nmx_mem_guarded *owner)
{
	unsigned int n = atomic_load_explicit(&n_ranges, memory_order_relaxed), i = 0;

	while (i < n && atomic_load_explicit(&ranges[i].base, memory_order_relaxed) != 0)
		i++;
	if (i == RANGES_MAX)
		return -ENOSPC;
	ranges[i].size = size;
	ranges[i].owner = owner;
	atomic_store_explicit(&ranges[i].base, (uintptr_t)base, memory_order_release);
	if (i == n)
		atomic_store_explicit(&n_ranges, n + 1, memory_order_release);
	return 0;
}

int
nmx_mem_add_guard(void *base, size_t size, struct nmx_mem_guarded *owner)
{
	int ret;

	pthread_mutex_lock(&lock);
	ret = store_range(base, size, owner);
	pthread_mutex_unlock(&lock);
	return ret;
}

void
nmx_mem_remove_guard(void *base)
{
	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < n_ranges; i++)
		if (atomic_load_explicit(&ranges[i].base, memory_order_relaxed) == (uintptr_t)base)
			atomic_store_explicit(&ranges[i].base, 0, memory_order_release);
	pthread_mutex_unlock(&lock);
}
