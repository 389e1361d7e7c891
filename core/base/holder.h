/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the default I/O table: who uses a directory (Linux, /proc). */
#ifndef JS_HOLDER_H
#define JS_HOLDER_H

#include "core/jetstore.h"

int js_posix_holder(void *ctx, int dirfd);

#endif
