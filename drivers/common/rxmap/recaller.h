/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** A recaller's inner state; private to this folder. */

#ifndef NMX_RXMAP_RECALLER_H
#define NMX_RXMAP_RECALLER_H

#include <pthread.h>
#include <semaphore.h>

#include "loans.h"

struct nmx_rxmap_recaller {
	pthread_mutex_t lock; /* also round `maps` */
	LIST_HEAD(, nmx_rxmap) maps;
	sem_t wake;
	_Atomic bool ending;
	pthread_t thread;
};

/** A map begins or ends to be recalled. */
void nmx_rxmap_enter_recaller(struct nmx_rxmap *map);
void nmx_rxmap_leave_recaller(struct nmx_rxmap *map);

#endif
