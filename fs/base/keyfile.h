/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's jetstream keys, read from files and held in guarded memory (not swapped, not in core
 * dumps, zeroed when freed). A key is never taken from a command line.
 */
#ifndef JF_BASE_KEYFILE_H
#define JF_BASE_KEYFILE_H

#include "core/jetstore.h"

/* Longest key in bytes, without the line end. */
#define JF_KEY_MAX 4096

struct jf_keys;

/*
 * Reads the current and the previous key; a NULL path means that there is none, "-" is standard
 * input, "credential:NAME" what systemd gave the service ($CREDENTIALS_DIRECTORY). From then on the
 * process leaves no core dump. One line end (LF or CR LF) at the end is not part of a key. *ret_keys is given, freed with
 * jf_keys_free. On failure ret_why (may be NULL) gets a sentence with the path in it.
 * Errors: NO_ENTRY, ACCESS, IO, INVAL (empty), TOO_BIG, NOMEM.
 */
int jf_keys_load(const char *path, const char *prev_path, struct jf_keys **ret_keys, char *ret_why,
                 size_t why_size);
/* Zeroes and frees. NULL is fine. */
void jf_keys_free(struct jf_keys *keys);

/* js_key_fn of each key, ctx is the struct jf_keys. NO_KEY if that key was not given. */
int jf_keys_current(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]);
int jf_keys_previous(void *ctx, const char *account, const char *context, uint8_t ret_kek[32]);

#endif
