/* SPDX-License-Identifier: Apache-2.0 */
#include "core/consumer/load.h"

#include <stdio.h>

#include "core/base/limits.h"

void js_consumer_loaded_done(struct js_consumer_loaded *c) {
    js_vault_put(c->vault, c->key);
    c->key = NULL;
    js_buf_done(&c->config);
    js_consumer_state_done(&c->state);
}

void js_consumer_trouble(struct js_consumer_loaded *c, enum js_health verdict, const char *file,
                         const char *text) {
    if (!c->problem[0])
        snprintf(c->problem, sizeof c->problem, "%s: %s", file, text);
    if (c->info.health == JS_HEALTH_OK)
        c->info.health = verdict;
}

const char *js_consumer_path(char *buf, const char *name, const char *file) {
    snprintf(buf, JS_CONSUMER_PATH, "obs/%s%s%s", name, *file ? "/" : "", file);
    return buf;
}

static int slurp(struct js_stream *s, const char *name, const char *file, uint64_t max,
                 struct js_buf *out) {
    char path[JS_CONSUMER_PATH];
    return js_files_slurp(&s->files, js_consumer_path(path, name, file), max, out);
}

static int load_key(struct js_stream *s, const char *name, struct js_consumer_loaded *c) {
    struct js_buf file = {.env = s->env};
    char context[600];
    int r = slurp(s, name, "meta.key", JS_MAX_KEY_FILE, &file);

    if (r == 0) {
        c->encrypted = true;
        snprintf(context, sizeof context, "%s.%s", s->name, name);
        struct js_block_key *key = js_vault_take(s->vault);
        r = key ? js_stream_open_key(s, file.data, file.len, context, key) : JS_ERR_NOMEM;
        if (r == 0)
            c->key = key;
        else
            js_vault_put(s->vault, key);
        if (r == JS_ERR_NO_KEY)
            js_consumer_trouble(c, JS_HEALTH_NO_KEY, "meta.key", "encrypted, and no key was given");
        else if (r == JS_ERR_WRONG_KEY)
            js_consumer_trouble(c, s->seed ? JS_HEALTH_DAMAGED : JS_HEALTH_WRONG_KEY, "meta.key",
                                s->seed ? "the key that opens the stream does not open it"
                                        : "the key does not open this consumer");
        else if (r < 0 && !js_is_shortage(r))
            js_consumer_trouble(c, JS_HEALTH_DAMAGED, "meta.key", js_err_text(r));
    } else if (r != JS_ERR_NO_ENTRY && !js_is_shortage(r)) {
        js_consumer_trouble(c, JS_HEALTH_DAMAGED, "meta.key", js_err_text(r));
    }
    js_buf_done(&file);
    return js_is_shortage(r) ? r : 0;
}

/* Plaintext of a file that may be sealed with the consumer's seed. One nonce in 256 begins as the
 * plain form does: that is only looked for where nothing opens. */
static int open_sealed(const struct js_consumer_loaded *c, const struct js_buf *in,
                       uint8_t plain_first, struct js_buf *out) {
    bool like_plain = in->len && in->data[0] == plain_first;

    if (c->encrypted && !c->key && !like_plain)
        return JS_ERR_NO_KEY;
    if (c->encrypted && c->key) {
        int r = js_unseal(c->key->cipher, c->key->seed, in->data, in->len, out);
        if (r != JS_ERR_CORRUPT || !like_plain)
            return r;
        out->len = 0;
    }
    js_buf_append(out, in->data, in->len);
    return out->failed ? JS_ERR_NOMEM : 0;
}

static int load_config(struct js_stream *s, const char *name, struct js_consumer_loaded *c) {
    struct js_buf file = {.env = s->env}, sum = {.env = s->env};
    int r = slurp(s, name, "meta.inf", JS_MAX_META_FILE, &file);

    if (r == 0 && file.len == 0)
        r = JS_ERR_TORN;
    if (r == 0)
        r = open_sealed(c, &file, '{', &c->config);
    if (r < 0 && !js_is_shortage(r) && r != JS_ERR_NO_KEY)
        js_consumer_trouble(c, JS_HEALTH_DAMAGED, "meta.inf", js_err_text(r));
    c->config_error = r;
    if (r == 0) {
        char key_name[600], want[17], path[JS_CONSUMER_PATH];
        snprintf(key_name, sizeof key_name, "%s/%s", s->name, name);
        js_meta_sum(key_name, file.data, file.len, want);
        r = slurp(s, name, "meta.sum", 4096, &sum);
        if (r == JS_ERR_NO_ENTRY)
            js_consumer_trouble(c, JS_HEALTH_DAMAGED, "meta.sum",
                                "missing (servers skip this consumer)");
        else if (r == 0 && (sum.len != 16 || memcmp(sum.data, want, 16) != 0) &&
                 !js_stream_sum_staged(s, js_consumer_path(path, name, "meta.sum.tmp"), want))
            js_consumer_trouble(c, JS_HEALTH_DAMAGED, "meta.sum", "does not match meta.inf");
    } else {
        c->config.len = 0;
    }
    js_buf_done(&file);
    js_buf_done(&sum);
    js_buf_append_u8(&c->config, 0);
    return r == JS_ERR_NOMEM || c->config.failed ? JS_ERR_NOMEM : 0;
}

/* NO_ENTRY when there is no such file. */
static int read_state(struct js_stream *s, const char *name, const char *file_name,
                      const struct js_consumer_loaded *c, struct js_consumer_state *ret) {
    struct js_buf file = {.env = s->env}, plain = {.env = s->env};
    int r = slurp(s, name, file_name, JS_MAX_STATE_FILE, &file);

    if (r == 0 && file.len == 0)
        r = JS_ERR_TORN;
    if (r == 0)
        r = open_sealed(c, &file, 22, &plain);
    if (r == 0)
        r = js_consumer_state_decode(s->env, plain.data, plain.len, ret);
    js_buf_done(&file);
    js_buf_done(&plain);
    return r;
}

static bool key_trouble(int r) {
    return r == JS_ERR_NO_KEY || r == JS_ERR_WRONG_KEY;
}

/*
 * We keep the state before the newest one until that is synced (o.dat.prev). Where the newest is
 * torn or gone, the one before is the consumer's: what was acknowledged since is delivered again.
 */
static int load_state(struct js_stream *s, const char *name, struct js_consumer_loaded *c) {
    struct js_consumer_state prev = {.env = s->env};
    char path[JS_CONSUMER_PATH];
    struct stat st;
    int p = JS_ERR_NO_ENTRY, r = read_state(s, name, "o.dat", c, &c->state);

    c->has_prev = js_files_stat(&s->files, js_consumer_path(path, name, "o.dat.prev"), &st) == 0;
    if (js_is_shortage(r))
        return r;
    if (r < 0 && r != JS_ERR_UNKNOWN_FORMAT && !key_trouble(r) && c->has_prev)
        p = read_state(s, name, "o.dat.prev", c, &prev);
    if (js_is_shortage(p))
        return p;
    c->info.has_state = r == 0 || p == 0;
    if (p == 0) {
        c->state = prev;
        c->from_prev = true;
        js_consumer_trouble(c, JS_HEALTH_DAMAGED, "o.dat",
                            r == JS_ERR_NO_ENTRY
                                ? "missing; the state before it (o.dat.prev) counts"
                                : "damaged; the state before it (o.dat.prev) counts");
    } else if (r < 0 && r != JS_ERR_NO_ENTRY && r != JS_ERR_NO_KEY) {
        js_consumer_trouble(
            c, r == JS_ERR_UNKNOWN_FORMAT ? JS_HEALTH_UNKNOWN_FORMAT : JS_HEALTH_DAMAGED, "o.dat",
            r == JS_ERR_TORN ? "empty or cut off" : js_err_text(r));
    }
    c->state_error = p == 0 || r == JS_ERR_NO_ENTRY ? 0 : r;
    return 0;
}

int js_consumer_load(struct js_stream *s, const char *name, struct js_consumer_loaded *c) {
    char path[JS_CONSUMER_PATH];
    struct stat st;

    if (!js_name_valid(name) || name[0] == '.')
        return JS_ERR_NO_CONSUMER;
    int r = js_files_stat(&s->files, js_consumer_path(path, name, ""), &st);
    if (r < 0)
        return r == JS_ERR_NO_ENTRY ? JS_ERR_NO_CONSUMER : r;
    if (!S_ISDIR(st.st_mode))
        return JS_ERR_NO_CONSUMER;
    *c = (struct js_consumer_loaded){.vault = s->vault, .config.env = s->env, .state.env = s->env};
    c->info.name = name;
    r = load_key(s, name, c);
    if (r == 0)
        r = load_config(s, name, c);
    if (r == 0)
        r = load_state(s, name, c);
    if (r < 0)
        js_consumer_loaded_done(c);
    return r;
}
