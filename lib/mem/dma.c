/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "dma.h"

#include <string.h>

#include "space.h"

/** A call maps at most so much: some ten milliseconds where pages have to be found first. */
#define PIECE_BYTES (UINT64_C(64) << 20)
/** And one turn at most so many pieces, and bytes in them. */
#define TURN_PIECES 256
#define TURN_BYTES  (UINT64_C(128) << 20)

/** What one turn may do yet. */
struct turn {
	uint32_t n_pieces;
	uint64_t n_bytes;
};

static bool
is_for_devices(const struct nmx_mem_entry *entry)
{
	return entry->backed && !entry->withdrawn && (entry->map.protection & NMX_MEM_WRITE) != 0;
}

/** True if nothing is left to be done for an entry in a domain. */
static bool
is_settled(const struct nmx_mem_entry *entry, unsigned int i)
{
	return !is_for_devices(entry) || entry->dma[i].refused ||
	       entry->dma[i].n_bytes == entry->map.range.size;
}

static bool
is_entered(const struct nmx_mem *mem, unsigned int i)
{
	return mem->domains[i].n_users > 0;
}

static bool
has_domains(const struct nmx_mem *mem)
{
	for (unsigned int i = 0; i < NMX_MEM_DOMAINS_MAX; i++)
		if (is_entered(mem, i))
			return true;
	return false;
}

/** The piece that begins so far into an entry. No window's border is inside it. */
static struct nmx_range
cut_piece(const struct nmx_mem_entry *entry, uint64_t n_bytes)
{
	const uint64_t start = entry->map.range.start + n_bytes;
	const uint64_t room = PIECE_BYTES - (start & (PIECE_BYTES - 1));
	const uint64_t rest = entry->map.range.size - n_bytes;

	return (struct nmx_range){ start, rest < room ? rest : room };
}

uint32_t
nmx_mem_get_protection(const struct nmx_mem *mem, const struct nmx_mem_entry *entry)
{
	uint32_t protection = entry->map.protection;

	if ((protection & NMX_MEM_WRITE) == 0)
		return protection;
	for (unsigned int i = 0; i < NMX_MEM_DOMAINS_MAX; i++)
		if (is_entered(mem, i) && entry->dma[i].n_bytes != entry->map.range.size)
			return protection;
	return protection | NMX_MEM_DMA;
}

/* --- Out of domains --- */

static void
leave(struct nmx_mem *mem, struct nmx_mem_entry *entry, unsigned int i)
{
	const struct nmx_mem_domain *domain = &mem->domains[i].domain;
	uint64_t done = 0;

	while (done < entry->dma[i].n_bytes) {
		struct nmx_range piece = cut_piece(entry, done);

		domain->unmap(
			domain->device, nmx_mem_find_place(&mem->windows, piece.start), piece.size);
		done += piece.size;
	}
	memset(&entry->dma[i], 0, sizeof(entry->dma[i]));
}

void
nmx_mem_leave_domains(struct nmx_mem *mem, struct nmx_mem_entry *entry)
{
	for (unsigned int i = 0; i < NMX_MEM_DOMAINS_MAX; i++)
		if (is_entered(mem, i))
			leave(mem, entry, i);
}

/* --- Into domains --- */

/** Go on with one entry in one domain. */
static void
advance_entry(struct nmx_mem *mem, struct nmx_mem_entry *entry, unsigned int i, struct turn *turn)
{
	const struct nmx_mem_domain *domain = &mem->domains[i].domain;

	while (!is_settled(entry, i) && turn->n_pieces > 0 && turn->n_bytes > 0) {
		struct nmx_range piece = cut_piece(entry, entry->dma[i].n_bytes);
		int ret = domain->map(
			domain->device, nmx_mem_find_place(&mem->windows, piece.start), piece.size);

		turn->n_pieces--;
		turn->n_bytes -= turn->n_bytes < piece.size ? turn->n_bytes : piece.size;
		if (ret == 0) {
			entry->dma[i].n_bytes += piece.size;
			continue;
		}
		leave(mem, entry, i);
		entry->dma[i].refused = true;
		mem->dma_error = ret;
	}
}

bool
nmx_mem_needs_dma(const struct nmx_mem *mem)
{
	return has_domains(mem) && mem->dma_due && !mem->hidden;
}

bool
nmx_mem_advance_dma(struct nmx_mem *mem)
{
	struct turn turn = { TURN_PIECES, TURN_BYTES };
	bool missing = false;

	if (!nmx_mem_needs_dma(mem))
		return false;
	for (unsigned int i = 0; i < NMX_MEM_DOMAINS_MAX; i++) {
		for (uint32_t j = 0; is_entered(mem, i) && j < mem->n_entries; j++) {
			advance_entry(mem, &mem->entries[j], i, &turn);
			missing |= !is_settled(&mem->entries[j], i);
		}
	}
	/* Without memory for another view what was mapped is only not used yet. */
	mem->dma_due = missing || nmx_mem_renew_view(mem) != 0;
	return mem->dma_due;
}

/* --- Domains --- */

/** Its place, or a free one; NMX_MEM_DOMAINS_MAX: there is none. */
static unsigned int
find_domain(const struct nmx_mem *mem, const void *key)
{
	unsigned int free = NMX_MEM_DOMAINS_MAX;

	for (unsigned int i = NMX_MEM_DOMAINS_MAX; i-- > 0;) {
		if (!is_entered(mem, i))
			free = i;
		else if (mem->domains[i].domain.key == key)
			return i;
	}
	return free;
}

int
nmx_mem_enter_domain(struct nmx_mem *mem, const struct nmx_mem_domain *domain)
{
	unsigned int i = find_domain(mem, domain->key);
	int ret;

	if (i == NMX_MEM_DOMAINS_MAX)
		return -ENOSPC;
	if (mem->domains[i].n_users++ > 0)
		return 0;
	mem->domains[i].domain = *domain;
	/* From here on what has NMX_MEM_DMA is mapped in this one, too: nothing is. */
	ret = nmx_mem_renew_view(mem);
	if (ret != 0)
		mem->domains[i].n_users = 0;
	else
		mem->dma_due = true;
	return ret;
}

void
nmx_mem_leave_domain(struct nmx_mem *mem, const void *key)
{
	unsigned int i = find_domain(mem, key);

	if (i == NMX_MEM_DOMAINS_MAX || !is_entered(mem, i))
		return;
	if (mem->domains[i].n_users == 1)
		for (uint32_t j = 0; j < mem->n_entries; j++)
			leave(mem, &mem->entries[j], i);
	mem->domains[i].n_users--;
}

void
nmx_mem_count_dma(const struct nmx_mem *mem, struct nmx_mem_dma_counts *ret_counts)
{
	struct nmx_mem_dma_counts counts = { .error = mem->dma_error };

	for (uint32_t j = 0; j < mem->n_entries; j++) {
		const struct nmx_mem_entry *entry = &mem->entries[j];
		bool refused = false;

		for (unsigned int i = 0; i < NMX_MEM_DOMAINS_MAX; i++)
			refused |= entry->dma[i].refused;
		counts.refused_maps += refused;
		if (has_domains(mem) && (nmx_mem_get_protection(mem, entry) & NMX_MEM_DMA) != 0)
			counts.mapped_bytes += entry->map.range.size;
	}
	*ret_counts = counts;
}
