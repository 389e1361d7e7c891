/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/progress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DELAY_SECONDS 2
#define REDRAW_NS     250000000L
#define BAR_WIDTH     24

/* The program has one standard error, hence one bar: this is its whole state. */
static struct {
    pthread_mutex_t mu; /* guards shown and standard error */
    pthread_cond_t wake;
    pthread_t thread;
    bool running; /* by the main thread only */
    bool stop;    /* guarded by mu */
    bool shown;   /* guarded by mu */
    const char *what;
    const char *unit;
    uint64_t total;
    _Atomic uint64_t done; /* relaxed: only a number to look at */
} bar = {.mu = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void put(const char *text) {
    ssize_t n = write(STDERR_FILENO, text, strlen(text));

    (void)n; /* A bar that cannot be drawn is no loss. */
}

static void erase_locked(void) {
    if (bar.shown)
        put("\r\033[K");
    bar.shown = false;
}

static void draw_locked(void) {
    uint64_t done = atomic_load_explicit(&bar.done, memory_order_relaxed);
    char text[200];
    char marks[BAR_WIDTH + 1];

    if (bar.total > 0) {
        uint64_t part = done < bar.total ? done : bar.total;
        double share = (double)part / (double)bar.total;
        int filled = (int)(share * BAR_WIDTH);

        memset(marks, ' ', BAR_WIDTH);
        memset(marks, '#', (size_t)filled);
        marks[BAR_WIDTH] = '\0';
        snprintf(text, sizeof text, "\r%s [%s] %3d %%  %llu of %llu %s\033[K", bar.what, marks,
                 (int)(share * 100), (unsigned long long)done, (unsigned long long)bar.total,
                 bar.unit);
    } else {
        snprintf(text, sizeof text, "\r%s  %llu %s\033[K", bar.what, (unsigned long long)done,
                 bar.unit);
    }
    put(text);
    bar.shown = true;
}

static void add_ns(struct timespec *t, long ns) {
    t->tv_nsec += ns;
    if (t->tv_nsec >= 1000000000L) {
        t->tv_nsec -= 1000000000L;
        t->tv_sec++;
    }
}

static void *drawer(void *arg) {
    struct timespec next;

    (void)arg;
    clock_gettime(CLOCK_REALTIME, &next);
    next.tv_sec += DELAY_SECONDS;
    pthread_mutex_lock(&bar.mu);
    while (!bar.stop) {
        if (pthread_cond_timedwait(&bar.wake, &bar.mu, &next) == 0)
            continue;
        if (bar.stop)
            break;
        draw_locked();
        clock_gettime(CLOCK_REALTIME, &next);
        add_ns(&next, REDRAW_NS);
    }
    erase_locked();
    pthread_mutex_unlock(&bar.mu);
    return NULL;
}

void jf_progress_begin(const char *what, const char *unit, uint64_t total, bool quiet) {
    jf_progress_end();
    if (quiet || isatty(STDERR_FILENO) != 1)
        return;
    bar.what = what;
    bar.unit = unit;
    bar.total = total;
    bar.stop = false;
    atomic_store_explicit(&bar.done, 0, memory_order_relaxed);
    bar.running = pthread_create(&bar.thread, NULL, drawer, NULL) == 0;
}

void jf_progress_set(uint64_t done) {
    atomic_store_explicit(&bar.done, done, memory_order_relaxed);
}

void jf_progress_add(uint64_t n) {
    atomic_fetch_add_explicit(&bar.done, n, memory_order_relaxed);
}

void jf_progress_end(void) {
    if (!bar.running)
        return;
    pthread_mutex_lock(&bar.mu);
    bar.stop = true;
    pthread_cond_signal(&bar.wake);
    pthread_mutex_unlock(&bar.mu);
    pthread_join(bar.thread, NULL);
    bar.running = false;
}

void jf_progress_pause(void) {
    pthread_mutex_lock(&bar.mu);
    erase_locked();
}

void jf_progress_resume(void) {
    pthread_mutex_unlock(&bar.mu);
}
