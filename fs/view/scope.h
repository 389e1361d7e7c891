/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a view covers: a stream, a range of sequences and conditions on the subject.
 *
 * A scope is immutable and reference counted (from any thread). Directories compose scopes: the
 * stream's root, then by-subject/, since/, from/, tail/ and match/ in any order each narrow the one
 * before. Two scopes that cover the same by the same conditions have the same key text, so that
 * the filesystem can intern them and give them one inode.
 */
#ifndef JF_VIEW_SCOPE_H
#define JF_VIEW_SCOPE_H

#include "core/jetstore.h"

/* At most this many match patterns and literal subjects in one scope. */
#define JF_SCOPE_MAX_PATTERNS 16

struct jf_scope;

/* Every message of a stream; takes a reference to the stream of its own. NOMEM. */
int jf_scope_root(struct js_stream *stream, struct jf_scope **ret_scope);
/* Sequence >= seq, in addition. */
int jf_scope_from(struct jf_scope *scope, js_seq_t seq, struct jf_scope **ret_scope);
/* Sequence <= seq, in addition; 0 is no bound. */
int jf_scope_upto(struct jf_scope *scope, js_seq_t seq, struct jf_scope **ret_scope);
/* From the first message that is not older than time; resolved now, later messages included. */
int jf_scope_since(struct jf_scope *scope, js_time_t time, struct jf_scope **ret_scope);
/* The last n messages of the scope as of now, and all that come after them. */
int jf_scope_tail(struct jf_scope *scope, uint64_t n, struct jf_scope **ret_scope);
/* Subjects that match a NATS subject filter, in addition. INVAL: malformed; TOO_MANY_RESULTS: more
 * than JF_SCOPE_MAX_PATTERNS. */
int jf_scope_match(struct jf_scope *scope, const char *filter, size_t len,
                   struct jf_scope **ret_scope);
/* Exactly one literal subject, in addition. Errors as jf_scope_match. */
int jf_scope_subject(struct jf_scope *scope, const char *subject, size_t len,
                     struct jf_scope **ret_scope);
/* The literal subject prefix itself and everything below it, in addition. "" = no condition. */
int jf_scope_subtree(struct jf_scope *scope, const char *prefix, size_t len,
                     struct jf_scope **ret_scope);
/* The messages of one block (segments/), in addition. */
int jf_scope_block(struct jf_scope *scope, uint32_t number, struct jf_scope **ret_scope);

struct jf_scope *jf_scope_ref(struct jf_scope *scope);
/* NULL is fine. */
void jf_scope_unref(struct jf_scope *scope);

/* Borrowed until the scope is unreferenced. */
struct js_stream *jf_scope_stream(const struct jf_scope *scope);
/* Canonical text: equal texts = same scope. Lines "name=value", account and stream first. */
const char *jf_scope_key(const struct jf_scope *scope);
/* For calls into the library; NULL when every subject is covered. Borrowed from the scope. */
const struct js_filter *jf_scope_filter(const struct jf_scope *scope);
/* First sequence covered (at least 1). */
js_seq_t jf_scope_first(const struct jf_scope *scope);
/* Last sequence covered; 0 = open. The block's bounds are not part of it. */
js_seq_t jf_scope_last(const struct jf_scope *scope);
/* True when the scope is one block's; ret_number may be NULL. */
bool jf_scope_is_block(const struct jf_scope *scope, uint32_t *ret_number);
/* True when the conditions exclude each other, so that no message can ever be covered. */
bool jf_scope_is_void(const struct jf_scope *scope);
/* The subtree condition's prefix, "" if none. Borrowed. */
const char *jf_scope_prefix(const struct jf_scope *scope);
/* True when a message with this sequence and subject is covered (blocks are not looked at). For
 * follow.*: a message that arrives just now. */
bool jf_scope_covers(const struct jf_scope *scope, js_seq_t seq, const char *subject, size_t len);

#endif
