/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 nicmux contributors
 */

#include "log.h"

RTE_LOG_REGISTER(nmx_mux_logtype, nicmux, INFO);
