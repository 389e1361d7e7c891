/* SPDX-License-Identifier: Apache-2.0 */
/* The table of private codes: name, errno class, text. errno values become codes at the I/O table
 * and codes become errno values in the program, nowhere else. */
#include <errno.h>

#include "core/jetstore.h"

struct err_row {
    int code;
    int errnum;
    const char *name;
    const char *text;
};

static const struct err_row err_rows[] = {
#define JS_X(name, errnum, text) {name, errnum, #name, text},
    JS_ERRORS(JS_X)
#undef JS_X
};

static const struct err_row *row_of(int code) {
    int i = code - JS__ERR_FIRST - 1;

    if (i < 0 || i >= (int)(sizeof err_rows / sizeof err_rows[0]))
        return NULL;
    return &err_rows[i];
}

const char *js_err_text(int code) {
    const struct err_row *row = row_of(code);

    if (code >= 0)
        return "success";
    return row ? row->text : "unknown error";
}

const char *js_err_name(int code) {
    const struct err_row *row = row_of(code);

    if (code >= 0)
        return "JS_OK";
    return row ? row->name : "JS_ERR_UNKNOWN";
}

int js_err_errno(int code) {
    const struct err_row *row = row_of(code);

    if (code >= 0)
        return 0;
    return row ? row->errnum : EIO;
}

int js_err_from_errno(int errnum) {
    switch (errnum) {
    case 0:
        return JS_OK;
    case ENOMEM:
        return JS_ERR_NOMEM;
    case EINVAL:
        return JS_ERR_INVAL;
    case ENOSPC:
        return JS_ERR_NO_SPACE;
    case EDQUOT:
        return JS_ERR_QUOTA;
    case EACCES:
    case EPERM:
        return JS_ERR_ACCESS;
    case EMFILE:
    case ENFILE:
        return JS_ERR_TOO_MANY_FILES;
    case ENOENT:
        return JS_ERR_NO_ENTRY;
    case EEXIST:
        return JS_ERR_EXISTS;
    case ENOTEMPTY:
        return JS_ERR_NOT_EMPTY;
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
    case ENXIO:
    case ENOTSUP:
        return JS_ERR_NOT_REGULAR;
    case EROFS:
        return JS_ERR_READ_ONLY;
    case EFBIG:
        return JS_ERR_TOO_BIG;
    case ESTALE:
        return JS_ERR_STALE;
    case EWOULDBLOCK:
        return JS_ERR_LOCKED;
    default:
        return JS_ERR_IO;
    }
}

const char *js_health_name(enum js_health health) {
    switch (health) {
    case JS_HEALTH_OK:
        return "ok";
    case JS_HEALTH_TORN_TAIL:
        return "torn_tail";
    case JS_HEALTH_DAMAGED:
        return "damaged";
    case JS_HEALTH_UNKNOWN_FORMAT:
        return "unknown_format";
    case JS_HEALTH_WRONG_KEY:
        return "wrong_key";
    case JS_HEALTH_NO_KEY:
        return "no_key";
    }
    return "damaged";
}

const char *js_version(void) {
    return JS_VERSION;
}
