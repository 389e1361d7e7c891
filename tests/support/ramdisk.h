/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system in memory behind the library's I/O table, for tests: it can record every call that
 * changes something, build the states in which a power failure may leave a disk at any of these
 * calls, and let chosen calls fail.
 *
 * What a power failure may do here: data of a file is safe once the file was synced; a directory's
 * entries are safe once the directory was. Of what was not synced any part may be lost: writes one
 * by one and in sectors of 512 bytes, in any order, with or without the growth of the file; entries
 * of one directory in order, but independent of other directories and of data. A rename between
 * directories is in both or in none.
 */
#ifndef TESTS_RAMDISK_H
#define TESTS_RAMDISK_H

#include "core/jetstore.h"

struct ramdisk;

/* A new disk with the empty directory "/s" on it. Never fails (aborts without memory). */
struct ramdisk *rd_new(void);
/* The same files; nothing open, no log, no fault. */
struct ramdisk *rd_clone(const struct ramdisk *disk);
void rd_free(struct ramdisk *disk);
/* Valid as long as the disk. Usable from several threads. */
const struct js_io *rd_io(struct ramdisk *disk);
/* Of all names and bytes below a path ("/" = all). */
uint64_t rd_hash(const struct ramdisk *disk, const char *path);
size_t rd_open_files(const struct ramdisk *disk);
/* Reading and changing files from outside, without record or fault. Length or -1. */
long rd_get(const struct ramdisk *disk, const char *path, uint8_t **ret_data);
int rd_put(struct ramdisk *disk, const char *path, const void *data, size_t len);
int rd_remove(struct ramdisk *disk, const char *path);
/* Prints what there is to standard error. */
void rd_dump(const struct ramdisk *disk);
/* Writes all of it below an existing directory. */
int rd_export(const struct ramdisk *disk, const char *dir);

/* ---- recording ------------------------------------------------------------------------------- */

/* From now on calls are recorded; what there is now counts as synced. */
void rd_record(struct ramdisk *disk);
/* How many calls were recorded: the states are those before and after each. */
size_t rd_recorded(const struct ramdisk *disk);
/* Prints the recorded calls up to `upto` to standard error. */
void rd_print_log(const struct ramdisk *disk, size_t upto);

enum rd_loss {
    RD_ALL_KEPT,  /* only the process died */
    RD_ALL_LOST,  /* everything that was not synced */
    RD_DATA_LOST, /* data; entries are there, files as long as they were */
    RD_DATA_ZERO, /* data; entries are there, files have grown */
    RD_NAMES_LOST,
    RD_RANDOM, /* any of that */
    RD_LOSSES
};
/* The disk after a failure before the upto-th recorded call (counting from 0). seed decides for
 * RD_RANDOM. */
struct ramdisk *rd_crash(const struct ramdisk *disk, size_t upto, enum rd_loss loss, uint64_t seed);

/* ---- faults ---------------------------------------------------------------------------------- */

enum rd_calls {
    RD_OPENS = 1,
    RD_READS = 2,
    RD_WRITES = 4,
    RD_SYNCS = 8,
    RD_NAMES = 16, /* rename, link, unlink, mkdir, rmdir */
    RD_STATS = 32, /* stat, list */
    RD_CUTS = 64,  /* truncate */
    RD_CALLS = 127
};
enum rd_fault_kind {
    RD_FAIL,    /* err is returned and nothing done */
    RD_PARTIAL, /* a write: half is done, then err */
    RD_SHORT    /* reads and writes do less than asked for, without an error */
};
struct rd_fault {
    unsigned calls; /* enum rd_calls */
    enum rd_fault_kind kind;
    int err;        /* errno */
    long countdown; /* the n-th of these calls; 0 = none */
    bool sticky;    /* and all that follow */
};
void rd_set_fault(struct ramdisk *disk, const struct rd_fault *fault);
/* While it is paused nothing fails, and no call counts. */
void rd_pause_fault(struct ramdisk *disk, bool paused);
/* Calls of that kind since the fault was set, and how many failed. */
long rd_fault_calls(const struct ramdisk *disk);
long rd_faults_fired(const struct ramdisk *disk);

#endif
