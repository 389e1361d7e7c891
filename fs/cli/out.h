/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard output and standard error of the program.
 *
 * Output is collected in one buffer and written in large pieces. The first failed write is kept;
 * everything after it is dropped, and jf_out_ok() tells loops to stop. A reader that went away
 * (EPIPE, as with `| head`) is no error: the program ends quietly.
 */
#ifndef JF_CLI_OUT_H
#define JF_CLI_OUT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jf_out {
    int fd;
    uint8_t *buf;
    size_t len;
    size_t cap;
    int err;  /* errno of the first failure; 0 */
    bool tty; /* a person reads it */
};

/* Prepares output to an open descriptor, which stays the caller's. */
void jf_out_init(struct jf_out *out, int fd);
/* Writes what is left and frees. Returns the errno of the first failure, 0 also for EPIPE. */
int jf_out_finish(struct jf_out *out);
/* False once a write failed: whatever follows would be lost. */
bool jf_out_ok(const struct jf_out *out);
/* Writes what has been collected. */
void jf_out_flush(struct jf_out *out);

void jf_out_put(struct jf_out *out, const void *data, size_t len);
void jf_out_text(struct jf_out *out, const char *text);
__attribute__((format(printf, 2, 3))) void jf_out_printf(struct jf_out *out, const char *fmt, ...);
/* len bytes to fill in, or NULL (then the failure is kept); jf_out_commit tells how many were. */
uint8_t *jf_out_room(struct jf_out *out, size_t len);
void jf_out_commit(struct jf_out *out, size_t len);
/* Bytes that jf_out_room gives without writing or growing. */
size_t jf_out_left(const struct jf_out *out);

/* A JSON string; what is not UTF-8 becomes U+FFFD. */
void jf_out_json(struct jf_out *out, const void *data, size_t len);
/* The same, with the NUL terminated text of a name. */
void jf_out_json_text(struct jf_out *out, const char *text);
/* A time as a JSON string, null for 0. */
void jf_out_json_time(struct jf_out *out, int64_t time);

/*
 * Text from a store for people: control characters, what is not UTF-8, marks that turn the
 * direction of writing, and the backslash are shown as \xNN, so that a name can neither steer a
 * terminal nor look like another one. Writes at most size bytes including the NUL; returns the
 * length that the whole would have.
 */
size_t jf_escape(const void *data, size_t len, char *buf, size_t size);
/* The same, into the output. */
void jf_out_escaped(struct jf_out *out, const void *data, size_t len);

/* "jetfs: PATH: text", one line on standard error, escaped. path NULL: left out. */
__attribute__((format(printf, 2, 3))) void jf_say(const char *path, const char *fmt, ...);

#endif
