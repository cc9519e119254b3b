/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

/** A recaller's inner state; private to this folder. */

#ifndef NMX_RXMAP_RECALLER_H
#define NMX_RXMAP_RECALLER_H

#include <pthread.h>
#include <semaphore.h>

#include "recall.h"

struct nmx_rxmap_recaller {
	pthread_mutex_t lock; /* also round `queues` */
	LIST_HEAD(, nmx_rxmap_queue) queues;
	sem_t wake;
	_Atomic bool ending;
	pthread_t thread;
};

#endif
