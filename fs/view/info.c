/* SPDX-License-Identifier: Apache-2.0 */
/* info.json of streams, subjects and accounts. */
#include "fs/view/info.h"

#include <stdlib.h>
#include <string.h>

#include "fs/view/json_build.h"

/* ---- a stream ------------------------------------------------------------------------------ */

struct problem_list {
    struct jf_json *json;
    json_t *array;
    uint64_t total;
};

static int add_problem(void *ctx, const struct js_problem *problem) {
    struct problem_list *list = ctx;
    struct jf_json item;

    if (list->total++ >= JF_INFO_MAX_PROBLEMS)
        return 0;
    item = jf_json_object();
    jf_json_text(&item, "verdict", js_health_name(problem->verdict));
    if (problem->file)
        jf_json_text(&item, "file", problem->file);
    jf_json_number(&item, "offset", problem->offset);
    jf_json_number(&item, "length", problem->length);
    if (problem->seq_first) {
        jf_json_number(&item, "seq_first", problem->seq_first);
        jf_json_number(&item, "seq_last", problem->seq_last);
    }
    jf_json_number(&item, "lost", problem->lost);
    jf_json_text(&item, "text", problem->text ? problem->text : "");
    jf_json_append(list->json, list->array, &item);
    return 0;
}

static void add_problems(struct jf_json *json, struct js_stream *stream) {
    struct problem_list list = {.json = json, .array = json_array()};

    if (!list.array) {
        json->failed = true;
        return;
    }
    (void)js_stream_problems(stream, add_problem, &list); /* add_problem never fails */
    jf_json_number(json, "problems_total", list.total);
    jf_json_child(json, "problems", list.array);
}

/* The state as it is known; payload_bytes: NULL when that would need a scan. */
static void add_numbers(struct jf_json *json, const struct js_stream_state *state,
                        const uint64_t *payload_bytes) {
    jf_json_number(json, "messages", state->msgs);
    jf_json_number(json, "bytes", state->bytes);
    jf_json_number(json, "first_seq", state->first_seq);
    jf_json_time(json, "first_time", state->first_time);
    jf_json_number(json, "last_seq", state->last_seq);
    jf_json_time(json, "last_time", state->last_time);
    jf_json_number(json, "subjects", state->num_subjects);
    jf_json_number(json, "deleted", state->num_deleted);
    jf_json_number(json, "lost", state->num_lost);
    if (payload_bytes)
        jf_json_number(json, "payload_bytes", *payload_bytes);
    jf_json_number(json, "blocks", state->num_blocks);
    jf_json_number(json, "consumers", state->num_consumers);
}

/* The scan comes first: the numbers are those of the blocks then. */
static int add_state(struct jf_json *json, struct js_stream *stream) {
    struct js_stream_state state;
    struct js_totals totals;
    int rc = js_stream_scan(stream);

    if (rc == 0)
        rc = js_stream_totals(stream, NULL, 0, 0, &totals);
    if (rc < 0)
        return rc;
    js_stream_get_state(stream, &state);
    add_numbers(json, &state, &totals.payload_bytes);
    return 0;
}

/* The name in the configuration; null when there is none to read. */
static void add_config_name(struct jf_json *json, struct js_stream *stream) {
    json_t *config = json_loads(js_stream_config_json(stream), 0, NULL);
    const char *name = json_string_value(json_object_get(config, "name"));

    if (name)
        jf_json_text(json, "config_name", name);
    else
        jf_json_child(json, "config_name", json_null());
    json_decref(config);
}

int jf_info_stream(struct js_stream *stream, char **ret_text, size_t *ret_len) {
    struct jf_json json = jf_json_object();
    int rc;

    jf_json_text(&json, "name", js_stream_name(stream));
    jf_json_text(&json, "account", js_stream_account(stream));
    rc = add_state(&json, stream);
    if (rc < 0) {
        jf_json_drop(&json);
        return rc;
    }
    jf_json_text(&json, "cipher", js_stream_cipher(stream));
    uint64_t files = 0, bytes = 0;
    if (js_stream_quarantine(stream, &files, &bytes) == 0 && files) {
        struct jf_json kept = jf_json_object();
        jf_json_number(&kept, "files", files);
        jf_json_number(&kept, "bytes", bytes);
        jf_json_nest(&json, "quarantine", &kept);
    }
    add_config_name(&json, stream);
    jf_json_text(&json, "health", js_health_name(js_stream_health(stream)));
    add_problems(&json, stream);
    return jf_json_finish(&json, ret_text, ret_len);
}

/* ---- a subject ----------------------------------------------------------------------------- */

static int add_totals(struct jf_json *json, struct jf_scope *scope) {
    struct js_totals t = {0};

    if (!jf_scope_is_void(scope)) {
        int rc = js_stream_totals(jf_scope_stream(scope), jf_scope_filter(scope),
                                  jf_scope_first(scope), jf_scope_last(scope), &t);

        if (rc < 0)
            return rc;
    }
    jf_json_number(json, "messages", t.msgs);
    jf_json_number(json, "bytes", t.bytes);
    jf_json_number(json, "payload_bytes", t.payload_bytes);
    jf_json_number(json, "first_seq", t.first_seq);
    jf_json_number(json, "last_seq", t.last_seq);
    return 0;
}

static int add_own(struct jf_json *json, struct jf_scope *scope, const char *subject, size_t len) {
    struct jf_json own = jf_json_object();
    struct jf_scope *exact;
    int rc = jf_scope_subject(scope, subject, len, &exact);

    if (rc == 0) {
        rc = add_totals(&own, exact);
        jf_scope_unref(exact);
    }
    jf_json_nest(json, "own", &own);
    return rc;
}

int jf_info_subject(struct jf_scope *scope, const char *subject, size_t len, char **ret_text,
                    size_t *ret_len) {
    struct jf_json json = jf_json_object();
    char *name = strndup(subject, len);
    int rc;

    if (!name) {
        jf_json_drop(&json);
        return JS_ERR_NOMEM;
    }
    jf_json_text(&json, "subject", name);
    free(name);
    rc = add_totals(&json, scope);
    if (rc == 0 && len > 0)
        rc = add_own(&json, scope, subject, len);
    if (rc < 0) {
        jf_json_drop(&json);
        return rc;
    }
    return jf_json_finish(&json, ret_text, ret_len);
}

/* ---- an account, the store ----------------------------------------------------------------- */

struct names {
    char **list;
    size_t n, cap;
};

static int add_name(void *ctx, const char *name) {
    struct names *names = ctx;

    if (names->n == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 16;
        char **list = reallocarray(names->list, cap, sizeof *list);

        if (!list)
            return JS_ERR_NOMEM;
        names->list = list;
        names->cap = cap;
    }
    names->list[names->n] = strdup(name);
    if (!names->list[names->n])
        return JS_ERR_NOMEM;
    names->n++;
    return 0;
}

static void names_done(struct names *names) {
    for (size_t i = 0; i < names->n; i++)
        free(names->list[i]);
    free(names->list);
}

struct sums {
    uint64_t streams, msgs, bytes;
};

static struct jf_json stream_item(struct js_store *store, const char *account, const char *name,
                                  struct sums *sums) {
    struct jf_json item = jf_json_object();
    struct js_stream_state state;
    struct js_stream *stream;
    int rc = js_store_get_stream(store, account, name, &stream);

    jf_json_text(&item, "name", name);
    sums->streams++;
    if (rc < 0) {
        jf_json_text(&item, "error", js_err_text(rc));
        return item;
    }
    js_stream_get_state(stream, &state);
    add_numbers(&item, &state, NULL);
    jf_json_text(&item, "health", js_health_name(js_stream_health(stream)));
    js_stream_unref(stream);
    sums->msgs += state.msgs;
    sums->bytes += state.bytes;
    return item;
}

static void add_sums(struct jf_json *json, const struct sums *sums) {
    jf_json_number(json, "num_streams", sums->streams);
    jf_json_number(json, "messages", sums->msgs);
    jf_json_number(json, "bytes", sums->bytes);
}

/* Fills json with one account; adds to sums. */
static int add_account(struct jf_json *json, struct js_store *store, const char *account,
                       struct sums *sums) {
    struct names names = {0};
    struct sums own = {0};
    json_t *array = json_array();
    int rc = js_store_list_streams(store, account, add_name, &names);

    if (!array)
        json->failed = true;
    for (size_t i = 0; rc >= 0 && i < names.n; i++) {
        struct jf_json item = stream_item(store, account, names.list[i], &own);

        jf_json_append(json, array, &item);
    }
    names_done(&names);
    jf_json_text(json, "account", account);
    add_sums(json, &own);
    jf_json_child(json, "streams", array);
    sums->streams += own.streams;
    sums->msgs += own.msgs;
    sums->bytes += own.bytes;
    return rc < 0 ? rc : 0;
}

static int add_accounts(struct jf_json *json, struct js_store *store) {
    struct names names = {0};
    struct sums sums = {0};
    json_t *array = json_array();
    int rc = js_store_list_accounts(store, add_name, &names);

    if (!array)
        json->failed = true;
    for (size_t i = 0; rc >= 0 && i < names.n; i++) {
        struct jf_json item = jf_json_object();

        rc = add_account(&item, store, names.list[i], &sums);
        jf_json_append(json, array, &item);
    }
    names_done(&names);
    add_sums(json, &sums);
    jf_json_child(json, "accounts", array);
    return rc < 0 ? rc : 0;
}

int jf_info_account(struct js_store *store, const char *account, char **ret_text, size_t *ret_len) {
    struct jf_json json = jf_json_object();
    struct sums sums = {0};
    int rc = account ? add_account(&json, store, account, &sums) : add_accounts(&json, store);

    if (rc < 0) {
        jf_json_drop(&json);
        return rc;
    }
    return jf_json_finish(&json, ret_text, ret_len);
}
