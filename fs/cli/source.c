/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct names {
    char **list;
    size_t n;
};

static void names_done(struct names *names) {
    for (size_t i = 0; i < names->n; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct names){0};
}

static int add_name(void *ctx, const char *name) {
    struct names *names = ctx;
    char **grown;
    char *copy = strdup(name);

    if (!copy)
        return JS_ERR_NOMEM;
    grown = realloc(names->list, (names->n + 1) * sizeof *grown);
    if (!grown) {
        free(copy);
        return JS_ERR_NOMEM;
    }
    names->list = grown;
    names->list[names->n++] = copy;
    return 0;
}

static int add_target(struct jf_source *source, const char *account, const char *stream) {
    struct jf_target *grown =
        realloc(source->targets, (source->ntargets + 1) * sizeof *source->targets);
    struct jf_target target = {0};

    if (!grown)
        return JS_ERR_NOMEM;
    source->targets = grown;
    target.account = strdup(account);
    target.stream = stream ? strdup(stream) : NULL;
    if (!target.account || (stream && !target.stream)) {
        free(target.account);
        free(target.stream);
        return JS_ERR_NOMEM;
    }
    source->targets[source->ntargets++] = target;
    source->nstreams += stream != NULL;
    return 0;
}

/* Adds one account's streams, or the wanted one if it is there. */
static int add_account(struct jf_source *source, const char *account) {
    const char *wanted = source->call->stream;
    struct names streams = {0};
    int r = js_store_list_streams(source->store, account, add_name, &streams);

    for (size_t i = 0; r >= 0 && i < streams.n; i++)
        if (!wanted || strcmp(streams.list[i], wanted) == 0)
            r = add_target(source, account, streams.list[i]);
    if (r >= 0 && streams.n == 0 && !wanted)
        r = add_target(source, account, NULL);
    names_done(&streams);
    return r;
}

/* In a source that is one account or less, --account names what the path does not show. */
static bool has_accounts(const struct jf_source *source) {
    enum js_source_kind kind = js_store_kind(source->store);

    return kind == JS_SOURCE_STORE || kind == JS_SOURCE_JETSTREAM;
}

static int list_targets(struct jf_source *source) {
    const char *wanted = source->call->account;
    struct names accounts = {0};
    bool found = false;
    int r = js_store_list_accounts(source->store, add_name, &accounts);

    if (!has_accounts(source))
        wanted = NULL;
    for (size_t i = 0; r >= 0 && i < accounts.n; i++) {
        if (wanted && strcmp(accounts.list[i], wanted) != 0)
            continue;
        found = true;
        r = add_account(source, accounts.list[i]);
        /* One account that cannot be read does not hide the others. */
        if (r < 0 && r != JS_ERR_NOMEM && !wanted && accounts.n > 1) {
            char label[1024];

            snprintf(label, sizeof label, "%s: %s", source->call->source, accounts.list[i]);
            source->trouble = jf_cli_error(source->call, label, r, NULL);
            r = 0;
        }
    }
    names_done(&accounts);
    if (r >= 0 && wanted && !found)
        r = JS_ERR_NO_ACCOUNT;
    return r < 0 ? r : 0;
}

/* SOURCE:STREAM must mean one stream. */
static int check_choice(const struct jf_source *source) {
    const struct jf_call *call = source->call;
    char names[512];
    size_t len = 0;

    if (!call->stream || source->ntargets == 1)
        return 0;
    if (source->ntargets == 0) {
        char why[300];

        snprintf(why, sizeof why, "no such stream: %.200s", call->stream);
        return jf_cli_error(call, call->source, JS_ERR_NO_STREAM, why);
    }
    names[0] = '\0';
    for (size_t i = 0; i < source->ntargets && len < sizeof names - 1; i++) {
        int n = snprintf(names + len, sizeof names - len, "%s%s", i ? ", " : "",
                         source->targets[i].account);

        len += n > 0 ? (size_t)n : 0;
    }
    jf_say(call->words[0], "several accounts have this stream: %s (choose with --account)", names);
    return call->verb->refused;
}

static int load_keys(struct jf_source *source) {
    const struct jf_call *call = source->call;
    char why[256] = "";
    int r;

    if (!call->key_file && !call->prev_key_file)
        return 0;
    r = jf_keys_load(call->key_file, call->prev_key_file, &source->keys, why, sizeof why);
    if (r >= 0)
        return 0;
    jf_say(NULL, "%s", why[0] ? why : js_err_text(r));
    return jf_cli_exit_of(call->verb, r);
}

static void source_done(struct jf_source *source) {
    for (size_t i = 0; i < source->ntargets; i++) {
        free(source->targets[i].account);
        free(source->targets[i].stream);
    }
    free(source->targets);
    jf_keys_free(source->keys);
    source->targets = NULL;
    source->keys = NULL;
    source->ntargets = 0;
}

int jf_source_open(const struct jf_call *call, unsigned flags, struct jf_source *ret_source) {
    struct jf_source source = {.call = call};
    struct js_store_options options = {
        .flags = flags, .account = call->account, .cipher = call->cipher};
    char why[256] = "";
    int code = load_keys(&source);
    int r;

    if (code)
        return code;
    if (source.keys) {
        options.key = call->key_file ? jf_keys_current : NULL;
        options.prev_key = call->prev_key_file ? jf_keys_previous : NULL;
        options.key_ctx = source.keys;
    }
    r = js_store_open(js_env_default(), call->source, &options, &source.store, why, sizeof why);
    if (r < 0) {
        code = jf_cli_error(call, call->source, r, why);
        source_done(&source);
        return code;
    }
    r = list_targets(&source);
    /* What is about to be made need not be there. */
    if (r == JS_ERR_NO_ACCOUNT && (flags & JS_OPEN_CREATE))
        r = 0;
    if (r == JS_ERR_NO_ACCOUNT) {
        snprintf(why, sizeof why, "no such account: %.200s", call->account ? call->account : "");
        code = jf_cli_error(call, call->source, r, why);
    } else if (r < 0) {
        code = jf_cli_error(call, call->source, r, NULL);
    } else {
        code = check_choice(&source);
    }
    if (code)
        return jf_source_close(&source, code);
    *ret_source = source;
    return 0;
}

int jf_source_close(struct jf_source *source, int code) {
    int r = js_store_close(source->store);

    source->store = NULL;
    source_done(source);
    code = jf_cli_join(source->call->verb, code, source->trouble);
    if (r < 0)
        code = jf_cli_join(source->call->verb, code,
                           jf_cli_error(source->call, source->call->source, r, NULL));
    return code;
}

const struct jf_target *jf_source_only(const struct jf_source *source) {
    if (source->nstreams != 1)
        return NULL;
    for (size_t i = 0; i < source->ntargets; i++)
        if (source->targets[i].stream)
            return &source->targets[i];
    return NULL;
}

const char *jf_source_label(const struct jf_source *source, const struct jf_target *target,
                            char *buf, size_t size) {
    bool show = target->account[0] && source->ntargets > 1;

    snprintf(buf, size, "%s: %s%s%s", source->call->source, show ? target->account : "",
             show ? "/" : "", target->stream ? target->stream : "");
    return buf;
}

int jf_source_account(const struct jf_source *source, const char **ret_account) {
    const char *only = NULL;

    if (source->call->account) {
        *ret_account = source->call->account;
        return 0;
    }
    for (size_t i = 0; i < source->ntargets; i++) {
        const char *a = source->targets[i].account;
        if (strcmp(a, "$SYS") == 0 || (only && strcmp(only, a) == 0))
            continue;
        if (only) {
            jf_say(source->call->source, "there are several accounts (choose with --account)");
            return JS_ERR_INVAL;
        }
        only = a;
    }
    *ret_account = only ? only : "$G";
    return 0;
}

int jf_source_stream(const struct jf_source *source, const struct jf_target *target,
                     struct js_stream **ret_stream) {
    int r = js_store_get_stream(source->store, target->account, target->stream, ret_stream);
    char label[1024];
    char why[160];
    int pid;

    if (r >= 0)
        return r;
    jf_source_label(source, target, label, sizeof label);
    pid = r == JS_ERR_LOCKED ? js_store_lock_holder(source->store, target->account, target->stream)
                             : 0;
    if (pid > 0) {
        snprintf(why, sizeof why, "in use by process %d", pid);
        jf_cli_error(source->call, label, r, why);
    } else {
        jf_cli_error(source->call, label, r, NULL);
    }
    return r;
}

bool jf_source_is_live(const struct jf_source *source, const struct jf_target *target) {
    return js_store_lock_holder(source->store, target->account, target->stream) > 0;
}

bool jf_source_is_new(const struct jf_call *call) {
    return access(call->source, F_OK) < 0 && errno == ENOENT;
}

void jf_source_unmake(const char *path, const char *account) {
    size_t size = strlen(path) + strlen(account) + 32, base = strlen(path) + strlen("/jetstream");
    char *dir = malloc(size);

    if (!dir)
        return;
    snprintf(dir, size, "%s/jetstream/%s/streams", path, account);
    (void)rmdir(dir);
    dir[strlen(dir) - strlen("/streams")] = 0;
    (void)rmdir(dir);
    dir[base] = 0;
    (void)rmdir(dir);
    (void)rmdir(path);
    free(dir);
}
