/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in spool/<subject>/: staged in memory until they are committed as one message. After that
 * their name leads to the message for a while (a receipt).
 *
 * The table of names is the process's, like the mount. Lock order: a stage, then the table.
 */
#ifndef JF_NODE_STAGE_H
#define JF_NODE_STAGE_H

#include <sys/types.h>

#include "fs/node/class.h"

#define JF_RECEIPT_S    60
#define JF_MAX_RECEIPTS 1024
#define JF_MAX_STAGED   (UINT64_C(1) << 30) /* bytes, all files together */

struct jf_stage {
    uint64_t id;
    struct jf_stream *stream;
    pthread_mutex_t lock;
    /* under lock: */
    uint8_t *data;
    size_t len;
    size_t cap;
    uint8_t *hdr; /* by xattrs */
    size_t hdr_len;
    char *xattr_subject;
    pid_t opener;
    bool dirty; /* written, truncated or renamed since the last commit attempt */
    int failed; /* why a write failed: half a file is no message */
    bool committed;
    bool discarded; /* unlinked */
    js_seq_t seq;
    js_time_t mtime;
    /* under the table's lock: */
    char *dir;               /* subject, or "any.d" */
    char *name;              /* NULL: no name any more */
    js_time_t receipt_until; /* monotonic; 0 = not a receipt */
    js_seq_t duplicate_of;   /* the message that was there before; 0 = it is one of its own */
    unsigned refs;
    struct jf_stage *prev, *next;   /* by id */
    struct jf_stage *older, *newer; /* receipts */
    struct jf_stage *chain;         /* names of the same bucket */
};

/* A name like .x, x~, x.tmp, x.part or x.swp: committed when it is renamed to another. */
bool jf_stage_is_temporary(const char *name);

/* Finds a name, with a reference; NULL if there is none. Old receipts are dropped. */
struct jf_stage *jf_stage_find(struct jf_stream *stream, const char *dir, const char *name);
/* Makes one, with a reference. EEXIST (a receipt gives way), NOMEM. */
int jf_stage_new(struct jf_stream *stream, const char *dir, const char *name, pid_t opener,
                 struct jf_stage **ret_stage);
struct jf_stage *jf_stage_ref(struct jf_stage *stage);
void jf_stage_unref(struct jf_stage *stage);
/* Takes the name away: a staged file is discarded, a receipt forgotten. */
void jf_stage_unlink(struct jf_stage *stage);
/* Gives it another name, which must be free or a receipt's. EEXIST, NOMEM. */
int jf_stage_rename(struct jf_stage *stage, const char *dir, const char *name);
/* The entry with the smallest id above after in a directory, with a reference; NULL at the end.
 * ret_name is given (free()). */
struct jf_stage *jf_stage_next(struct jf_stream *stream, const char *dir, uint64_t after,
                               char **ret_name);
/* True if a receipt leads to this message as to one that had been there before. */
bool jf_stage_is_duplicate(const struct jf_stream *stream, js_seq_t seq);
/* Forgets everything; what was not committed is told to the log. */
void jf_stage_shutdown(struct jf_fs *fs);

/* The following are called with the stage's lock. */

/* Sets the length; zeros behind the old end. EFBIG above max, ENOSPC, NOMEM. */
int jf_stage_resize(struct jf_stage *stage, uint64_t len, uint64_t max);
/* Stores it as a message: 0 and the stage is committed, or why not (it stays as it was). */
int jf_stage_commit(struct jf_stage *stage);

#endif
