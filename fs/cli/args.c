/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct jf_opt *find_name(const struct jf_args *args, const char *name, size_t len) {
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < args->nopts[t]; i++) {
            const struct jf_opt *opt = &args->opts[t][i];

            if (strlen(opt->name) == len && memcmp(opt->name, name, len) == 0)
                return opt;
        }
    return NULL;
}

static const struct jf_opt *find_letter(const struct jf_args *args, char letter) {
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < args->nopts[t]; i++)
            if (args->opts[t][i].letter == letter)
                return &args->opts[t][i];
    return NULL;
}

__attribute__((format(printf, 2, 3))) static int bad(struct jf_args *args, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(args->why, sizeof args->why, fmt, ap);
    va_end(ap);
    return JF_ARGS_BAD;
}

/* The value of an option is what is attached to it, else the next word. */
static int take_value(struct jf_args *args, const struct jf_opt *opt, const char *attached,
                      const char **ret_value) {
    if (!opt->value) {
        if (attached)
            return bad(args, "option --%s takes no value", opt->name);
        *ret_value = NULL;
        return opt->id;
    }
    if (!attached) {
        if (args->pos >= args->argc)
            return bad(args, "option --%s needs a value", opt->name);
        attached = args->argv[args->pos++];
    }
    *ret_value = attached;
    return opt->id;
}

static int next_long(struct jf_args *args, const char *word, const char **ret_value) {
    const char *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    const struct jf_opt *opt = find_name(args, word, len);

    if (!opt)
        return bad(args, "unknown option --%.*s", (int)(len < 60 ? len : 60), word);
    return take_value(args, opt, equals ? equals + 1 : NULL, ret_value);
}

int jf_args_next(struct jf_args *args, const char **ret_value) {
    const struct jf_opt *opt;
    const char *word;

    if (args->pos >= args->argc)
        return JF_ARGS_END;
    word = args->argv[args->pos++];
    if (!args->ended && strcmp(word, "--") == 0) {
        args->ended = true;
        return jf_args_next(args, ret_value);
    }
    /* A lone dash is a word: it stands for a standard stream. */
    if (args->ended || word[0] != '-' || word[1] == '\0') {
        *ret_value = word;
        return JF_ARGS_WORD;
    }
    if (word[1] == '-')
        return next_long(args, word + 2, ret_value);

    opt = find_letter(args, word[1]);
    if (!opt)
        return bad(args, "unknown option -%c", word[1]);
    if (!opt->value && word[2] != '\0')
        return bad(args, "options cannot be joined: %.60s", word);
    return take_value(args, opt, word[2] ? word + 2 : NULL, ret_value);
}

bool jf_path_exists(const char *path) {
    struct stat st;

    return lstat(path, &st) == 0;
}

int jf_args_split_source(const char *text, bool (*exists)(const char *path), char **ret_source,
                         char **ret_stream) {
    const char *colon = strrchr(text, ':');
    char *source;
    char *stream = NULL;

    if (text[0] == '\0')
        return JS_ERR_INVAL;
    if (exists(text) || (colon && strchr(colon, '/')))
        colon = NULL;
    if (colon && (colon == text || colon[1] == '\0'))
        return JS_ERR_INVAL;
    source = colon ? strndup(text, (size_t)(colon - text)) : strdup(text);
    if (colon)
        stream = strdup(colon + 1);
    if (!source || (colon && !stream)) {
        free(source);
        free(stream);
        return JS_ERR_NOMEM;
    }
    *ret_source = source;
    *ret_stream = stream;
    return 0;
}

/* Digits only: strtoull alone would take signs and blanks. */
static int parse_seq(const char *text, size_t len, js_seq_t *ret_seq) {
    js_seq_t seq = 0;

    if (len == 0)
        return JS_ERR_INVAL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return JS_ERR_INVAL;
        if (__builtin_mul_overflow(seq, 10, &seq) ||
            __builtin_add_overflow(seq, (js_seq_t)(text[i] - '0'), &seq))
            return JS_ERR_INVAL;
    }
    *ret_seq = seq;
    return 0;
}

int jf_args_parse_range(const char *text, js_seq_t *ret_first, js_seq_t *ret_last) {
    const char *dots = strstr(text, "..");
    js_seq_t first = 1;
    js_seq_t last = 0;

    if (!dots) {
        if (parse_seq(text, strlen(text), &first) < 0 || first == 0)
            return JS_ERR_INVAL;
        last = first;
    } else {
        if (dots == text && dots[2] == '\0')
            return JS_ERR_INVAL;
        if (dots != text && parse_seq(text, (size_t)(dots - text), &first) < 0)
            return JS_ERR_INVAL;
        if (dots[2] != '\0' && (parse_seq(dots + 2, strlen(dots + 2), &last) < 0 || last < first))
            return JS_ERR_INVAL;
        if (dots[2] != '\0' && last == 0)
            return JS_ERR_INVAL;
    }
    *ret_first = first ? first : 1;
    *ret_last = last;
    return 0;
}

static int append(char **block, size_t *len, const char *data, size_t n) {
    char *grown = realloc(*block, *len + n + 1);

    if (!grown)
        return JS_ERR_NOMEM;
    memcpy(grown + *len, data, n);
    grown[*len + n] = '\0';
    *block = grown;
    *len += n;
    return 0;
}

int jf_args_add_header(const char *text, char **block, size_t *len) {
    static const char version[] = "NATS/1.0\r\n";
    const char *colon = strchr(text, ':');
    const char *end = text + strlen(text);
    const char *value;
    int r = 0;

    if (!colon || colon == text)
        return JS_ERR_INVAL;
    for (const char *p = text; p < end; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || (p < colon && *p == ' '))
            return JS_ERR_INVAL;
    value = colon + 1;
    while (*value == ' ')
        value++;
    while (end > value && end[-1] == ' ')
        end--;

    if (!*block)
        r = append(block, len, version, sizeof version - 1);
    if (r >= 0)
        r = append(block, len, text, (size_t)(colon - text));
    if (r >= 0)
        r = append(block, len, ": ", 2);
    if (r >= 0)
        r = append(block, len, value, (size_t)(end - value));
    if (r >= 0)
        r = append(block, len, "\r\n", 2);
    return r;
}

int jf_args_end_headers(char **block, size_t *len) {
    return *block ? append(block, len, "\r\n", 2) : 0;
}
