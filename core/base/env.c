/* SPDX-License-Identifier: Apache-2.0 */
/* The default tables: POSIX files, the system's clocks, getrandom and malloc. This is the one file
 * of core that calls the system. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/holder.h"
#include "core/base/mem.h"

static int posix_open_dir(void *ctx, int dirfd, const char *name) {
    (void)ctx;
    /* The source itself may be given through a link; what lies below it may not. */
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (dirfd >= 0 ? O_NOFOLLOW : 0);
    int fd = openat(dirfd >= 0 ? dirfd : AT_FDCWD, name, flags);

    return fd < 0 ? -errno : fd;
}

static int posix_open_file(void *ctx, int dirfd, const char *name, int flags, unsigned mode) {
    struct stat st;
    (void)ctx;
    flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (dirfd >= 0 ? O_NOFOLLOW : 0);
    int fd = openat(dirfd >= 0 ? dirfd : AT_FDCWD, name, flags, (mode_t)mode);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        int e = errno;
        close(fd);
        return -e;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return -ENOTSUP;
    }
    return fd;
}

static int posix_close(void *ctx, int fd) {
    (void)ctx;
    return close(fd) < 0 ? -errno : 0;
}

static ssize_t posix_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off) {
    (void)ctx;
    ssize_t n;
    do {
        n = pread(fd, buf, len, (off_t)off);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t posix_pwrite(void *ctx, int fd, const void *buf, size_t len, uint64_t off) {
    (void)ctx;
    ssize_t n;
    do {
        n = pwrite(fd, buf, len, (off_t)off);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int posix_truncate(void *ctx, int fd, uint64_t len) {
    (void)ctx;
    return ftruncate(fd, (off_t)len) < 0 ? -errno : 0;
}

static int posix_fstat(void *ctx, int fd, struct stat *ret_st) {
    (void)ctx;
    return fstat(fd, ret_st) < 0 ? -errno : 0;
}

static int posix_stat(void *ctx, int dirfd, const char *name, struct stat *ret_st) {
    (void)ctx;
    int flags = dirfd >= 0 ? AT_SYMLINK_NOFOLLOW : 0;
    return fstatat(dirfd >= 0 ? dirfd : AT_FDCWD, name, ret_st, flags) < 0 ? -errno : 0;
}

static int posix_fsync(void *ctx, int fd) {
    (void)ctx;
    return fsync(fd) < 0 ? -errno : 0;
}

static int posix_fdatasync(void *ctx, int fd) {
    (void)ctx;
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int posix_rename(void *ctx, int from_dirfd, const char *from, int to_dirfd,
                        const char *to) {
    (void)ctx;
    return renameat(from_dirfd, from, to_dirfd, to) < 0 ? -errno : 0;
}

static int posix_exchange(void *ctx, int a_dirfd, const char *a, int b_dirfd, const char *b) {
    (void)ctx;
    return renameat2(a_dirfd, a, b_dirfd, b, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

static int posix_link(void *ctx, int from_dirfd, const char *from, int to_dirfd, const char *to) {
    (void)ctx;
    return linkat(from_dirfd, from, to_dirfd, to, 0) < 0 ? -errno : 0;
}

static int posix_unlink(void *ctx, int dirfd, const char *name) {
    (void)ctx;
    return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
}

static int posix_rmdir(void *ctx, int dirfd, const char *name) {
    (void)ctx;
    return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int posix_mkdir(void *ctx, int dirfd, const char *name, unsigned mode) {
    (void)ctx;
    return mkdirat(dirfd >= 0 ? dirfd : AT_FDCWD, name, (mode_t)mode) < 0 ? -errno : 0;
}

static int posix_list(void *ctx, int dirfd, int (*fn)(void *arg, const char *name), void *arg) {
    (void)ctx;
    /* A descriptor of its own: closedir closes it, and its offset is nobody else's. */
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int e = errno;
        close(fd);
        return -e;
    }
    int r = 0;
    for (;;) {
        errno = 0;
        struct dirent *de = readdir(dir);
        if (!de) {
            r = -errno;
            break;
        }
        if (de->d_name[0] == '.' &&
            (de->d_name[1] == 0 || (de->d_name[1] == '.' && de->d_name[2] == 0)))
            continue;
        r = fn(arg, de->d_name);
        if (r != 0)
            break;
    }
    closedir(dir);
    return r;
}

static int posix_lock(void *ctx, int fd) {
    (void)ctx;
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static ssize_t posix_real_path(void *ctx, const char *path, char *buf, size_t size) {
    (void)ctx;
    char *p = realpath(path, NULL);
    if (!p)
        return -errno;
    size_t n = strlen(p);
    if (n >= size) {
        free(p);
        return -ENAMETOOLONG;
    }
    memcpy(buf, p, n + 1);
    free(p);
    return (ssize_t)n;
}

static int posix_open_temp(void *ctx) {
    (void)ctx;
    const char *dir = getenv("TMPDIR");
    if (!dir || !*dir)
        dir = "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    char name[4096];
    int n = snprintf(name, sizeof name, "%s/jetfs-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof name)
        return -ENAMETOOLONG;
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(name);
    return fd;
}

static const struct js_io posix_io = {
    .open_dir = posix_open_dir,
    .open_file = posix_open_file,
    .close = posix_close,
    .pread = posix_pread,
    .pwrite = posix_pwrite,
    .truncate = posix_truncate,
    .fstat = posix_fstat,
    .stat = posix_stat,
    .fsync = posix_fsync,
    .fdatasync = posix_fdatasync,
    .rename = posix_rename,
    .exchange = posix_exchange,
    .link = posix_link,
    .unlink = posix_unlink,
    .rmdir = posix_rmdir,
    .mkdir = posix_mkdir,
    .list = posix_list,
    .lock = posix_lock,
    .real_path = posix_real_path,
    .holder = js_posix_holder,
    .open_temp = posix_open_temp,
};

static js_time_t clock_time(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (js_time_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static js_time_t clock_now(void *ctx) {
    (void)ctx;
    return clock_time(CLOCK_REALTIME);
}

static js_time_t clock_monotonic(void *ctx) {
    (void)ctx;
    return clock_time(CLOCK_MONOTONIC);
}

static void clock_wait(void *ctx, js_time_t ns) {
    (void)ctx;
    nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
}

static const struct js_clock posix_clock = {
    .now = clock_now, .monotonic = clock_monotonic, .wait = clock_wait};

static int random_fill(void *ctx, void *buf, size_t len) {
    (void)ctx;
    uint8_t *p = buf;
    while (len) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static const struct js_rand posix_rand = {.fill = random_fill};

#define HUGE_PAGE ((size_t)2 << 20)

/* Whole blocks and large tables are read at random: huge pages (where the system gives them on
 * request) save most of the page faults and of the misses of the address cache. */
static void *heap_realloc(void *ctx, void *p, size_t size) {
    void *fresh;

    (void)ctx;
    if (p || size < HUGE_PAGE)
        return realloc(p, size);
    if (posix_memalign(&fresh, HUGE_PAGE, size) != 0)
        return NULL;
    (void)madvise(fresh, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return fresh;
}

static void heap_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

size_t js_page_size(void) {
    long size = sysconf(_SC_PAGESIZE);

    return size > 0 ? (size_t)size : 4096;
}

/* Both also speak to core dumps (MADV_DONTDUMP), which works where locking is refused. */
static int heap_lock(void *ctx, void *pages, size_t len) {
    (void)ctx;
    return sodium_mlock(pages, len) == 0 ? 0 : -errno;
}

static void heap_unlock(void *ctx, void *pages, size_t len) {
    (void)ctx;
    (void)sodium_munlock(pages, len);
}

static const struct js_alloc heap_alloc = {
    .realloc = heap_realloc, .free = heap_free, .lock = heap_lock, .unlock = heap_unlock};

static const struct js_env default_env = {
    .io = &posix_io,
    .clock = &posix_clock,
    .rand = &posix_rand,
    .alloc = &heap_alloc,
};

const struct js_env *js_env_default(void) {
    return &default_env;
}
