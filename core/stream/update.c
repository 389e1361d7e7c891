/* SPDX-License-Identifier: Apache-2.0 */
/* A new configuration for a stream that is open: what may change is what servers allow to change. */
#include <stdio.h>

#include "core/format/json_fields.h"
#include "core/store/store.h"
#include "core/stream/limits.h"
#include "core/stream/meta_write.h"
#include "core/stream/rules.h"

#define REFUSE(why, size, text) (js_why(why, size, text), JS_ERR_NOT_PERMITTED)

/* max_consumers is of no use to the store, so its configuration has no field for it. */
static int64_t max_consumers(const char *text, size_t len) {
    json_t *root;
    int64_t v = -1;

    if (js_fields_load(text, len, &root, NULL, 0) < 0)
        return -1;
    struct js_fields f = {.object = root};
    v = js_field_int(&f, "max_consumers", -1);
    json_decref(root);
    return v <= 0 ? -1 : v;
}

static int check_change(const struct js_stream *s, const struct js_stream_config *n,
                        const struct js_buf *text, char *why, size_t size) {
    const struct js_stream_config *o = &s->config;
    const char *old_text = s->config_text->s;

    if (o->sealed)
        return REFUSE(why, size, "a sealed stream cannot be changed");
    /* No server loads a stream that is configured so. */
    if (n->compression == 'l' && o->compression != 'l' && !s->lz4)
        return REFUSE(why, size, JS_WHY_LZ4);
    if (o->retention != n->retention && (o->retention == 'w' || n->retention == 'w'))
        return REFUSE(why, size, "the retention cannot change to or from workqueue");
    if (max_consumers(old_text, strlen(old_text)) !=
        max_consumers((const char *)text->data, text->len))
        return REFUSE(why, size, "max_consumers cannot be changed");
    if (o->first_seq != n->first_seq)
        return REFUSE(why, size, "first_seq cannot be changed");
    if (o->deny_delete && !n->deny_delete)
        return REFUSE(why, size, "deny_delete cannot be taken back");
    if (o->deny_purge && !n->deny_purge)
        return REFUSE(why, size, "deny_purge cannot be taken back");
    if (o->allow_msg_ttl && !n->allow_msg_ttl)
        return REFUSE(why, size, "allow_msg_ttl cannot be taken back");
    if (o->allow_msg_schedules && !n->allow_msg_schedules)
        return REFUSE(why, size, "allow_msg_schedules cannot be taken back");
    if (o->allow_msg_counter != n->allow_msg_counter)
        return REFUSE(why, size, "allow_msg_counter cannot be changed");
    if (o->persist_async != n->persist_async)
        return REFUSE(why, size, "persist_mode cannot be changed");
    return 0;
}

/* The new configuration is in force: what it does not allow any more leaves. */
static int apply(struct js_stream *s, struct js_writer *w, struct js_gone *gone) {
    js_writer_reconfigure(s);
    /* Another window, another age: looked at anew. */
    js_dedup_free(s);
    s->expire_next = 0;
    s->expire_looked = false;
    /* From a sealed stream nothing leaves any more. */
    return s->config.sealed ? 0 : js_limits_all(s, w, gone);
}

static int change(struct js_stream *s, struct js_writer *w, const struct js_buf *text,
                  struct js_stream_config *config, struct js_gone *gone) {
    int r = s->encrypted && !s->seed
                ? JS_ERR_NO_KEY
                : js_stream_set_config_text(s, (const char *)text->data, text->len);

    if (r == 0) {
        r = js_meta_write(s->env, s->files.dirfd, s->name, text->data, text->len,
                          s->encrypted ? s->seed : NULL);
        if (r < 0) {
            /* The old text was put among those that are kept. */
            struct js_text *failed = s->config_text;
            s->config_text = s->old_texts;
            s->old_texts = s->config_text ? s->config_text->next : NULL;
            js_free(s->env, failed);
        }
    }
    if (r < 0)
        return r;
    js_stream_config_done(&s->config);
    s->config = *config;
    *config = (struct js_stream_config){.env = s->env};
    return apply(s, w, gone);
}

int js_stream_update_config(struct js_stream *stream, const char *config_json, char *ret_why,
                            size_t why_size) {
    struct js_stream_config config = {.env = stream->env};
    struct js_buf text = {.env = stream->env};
    struct js_gone gone = {0};
    struct js_writer *w;

    if (ret_why && why_size)
        ret_why[0] = 0;
    pthread_rwlock_wrlock(&stream->lock);
    int r = js_writer_open(stream, &w);
    if (r == 0)
        r = js_stream_config_remake(stream->env, stream->name, config_json, stream->config.created,
                                    &text, ret_why, why_size);
    if (r == 0)
        r = js_stream_config_parse(stream->env, (const char *)text.data, text.len, &config, ret_why,
                                   why_size);
    if (r == 0)
        r = check_change(stream, &config, &text, ret_why, why_size);
    if (r == 0)
        r = js_store_check_subjects(stream->store, stream->account, stream->name, &config, ret_why,
                                    why_size);
    if (r == 0)
        r = change(stream, w, &text, &config, &gone);
    r = js_stream_end_removal(stream, r, &gone);
    js_stream_config_done(&config);
    js_buf_done(&text);
    if (r < 0 && ret_why && why_size && !ret_why[0])
        js_why(ret_why, why_size, "%s", js_err_text(r));
    return r < 0 ? r : 0;
}
