/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds a stream's directory. A jetfs holds flock on it: /proc/locks names inode and pid. A
 * nats-server takes no lock, but keeps the block it appends to open: its descriptors show in
 * /proc/<pid>/fd as links below the directory's path. Processes of other users whose descriptors we
 * may not read are not found.
 */
#include "core/base/holder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int lock_holder(int dirfd) {
    struct stat st;
    char line[256];
    int found = 0;

    if (fstat(dirfd, &st) < 0)
        return 0;
    FILE *f = fopen("/proc/locks", "re");
    if (!f)
        return 0;
    while (!found && fgets(line, sizeof line, f)) {
        int pid;
        unsigned maj, min;
        unsigned long long ino;
        /* "1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF" */
        if (sscanf(line, "%*s FLOCK %*s WRITE %d %x:%x:%llu", &pid, &maj, &min, &ino) == 4 &&
            ino == st.st_ino && maj == major(st.st_dev) && min == minor(st.st_dev))
            found = pid;
    }
    fclose(f);
    return found;
}

/* True if one of the process's descriptors leads below path and is open for writing. */
static bool has_open_below(const char *pid, const char *path, size_t len) {
    char dir[300], name[600], target[4096];
    bool found = false;

    snprintf(dir, sizeof dir, "/proc/%s/fd", pid);
    DIR *d = opendir(dir);
    if (!d)
        return false;
    struct dirent *de;
    while (!found && (de = readdir(d))) {
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", dir, de->d_name);
        ssize_t n = readlink(name, target, sizeof target - 1);
        if (n <= (ssize_t)len || memcmp(target, path, len) != 0 || target[len] != '/')
            continue;
        /* The mode of the link tells how it is open. */
        found = lstat(name, &st) == 0 && S_ISLNK(st.st_mode) && (st.st_mode & S_IWUSR);
    }
    closedir(d);
    return found;
}

int js_posix_holder(void *ctx, int dirfd) {
    char self[64], path[4096];
    int pid = lock_holder(dirfd);
    (void)ctx;

    if (pid > 0 && pid != (int)getpid())
        return pid;
    snprintf(self, sizeof self, "/proc/self/fd/%d", dirfd);
    ssize_t n = readlink(self, path, sizeof path - 1);
    if (n <= 0)
        return 0;
    path[n] = 0;
    DIR *d = opendir("/proc");
    if (!d)
        return 0;
    int found = 0;
    struct dirent *de;
    while (!found && (de = readdir(d))) {
        int p = atoi(de->d_name);
        if (p > 0 && p != (int)getpid() && has_open_below(de->d_name, path, (size_t)n))
            found = p;
    }
    closedir(d);
    return found;
}
