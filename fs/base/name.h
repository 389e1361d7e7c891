/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File names: sequences, subject tokens, and which names are ours.
 *
 * A token never holds a dot, so in a directory of tokens, streams or consumers every name with a
 * dot is ours (info.json, all.log). '/', '%', control characters and bytes that are not UTF-8
 * are shown as %XX. A token whose shown form would be longer than 255 bytes keeps its first bytes,
 * followed by "%~" and 16 hex digits of a hash of the whole token.
 */
#ifndef JF_BASE_NAME_H
#define JF_BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JF_NAME_MAX  255
#define JF_SEQ_WIDTH 16
/* Fits every name made here, with its NUL. */
#define JF_NAME_BUF 256

/* Escaped form of a token, NUL terminated, into buf[JF_NAME_BUF]. Returns its length. */
size_t jf_name_escape(const char *token, size_t len, char *buf);
/*
 * The token that a name shows, into buf[JF_NAME_BUF], not longer than the name. Returns its length,
 * -EINVAL when the name cannot be a token's (empty, a dot, a bad escape, an escape that was not
 * needed), -ENAMETOOLONG, or -EAGAIN for a shortened name ("%~"): the directory is to be searched.
 */
int jf_name_unescape(const char *name, char *buf);

/* 0 and the number for decimal digits of any width (no sign; at least one digit; below 2^63). */
bool jf_name_parse_seq(const char *name, uint64_t *ret_seq);
/* The same, followed by suffix (".msg"). */
bool jf_name_parse_seq_suffix(const char *name, const char *suffix, uint64_t *ret_seq);
/* 16 digits (more if needed) and suffix into buf[JF_NAME_BUF]. Returns the length. */
size_t jf_name_of_seq(uint64_t seq, const char *suffix, char *buf);

/* True for names with a dot: ours wherever tokens or names of streams and consumers live. */
bool jf_name_is_ours(const char *name);

/* FNV-1a, 64 bits: for tables and inode numbers, not for checksums. */
uint64_t jf_hash(const void *data, size_t len);

#endif
