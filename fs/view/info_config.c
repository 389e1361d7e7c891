/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of streams and consumers, and a consumer's info.json. */
#include <stdlib.h>
#include <string.h>

#include "fs/view/info.h"
#include "fs/view/json_build.h"

/* Indented, or as it is if it is no JSON: the user may want to see what is left of it. */
static int pretty(const char *text, char **ret_text, size_t *ret_len) {
    struct jf_json json = {0};
    size_t len = strlen(text);
    char *copy;

    json.object = len ? json_loads(text, 0, NULL) : json_object();
    if (json.object)
        return jf_json_finish(&json, ret_text, ret_len);
    copy = malloc(len + 2);
    if (!copy)
        return JS_ERR_NOMEM;
    memcpy(copy, text, len);
    if (text[len - 1] != '\n')
        copy[len++] = '\n';
    copy[len] = '\0';
    *ret_text = copy;
    *ret_len = len;
    return 0;
}

int jf_info_config(struct js_stream *stream, char **ret_text, size_t *ret_len) {
    const char *text = js_stream_config_json(stream);

    return pretty(text ? text : "", ret_text, ret_len);
}

struct answer {
    char *text;
    size_t len;
};

static int consumer_config(void *ctx, const struct js_consumer_info *info) {
    struct answer *answer = ctx;

    return pretty(info->config_json, &answer->text, &answer->len);
}

static void add_pair(struct jf_json *json, const char *name, uint64_t consumer, uint64_t stream) {
    struct jf_json pair = jf_json_object();

    jf_json_number(&pair, "consumer_seq", consumer);
    jf_json_number(&pair, "stream_seq", stream);
    jf_json_nest(json, name, &pair);
}

static int consumer_info(void *ctx, const struct js_consumer_info *info) {
    struct answer *answer = ctx;
    struct jf_json json = jf_json_object();

    jf_json_text(&json, "name", info->name);
    jf_json_bool(&json, "has_state", info->has_state);
    add_pair(&json, "delivered", info->delivered_consumer, info->delivered_stream);
    add_pair(&json, "ack_floor", info->ack_floor_consumer, info->ack_floor_stream);
    jf_json_number(&json, "num_ack_pending", info->num_ack_pending);
    jf_json_number(&json, "num_redelivered", info->num_redelivered);
    jf_json_number(&json, "num_pending", info->num_pending);
    if (info->num_gone)
        jf_json_number(&json, "num_gone", info->num_gone);
    jf_json_text(&json, "health", js_health_name(info->health));
    if (info->problem && info->problem[0])
        jf_json_text(&json, "problem", info->problem);
    return jf_json_finish(&json, &answer->text, &answer->len);
}

static int ask(struct js_stream *stream, const char *name,
               int (*fn)(void *ctx, const struct js_consumer_info *info), char **ret_text,
               size_t *ret_len) {
    struct answer answer = {0};
    int rc = js_consumer_get(stream, name, fn, &answer);

    if (rc < 0) {
        free(answer.text);
        return rc;
    }
    if (!answer.text)
        return JS_ERR_NO_CONSUMER;
    *ret_text = answer.text;
    *ret_len = answer.len;
    return 0;
}

int jf_info_consumer(struct js_stream *stream, const char *name, char **ret_text, size_t *ret_len) {
    return ask(stream, name, consumer_info, ret_text, ret_len);
}

int jf_info_consumer_config(struct js_stream *stream, const char *name, char **ret_text,
                            size_t *ret_len) {
    return ask(stream, name, consumer_config, ret_text, ret_len);
}
