/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a .msg file: a NATS header block ("NATS/1.0", lines "Name: value", an empty line) and the
 * payload, as full/ shows messages and as users write them. Lines may end in LF alone; the
 * block that is stored has CR LF. Pseudo headers are taken out: Nats-Sequence and Nats-Time-Stamp
 * are dropped, Nats-Subject is given apart.
 */
#ifndef JF_VIEW_MSGFILE_H
#define JF_VIEW_MSGFILE_H

#include <stddef.h>
#include <stdint.h>

/* Most bytes of a header block. */
#define JF_MSGFILE_MAX_HDR 65536

struct jf_msgfile {
    uint8_t *hdr; /* given (free); NULL if no header is left */
    size_t hdr_len;
    const uint8_t *data; /* borrowed from the file's bytes */
    size_t data_len;
    const char *subject; /* borrowed from the file's bytes; NULL if not given */
    size_t subject_len;
};

/*
 * Errors: INVAL (no "NATS/1.0" line, a line without colon, an empty name, no empty line at the
 * end), MSG_TOO_LARGE (block over JF_MSGFILE_MAX_HDR), NOMEM.
 */
int jf_msgfile_parse(const void *file, size_t len, struct jf_msgfile *ret_msg);
/* Frees hdr. */
void jf_msgfile_done(struct jf_msgfile *msg);

/*
 * Puts one header into a block that is built piece by piece (xattrs, Jetfs-Partial: true): *hdr
 * NULL or a block that ends in an empty line, replaced by a longer one (realloc). INVAL: name empty
 * or with colon, blank or control characters; value with CR, LF or NUL. NOMEM. *hdr stays as it was
 * on failure.
 */
int jf_hdr_add(uint8_t **hdr, size_t *hdr_len, const char *name, size_t name_len, const char *value,
               size_t value_len);

#endif
