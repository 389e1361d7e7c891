/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/base/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct why {
    char *text;
    size_t size;
};

/* Options of mount(8) and fuse(8) that say what is the case anyway, or that mount(8) leaves in the
 * list for the helper: accepted, nothing to do. */
static const char *const silent[] = {
    "defaults",    "auto",       "noauto",  "user",   "nouser",     "users",
    "owner",       "group",      "_netdev", "nofail", "relatime",   "norelatime",
    "strictatime", "lazytime",   "nosuid",  "nodev",  "noexec",     "async",
    "iversion",    "noiversion", "mand",    "nomand", "nolazytime", "default_permissions",
    "suid",        "dev",        "loud",    "silent",
};

/* Options that libfuse or the kernel act on; those ending in '=' take a value. */
static const char *const generic[] = {
    "exec",    "atime",     "noatime",  "diratime",   "nodiratime",  "sync",         "dirsync",
    "fsname=", "max_read=", "context=", "fscontext=", "defcontext=", "rootcontext=", "nonempty",
};

static int refuse(struct why *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct why *why, const char *fmt, ...) {
    va_list ap;

    va_start(ap, fmt);
    if (why->text && why->size)
        vsnprintf(why->text, why->size, fmt, ap);
    va_end(ap);
    return JS_ERR_INVAL;
}

void jf_options_init(struct jf_options *options) {
    memset(options, 0, sizeof(*options));
    options->sync = JS_SYNC_CLOSE;
    options->max_payload = UINT64_C(8) << 20;
    options->expire = true;
    options->uid = getuid();
    options->gid = getgid();
    options->umask = 022;
}

void jf_options_done(struct jf_options *options) {
    free(options->source);
    free(options->mountpoint);
    free(options->account);
    free(options->key_file);
    free(options->prev_key_file);
    free(options->cipher);
    free(options->fuse_opts);
    memset(options, 0, sizeof(*options));
}

static int set_text(char **slot, const char *value) {
    char *copy = strdup(value);

    if (!copy)
        return JS_ERR_NOMEM;
    free(*slot);
    *slot = copy;
    return 0;
}

/* A number with an optional K, M, G or T (powers of 1024). */
static bool parse_bytes(const char *text, uint64_t *ret) {
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    uint64_t v = strtoull(text, &end, 10);
    unsigned shift = 0;
    switch (*end) {
    case 'T':
    case 't':
        shift = 40;
        break;
    case 'G':
    case 'g':
        shift = 30;
        break;
    case 'M':
    case 'm':
        shift = 20;
        break;
    case 'K':
    case 'k':
        shift = 10;
        break;
    default:
        break;
    }
    if (shift)
        end++;
    if (*end || v > UINT64_MAX >> shift)
        return false;
    *ret = v << shift;
    return true;
}

static bool parse_number(const char *text, unsigned base, uint64_t max, uint64_t *ret) {
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    uint64_t v = strtoull(text, &end, (int)base);
    if (*end || v > max)
        return false;
    *ret = v;
    return true;
}

static int set_sync(struct jf_options *o, const char *value, struct why *why) {
    if (strcmp(value, "close") == 0) {
        o->sync = JS_SYNC_CLOSE;
    } else if (strcmp(value, "always") == 0) {
        o->sync = JS_SYNC_ALWAYS;
    } else if (strcmp(value, "os") == 0) {
        o->sync = JS_SYNC_OS;
    } else if (strncmp(value, "interval", 8) == 0 && (value[8] == 0 || value[8] == ':')) {
        uint64_t seconds = 120;
        if (value[8] && (!parse_number(value + 9, 10, 86400, &seconds) || seconds == 0))
            return refuse(why, "sync=interval takes 1 to 86400 seconds, not '%s'", value + 9);
        o->sync = JS_SYNC_INTERVAL;
        o->sync_interval = (unsigned)seconds;
    } else {
        return refuse(why, "sync is close, always, interval[:SECONDS] or os, not '%s'", value);
    }
    return 0;
}

/* One of two words. */
static int set_choice(bool *slot, const char *name, const char *value, const char *yes,
                      const char *no, struct why *why) {
    if (strcmp(value, yes) != 0 && strcmp(value, no) != 0)
        return refuse(why, "%s is %s or %s, not '%s'", name, yes, no, value);
    *slot = strcmp(value, yes) == 0;
    return 0;
}

static int set_flag(struct jf_options *o, const char *name) {
    const struct {
        const char *name;
        bool *slot;
        bool value;
    } flags[] = {
        {"rw", &o->rw, true},
        {"ro", &o->rw, false},
        {"allow_delete", &o->allow_delete, true},
        {"allow_admin", &o->allow_admin, true},
        {"erase", &o->erase, true},
        {"force", &o->force, true},
        {"empty_lines", &o->empty_lines, true},
        {"allow_other", &o->allow_other, true},
        {"allow_root", &o->allow_root, true},
        {"auto_unmount", &o->auto_unmount, true},
        {"debug", &o->debug, true},
    };

    if (strcmp(name, "allow_all") == 0) {
        o->rw = o->allow_delete = o->allow_admin = true;
        return 1;
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(name, flags[i].name) == 0) {
            *flags[i].slot = flags[i].value;
            return 1;
        }
    }
    return 0;
}

static int set_number(struct jf_options *o, const char *name, const char *value, struct why *why) {
    uint64_t v;

    if (strcmp(name, "max_payload") == 0 || strcmp(name, "cache") == 0) {
        /* A message is at most 64 MiB on any server; below 1 byte nothing could be published. */
        uint64_t max = name[0] == 'm' ? UINT64_C(64) << 20 : UINT64_MAX >> 1;
        if (!parse_bytes(value, &v) || v == 0 || v > max)
            return refuse(why, "%s takes bytes (1 to %" PRIu64 ", K, M, G allowed), not '%s'", name,
                          max, value);
        *(name[0] == 'm' ? &o->max_payload : &o->cache_bytes) = v;
    } else if (strcmp(name, "threads") == 0) {
        if (!parse_number(value, 10, 64, &v) || v == 0)
            return refuse(why, "threads takes 1 to 64, not '%s'", value);
        o->threads = (unsigned)v;
    } else if (strcmp(name, "umask") == 0) {
        if (!parse_number(value, 8, 0777, &v))
            return refuse(why, "umask takes an octal number up to 777, not '%s'", value);
        o->umask = (mode_t)v;
    } else if (strcmp(name, "uid") == 0 || strcmp(name, "gid") == 0) {
        if (!parse_number(value, 10, UINT32_MAX - 1, &v))
            return refuse(why, "%s takes a number, not '%s'", name, value);
        if (name[0] == 'u')
            o->uid = (uid_t)v;
        else
            o->gid = (gid_t)v;
    } else {
        return 0;
    }
    return 1;
}

/* name=value options of ours. 1 taken, 0 not ours, negative refused. */
static int set_value(struct jf_options *o, const char *name, const char *value, struct why *why) {
    bool block = false;
    int r;

    if (strcmp(name, "account") == 0)
        r = *value ? set_text(&o->account, value) : refuse(why, "account= needs a name");
    else if (strcmp(name, "sync") == 0)
        r = set_sync(o, value, why);
    else if (strcmp(name, "key_file") == 0)
        r = *value ? set_text(&o->key_file, value) : refuse(why, "key_file= needs a path");
    else if (strcmp(name, "prev_key_file") == 0)
        r = *value ? set_text(&o->prev_key_file, value)
                   : refuse(why, "prev_key_file= needs a path");
    else if (strcmp(name, "cipher") == 0)
        r = strcmp(value, "chacha") == 0 || strcmp(value, "aes") == 0
                ? set_text(&o->cipher, value)
                : refuse(why, "cipher is chacha or aes, not '%s'", value);
    else if (strcmp(name, "full") == 0) {
        r = set_choice(&block, name, value, "block", "fail", why);
        o->full = block ? JF_FULL_BLOCK : JF_FULL_FAIL;
    } else if (strcmp(name, "seq") == 0)
        r = set_choice(&o->seq_hidden, name, value, "hidden", "shown", why);
    else if (strcmp(name, "views") == 0)
        r = set_choice(&o->views_cached, name, value, "cached", "direct", why);
    else if (strcmp(name, "partial") == 0)
        r = set_choice(&o->partial_drop, name, value, "drop", "publish", why);
    else if (strcmp(name, "empty") == 0)
        r = set_choice(&o->empty_publish, name, value, "publish", "skip", why);
    else if (strcmp(name, "expire") == 0)
        r = set_choice(&o->expire, name, value, "on", "off", why);
    else
        return set_number(o, name, value, why);
    return r < 0 ? r : 1;
}

static int pass_on(struct jf_options *o, const char *word) {
    size_t old = o->fuse_opts ? strlen(o->fuse_opts) : 0;
    /* Commas and backslashes in values are escaped for libfuse's own splitting. */
    char *text = realloc(o->fuse_opts, old + 2 * strlen(word) + 2);

    if (!text)
        return JS_ERR_NOMEM;
    if (old)
        text[old++] = ',';
    for (const char *p = word; *p; p++) {
        if (*p == ',' || *p == '\\')
            text[old++] = '\\';
        text[old++] = *p;
    }
    text[old] = 0;
    o->fuse_opts = text;
    return 0;
}

static bool is_generic(const char *word) {
    for (size_t i = 0; i < sizeof(generic) / sizeof(generic[0]); i++) {
        size_t n = strlen(generic[i]);
        if (generic[i][n - 1] == '=' ? strncmp(word, generic[i], n) == 0 && word[n]
                                     : strcmp(word, generic[i]) == 0)
            return true;
    }
    return false;
}

static bool is_silent(const char *word) {
    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++)
        if (strcmp(word, silent[i]) == 0)
            return true;
    /* x-systemd.automount, x-gvfs-hide ...: for programs that read fstab */
    return strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0 ||
           strncmp(word, "comment=", 8) == 0 || strcmp(word, "subtype=jetfs") == 0;
}

/* word is changed and put back. */
static int set_option(struct jf_options *o, char *word, struct why *why) {
    char *eq = strchr(word, '=');
    int r;

    if (eq) {
        *eq = 0;
        r = set_value(o, word, eq + 1, why);
        *eq = '=';
    } else {
        r = set_flag(o, word);
    }
    if (r != 0)
        return r < 0 ? r : 0;
    if (is_silent(word))
        return 0;
    if (is_generic(word))
        return strcmp(word, "nonempty") == 0 ? 0 : pass_on(o, word);
    if (eq && (strncmp(word, "key=", 4) == 0 || strncmp(word, "password=", 9) == 0))
        return refuse(why, "a key is never taken from a command line; use key_file=PATH");
    return refuse(why, "unknown option '%s'", word);
}

int jf_options_parse_list(struct jf_options *options, const char *list, char *ret_why,
                          size_t why_size) {
    struct why why = {ret_why, why_size};
    char *word = malloc(strlen(list) + 1);
    int r = 0;

    if (!word)
        return JS_ERR_NOMEM;
    while (*list && r == 0) {
        size_t n = 0;
        for (; *list && *list != ','; list++) {
            if (*list == '\\' && list[1])
                list++;
            word[n++] = *list;
        }
        if (*list == ',')
            list++;
        word[n] = 0;
        if (n)
            r = set_option(options, word, &why);
    }
    free(word);
    return r;
}

static int set_word(struct jf_options *o, const char *word, struct why *why) {
    if (!o->source)
        return set_text(&o->source, word);
    if (!o->mountpoint)
        return set_text(&o->mountpoint, word);
    return refuse(why, "one word too many: '%s'", word);
}

/* Long options of the other verbs, for those who type them here. 1 taken (with *i moved). */
static int set_long(struct jf_options *o, int argc, char **argv, int *i, struct why *why) {
    static const struct {
        const char *name;
        const char *option;
    } longs[] = {
        {"--account", "account"}, {"--key-file", "key_file"}, {"--prev-key-file", "prev_key_file"}};
    const char *arg = argv[*i];

    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        o->help = true;
        return 1;
    }
    for (size_t k = 0; k < sizeof(longs) / sizeof(longs[0]); k++) {
        size_t n = strlen(longs[k].name);
        if (strncmp(arg, longs[k].name, n) != 0 || (arg[n] && arg[n] != '='))
            continue;
        const char *value = arg[n] ? arg + n + 1 : NULL;
        if (!value && *i + 1 < argc)
            value = argv[++*i];
        if (!value)
            return refuse(why, "%s needs a value", longs[k].name);
        return set_value(o, longs[k].option, value, why);
    }
    return 0;
}

int jf_options_parse(struct jf_options *options, int argc, char **argv, char *ret_why,
                     size_t why_size) {
    struct why why = {ret_why, why_size};
    bool ended = false;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        int r = 0;

        if (ended || arg[0] != '-' || arg[1] == 0) {
            r = set_word(options, arg, &why);
        } else if (strcmp(arg, "--") == 0) {
            ended = true;
        } else if (strcmp(arg, "-f") == 0) {
            options->foreground = true;
        } else if (strcmp(arg, "-d") == 0) {
            options->foreground = options->debug = true;
        } else if (strncmp(arg, "-o", 2) == 0) {
            const char *list = arg[2] ? arg + 2 : i + 1 < argc ? argv[++i] : NULL;
            r = list ? jf_options_parse_list(options, list, ret_why, why_size)
                     : refuse(&why, "-o needs a list of options");
        } else {
            r = set_long(options, argc, argv, &i, &why);
            if (r == 0)
                return refuse(&why, "unknown option '%s'", arg);
        }
        if (r < 0)
            return r;
    }
    if (options->help)
        return 0;
    if (!options->source || !options->mountpoint)
        return refuse(&why, "SOURCE and MOUNTPOINT are needed");
    if (!options->rw && (options->allow_delete || options->allow_admin))
        return refuse(&why, "allow_delete and allow_admin need rw");
    if (options->key_file && options->prev_key_file && strcmp(options->key_file, "-") == 0 &&
        strcmp(options->prev_key_file, "-") == 0)
        return refuse(&why, "only one key can come from standard input");
    return 0;
}

char *jf_options_text(const struct jf_options *o) {
    static const char *const syncs[] = {"close", "always", "interval", "os"};
    char *text;
    int n = asprintf(
        &text,
        "mode=%s\nallow_delete=%s\nallow_admin=%s\naccount=%s\nsync=%s\nmax_payload=%" PRIu64
        "\nfull=%s\nthreads=%u\nseq=%s\nviews=%s\nempty_lines=%s\npartial=%s\nempty=%s\nexpire=%s\n"
        "cache=%" PRIu64 "\nuid=%u\ngid=%u\numask=%03o\nallow_other=%s\nauto_unmount=%s\n",
        o->rw ? "rw" : "ro", o->allow_delete ? "yes" : "no", o->allow_admin ? "yes" : "no",
        o->account ? o->account : "", syncs[o->sync], o->max_payload,
        o->full == JF_FULL_BLOCK ? "block" : "fail", o->threads, o->seq_hidden ? "hidden" : "shown",
        o->views_cached ? "cached" : "direct", o->empty_lines ? "yes" : "no",
        o->partial_drop ? "drop" : "publish", o->empty_publish ? "publish" : "skip",
        o->rw && o->expire ? "on" : "off", o->cache_bytes, (unsigned)o->uid, (unsigned)o->gid,
        (unsigned)o->umask, o->allow_other ? "yes" : "no", o->auto_unmount ? "yes" : "no");

    return n < 0 ? NULL : text;
}

const char *jf_options_help(void) {
    return "Usage: jetfs mount SOURCE MOUNTPOINT [-o OPTIONS] [-f] [-d]\n"
           "\n"
           "  -f                     stay in the foreground\n"
           "  -d                     print every request (foreground)\n"
           "  --                     what follows are no options\n"
           "\n"
           "Options after -o, separated by commas:\n"
           "  ro                     read only; changes nothing in SOURCE (default)\n"
           "  rw                     publishing, taking and acknowledging messages of consumers\n"
           "  allow_delete           remove messages (with rw)\n"
           "  allow_admin            create, change and remove streams and consumers (with rw)\n"
           "  force                  consumers are removed with messages in flight, too\n"
           "  allow_all              rw, allow_delete, allow_admin\n"
           "  account=NAME           the account at the root; all: every account\n"
           "  sync=close|always|interval[:SECONDS]|os\n"
           "                         when written data is on disk (default close)\n"
           "  key_file=PATH          the server's jetstream key; - is standard input\n"
           "  prev_key_file=PATH     the key before it\n"
           "  cipher=chacha|aes      of streams that are made (with key_file)\n"
           "  max_payload=BYTES      largest message (default 8M)\n"
           "  full=fail|block        a stream is full: an error (default), or wait for room\n"
           "  erase                  rm overwrites what it removes\n"
           "  expire=on|off          age and TTLs take messages out (default on, with rw)\n"
           "  threads=N              threads that receive requests (default min(4, cores))\n"
           "  cache=BYTES            block cache (default 256M)\n"
           "  seq=hidden             seq/ and full/ are not listed\n"
           "  views=cached           all.* through the page cache (for mmap)\n"
           "  empty_lines            empty lines are messages\n"
           "  partial=publish|drop   an unfinished last line\n"
           "  empty=publish          an empty file is an empty message\n"
           "  uid= gid= umask=       owner and mode of everything shown\n"
           "  allow_other allow_root auto_unmount, and those of mount(8)\n"
           "\n"
           "Exit code: 0 mounted, 1 usage or refusal, 2 system error, 32 the mount failed.\n";
}
