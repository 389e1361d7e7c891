/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a mount.
 *
 * The parent forks before there are threads and waits at a pipe; the child opens the store, mounts,
 * starts its threads, looks at the root through the kernel, and then tells the exit code. Until
 * then it keeps the terminal, for messages and for a key on standard input. Signals are blocked in
 * all threads and read by the main one. The end: no new waiting, ESHUTDOWN for who waits,
 * unfinished writing published or dropped, threads ended, unmounted, store synced and closed.
 */
#include "fs/session/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/base/keyfile.h"
#include "fs/node/extra.h"
#include "fs/session/loop.h"
#include "fs/session/notify.h"
#include "fs/session/ops.h"
#include "fs/session/park.h"
#include "fs/session/pool.h"
#include "fs/session/setup.h"

enum { EXIT_MOUNTED = 0, EXIT_REFUSED = 1, EXIT_SYSTEM = 2, EXIT_MOUNT_FAILED = 32 };

#define MAX_IO       (1u << 20)
#define STOP_SECONDS 20
/* How often the store is asked whether something is due, and whether its cache is idle. */
#define DUE_MS  250
#define IDLE_MS 5000

struct mount {
    struct jf_fs fs;
    struct jf_keys *keys;
    struct jf_loop *loop;
    int ready; /* eventfd: INIT was answered */
    int ended; /* eventfd: the kernel ended the session */
    int signals;
    int report; /* pipe to the parent; -1 in the foreground */
    unsigned dev_minor;
};

static void say(const char *text) {
    fprintf(stderr, "jetfs: %s\n", text);
}

/* ---- the session's two own operations */

static void op_init(void *userdata, struct fuse_conn_info *conn) {
    struct mount *m = userdata; /* fs is its first member */
    uint64_t one = 1;

    /* AUTO_INVAL_DATA drops the whole cache of a growing file, EXPLICIT_INVAL_DATA shows NUL bytes
     * at its end; the writeback cache merges and reorders appends. */
    conn->want &=
        ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_EXPLICIT_INVAL_DATA |
                    FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                    FUSE_CAP_SPLICE_MOVE | FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_POSIX_ACL |
                    FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_FLOCK_LOCKS |
                    FUSE_CAP_POSIX_LOCKS);
    conn->want |= conn->capable & (unsigned)(FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                                             FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_ASYNC_READ |
                                             FUSE_CAP_PARALLEL_DIROPS);
    conn->max_write = MAX_IO;
    conn->max_read = MAX_IO;
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    conn->time_gran = 1;
    if (write(m->ready, &one, sizeof(one)) < 0)
        jf_log_add(m->fs.log, "readiness: %s", strerror(errno));
}

/* ---- mounting */

static void add_escaped(FILE *f, const char *text) {
    for (; *text; text++) {
        if (*text == ',' || *text == '\\')
            fputc('\\', f);
        fputc(*text, f);
    }
}

static char *fuse_options(const struct jf_fs *fs) {
    const struct jf_options *o = &fs->options;
    const char *more = o->fuse_opts ? o->fuse_opts : "";
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    fprintf(f, "default_permissions,subtype=jetfs,%s", o->rw ? "rw" : "ro");
    if (!strstr(more, "max_read="))
        fprintf(f, ",max_read=%u", MAX_IO);
    if (!strstr(more, "fsname=")) {
        fputs(",fsname=", f);
        add_escaped(f, fs->source);
    }
    /* nosuid and nodev are FUSE's defaults. */
    if (strncmp(more, "exec", 4) != 0 && !strstr(more, ",exec"))
        fputs(",noexec", f);
    fprintf(f, "%s%s%s%s", o->allow_other ? ",allow_other" : "", o->allow_root ? ",allow_root" : "",
            o->auto_unmount ? ",auto_unmount" : "", o->debug ? ",debug" : "");
    if (more[0])
        fprintf(f, ",%s", more);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int start_session(struct mount *m) {
    struct fuse_lowlevel_ops ops;
    char *options = fuse_options(&m->fs);
    char *argv[] = {"jetfs", "-o", options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);

    if (!options)
        return EXIT_SYSTEM;
    jf_ops_fill(&ops);
    ops.init = op_init;
    /* fs is the first member, so it is the mount, too. */
    m->fs.session = fuse_session_new(&args, &ops, sizeof(ops), &m->fs);
    fuse_opt_free_args(&args);
    free(options);
    if (!m->fs.session)
        return EXIT_REFUSED;
    if (fuse_session_mount(m->fs.session, m->fs.options.mountpoint) != 0) {
        say("the mount failed");
        return EXIT_MOUNT_FAILED;
    }
    return 0;
}

static unsigned thread_count(const struct jf_options *o) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (o->threads)
        return o->threads;
    return cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
}

/* ---- running */

static void run_due(struct jf_fs *fs, js_time_t *next_idle) {
    js_time_t due = js_store_next_deadline(fs->store);
    js_time_t now = fs->env->clock->now(fs->env->clock->ctx);

    if ((!due || due > now) && now < *next_idle)
        return;
    *next_idle = now + IDLE_MS * INT64_C(1000000);
    int r = js_store_run_due(fs->store, now);
    if (r < 0) {
        jf_log_add(fs->log, "periodic sync: %s", js_err_text(r));
        if (!fs->options.foreground)
            syslog(LOG_ERR, "jetfs: %s: periodic sync: %s", fs->source, js_err_text(r));
    }
}

/* Lets the parent go. */
static void report(struct mount *m, unsigned char code) {
    if (m->report < 0)
        return;
    if (code == EXIT_MOUNTED) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        setsid();
        if (chdir("/") < 0 || null < 0)
            jf_log_add(m->fs.log, "going to background: %s", strerror(errno));
        for (int fd = 0; fd < 3 && null >= 0; fd++)
            dup2(null, fd);
        if (null > 2)
            close(null);
    }
    ssize_t n = write(m->report, &code, 1);
    (void)n;
    close(m->report);
    m->report = -1;
}

/* The tree is usable when a look through the kernel comes back. */
static void become_ready(struct mount *m) {
    struct stat st;

    if (stat(m->fs.options.mountpoint, &st) == 0)
        m->dev_minor = minor(st.st_dev);
    report(m, EXIT_MOUNTED);
}

/* Until a signal or the kernel ends it. Returns the exit code. */
static int serve(struct mount *m) {
    struct pollfd fds[3] = {{.fd = m->signals, .events = POLLIN},
                            {.fd = m->ended, .events = POLLIN},
                            {.fd = m->ready, .events = POLLIN}};
    nfds_t count = 3;
    js_time_t next_idle = 0;

    for (;;) {
        int n = poll(fds, count, m->fs.options.rw ? DUE_MS : IDLE_MS);
        if (n < 0 && errno != EINTR)
            return EXIT_SYSTEM;
        run_due(&m->fs, &next_idle);
        if (n <= 0)
            continue;
        if (count == 3 && fds[2].revents) {
            become_ready(m);
            count = 2;
        }
        if (fds[0].revents || fds[1].revents)
            return count == 2 ? 0 : EXIT_MOUNT_FAILED;
    }
}

/* ---- the end */

/* Nothing may keep a mount point hanging: after STOP_SECONDS the connection is cut. */
static void *watchdog(void *arg) {
    struct mount *m = arg;
    char path[64];

    sleep(STOP_SECONDS);
    snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort", m->dev_minor);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) < 0)
        syslog(LOG_ERR, "jetfs: abort: %s", strerror(errno));
    syslog(LOG_ERR, "jetfs: %s: did not end in %d seconds", m->fs.options.mountpoint, STOP_SECONDS);
    _exit(EXIT_SYSTEM);
}

static void end_session(struct mount *m) {
    struct jf_fs *fs = &m->fs;
    pthread_t dog;

    if (pthread_create(&dog, NULL, watchdog, m) == 0)
        pthread_detach(dog);
    atomic_store(&fs->stopping, true);
    if (fs->parking)
        jf_parking_drain(fs);
    for (size_t i = 0; fs->store && jf_extra_classes[i]; i++)
        if (jf_extra_classes[i]->shutdown)
            jf_extra_classes[i]->shutdown(fs);
    if (m->loop)
        jf_loop_stop(m->loop);
    jf_notify_stop(fs);
    /* Finishes deferred requests while there is a descriptor to answer through. */
    jf_pool_free(fs->pool);
    fs->pool = NULL;
    if (fs->session) {
        fuse_session_unmount(fs->session);
        fuse_session_destroy(fs->session);
    }
}

/* Returns the exit code after closing the store. */
static int finish(struct mount *m, int code) {
    bool background = !m->fs.options.foreground;
    end_session(m);
    int r = jf_setup_done(&m->fs);

    if (r < 0) {
        if (background)
            syslog(LOG_ERR, "jetfs: closing the store: %s", js_err_text(r));
        else
            fprintf(stderr, "jetfs: closing the store: %s\n", js_err_text(r));
        if (code == 0)
            code = EXIT_SYSTEM;
    }
    jf_keys_free(m->keys);
    report(m, (unsigned char)code);
    return code;
}

static int exit_code_of(int r) {
    switch (r) {
    case JS_ERR_NOMEM:
    case JS_ERR_IO:
    case JS_ERR_TOO_MANY_FILES:
    case JS_ERR_NO_SPACE:
        return EXIT_SYSTEM;
    default:
        return EXIT_REFUSED;
    }
}

static int block_signals(struct mount *m) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    m->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    m->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return m->signals < 0 || m->ready < 0 || m->ended < 0 ? -errno : 0;
}

static int run_mount(struct mount *m) {
    char why[JF_WHY_SIZE];

    if (block_signals(m) < 0) {
        say(strerror(errno));
        return finish(m, EXIT_SYSTEM);
    }
    int r = jf_setup(&m->fs, &m->keys, why, sizeof(why));
    if (r < 0) {
        say(why);
        return finish(m, exit_code_of(r));
    }
    int code = start_session(m);
    if (code == 0) {
        r = jf_notify_start(&m->fs);
        if (r == 0)
            r = jf_loop_start(&m->fs, thread_count(&m->fs.options), m->ended, &m->loop);
        if (r < 0)
            say("no memory or no thread");
        code = r < 0 ? EXIT_SYSTEM : serve(m);
    }
    return finish(m, code);
}

/* The parent: waits for the child's word. A child that died without one has said why. */
static int wait_for_child(int fd, pid_t pid) {
    unsigned char code;
    int status;
    ssize_t n;

    do {
        n = read(fd, &code, 1);
    } while (n < 0 && errno == EINTR);
    close(fd);
    if (n == 1)
        return code;
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
        return WEXITSTATUS(status);
    say("the mount's process died");
    return EXIT_SYSTEM;
}

/* A child is left behind by _exit: what the parent had buffered is the parent's to write. */
static int run_background(struct mount *m) {
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        say(strerror(errno));
        return EXIT_SYSTEM;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        say(strerror(errno));
        return EXIT_SYSTEM;
    }
    if (pid > 0) {
        close(fds[1]);
        return wait_for_child(fds[0], pid);
    }
    close(fds[0]);
    m->report = fds[1];
    int code = run_mount(m);
    jf_options_done(&m->fs.options);
    free(m);
    _exit(code);
}

int jf_mount_main(int argc, char **argv) {
    char why[256] = "";
    struct mount *m = calloc(1, sizeof(*m));
    int code;

    if (!m) {
        say("out of memory");
        return EXIT_SYSTEM;
    }
    m->signals = m->ready = m->ended = m->report = -1;
    jf_options_init(&m->fs.options);
    int r = jf_options_parse(&m->fs.options, argc, argv, why, sizeof(why));
    if (r < 0) {
        fprintf(stderr, "jetfs: %s\nTry 'jetfs mount --help'.\n", why[0] ? why : js_err_text(r));
        code = r == JS_ERR_NOMEM ? EXIT_SYSTEM : EXIT_REFUSED;
    } else if (m->fs.options.help) {
        fputs(jf_options_help(), stdout);
        code = EXIT_MOUNTED;
    } else if (m->fs.options.foreground) {
        code = run_mount(m);
    } else {
        code = run_background(m);
    }
    jf_options_done(&m->fs.options);
    free(m);
    return code;
}
