/* SPDX-License-Identifier: Apache-2.0 */
/* Purging by unlink, and moving messages between streams by rename. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/admin.h"
#include "fs/node/publish.h"
#include "fs/node/stream.h"
#include "fs/session/notify.h"

static int purge(const struct jf_ref *dir, const char *filter) {
    return js_stream_purge_ex(dir->stream->stream, filter, strlen(filter), 0, 0, NULL);
}

int jf_purge_unlink(const struct jf_ref *dir, const char *name) {
    const char *subject = dir->node->text;
    bool own = strcmp(name, "own.log") == 0;

    if (!subject[0] || (!own && strcmp(name, "all.log") != 0))
        return -EPERM;
    if (!dir->fs->options.rw)
        return -EROFS;
    if (!dir->fs->options.allow_delete)
        return -EPERM;
    int r = purge(dir, subject);
    if (r == 0 && !own) {
        size_t size = strlen(subject) + 3;
        char *below = malloc(size);
        if (!below)
            return JS_ERR_NOMEM;
        snprintf(below, size, "%s.>", subject);
        r = purge(dir, below);
        free(below);
    }
    return r;
}

/* Said before a copy is made: what cannot be removed here would be there twice. */
static int may_remove(const struct jf_ref *from) {
    json_t *config = json_loads(js_stream_config_json(from->stream->stream), 0, NULL);
    bool denied = json_is_true(json_object_get(config, "deny_delete")) ||
                  json_is_true(json_object_get(config, "sealed"));

    json_decref(config);
    return denied ? -EPERM : jf_publish_writable(from);
}

/* Does the other stream hold this very message? */
static bool is_there(const struct jf_ref *to, js_seq_t seq, const struct js_new_msg *m) {
    struct js_msg msg;

    if (js_stream_load_msg(to->stream->stream, seq, &msg) < 0)
        return false;
    bool same = msg.subject_len == m->subject_len && msg.hdr_len == m->hdr_len &&
                msg.data_len == m->data_len &&
                memcmp(msg.subject, m->subject, m->subject_len) == 0 &&
                (m->hdr_len == 0 || memcmp(msg.hdr, m->hdr, m->hdr_len) == 0) &&
                (m->data_len == 0 || memcmp(msg.data, m->data, m->data_len) == 0);
    js_msg_release(&msg);
    return same;
}

int jf_move_msg(const struct jf_ref *from, js_seq_t seq, const struct jf_ref *to) {
    struct js_msg msg;

    if (!to->stream || strcmp(to->class->name, "spooldir") != 0 || to->stream == from->stream)
        return -EXDEV;
    if (!from->fs->options.allow_delete)
        return -EPERM;
    int r = may_remove(from);
    if (r == 0)
        r = jf_publish_writable(to);
    if (r == 0)
        r = js_stream_load_msg(from->stream->stream, seq, &msg);
    if (r < 0)
        return r;
    bool any = strcmp(to->node->text, "any.d") == 0;
    struct js_new_msg m = {.subject = any ? msg.subject : to->node->text,
                           .subject_len = any ? msg.subject_len : strlen(to->node->text),
                           .hdr = msg.hdr,
                           .hdr_len = msg.hdr_len,
                           .data = msg.data,
                           .data_len = msg.data_len};
    int err = 0;
    if (js_stream_store_msgs(to->stream->stream, &m, 1, &err) != 1)
        r = err;
    /* Another message with the same Nats-Msg-Id: this one was not stored, so it stays where it is.
     */
    if (r == 0 && m.ret_duplicate && !is_there(to, m.ret_seq, &m)) {
        jf_log_add(to->fs->log, "%s: mv: message %llu has the Nats-Msg-Id of the one that is moved",
                   to->stream->tag, (unsigned long long)m.ret_seq);
        r = -ENOTUNIQ;
    }
    js_msg_release(&msg);
    /* On disk there before it leaves here. */
    if (r == 0)
        r = js_stream_sync(to->stream->stream);
    if (r == 0) {
        r = js_stream_remove_msg(from->stream->stream, seq);
        if (r > 0)
            jf_notify_msg(from->stream, seq);
    }
    return r < 0 ? r : 0;
}
