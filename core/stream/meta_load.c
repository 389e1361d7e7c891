/* SPDX-License-Identifier: Apache-2.0 */
/* A stream's meta.inf, meta.sum and meta.key: who it is, what it is configured to be, and whether
 * the key at hand opens it. A damaged meta leaves the blocks readable. */
#include <stdio.h>

#include "core/base/limits.h"
#include "core/stream/stream.h"

int js_stream_set_config_text(struct js_stream *stream, const char *text, size_t len) {
    struct js_text *t = js_malloc(stream->env, sizeof *t + len + 1);

    if (!t)
        return JS_ERR_NOMEM;
    memcpy(t->s, text, len);
    t->s[len] = 0;
    t->next = NULL;
    if (stream->config_text) {
        stream->config_text->next = stream->old_texts;
        stream->old_texts = stream->config_text;
    }
    stream->config_text = t;
    return 0;
}

int js_stream_open_key(struct js_stream *stream, const uint8_t *file, size_t len,
                       const char *context, struct js_block_key *ret_key) {
    uint8_t kek[32];
    int r = JS_ERR_NO_KEY;

    if (stream->key_fn) {
        r = stream->key_fn(stream->key_ctx, stream->account, context, kek);
        if (r == 0)
            r = js_key_unwrap(file, len, kek, ret_key);
    }
    if ((r == JS_ERR_WRONG_KEY || r == JS_ERR_NO_KEY) && stream->prev_key_fn) {
        int p = stream->prev_key_fn(stream->key_ctx, stream->account, context, kek);
        if (p == 0)
            p = js_key_unwrap(file, len, kek, ret_key);
        if (p == 0 || r == JS_ERR_NO_KEY)
            r = p;
    }
    js_wipe(kek, sizeof kek);
    return r;
}

static int report_file(struct js_stream *s, enum js_health verdict, const char *file,
                       const char *text) {
    struct js_problem p = {.verdict = verdict, .file = file};
    return js_stream_report(s, &p, "%s", text);
}

/* meta.key: found means encrypted; the seed is kept when a key opens it. */
static int load_seed(struct js_stream *s) {
    struct js_buf file = {.env = s->env};
    int r = js_files_slurp(&s->files, "meta.key", JS_MAX_KEY_FILE, &file);

    if (r == JS_ERR_NO_ENTRY) {
        js_buf_done(&file);
        return 0;
    }
    if (r < 0) {
        js_buf_done(&file);
        if (js_is_shortage(r))
            return r;
        s->encrypted = true;
        return report_file(s, JS_HEALTH_DAMAGED, "meta.key", js_err_text(r));
    }
    s->encrypted = true;
    struct js_block_key *seed = js_vault_take(s->vault);
    r = seed ? js_stream_open_key(s, file.data, file.len, s->name, seed) : JS_ERR_NOMEM;
    js_buf_done(&file);
    if (r == 0) {
        s->seed = seed;
        return 0;
    }
    js_vault_put(s->vault, seed);
    if (r == JS_ERR_NO_KEY)
        return report_file(s, JS_HEALTH_NO_KEY, "meta.key",
                           "the stream is encrypted and no key was given");
    if (r == JS_ERR_WRONG_KEY)
        return report_file(s, JS_HEALTH_WRONG_KEY, "meta.key",
                           "the key does not open this stream");
    if (r == JS_ERR_CORRUPT)
        return report_file(s, JS_HEALTH_DAMAGED, "meta.key",
                           "the key file has a length no cipher has");
    return r;
}

bool js_stream_sum_staged(struct js_stream *s, const char *path, const char want[17]) {
    struct js_buf sum = {.env = s->env};
    int r = s->files.backup ? JS_ERR_NO_ENTRY : js_files_slurp(&s->files, path, 4096, &sum);
    bool same = r == 0 && sum.len == 16 && memcmp(sum.data, want, 16) == 0;

    js_buf_done(&sum);
    return same;
}

/* The sum over the stored bytes. A wrong one makes servers skip the stream. */
static int check_sum(struct js_stream *s, const struct js_buf *stored) {
    struct js_buf sum = {.env = s->env};
    char want[17];
    int r = js_files_slurp(&s->files, "meta.sum", 4096, &sum);

    js_meta_sum(s->name, stored->data, stored->len, want);
    if (r == 0 && (sum.len != 16 || memcmp(sum.data, want, 16) != 0) && js_stream_sum_staged(s, "meta.sum.tmp", want))
        s->sum_staged = true;
    else if (r == 0 && (sum.len != 16 || memcmp(sum.data, want, 16) != 0))
        r = report_file(s, JS_HEALTH_DAMAGED, "meta.sum",
                        "the sum does not match meta.inf (servers skip this stream)");
    else if (r == JS_ERR_NO_ENTRY)
        r = s->files.backup ? 0
                            : report_file(s, JS_HEALTH_DAMAGED, "meta.sum",
                                          "missing (servers skip this stream)");
    else if (r < 0 && !js_is_shortage(r))
        r = report_file(s, JS_HEALTH_DAMAGED, "meta.sum", js_err_text(r));
    js_buf_done(&sum);
    return r;
}

/* Plaintext of meta.inf into text; 0 with text->len 0 when it cannot be had (reported). */
static int open_text(struct js_stream *s, const struct js_buf *stored, struct js_buf *text) {
    /* One nonce in 256 begins like JSON: plain text is only looked for where nothing opens. */
    bool like_json = stored->len && stored->data[0] == '{';
    int r = JS_ERR_CORRUPT;
    if (s->encrypted && s->seed)
        r = js_unseal(s->seed->cipher, s->seed->seed, stored->data, stored->len, text);
    if (r == JS_ERR_CORRUPT && (!s->encrypted || like_json)) {
        text->len = 0;
        js_buf_append(text, stored->data, stored->len);
        return text->failed ? JS_ERR_NOMEM : 0;
    }
    if (!s->seed)
        return 0;
    if (r == JS_ERR_CORRUPT) {
        text->len = 0;
        /* The seed opened, so the server key is right: a server that lost it wrote a new seed. */
        return report_file(s, JS_HEALTH_DAMAGED, "meta.inf",
                           "cannot be decrypted with the seed of meta.key (a known fault of "
                           "servers 2.10 to 2.12.3 replaces meta.key; blocks have keys of their "
                           "own)");
    }
    return r;
}

static int take_config(struct js_stream *s, const struct js_buf *text) {
    char why[256] = "";
    int r = js_stream_set_config_text(s, (const char *)text->data, text->len);

    if (r < 0)
        return r;
    r = js_stream_config_parse(s->env, (const char *)text->data, text->len, &s->config, why,
                               sizeof why);
    if (r == JS_ERR_NOMEM)
        return r;
    if (r < 0) {
        struct js_problem p = {.verdict = JS_HEALTH_DAMAGED, .file = "meta.inf"};
        return js_stream_report(s, &p, "no stream configuration: %s", why);
    }
    s->has_config = true;
    if (!s->files.backup && s->config.name && strcmp(s->config.name, s->name) != 0) {
        struct js_problem p = {.verdict = JS_HEALTH_DAMAGED, .file = "meta.inf"};
        return js_stream_report(s, &p,
                                "the configuration is that of another stream (servers look for "
                                "its messages in the directory of that name)");
    }
    return 0;
}

int js_stream_load_meta(struct js_stream *s) {
    struct js_buf stored = {.env = s->env}, text = {.env = s->env};
    int r = load_seed(s);

    if (r < 0)
        return r;
    r = js_files_slurp(&s->files, "meta.inf", JS_MAX_META_FILE, &stored);
    if (js_is_shortage(r))
        goto out;
    if (r < 0) {
        r = report_file(s, JS_HEALTH_DAMAGED, "meta.inf",
                        r == JS_ERR_NO_ENTRY ? "missing (servers skip this stream)"
                                             : js_err_text(r));
        goto out;
    }
    if (stored.len == 0) {
        r = report_file(s, JS_HEALTH_DAMAGED, "meta.inf", "empty (servers skip this stream)");
        goto out;
    }
    r = check_sum(s, &stored);
    if (r == 0)
        r = open_text(s, &stored, &text);
    if (r == 0 && text.len)
        r = take_config(s, &text);
out:
    if (r == 0 && !s->config_text)
        r = js_stream_set_config_text(s, "", 0);
    js_buf_done(&stored);
    if (text.data)
        js_wipe(text.data, text.len);
    js_buf_done(&text);
    return r;
}

const char *js_stream_config_json(struct js_stream *stream) {
    pthread_rwlock_rdlock(&stream->lock);
    const char *t = stream->config_text ? stream->config_text->s : "";
    pthread_rwlock_unlock(&stream->lock);
    return t;
}

bool js_stream_covers(struct js_stream *stream, const char *subject, size_t len) {
    bool yes = false;

    pthread_rwlock_rdlock(&stream->lock);
    for (size_t i = 0; i < stream->config.num_subjects && !yes; i++)
        yes = js_subject_matches(subject, len, stream->config.subjects[i],
                                 strlen(stream->config.subjects[i]));
    pthread_rwlock_unlock(&stream->lock);
    return yes;
}

const char *js_stream_cipher(struct js_stream *stream) {
    pthread_rwlock_rdlock(&stream->lock);
    enum js_cipher c = stream->seed ? stream->seed->cipher : JS_CIPHER_NONE;
    for (size_t i = 0; c == JS_CIPHER_NONE && i < stream->num_blocks; i++)
        if (stream->blocks[i]->key)
            c = stream->blocks[i]->key->cipher;
    pthread_rwlock_unlock(&stream->lock);
    return js_cipher_name(c);
}
