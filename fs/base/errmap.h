/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What handlers return, and how it becomes an errno. The only place where codes are translated.
 *
 * A handler returns 0, JF_REPLIED, a negative enum js_err of the library, or a negative errno value
 * (-EPERM). The two kinds of errors do not overlap: the library's begin at JS__ERR_FIRST.
 */
#ifndef JF_BASE_ERRMAP_H
#define JF_BASE_ERRMAP_H

#include "core/jetstore.h"

/* The handler has replied, or keeps the request and replies later. */
#define JF_REPLIED 1

/* The positive errno for what a handler returned; 0 for results >= 0. */
int jf_errno(int result);

#endif
