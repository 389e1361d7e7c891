/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node/stage.h"
#include "fs/node/stream.h"

#define PREFIX     "user.nats."
#define HDR_PREFIX "user.nats.hdr."
/* Limits of the kernel. */
#define MAX_SIZE 65536
#define MAX_NAME 255

static int give(char *text, size_t len, char **ret_value, size_t *ret_len) {
    if (!text)
        return JS_ERR_NOMEM;
    *ret_value = text;
    *ret_len = len;
    return 0;
}

static int give_number(uint64_t v, char **ret_value, size_t *ret_len) {
    char buf[24];
    int n = snprintf(buf, sizeof(buf), "%" PRIu64, v);

    return give(strdup(buf), (size_t)n, ret_value, ret_len);
}

/* All values of a header, joined by LF. ENODATA, E2BIG. */
static int header_value(const struct js_msg *msg, const char *name, char **ret_value,
                        size_t *ret_len) {
    char *buf = NULL;
    size_t len = 0;
    size_t pos = 0;
    bool found = false;
    const char *key;
    const char *value;
    size_t klen;
    size_t vlen;

    while (js_hdr_next(msg->hdr, msg->hdr_len, &pos, &key, &klen, &value, &vlen)) {
        if (klen != strlen(name) || memcmp(key, name, klen) != 0)
            continue;
        if (len + vlen + 1 > MAX_SIZE) {
            free(buf);
            return -E2BIG;
        }
        char *p = realloc(buf, len + vlen + 2);
        if (!p) {
            free(buf);
            return JS_ERR_NOMEM;
        }
        buf = p;
        if (found)
            buf[len++] = '\n';
        memcpy(buf + len, value, vlen);
        len += vlen;
        found = true;
    }
    return found ? give(buf, len, ret_value, ret_len) : -ENODATA;
}

static int msg_value(const struct jf_ref *ref, const struct js_msg *msg, const char *name,
                     char **ret_value, size_t *ret_len) {
    char time[40];

    if (strncmp(name, "hdr.", 4) == 0)
        return msg->hdr ? header_value(msg, name + 4, ret_value, ret_len) : -ENODATA;
    if (strcmp(name, "subject") == 0)
        return give(strndup(msg->subject, msg->subject_len), msg->subject_len, ret_value, ret_len);
    if (strcmp(name, "time") == 0) {
        js_time_format(msg->time, time, sizeof(time));
        return give(strdup(time), strlen(time), ret_value, ret_len);
    }
    (void)ref;
    return -ENODATA;
}

int jf_msg_getxattr(const struct jf_ref *ref, const char *name, char **ret_value, size_t *ret_len) {
    struct js_stream *stream = ref->stream->stream;
    struct js_msg_stat info;
    struct js_msg msg;
    char text[512];

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return -ENODATA;
    name += strlen(PREFIX);
    int r = js_stream_stat_msg(stream, ref->seq, &info);
    if (r < 0)
        return r == JS_ERR_IO ? r : -ESTALE;
    if (strcmp(name, "seq") == 0)
        return give_number(ref->seq, ret_value, ret_len);
    if (strcmp(name, "stream") == 0)
        return give(strdup(ref->stream->name), strlen(ref->stream->name), ret_value, ret_len);
    if (strcmp(name, "duplicate") == 0)
        return jf_stage_is_duplicate(ref->stream, ref->seq)
                   ? give(strdup("true"), 4, ret_value, ret_len)
                   : -ENODATA;
    if (strcmp(name, "damage") == 0) {
        r = js_stream_damage(stream, ref->seq, text, sizeof(text));
        return r < 0 ? -ENODATA : give(strdup(text), strlen(text), ret_value, ret_len);
    }
    if (info.damaged)
        return -ENODATA;
    if (strcmp(name, "size.stored") == 0)
        return give_number(info.record_len, ret_value, ret_len);
    r = js_stream_load_msg(stream, ref->seq, &msg);
    if (r < 0)
        return r;
    r = msg_value(ref, &msg, name, ret_value, ret_len);
    js_msg_release(&msg);
    return r;
}

struct names {
    char *buf;
    size_t len;
    int err;
};

static void add_name(struct names *n, const char *prefix, const char *name, size_t len) {
    size_t plen = strlen(prefix);

    if (n->err || plen + len > MAX_NAME || memchr(name, 0, len))
        return;
    for (size_t i = 0; i < n->len; i += strlen(n->buf + i) + 1)
        if (strlen(n->buf + i) == plen + len && memcmp(n->buf + i + plen, name, len) == 0)
            return;
    if (n->len + plen + len + 1 > MAX_SIZE) {
        n->err = -E2BIG;
        return;
    }
    char *p = realloc(n->buf, n->len + plen + len + 1);
    if (!p) {
        n->err = JS_ERR_NOMEM;
        return;
    }
    n->buf = p;
    memcpy(p + n->len, prefix, plen);
    memcpy(p + n->len + plen, name, len);
    p[n->len + plen + len] = 0;
    n->len += plen + len + 1;
}

int jf_msg_listxattr(const struct jf_ref *ref, char **ret_names, size_t *ret_len) {
    static const char *const fixed[] = {"seq", "stream", "subject", "time", "size.stored"};
    struct js_stream *stream = ref->stream->stream;
    struct names n = {0};
    struct js_msg_stat info;
    struct js_msg msg;
    const char *key;
    const char *value;
    size_t klen;
    size_t vlen;
    size_t pos = 0;
    int r = js_stream_stat_msg(stream, ref->seq, &info);

    if (r < 0)
        return r == JS_ERR_IO ? r : -ESTALE;
    for (size_t i = 0; i < (info.damaged ? 2 : sizeof(fixed) / sizeof(fixed[0])); i++)
        add_name(&n, PREFIX, fixed[i], strlen(fixed[i]));
    if (jf_stage_is_duplicate(ref->stream, ref->seq))
        add_name(&n, PREFIX, "duplicate", 9);
    if (info.damaged) {
        add_name(&n, PREFIX, "damage", 6);
    } else if (info.hdr_len && js_stream_load_msg(stream, ref->seq, &msg) == 0) {
        while (js_hdr_next(msg.hdr, msg.hdr_len, &pos, &key, &klen, &value, &vlen))
            add_name(&n, HDR_PREFIX, key, klen);
        js_msg_release(&msg);
    }
    if (n.err) {
        free(n.buf);
        return n.err;
    }
    *ret_names = n.buf;
    *ret_len = n.len;
    return 0;
}
