/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/base/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct key {
    uint8_t *data; /* sodium_malloc; NULL: not given */
    size_t len;
};

struct jf_keys {
    struct key current;
    struct key previous;
};

static void key_done(struct key *key) {
    sodium_free(key->data);
    *key = (struct key){0};
}

void jf_keys_free(struct jf_keys *keys) {
    if (!keys)
        return;
    key_done(&keys->current);
    key_done(&keys->previous);
    free(keys);
}

/* Reads to the end, straight into guarded memory: no buffer of stdio keeps a copy. */
static int read_all(int fd, uint8_t *buf, size_t size, size_t *ret_len) {
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, buf + len, size - len);

        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            return js_err_from_errno(errno);
    }
    *ret_len = len;
    return 0;
}

/* A key and its line end fit into JF_KEY_MAX + 2 bytes; one more shows that it is too long. */
static int read_key(int fd, struct key *ret_key) {
    size_t size = JF_KEY_MAX + 3;
    struct key key = {.data = sodium_malloc(size)};
    int r;

    if (!key.data)
        return JS_ERR_NOMEM;
    r = read_all(fd, key.data, size, &key.len);
    if (r >= 0 && key.len > 0 && key.data[key.len - 1] == '\n') {
        key.len--;
        if (key.len > 0 && key.data[key.len - 1] == '\r')
            key.len--;
    }
    if (r >= 0 && key.len == 0)
        r = JS_ERR_INVAL;
    if (r >= 0 && key.len > JF_KEY_MAX)
        r = JS_ERR_TOO_BIG;
    if (r < 0) {
        key_done(&key);
        return r;
    }
    sodium_mprotect_readonly(key.data);
    *ret_key = key;
    return 0;
}

/* "credential:NAME" is what systemd gave the service under that name. NULL: there is no such thing. */
static const char *credential_path(const char *path, char *buf, size_t size) {
    static const char prefix[] = "credential:";
    const char *name = path + sizeof prefix - 1, *dir = getenv("CREDENTIALS_DIRECTORY");

    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return path;
    if (!dir || *dir != '/' || !*name || *name == '.' || strchr(name, '/'))
        return NULL;
    int n = snprintf(buf, size, "%s/%s", dir, name);
    return n > 0 && (size_t)n < size ? buf : NULL;
}

static int load_key(const char *given, struct key *ret_key, char *ret_why, size_t why_size) {
    char buf[1024];
    const char *path = credential_path(given, buf, sizeof buf);
    if (!path) {
        if (ret_why && why_size > 0)
            snprintf(ret_why, why_size, "%s: %s", given,
                     getenv("CREDENTIALS_DIRECTORY")
                         ? "not a credential's name"
                         : "no credentials were given (LoadCredential= of the service)");
        return JS_ERR_NO_ENTRY;
    }
    bool from_stdin = strcmp(path, "-") == 0;
    int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int r = fd < 0 ? js_err_from_errno(errno) : read_key(fd, ret_key);

    if (!from_stdin && fd >= 0)
        close(fd);
    if (r < 0 && ret_why && why_size > 0) {
        const char *what = r == JS_ERR_INVAL     ? "the key file is empty"
                           : r == JS_ERR_TOO_BIG ? "too long for a key"
                                                 : js_err_text(r);

        snprintf(ret_why, why_size, "%s: %s", from_stdin ? "key from standard input" : path, what);
    }
    return r;
}

int jf_keys_load(const char *path, const char *prev_path, struct jf_keys **ret_keys, char *ret_why,
                 size_t why_size) {
    struct jf_keys *keys;
    int r = 0;

    if (sodium_init() < 0)
        return JS_ERR_UNSUPPORTED;
    keys = calloc(1, sizeof *keys);
    if (!keys)
        return JS_ERR_NOMEM;
    if (path)
        r = load_key(path, &keys->current, ret_why, why_size);
    if (r >= 0 && prev_path)
        r = load_key(prev_path, &keys->previous, ret_why, why_size);
    if (r < 0) {
        jf_keys_free(keys);
        return r;
    }
    /* Messages that were decrypted lie in ordinary memory, and keys too where locking is refused: no
     * dump of it is written. */
    (void)prctl(PR_SET_DUMPABLE, 0);
    *ret_keys = keys;
    return 0;
}

static int derive(const struct key *key, const char *account, const char *context,
                  uint8_t ret_kek[32]) {
    if (!key->data)
        return JS_ERR_NO_KEY;
    return js_kek_derive(key->data, key->len, account, context, ret_kek);
}

int jf_keys_current(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    const struct jf_keys *keys = ctx;

    return derive(&keys->current, account, context, ret_kek);
}

int jf_keys_previous(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]) {
    const struct jf_keys *keys = ctx;

    return derive(&keys->previous, account, context, ret_kek);
}
