/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/**
 * Words in memory that another, untrusted party writes at any time.
 *
 * Theory of operation
 *
 * A pointer to such memory bears NMX_SHARED. Under clang that makes every plain access through it
 * an error of the lint build, so that what is read goes through one of the functions below: one
 * load, one value, a private copy from there on. (gcc has no such attribute; there the word is
 * empty.) The functions are relaxed, acquire or release accesses that the compiler neither repeats
 * nor splits.
 *
 * A build with NMX_SHARED_HOOK lets a fuzzer or an enumeration play the other party: every load and
 * every copy asks nmx_shared_hook() first, which may change the bytes about to be read.
 */

#ifndef NMX_BASE_SHARED_H
#define NMX_BASE_SHARED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#define NMX_SHARED __attribute__((noderef))
#else
#define NMX_SHARED
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "The rings are little endian; a big-endian host needs conversions in this header."
#endif

#ifdef NMX_SHARED_HOOK
/** Called before `size` bytes at `address` are read. */
void nmx_shared_hook(void *address, size_t size);
#else
static inline void
nmx_shared_hook(void *address, size_t size)
{
	(void)address;
	(void)size;
}
#endif

/* The one place where the mark is cast away. */
#define NMX_SHARED_PLAIN(type, p) ((type *)(uintptr_t)(p))

static inline uint16_t
nmx_base_load16(const NMX_SHARED uint16_t *p)
{
	nmx_shared_hook(NMX_SHARED_PLAIN(void, p), sizeof(uint16_t));
	return __atomic_load_n(NMX_SHARED_PLAIN(uint16_t, p), __ATOMIC_RELAXED);
}

static inline uint16_t
nmx_base_load16_acquire(const NMX_SHARED uint16_t *p)
{
	nmx_shared_hook(NMX_SHARED_PLAIN(void, p), sizeof(uint16_t));
	return __atomic_load_n(NMX_SHARED_PLAIN(uint16_t, p), __ATOMIC_ACQUIRE);
}

static inline uint32_t
nmx_base_load32(const NMX_SHARED uint32_t *p)
{
	nmx_shared_hook(NMX_SHARED_PLAIN(void, p), sizeof(uint32_t));
	return __atomic_load_n(NMX_SHARED_PLAIN(uint32_t, p), __ATOMIC_RELAXED);
}

static inline uint32_t
nmx_base_load32_acquire(const NMX_SHARED uint32_t *p)
{
	nmx_shared_hook(NMX_SHARED_PLAIN(void, p), sizeof(uint32_t));
	return __atomic_load_n(NMX_SHARED_PLAIN(uint32_t, p), __ATOMIC_ACQUIRE);
}

static inline uint64_t
nmx_base_load64(const NMX_SHARED uint64_t *p)
{
	nmx_shared_hook(NMX_SHARED_PLAIN(void, p), sizeof(uint64_t));
	return __atomic_load_n(NMX_SHARED_PLAIN(uint64_t, p), __ATOMIC_RELAXED);
}

static inline uint64_t
nmx_base_load64_acquire(const NMX_SHARED uint64_t *p)
{
	nmx_shared_hook(NMX_SHARED_PLAIN(void, p), sizeof(uint64_t));
	return __atomic_load_n(NMX_SHARED_PLAIN(uint64_t, p), __ATOMIC_ACQUIRE);
}

static inline void
nmx_base_store16(NMX_SHARED uint16_t *p, uint16_t value)
{
	__atomic_store_n(NMX_SHARED_PLAIN(uint16_t, p), value, __ATOMIC_RELAXED);
}

static inline void
nmx_base_store16_release(NMX_SHARED uint16_t *p, uint16_t value)
{
	__atomic_store_n(NMX_SHARED_PLAIN(uint16_t, p), value, __ATOMIC_RELEASE);
}

static inline void
nmx_base_store32(NMX_SHARED uint32_t *p, uint32_t value)
{
	__atomic_store_n(NMX_SHARED_PLAIN(uint32_t, p), value, __ATOMIC_RELAXED);
}

static inline void
nmx_base_store32_release(NMX_SHARED uint32_t *p, uint32_t value)
{
	__atomic_store_n(NMX_SHARED_PLAIN(uint32_t, p), value, __ATOMIC_RELEASE);
}

static inline void
nmx_base_store64(NMX_SHARED uint64_t *p, uint64_t value)
{
	__atomic_store_n(NMX_SHARED_PLAIN(uint64_t, p), value, __ATOMIC_RELAXED);
}

static inline void
nmx_base_store64_release(NMX_SHARED uint64_t *p, uint64_t value)
{
	__atomic_store_n(NMX_SHARED_PLAIN(uint64_t, p), value, __ATOMIC_RELEASE);
}

/** Copy bytes out; the other party may change them while this runs, so judge only the copy. */
static inline void
nmx_base_copy_from_shared(void *to, const NMX_SHARED void *from, size_t size)
{
	nmx_shared_hook(NMX_SHARED_PLAIN(void, from), size);
	memcpy(to, NMX_SHARED_PLAIN(void, from), size);
}

/** Copy bytes in. */
static inline void
nmx_base_copy_to_shared(NMX_SHARED void *to, const void *from, size_t size)
{
	memcpy(NMX_SHARED_PLAIN(void, to), from, size);
}

#endif
