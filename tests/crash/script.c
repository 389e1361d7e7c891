/* SPDX-License-Identifier: Apache-2.0 */
/* Random work on a stream, on a disk that records it. */
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash.h"

#define CONFIG(rest) "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"storage\":\"file\"" rest "}"
#define SYNC_ALWAYS  JS_SYNC_ALWAYS
#define SYNC_CLOSE   JS_SYNC_CLOSE

/*
 * s store  b a batch of small ones  L a large one  r remove  e erase  y sync  c close and open
 * p purge  u purge a subject  k purge but the newest  t compact  T truncate  K skip  M skip many
 * B rewrite sparse blocks  C rewrite blocks with anything dead  g change the configuration
 * w let two seconds pass and do what is due  i the same with 130 seconds: index.db is written
 */
const struct theme themes[] = {
    {"store, synced always", CONFIG(""), SYNC_ALWAYS, 2048, 0, 30, "sssbbLc", true},
    {"store, synced at times", CONFIG(""), SYNC_CLOSE, 2048, 0, 40, "sssbbbLyc", true},
    {"store, left to the system", CONFIG(""), JS_SYNC_OS, 1024, 0, 40, "sssbbbLyc", false},
    {"store, buffered", CONFIG(""), SYNC_CLOSE, 2048, JS_OPEN_ASYNC, 40, "sssbbbLrywc", true},
    {"remove, synced always", CONFIG(""), SYNC_ALWAYS, 1024, 0, 30, "sbrrrc", true},
    {"remove, synced at times", CONFIG(""), SYNC_CLOSE, 1024, 0, 50, "ssbrrrrryc", true},
    {"erase", CONFIG(""), SYNC_ALWAYS, 1024, 0, 40, "sbieeerc", true},
    {"erase, synced at times", CONFIG(""), SYNC_CLOSE, 1024, 0, 40, "sbeeeryc", false},
    {"skip", CONFIG(""), SYNC_ALWAYS, 1024, 0, 40, "sbrKMMc", true},
    {"purge", CONFIG(""), SYNC_ALWAYS, 1024, 0, 40, "sbbbirpukc", true},
    {"purge, synced at times", CONFIG(""), SYNC_CLOSE, 1024, 0, 40, "sbbbirpukyc", false},
    {"compact", CONFIG(""), SYNC_ALWAYS, 1024, 0, 40, "sbbirttic", true},
    {"compact, synced at times", CONFIG(""), SYNC_CLOSE, 1024, 0, 40, "sbbirttKyc", false},
    {"truncate", CONFIG(""), SYNC_ALWAYS, 1024, 0, 40, "sbbbirTKc", true},
    {"truncate, synced at times", CONFIG(""), SYNC_CLOSE, 1024, 0, 40, "sbbbrTyc", false},
    {"rewrite blocks", CONFIG(""), SYNC_ALWAYS, 1024, 0, 50, "sbbirrruBBCCc", true},
    {"rewrite blocks, synced at times", CONFIG(""), SYNC_CLOSE, 1024, 0, 50, "sbbirrruBCCyc", false},
    {"limits", CONFIG(",\"max_msgs\":20"), SYNC_ALWAYS, 1024, 0, 40, "sssbrBc", true},
    {"limits of bytes", CONFIG(",\"max_bytes\":3000"), SYNC_CLOSE, 1024, 0, 40, "sssbLryc", true},
    {"limits by subject", CONFIG(",\"max_msgs_per_subject\":3"), SYNC_ALWAYS, 1024, 0, 40,
     "sssbrBc", true},
    {"age", CONFIG(",\"max_age\":3000000000"), SYNC_ALWAYS, 1024, 0, 40, "sssbwrc", true},
    {"ttl", CONFIG(",\"allow_msg_ttl\":true"), SYNC_ALWAYS, 1024, 0, 40, "sssbwrc", true},
    {"ciphers", CONFIG(""), SYNC_ALWAYS, 1024, 0, 30, "sbbrxxc", true},
    {"compressions", CONFIG(""), SYNC_ALWAYS, 1024, 0, 30, "sbbrezzBc", true},
    {"ciphers and compressions, synced at times", CONFIG(""), SYNC_CLOSE, 1024, 0, 40,
     "sbbrruxzTBCyc", false},
    {"configuration", CONFIG(""), SYNC_ALWAYS, 1024, 0, 30, "sbrggc", true},
    {"everything", CONFIG(""), SYNC_ALWAYS, 1024, 0, 60, "sssbbbLrreeukptTKMBCcwi", true},
    {"everything, synced at times", CONFIG(""), SYNC_CLOSE, 1024, 0, 60, "sssbbbLrreeukptTKMBCcwyyi",
     false},
    {"remove, left to the system", CONFIG(""), JS_SYNC_OS, 1024, 0, 50, "ssbbrrruptyc", false},
    {"limits, left to the system", CONFIG(",\"max_bytes\":3000"), JS_SYNC_OS, 1024, 0, 50, "ssbbLrtyc",
     false},
};
const size_t num_themes = sizeof themes / sizeof *themes;

static uint64_t below(struct script *sc, uint64_t n) {
    return crash_next(&sc->rng) % n;
}

static int kek(void *ctx, const char *account, const char *context, uint8_t ret[32]) {
    (void)ctx;
    return js_kek_derive("s3cr3t", 6, account, context, ret);
}

int script_open(const struct theme *theme, struct testenv *te, struct js_store **ret_store,
                struct js_stream **ret_stream, char *why) {
    struct js_store_options options = {.flags = JS_OPEN_RW | theme->flags,
                                       .sync = theme->sync,
                                       .block_size = theme->block_size,
                                       .compact_min = 250, /* blocks are small here */
                                       .key = kek,
                                       .scan_threads = 1};
    char text[160];
    int r = js_store_open(&te->env, "/s", &options, ret_store, text, sizeof text);

    if (r < 0) {
        snprintf(why, 200, "open: %s: %s", js_err_name(r), text);
        return r;
    }
    r = js_store_get_stream(*ret_store, "A", "S", ret_stream);
    if (r < 0) {
        snprintf(why, 200, "get_stream: %s", js_err_name(r));
        js_store_close(*ret_store);
        *ret_store = NULL;
    }
    return r;
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static int store_some(struct script *sc, size_t n, size_t max_len) {
    struct js_new_msg msgs[12] = {0};
    char subjects[12][16];
    uint8_t *data = malloc(max_len * n);
    int err = 0;

    if (!data)
        abort();
    for (size_t i = 0; i < n; i++) {
        size_t len = 1 + below(sc, max_len);
        uint8_t *d = data + i * max_len;
        memset(d, (int)('a' + sc->stored % 26), len);
        int l = snprintf((char *)d, len, "%llu.", (unsigned long long)(sc->stored));
        if (l >= 0 && (size_t)l < len)
            d[l] = 'x';
        snprintf(subjects[i], sizeof subjects[i], "s.%c", (char)('a' + below(sc, 5)));
        msgs[i] = (struct js_new_msg){
            .subject = subjects[i], .subject_len = 3, .data = d, .data_len = len};
        if (sc->theme->config && strstr(sc->theme->config, "ttl") && below(sc, 2)) {
            msgs[i].hdr = (const uint8_t *)"NATS/1.0\r\nNats-TTL: 3s\r\n\r\n";
            msgs[i].hdr_len = 26;
        } else if (below(sc, 4) == 0) {
            msgs[i].hdr = (const uint8_t *)"NATS/1.0\r\nA: b\r\n\r\n";
            msgs[i].hdr_len = 18;
        }
        sc->stored++;
    }
    ssize_t done = js_stream_store_msgs(sc->stream, msgs, n, &err);
    free(data);
    return done == (ssize_t)n ? 0 : err;
}

static js_seq_t any_seq(struct script *sc) {
    struct js_stream_state st;

    js_stream_get_state(sc->stream, &st);
    js_seq_t from = st.first_seq > 2 ? st.first_seq - 2 : 1;
    return from + below(sc, st.last_seq + 1 > from ? st.last_seq + 1 - from : 1);
}

int script_reopen(struct script *sc) {
    js_stream_unref(sc->stream);
    sc->stream = NULL;
    int r = js_store_close(sc->store);
    sc->store = NULL;
    if (r < 0)
        return r;
    return script_open(sc->theme, &sc->te, &sc->store, &sc->stream, sc->why);
}

/* What may be refused without harm. */
static int tolerate(int r) {
    return r == JS_ERR_EOF || r == JS_ERR_MSG_NOT_FOUND || r == JS_ERR_MAX_MSGS ||
                   r == JS_ERR_MAX_BYTES || r == JS_ERR_MAX_MSGS_PER_SUBJECT
               ? 0
               : r;
}

static int purge_some(struct script *sc, char op, struct step *step) {
    char subject[] = "s.a";
    js_seq_t seq = below(sc, 2) ? any_seq(sc) : 0;
    uint64_t keep = op == 'k' ? 1 + below(sc, 4) : 0;

    subject[2] = (char)('a' + below(sc, 5));
    snprintf(step->text, sizeof step->text, "purge %s below %llu but %llu", subject,
             (unsigned long long)seq, (unsigned long long)keep);
    return js_stream_purge_ex(sc->stream, subject, 3, seq, keep, NULL);
}

/* Near the end mostly. */
static int truncate_some(struct script *sc, struct step *step) {
    struct js_stream_state st;

    js_stream_get_state(sc->stream, &st);
    js_seq_t cut = below(sc, 12 < st.last_seq ? 12 : st.last_seq + 1);
    js_seq_t seq = below(sc, 20) ? st.last_seq - cut : 0;
    snprintf(step->text, sizeof step->text, "truncate to %llu", (unsigned long long)seq);
    return js_stream_truncate(sc->stream, seq);
}

static int change_config(struct script *sc, struct step *step) {
    char config[300];
    size_t len = strlen(sc->theme->config);
    unsigned max = 5 + (unsigned)below(sc, 40);

    snprintf(step->text, sizeof step->text, "max_msgs %u", max);
    snprintf(config, sizeof config, "%.*s,\"max_msgs\":%u}", (int)len - 1, sc->theme->config, max);
    sc->limited = true;
    return js_stream_update_config(sc->stream, config, sc->why, sizeof sc->why);
}

static int change_cipher(struct script *sc, struct step *step) {
    static const char *const names[] = {"none", "chacha", "aes"};
    enum js_new_cipher c = (enum js_new_cipher)below(sc, 3);

    snprintf(step->text, sizeof step->text, "cipher %s", names[c]);
    js_stream_unref(sc->stream);
    sc->stream = NULL;
    int r = js_store_rekey(sc->store, "A", "S", &c, NULL);
    int g = js_store_get_stream(sc->store, "A", "S", &sc->stream);
    return r < 0 ? r : g;
}

static int change_compression(struct script *sc, struct step *step) {
    static const char *const names[] = {"none", "s2", "lz4"};
    const char *name = names[below(sc, 3)];

    snprintf(step->text, sizeof step->text, "compression %s", name);
    return js_store_recompress(sc->store, "A", "S", name, NULL, sc->why, sizeof sc->why);
}

int script_do(struct script *sc, char op, struct step *step) {
    js_seq_t seq;

    switch (op) {
    case 's':
        snprintf(step->text, sizeof step->text, "store");
        return store_some(sc, 1, 60);
    case 'b':
        snprintf(step->text, sizeof step->text, "store a batch");
        return store_some(sc, 2 + below(sc, 10), 120);
    case 'L':
        snprintf(step->text, sizeof step->text, "store a large one");
        return store_some(sc, 1, 1500);
    case 'r':
        seq = any_seq(sc);
        snprintf(step->text, sizeof step->text, "remove %llu", (unsigned long long)(seq));
        return js_stream_remove_msg(sc->stream, seq);
    case 'e':
        seq = any_seq(sc);
        snprintf(step->text, sizeof step->text, "erase %llu", (unsigned long long)(seq));
        return js_stream_erase_msg(sc->stream, seq);
    case 'p':
        snprintf(step->text, sizeof step->text, "purge");
        return js_stream_purge(sc->stream, NULL);
    case 'u':
    case 'k':
        return purge_some(sc, op, step);
    case 't':
        seq = any_seq(sc);
        snprintf(step->text, sizeof step->text, "compact to %llu", (unsigned long long)(seq));
        return js_stream_compact(sc->stream, seq, NULL);
    case 'T':
        return truncate_some(sc, step);
    case 'K':
        snprintf(step->text, sizeof step->text, "skip");
        return js_stream_skip_msg(sc->stream, 0, false, NULL);
    case 'M':
        snprintf(step->text, sizeof step->text, "skip many");
        return js_stream_skip_msgs(sc->stream, 0, 1 + below(sc, 20));
    case 'B':
        snprintf(step->text, sizeof step->text, "rewrite sparse blocks");
        return js_stream_sync_blocks(sc->stream);
    case 'C':
        snprintf(step->text, sizeof step->text, "rewrite blocks");
        return js_stream_compact_blocks(sc->stream, NULL);
    case 'x':
        return change_cipher(sc, step);
    case 'z':
        return change_compression(sc, step);
    case 'g':
        return change_config(sc, step);
    case 'w':
        snprintf(step->text, sizeof step->text, "wait");
        te_advance(&sc->te, 2 * TE_SECOND);
        return js_store_run_due(sc->store, atomic_load(&sc->te.now));
    case 'i':
        snprintf(step->text, sizeof step->text, "wait for an index");
        te_advance(&sc->te, 130 * TE_SECOND);
        return js_store_run_due(sc->store, atomic_load(&sc->te.now));
    case 'y':
        snprintf(step->text, sizeof step->text, "sync");
        step->durable = true;
        return js_stream_sync(sc->stream);
    case 'c':
        snprintf(step->text, sizeof step->text, "close and open");
        step->durable = sc->theme->sync != JS_SYNC_OS;
        return script_reopen(sc);
    default:
        abort();
    }
}

/* ---- the whole --------------------------------------------------------------------------------
 */

int script_begin(struct script *sc, const struct theme *theme, uint64_t seed) {
    struct js_store_options options = {.flags = JS_OPEN_RW | JS_OPEN_CREATE};
    struct js_store *store;
    char text[160] = "";

    *sc = (struct script){.theme = theme, .seed = seed, .rng = seed, .disk = rd_new()};
    /* What limits and age take out leaves no trace in the blocks. */
    sc->limited = strstr(theme->config, "\"max_") != NULL;
    te_init(&sc->te, rd_io(sc->disk));
    sc->steps = calloc(theme->steps + 1, sizeof *sc->steps);
    if (!sc->steps)
        abort();
    int r = js_store_open(&sc->te.env, "/s", &options, &store, text, sizeof text);
    if (r == 0) {
        r = js_store_create_stream(store, "A", "S", theme->config, text, sizeof text);
        int c = js_store_close(store);
        r = r < 0 ? r : c;
    }
    if (r < 0)
        snprintf(sc->why, sizeof sc->why, "create: %s: %s", js_err_name(r), text);
    return r;
}

char script_next_op(struct script *sc) {
    return sc->theme->ops[below(sc, strlen(sc->theme->ops))];
}

static int add_step(struct script *sc, char op) {
    struct step *st = &sc->steps[sc->num_steps];

    *st =
        (struct step){.begin = rd_recorded(sc->disk), .durable = sc->theme->sync == JS_SYNC_ALWAYS};
    int r = op ? tolerate(script_do(sc, op, st)) : 0;
    if (r < 0) {
        snprintf(sc->why, sizeof sc->why, "step %zu, %s: %s", sc->num_steps, st->text,
                 js_err_name(r));
        return -1;
    }
    st->end = rd_recorded(sc->disk);
    st->evicts = sc->limited;
    if (snap_take(sc->stream, &st->after, sc->why) < 0)
        return -1;
    sc->num_steps++;
    te_advance(&sc->te, (js_time_t)below(sc, 50) * 1000000);
    return 0;
}

int script_run(struct script *sc, const struct theme *theme, uint64_t seed) {
    if (script_begin(sc, theme, seed) < 0)
        return -1;
    rd_record(sc->disk);
    if (script_reopen(sc) < 0 || add_step(sc, 0) < 0)
        return -1;
    sc->steps[0].durable = true;
    snprintf(sc->steps[0].text, sizeof sc->steps[0].text, "the beginning");
    while (sc->num_steps <= theme->steps)
        if (add_step(sc, script_next_op(sc)) < 0)
            return -1;
    return 0;
}

void script_done(struct script *sc) {
    js_stream_unref(sc->stream);
    js_store_close(sc->store);
    for (size_t i = 0; i < sc->num_steps; i++)
        snap_done(&sc->steps[i].after);
    free(sc->steps);
    rd_free(sc->disk);
}
