/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs rm|purge|compact|backup|restore`: what is done to a stream's messages without a mount. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/consumer.h"
#include "fs/cli/progress.h"

#define EXITS     .usage = JF_EXIT_REFUSED, .refused = JF_EXIT_REFUSED, .failed = JF_EXIT_SYSTEM
#define EXIT_TEXT "\nExit: 0 done; 1 usage, or refused; 2 system error.\n"

enum { OPT_ERASE = JF_OPT_VERB, OPT_SUBJECT, OPT_KEEP, OPT_SEQ, OPT_NAME, OPT_CIPHER, OPT_NO_CONS,
       OPT_CHECK, OPT_COMPRESSION };

struct options {
    bool erase, no_consumers, check;
    const char *subject, *name, *compression;
    uint64_t keep, seq;
};

static bool parse_u64(const char *text, uint64_t *ret) {
    char *end;

    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *ret = strtoull(text, &end, 10);
    return !*end && errno == 0;
}

static const char *take_option(struct jf_call *call, int id, const char *value) {
    struct options *o = call->data;

    switch (id) {
    case OPT_ERASE:
        o->erase = true;
        return NULL;
    case OPT_SUBJECT:
        o->subject = value;
        return js_filter_valid(value, strlen(value)) ? NULL : "--subject needs a subject filter";
    case OPT_KEEP:
        return parse_u64(value, &o->keep) && o->keep ? NULL : "--keep needs a number above 0";
    case OPT_SEQ:
        return parse_u64(value, &o->seq) && o->seq ? NULL : "--seq needs a sequence above 0";
    case OPT_NAME:
        o->name = value;
        return js_name_valid(value) ? NULL : "--name needs a stream's name";
    case OPT_NO_CONS:
        o->no_consumers = true;
        return NULL;
    case OPT_CHECK:
        o->check = true;
        return NULL;
    case OPT_COMPRESSION:
        o->compression = value;
        return strcmp(value, "none") == 0 || strcmp(value, "s2") == 0 || strcmp(value, "lz4") == 0
                   ? NULL
                   : "--compression is none, s2 or lz4";
    default:
        return jf_cli_take_cipher(call, value);
    }
}

/* Runs fn with the stream of the call, which can be written. */
static int with_stream(struct jf_call *call, int (*fn)(struct jf_call *, struct js_stream *)) {
    struct jf_source source;
    struct js_stream *stream;
    char why[256] = "";
    int code = jf_consumer_stream(call, JS_OPEN_RW, &source, &stream);

    if (code)
        return code;
    if (js_stream_writable(stream, why, sizeof why) != 1)
        code = jf_cli_error(call, NULL, JS_ERR_READ_ONLY, why);
    else
        code = fn(call, stream);
    js_stream_unref(stream);
    return jf_source_close(&source, code);
}

static void tell_count(struct jf_call *call, const char *what, uint64_t n) {
    if (call->json)
        jf_out_printf(call->out, "{\"%s\": %llu}\n", what, (unsigned long long)n);
    else
        jf_out_printf(call->out, "%llu\n", (unsigned long long)n);
}

/* ---- rm ---------------------------------------------------------------------------------------- */

static int remove_all(struct jf_call *call, struct js_stream *stream) {
    const struct options *o = call->data;
    int code = JF_EXIT_OK, r = 0;
    uint64_t n = 0;

    for (size_t i = 1; i < call->nwords; i++) {
        uint64_t seq = 0;
        (void)parse_u64(call->words[i], &seq);
        r = o->erase ? js_stream_erase_msg(stream, seq) : js_stream_remove_msg(stream, seq);
        if (r == 0 || r == JS_ERR_EOF || r == JS_ERR_MSG_NOT_FOUND || r == JS_ERR_DELETED_MSG)
            code = jf_cli_join(call->verb, code,
                               jf_cli_error(call, call->words[i], JS_ERR_MSG_NOT_FOUND, NULL));
        else if (r < 0)
            code = jf_cli_join(call->verb, code, jf_cli_error(call, call->words[i], r, NULL));
        n += r == 1;
    }
    r = js_stream_sync(stream);
    if (r < 0)
        return jf_cli_error(call, NULL, r, NULL);
    tell_count(call, "removed", n);
    return code;
}

static const char *check_rm(struct jf_call *call) {
    uint64_t seq;

    for (size_t i = 1; i < call->nwords; i++)
        if (!parse_u64(call->words[i], &seq) || seq == 0)
            return "a sequence is a number above 0";
    return NULL;
}

static int run_rm(struct jf_call *call) {
    return with_stream(call, remove_all);
}

static const struct jf_opt rm_opts[] = {
    {"erase", 0, NULL, OPT_ERASE, "overwrite the stored bytes, too"},
};

const struct jf_verb jf_verb_rm = {
    .name = "rm",
    .synopsis = "SOURCE:STREAM SEQ... [OPTIONS]",
    .summary = "remove messages",
    .details = "Removes messages by their sequences and prints how many were there. With --erase the\n"
               "record is overwritten with random bytes (in encrypted streams it is only removed).\n"
               "Refused when the stream has deny_delete or is sealed.\n" EXIT_TEXT,
    .opts = rm_opts,
    .nopts = 1,
    .min_words = 2,
    .max_words = JF_CLI_MAX_WORDS,
    .data_size = sizeof(struct options),
    EXITS,
    .option = take_option,
    .check = check_rm,
    .run = run_rm,
};

/* ---- purge ------------------------------------------------------------------------------------- */

static int purge(struct jf_call *call, struct js_stream *stream) {
    const struct options *o = call->data;
    const char *filter = o->subject ? o->subject : "";
    uint64_t n = 0;
    int r = js_stream_purge_ex(stream, filter, strlen(filter), o->seq, o->keep, &n);

    if (r == 0)
        r = js_stream_sync(stream);
    if (r < 0)
        return jf_cli_error(call, NULL, r, NULL);
    tell_count(call, "purged", n);
    return JF_EXIT_OK;
}

static const char *check_purge(struct jf_call *call) {
    const struct options *o = call->data;

    return o->seq && o->keep ? "--seq and --keep do not go together" : NULL;
}

static int run_purge(struct jf_call *call) {
    return with_stream(call, purge);
}

static const struct jf_opt purge_opts[] = {
    {"subject", 0, "FILTER", OPT_SUBJECT, "only what matches"},
    {"seq", 0, "SEQ", OPT_SEQ, "only below this sequence"},
    {"keep", 0, "N", OPT_KEEP, "all but the newest N"},
};

const struct jf_verb jf_verb_purge = {
    .name = "purge",
    .synopsis = "SOURCE:STREAM [OPTIONS]",
    .summary = "remove all messages, or those of a subject",
    .details = "Removes messages and prints how many. The stream's last sequence stays.\n"
               "Refused when the stream has deny_purge or is sealed.\n" EXIT_TEXT,
    .opts = purge_opts,
    .nopts = 3,
    .min_words = 1,
    .max_words = 1,
    .data_size = sizeof(struct options),
    EXITS,
    .option = take_option,
    .check = check_purge,
    .run = run_purge,
};

/* ---- compact ----------------------------------------------------------------------------------- */

static int compact_one(struct jf_call *call, struct jf_source *source, struct js_stream *stream) {
    const struct options *o = call->data;
    uint64_t freed = 0;
    char why[300] = "";
    int r = o->compression ? js_store_recompress(source->store, js_stream_account(stream),
                                                 js_stream_name(stream), o->compression, &freed,
                                                 why, sizeof why)
                           : js_stream_compact_blocks(stream, &freed);

    if (r < 0)
        return jf_cli_error(call, js_stream_name(stream), r, why);
    if (call->json)
        jf_out_printf(call->out, "{\"stream\": ");
    if (call->json)
        jf_out_json_text(call->out, js_stream_name(stream));
    jf_out_printf(call->out, call->json ? ", \"freed\": %llu}\n" : "%llu bytes freed\n",
                  (unsigned long long)freed);
    return JF_EXIT_OK;
}

static int run_compact(struct jf_call *call) {
    struct jf_source source;
    int code = jf_source_open(call, JS_OPEN_RW, &source);

    if (code)
        return code;
    for (size_t i = 0; i < source.ntargets; i++) {
        struct js_stream *stream;
        if (!source.targets[i].stream)
            continue;
        int r = jf_source_stream(&source, &source.targets[i], &stream);
        if (r < 0) {
            code = jf_cli_join(call->verb, code, jf_cli_exit_of(call->verb, r));
            continue;
        }
        code = jf_cli_join(call->verb, code, compact_one(call, &source, stream));
        js_stream_unref(stream);
    }
    return jf_source_close(&source, code);
}

static const struct jf_opt compact_opts[] = {
    {"compression", 0, "KIND", OPT_COMPRESSION, "none, s2 (servers read it) or lz4 (only jetfs)"},
};

const struct jf_verb jf_verb_compact = {
    .name = "compact",
    .synopsis = "SOURCE[:STREAM] [OPTIONS]",
    .summary = "give back the space of removed messages",
    .details = "Rewrites every block but the newest that holds removed messages, in the form that the\n"
               "stream is configured to have, and prints the bytes freed. With --compression the\n"
               "stream gets that compression for good, and every block with it. A stream with lz4\n"
               "blocks lies in jetfs/ beside streams/, where no server looks.\n" EXIT_TEXT,
    .opts = compact_opts,
    .nopts = 1,
    .option = take_option,
    .min_words = 1,
    .max_words = 1,
    .data_size = sizeof(struct options),
    EXITS,
    .run = run_compact,
};

/* ---- backup ------------------------------------------------------------------------------------ */

struct output {
    int fd;
    uint64_t bytes;
    bool gone; /* nobody reads the pipe any more */
};

static int put(void *ctx, const void *data, size_t len) {
    struct output *o = ctx;
    const char *p = data;

    o->bytes += len;
    while (len) {
        ssize_t n = write(o->fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            o->gone = n < 0 && errno == EPIPE;
            return js_err_from_errno(n < 0 ? errno : EIO);
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A pipe or a device is written to: nothing may take its place. */
static int to_special(struct js_stream *stream, unsigned flags, const char *path,
                      struct output *o) {
    o->fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = o->fd < 0 ? js_err_from_errno(errno) : js_stream_backup(stream, flags, put, o);
    /* Pipes and most devices have nothing to sync. */
    if (r == 0 && fsync(o->fd) < 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
        r = js_err_from_errno(errno);
    if (o->fd >= 0 && close(o->fd) < 0 && r == 0)
        r = js_err_from_errno(errno);
    return r;
}

/* Into FILE.part, which becomes FILE when it is whole and on disk. */
static int to_file(struct js_stream *stream, unsigned flags, const char *path, struct output *o) {
    size_t size = strlen(path) + 6;
    struct stat st;

    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return to_special(stream, flags, path, o);
    char *part = malloc(size);
    if (!part)
        return JS_ERR_NOMEM;
    snprintf(part, size, "%s.part", path);
    o->fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = o->fd < 0 ? js_err_from_errno(errno) : js_stream_backup(stream, flags, put, o);
    if (r == 0 && fsync(o->fd) < 0)
        r = js_err_from_errno(errno);
    if (o->fd >= 0 && close(o->fd) < 0 && r == 0)
        r = js_err_from_errno(errno);
    if (r == 0 && rename(part, path) < 0)
        r = js_err_from_errno(errno);
    if (r < 0 && o->fd >= 0)
        unlink(part);
    free(part);
    return r;
}

static int run_backup(struct jf_call *call) {
    const struct options *o = call->data;
    const char *path = call->words[1];
    struct output out = {.fd = STDOUT_FILENO};
    struct jf_source source;
    struct js_stream *stream;
    int code = jf_consumer_stream(call, 0, &source, &stream);

    if (code)
        return code;
    unsigned flags = (o->no_consumers ? 0 : JS_BACKUP_CONSUMERS) | (o->check ? JS_BACKUP_CHECK : 0);
    int r = strcmp(path, "-") == 0 ? js_stream_backup(stream, flags, put, &out)
                                   : to_file(stream, flags, path, &out);
    if (r < 0 && out.gone) {
        jf_say(path, "whoever reads the backup ended before it was whole");
        code = call->verb->failed;
    } else if (r < 0) {
        code = jf_cli_error(call, r == JS_ERR_BAD_MSG || r == JS_ERR_STALE ? NULL : path, r, NULL);
    } else if (call->json && strcmp(path, "-") != 0) {
        jf_out_printf(call->out, "{\"bytes\": %llu}\n", (unsigned long long)out.bytes);
    }
    js_stream_unref(stream);
    return jf_source_close(&source, code);
}

static const struct jf_opt backup_opts[] = {
    {"no-consumers", 0, NULL, OPT_NO_CONS, "leave the consumers out"},
    {"check", 0, NULL, OPT_CHECK, "fail if any message is damaged"},
};

const struct jf_verb jf_verb_backup = {
    .name = "backup",
    .synopsis = "SOURCE:STREAM FILE [OPTIONS]",
    .summary = "write a backup that servers can restore",
    .details = "Writes the stream as a server's snapshot (tar in S2 framing, decrypted and\n"
               "decompressed) to FILE (- = standard output). The source is only read.\n" EXIT_TEXT,
    .opts = backup_opts,
    .nopts = 2,
    .min_words = 2,
    .max_words = 2,
    .data_size = sizeof(struct options),
    EXITS,
    .option = take_option,
    .run = run_backup,
};

/* ---- restore ----------------------------------------------------------------------------------- */

static int run_restore(struct jf_call *call) {
    const struct options *o = call->data;
    char name[256] = "", why[300] = "";
    struct jf_source source;
    const char *account;
    char *made = NULL; /* account of a store that is made for this */

    /* The frame took the first word, FILE, for the source. */
    free(call->source);
    free(call->stream);
    call->stream = NULL;
    call->source = strdup(call->words[1]);
    if (!call->source)
        return jf_cli_error(call, NULL, JS_ERR_NOMEM, NULL);
    bool is_new = jf_source_is_new(call);
    int code = jf_source_open(call, JS_OPEN_RW | JS_OPEN_CREATE, &source);
    if (code)
        return code;
    int r = jf_source_account(&source, &account);
    if (r == 0 && is_new)
        made = strdup(account);
    if (r == 0)
        r = js_store_restore(source.store, account, call->words[0], o->name, name, sizeof name, why,
                             sizeof why);
    if (r < 0) {
        code = jf_cli_error(call, call->words[0], r, why);
    } else if (call->json) {
        jf_out_text(call->out, "{\"stream\": ");
        jf_out_json_text(call->out, name);
        jf_out_text(call->out, "}\n");
    } else {
        jf_out_printf(call->out, "%s\n", name);
    }
    if (r == 0 && why[0])
        fprintf(stderr, "jetfs: %s: %s (the rest was restored)\n", call->words[0], why);
    code = jf_source_close(&source, code);
    if (r < 0 && made)
        jf_source_unmake(call->source, made);
    free(made);
    return code;
}

static const struct jf_opt restore_opts[] = {
    {"name", 0, "NAME", OPT_NAME, "restore as another stream"},
    {"cipher", 0, "CIPHER", OPT_CIPHER, "encrypt it: chacha or aes (needs --key-file)"},
};

const struct jf_verb jf_verb_restore = {
    .name = "restore",
    .synopsis = "FILE SOURCE [OPTIONS]",
    .summary = "make a stream from a backup",
    .details = "FILE is a backup made by `nats stream backup` (file or directory) or `jetfs backup`;\n"
               "SOURCE is the store that gets the stream, and is made if it is not there. Prints the\n"
               "stream's name. A restore that fails leaves nothing behind.\n" EXIT_TEXT,
    .opts = restore_opts,
    .nopts = 2,
    .min_words = 2,
    .max_words = 2,
    .data_size = sizeof(struct options),
    EXITS,
    .option = take_option,
    .run = run_restore,
};
