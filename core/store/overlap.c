/* SPDX-License-Identifier: Apache-2.0 */
/* Two streams of an account must not take the same subjects: servers load only one of them. */
#include "core/base/file.h"
#include "core/base/limits.h"
#include "core/base/vault.h"
#include "core/format/crypto.h"
#include "core/format/subject.h"
#include "core/store/store.h"

struct look {
    struct js_store *store;
    int streams_fd;
    const char *account, *name;
    const struct js_stream_config *config;
    char *why;
    size_t why_size;
};

/* Opens meta.key with the store's keys. */
static int open_key(struct look *l, const char *name, const struct js_buf *file,
                    struct js_block_key *ret_key) {
    const struct js_store_options *o = &l->store->options;
    const js_key_fn fns[] = {o->key, o->prev_key};
    uint8_t kek[32];
    int r = JS_ERR_NO_KEY;

    for (size_t i = 0; i < 2 && r < 0; i++)
        if (fns[i] && fns[i](o->key_ctx, l->account, name, kek) == 0)
            r = js_key_unwrap(file->data, file->len, kek, ret_key);
    js_wipe(kek, sizeof kek);
    return r;
}

/* meta.inf in clear; left alone when there is no key for it. */
static int unseal(struct look *l, const char *name, int fd, struct js_buf *text) {
    const struct js_env *env = l->store->env;
    struct js_buf file = {.env = env}, plain = {.env = env};
    struct js_block_key key;
    int r = js_file_slurp(env, fd, "meta.key", JS_MAX_KEY_FILE, &file);

    if (r == 0)
        r = open_key(l, name, &file, &key);
    if (r == 0) {
        r = js_unseal(key.cipher, key.seed, text->data, text->len, &plain);
        js_wipe(&key, sizeof key);
    }
    if (r == 0) {
        struct js_buf t = *text;
        *text = plain;
        plain = t;
    }
    js_buf_done(&file);
    js_buf_done(&plain);
    return r == JS_ERR_NOMEM ? r : 0;
}

/* The configuration of another stream, if it can be read. */
static int other_config(struct look *l, const char *name, struct js_stream_config *ret) {
    const struct js_env *env = l->store->env;
    struct js_buf text = {.env = env};
    int fd = env->io->open_dir(env->io->ctx, l->streams_fd, name);

    if (fd < 0)
        return JS_ERR_NO_ENTRY;
    int r = js_file_slurp(env, fd, "meta.inf", JS_MAX_META_FILE, &text);
    if (r == 0)
        r = unseal(l, name, fd, &text);
    env->io->close(env->io->ctx, fd);
    /* What does not parse is passed over. */
    if (r == 0)
        r = js_stream_config_parse(env, (const char *)text.data, text.len, ret, NULL, 0);
    js_buf_done(&text);
    return r;
}

static int see_stream(void *ctx, const char *name) {
    struct look *l = ctx;
    struct js_stream_config other = {.env = l->store->env};
    int r = 0;

    if (name[0] == '.' || !js_name_valid(name) || strcmp(name, l->name) == 0 ||
        other_config(l, name, &other) < 0)
        return 0;
    for (size_t i = 0; i < other.num_subjects && r == 0; i++) {
        for (size_t k = 0; k < l->config->num_subjects && r == 0; k++) {
            const char *a = other.subjects[i], *b = l->config->subjects[k];
            if (js_filters_overlap(a, strlen(a), b, strlen(b))) {
                js_why(l->why, l->why_size, "the subject \"%.100s\" overlaps with \"%.100s\" of the "
                                            "stream %.100s", b, a, name);
                r = JS_ERR_EXISTS;
            }
        }
    }
    js_stream_config_done(&other);
    return r;
}

int js_store_check_subjects(struct js_store *store, const char *account, const char *name,
                            const struct js_stream_config *config, char *ret_why,
                            size_t why_size) {
    struct look l = {.store = store,
                     .account = account,
                     .name = name,
                     .config = config,
                     .why = ret_why,
                     .why_size = why_size};

    /* A source that is one stream has no others. */
    if (store->kind == JS_SOURCE_STREAM || store->kind == JS_SOURCE_BACKUP)
        return 0;
    static const char *const worlds[] = {"streams", "jetfs"};
    int r = 0;
    for (size_t i = 0; i < 2 && r == 0; i++) {
        r = js_store_open_world(store, account, worlds[i], &l.streams_fd);
        if (r == JS_ERR_NO_ACCOUNT) {
            r = 0;
            continue;
        }
        if (r < 0)
            break;
        r = js_io_result(store->env->io->list(store->env->io->ctx, l.streams_fd, see_stream, &l));
        store->env->io->close(store->env->io->ctx, l.streams_fd);
    }
    return r;
}
