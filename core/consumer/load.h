/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer's files as they stand on disk, read without changing anything. */
#ifndef JS_CONSUMER_LOAD_H
#define JS_CONSUMER_LOAD_H

#include "core/format/consumer_state.h"
#include "core/stream/stream.h"

/* Texts and state are owned. */
struct js_consumer_loaded {
    struct js_consumer_info info; /* health and problem; counts are filled by who asks */
    struct js_buf config;         /* text with its NUL; "" if it cannot be read */
    struct js_consumer_state state;
    int config_error, state_error; /* 0, or why it cannot be used */
    bool from_prev;                /* the state is that of o.dat.prev */
    bool has_prev;                 /* there is one */
    char problem[200];
    struct js_vault *vault;
    struct js_block_key *key; /* in the vault; NULL: plain, or no key opens it */
    bool encrypted;
};

/* "obs/<name>/<file>" into a buffer of JS_CONSUMER_PATH bytes. */
#define JS_CONSUMER_PATH 600
const char *js_consumer_path(char *buf, const char *name, const char *file);

/* NO_CONSUMER, or lack of memory or descriptors: everything else is told in ret_loaded. */
int js_consumer_load(struct js_stream *stream, const char *name,
                     struct js_consumer_loaded *ret_loaded);
void js_consumer_loaded_done(struct js_consumer_loaded *loaded);
/* Adds a finding: the first one's text stays, the health is raised. */
void js_consumer_trouble(struct js_consumer_loaded *loaded, enum js_health verdict,
                         const char *file, const char *text);

#endif
