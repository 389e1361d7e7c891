/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit that bounds what a file or a caller can make us do, by name. */
#ifndef JS_LIMITS_H
#define JS_LIMITS_H

#define JS_MAX_RECORD 33554432u           /* 32 MiB: no server reads more (format.md 2.1) */
#define JS_MIN_RECORD 30u                 /* empty record */
#define JS_MAX_BLOCK_FILE (256u << 20)    /* writers stop at 8 MiB + one record */
#define JS_MAX_META_FILE (4u << 20)       /* meta.inf */
#define JS_MAX_STATE_FILE (1u << 30)      /* index.db, thw.db, sched.db, o.dat, N.idx */
#define JS_MAX_KEY_FILE 4096u             /* key files have 64 or 72 bytes */
#define JS_MAX_NAME 255u                  /* stream, consumer, account */
#define JS_MAX_SUBJECT 65535u             /* u16 on disk */
#define JS_MAX_HEADER 65535u              /* the stream layer's limit when writing */
#define JS_MAX_BLOCK_NUMBER 4294967295u   /* u32 */
#define JS_MAX_TAR_ENTRY (512u << 20)     /* one file of a backup */
#define JS_MAX_SEQSET_NODES (1u << 22)    /* 8.6 G sequences; checked against the file's length too */

#endif
