/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/jetstore.h"

#define LINE_MAX_LEN 512

struct jf_log {
    pthread_mutex_t lock;
    bool to_stderr;
    size_t next;
    char *lines[JF_LOG_LINES]; /* NULL: not used yet */
};

struct jf_log *jf_log_new(bool to_stderr) {
    struct jf_log *log = calloc(1, sizeof(*log));

    if (!log)
        return NULL;
    pthread_mutex_init(&log->lock, NULL);
    log->to_stderr = to_stderr;
    return log;
}

void jf_log_free(struct jf_log *log) {
    if (!log)
        return;
    for (size_t i = 0; i < JF_LOG_LINES; i++)
        free(log->lines[i]);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

void jf_log_add(struct jf_log *log, const char *fmt, ...) {
    char line[LINE_MAX_LEN];
    va_list ap;
    const struct js_clock *clock = js_env_default()->clock;

    js_time_format(clock->now(clock->ctx), line, 40);
    size_t len = strlen(line);
    line[len++] = ' ';
    va_start(ap, fmt);
    vsnprintf(line + len, sizeof(line) - len, fmt, ap);
    va_end(ap);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    char *copy = strdup(line);
    pthread_mutex_lock(&log->lock);
    if (copy) {
        free(log->lines[log->next]);
        log->lines[log->next] = copy;
        log->next = (log->next + 1) % JF_LOG_LINES;
    }
    if (log->to_stderr)
        fprintf(stderr, "jetfs: %s\n", line);
    pthread_mutex_unlock(&log->lock);
}

char *jf_log_text(struct jf_log *log, size_t *ret_len) {
    size_t total = 0;

    pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < JF_LOG_LINES; i++)
        total += log->lines[i] ? strlen(log->lines[i]) + 1 : 0;
    char *text = malloc(total + 1);
    size_t pos = 0;
    for (size_t i = 0; text && i < JF_LOG_LINES; i++) {
        const char *line = log->lines[(log->next + i) % JF_LOG_LINES];
        if (!line)
            continue;
        size_t n = strlen(line);
        memcpy(text + pos, line, n);
        text[pos + n] = '\n';
        pos += n + 1;
    }
    pthread_mutex_unlock(&log->lock);
    if (!text)
        return NULL;
    text[pos] = 0;
    *ret_len = pos;
    return text;
}
