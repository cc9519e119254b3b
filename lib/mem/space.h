/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** An address space's inner state; private to this folder. */

#ifndef NMX_MEM_SPACE_H
#define NMX_MEM_SPACE_H

#include "dma.h"
#include "file.h"
#include "guard.h"
#include "mem.h"
#include "window.h"

/** Files of huge pages that are kept open at most; as many of others. */
#define NMX_MEM_KEPT_MAX 64

/** One accepted DMA_MAP. */
struct nmx_mem_entry {
	struct nmx_mem_map map;
	struct nmx_mem_file file;
	bool backed;    /* has a file, so it is laid into the windows */
	bool kept;      /* its file is among those that are kept open */
	bool withdrawn; /* in no view; waits for nmx_mem_reclaim() */
	bool blanked;   /* withdrawn, and zero pages lie in its place */
	struct {
		uint64_t n_bytes; /* mapped, from its start */
		bool refused;     /* none is, nor will be */
	} dma[NMX_MEM_DOMAINS_MAX];
};

/** An open file, for all entries of the same one. */
struct nmx_mem_kept {
	struct nmx_mem_file file;
	int fd;             /* -1: free */
	uint32_t n_entries; /* 0: it is to be closed */
};

struct nmx_mem {
	_Atomic(const struct nmx_mem_view *) view;
	struct nmx_mem_view *replaced; /* views that data threads may still be reading */
	uint64_t generation;           /* last one given */
	struct nmx_mem_limits limits;
	struct nmx_mem_guarded guarded;
	struct nmx_mem_windows windows;
	struct nmx_mem_windows retired; /* full of zeroes, for who may still have a pointer there */
	bool hidden;                    /* revoked: the view is empty whatever is mapped */
	struct nmx_mem_entry *entries;  /* sorted by start, not overlapping */
	uint32_t n_entries, entries_room;
	uint32_t n_withdrawn, n_blanked;
	uint64_t n_bytes;    /* of backed entries */
	uint32_t n_mappings; /* of the process, for backed entries */
	struct nmx_mem_kept kept[2 * NMX_MEM_KEPT_MAX];
	struct {
		struct nmx_mem_domain domain;
		uint32_t n_users; /* 0: free */
	} domains[NMX_MEM_DOMAINS_MAX];
	bool dma_due;  /* something may be missing in a domain */
	int dma_error; /* of the last map that one refused */
};

/* mem.c */

/** Index of the first entry that ends behind `start`; n_entries if none does. */
uint32_t nmx_mem_find_entry(const struct nmx_mem *mem, uint64_t start);

/** Take an entry out of sight; the view is another matter. */
void nmx_mem_withdraw(struct nmx_mem *mem, struct nmx_mem_entry *entry);

/** Forget what is withdrawn, and clear its place. */
void nmx_mem_drop_withdrawn(struct nmx_mem *mem);

/** What a map's pages are to be laid with. */
uint32_t nmx_mem_get_laid_protection(const struct nmx_mem_entry *entry);

/* kept.c */

/** None. */
void nmx_mem_init_kept(struct nmx_mem *mem);

/** False: there is no place for its file, which needs one. */
bool nmx_mem_can_keep_file(struct nmx_mem *mem, const struct nmx_mem_entry *entry);

/** Keep the file of an entry open, if there is a place. Takes *fd over, perhaps. */
void nmx_mem_keep_file(struct nmx_mem *mem, struct nmx_mem_entry *entry, int *fd);

/** An entry's; NULL: it has none. */
const struct nmx_mem_kept *nmx_mem_find_kept(
	struct nmx_mem *mem, const struct nmx_mem_entry *entry);

/** The entry goes, and with the last one its file. */
void nmx_mem_let_file_go(struct nmx_mem *mem, const struct nmx_mem_entry *entry);

/** Close the files that went: nothing of them is mapped any more. */
void nmx_mem_close_files(struct nmx_mem *mem);

/* dma.c */

/** Of its regions. */
uint32_t nmx_mem_get_protection(const struct nmx_mem *mem, const struct nmx_mem_entry *entry);

/** Take an entry out of all domains. */
void nmx_mem_leave_domains(struct nmx_mem *mem, struct nmx_mem_entry *entry);

/* cover.c */

/** The whole pages of its file that a map is in. */
struct nmx_range nmx_mem_get_cover(const struct nmx_mem_entry *entry);

/**
 * Whether a map can be laid among the others.
 *
 * @param at  where in the entries it belongs; it isn't there yet
 * @return 0; -EEXIST a huge page of it is laid with something else; -EACCES with a descriptor that
 *         is writable where its own isn't, or the other way round; -EBUSY what lies there is
 *         withdrawn
 */
int nmx_mem_check_cover(const struct nmx_mem *mem, uint32_t at, const struct nmx_mem_entry *entry);

/** Its cover without the pages that maps touch which aren't withdrawn. Its own range is no such. */
struct nmx_range nmx_mem_get_own_pages(
	const struct nmx_mem *mem, const struct nmx_mem_entry *entry);

/* view.c */

/** Where nothing is mapped. Its generation 0 matches only a cache without a region. */
extern const struct nmx_mem_view nmx_mem_empty_view;

/** Show data threads a view; the one before goes at the next nmx_mem_reclaim(). */
void nmx_mem_publish_view(struct nmx_mem *mem, const struct nmx_mem_view *view);

/** Publish what the entries say now, unless all is hidden. @return 0; -ENOMEM */
int nmx_mem_renew_view(struct nmx_mem *mem);

/** Free the views that were replaced: nobody reads them any more. */
void nmx_mem_free_replaced(struct nmx_mem *mem);

#endif
