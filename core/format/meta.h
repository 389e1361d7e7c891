/* SPDX-License-Identifier: Apache-2.0 */
/* meta.inf and meta.sum of streams and consumers (docs/disk-format.md "meta.inf"). */
#ifndef JS_META_H
#define JS_META_H

#include "core/base/buf.h"
#include "core/jetstore.h"

/* What the engine itself needs from a stream's configuration. Strings are owned. */
struct js_stream_config {
    const struct js_env *env;
    char *name;
    char **subjects; /* as configured; empty: [name] unless mirror or sources */
    size_t num_subjects;
    char retention;   /* 'l'imits, 'i'nterest, 'w'orkqueue */
    char discard;     /* 'o'ld, 'n'ew */
    char compression; /* 'n'one, 's'2, 'l'z4 */
    int64_t max_msgs, max_bytes, max_msgs_per_subject, max_msg_size; /* -1 = no limit */
    int64_t max_age; /* ns, 0 = none */
    int64_t duplicate_window;  /* ns, 0 = none */
    int64_t delete_marker_ttl; /* ns, 0 = none */
    bool persist_async;        /* persist_mode "async" */
    uint64_t first_seq;
    bool discard_new_per_subject, sealed, deny_delete, deny_purge, allow_rollup_hdrs;
    bool allow_msg_ttl, allow_msg_counter, allow_msg_schedules, allow_atomic;
    bool has_mirror, has_sources, has_transform, memory, template_owned;
    js_time_t created;
    int api_level; /* metadata._nats.req.level, 0 if absent */
};

/* Parses a stream's meta.inf (plaintext). ret_why gets a sentence. CORRUPT when it is no JSON object
 * or a field has the wrong type; unknown fields are ignored. */
int js_stream_config_parse(const struct js_env *env, const char *json, size_t len,
                           struct js_stream_config *ret_config, char *ret_why, size_t why_size);
void js_stream_config_done(struct js_stream_config *config);

/*
 * Text of a new meta.inf that 2.9.10 to 2.15.1 accept, from a user's configuration (NULL = default:
 * subjects NAME and NAME.>). Fills in what servers write, keeps the user's known fields, validates
 * by the servers' rules. A sentence in ret_why with INVAL, and with UNSUPPORTED for fields that are
 * known but not built yet.
 */
int js_stream_config_make(const struct js_env *env, const char *name, const char *user_json,
                          js_time_t created, struct js_buf *ret_text, char *ret_why,
                          size_t why_size);

/* The same for a stream that is there: sealing is allowed, a first sequence stays. */
int js_stream_config_remake(const struct js_env *env, const char *name, const char *user_json,
                            js_time_t created, struct js_buf *ret_text, char *ret_why,
                            size_t why_size);

/* Hex sum of meta.inf's bytes as stored; key name is "<stream>" or "<stream>/<consumer>". */
void js_meta_sum(const char *key_name, const uint8_t *stored, size_t len, char ret_hex[17]);

/* Size at which a new block is begun (format.md 2.5) for a plaintext stream. */
uint64_t js_block_size_of(const struct js_stream_config *config, bool encrypted);

/* What the engine itself needs from a consumer's configuration. Strings are owned. */
struct js_consumer_config {
    const struct js_env *env;
    char *name;
    char **filters;
    size_t num_filters;
    char ack_policy;     /* 'n'one, 'a'll, 'e'xplicit, 'f'low control */
    char deliver_policy; /* 'a'll, 'l'ast, 'n'ew, 's'equence, 't'ime, 'p'er subject */
    js_seq_t opt_start_seq;
    js_time_t opt_start_time;
    js_time_t created;
    js_time_t pause_until;   /* 0 = not paused */
    int64_t ack_wait;        /* ns, > 0 */
    int64_t max_deliver;     /* <= 0: no limit */
    int64_t max_ack_pending; /* <= 0: no limit */
    int64_t *backoff;        /* ns; empty: ack_wait */
    size_t num_backoff;
    bool durable, push, mem_storage;
};
int js_consumer_config_parse(const struct js_env *env, const char *json, size_t len,
                             struct js_consumer_config *ret_config);
void js_consumer_config_done(struct js_consumer_config *config);
/*
 * Text of a consumer's meta.inf that 2.9.10 to 2.15.1 accept, from a user's configuration (NULL:
 * explicit acknowledgements, everything). Validated by the servers' rules for pull consumers on a
 * stream of this retention. A sentence in ret_why with INVAL, NOT_PERMITTED (the retention does not
 * allow it) and UNSUPPORTED (known, not built).
 */
int js_consumer_config_make(const struct js_env *env, const char *name, const char *user_json,
                            js_time_t created, char retention, struct js_buf *ret_text,
                            char *ret_why, size_t why_size);
/* May a configuration (JSON texts) take another's place? NOT_PERMITTED with a sentence if not. */
int js_consumer_config_may_follow(const char *old_json, const char *new_json, char *ret_why,
                                  size_t why_size);

#endif
