/* SPDX-License-Identifier: Apache-2.0 */
/* `jetfs rekey`: another key, another cipher, or none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/cli.h"
#include "fs/cli/source.h"

#define EXIT_TEXT "\nExit: 0 done; 1 usage, or refused; 2 system error.\n"

enum { OPT_CIPHER = JF_OPT_VERB };

struct options {
    bool convert;
};

static const char *take_option(struct jf_call *call, int id, const char *value) {
    struct options *o = call->data;

    (void)id;
    o->convert = true;
    if (strcmp(value, "none") != 0)
        return jf_cli_take_cipher(call, value);
    call->cipher = JS_CIPHER_NEW_NONE;
    return NULL;
}

static const char *check(struct jf_call *call) {
    return call->key_file ? NULL : "--key-file is missing (the new key, or the one to take away)";
}

static int rekey_one(struct jf_call *call, struct jf_source *source,
                     const struct jf_target *target) {
    const struct options *o = call->data;
    char label[1024];
    uint64_t n = 0;
    int r = js_store_rekey(source->store, target->account, target->stream,
                           o->convert ? &call->cipher : NULL, &n);

    if (r < 0)
        return jf_cli_error(call, jf_source_label(source, target, label, sizeof label), r,
                            r == JS_ERR_CORRUPT ? "it has damage that a conversion would leave behind "
                                                  "(see `jetfs verify`)"
                                                : NULL);
    if (call->json) {
        jf_out_text(call->out, "{\"stream\": ");
        jf_out_json_text(call->out, target->stream);
        jf_out_printf(call->out, ", \"changed\": %llu}\n", (unsigned long long)n);
    } else {
        jf_out_printf(call->out, "%s\t%s\n", target->stream, n ? "changed" : "unchanged");
    }
    return JF_EXIT_OK;
}

static int run(struct jf_call *call) {
    struct jf_source source;
    int code = jf_source_open(call, JS_OPEN_RW, &source);

    if (code)
        return code;
    for (size_t i = 0; i < source.ntargets; i++)
        if (source.targets[i].stream)
            code = jf_cli_join(call->verb, code, rekey_one(call, &source, &source.targets[i]));
    return jf_source_close(&source, code);
}

static const struct jf_opt opts[] = {
    {"cipher", 0, "CIPHER", OPT_CIPHER, "chacha, aes, or none: store the streams anew with it"},
};

const struct jf_verb jf_verb_rekey = {
    .name = "rekey",
    .synopsis = "SOURCE[:STREAM] --key-file FILE [OPTIONS]",
    .summary = "change the key or the cipher of streams",
    .details = "With --key-file (the new key) and --prev-key-file (the old one) every key file is\n"
               "wrapped with the new key; the blocks stay as they are. With --cipher the streams are\n"
               "stored anew, encrypted with the key of --key-file or plain, and take the place of the\n"
               "old ones in one step; that needs room for both. Consumers are converted, too. What\n"
               "was interrupted is finished by the same command.\n" EXIT_TEXT,
    .opts = opts,
    .nopts = 1,
    .min_words = 1,
    .max_words = 1,
    .data_size = sizeof(struct options),
    .usage = JF_EXIT_REFUSED,
    .refused = JF_EXIT_REFUSED,
    .failed = JF_EXIT_SYSTEM,
    .option = take_option,
    .check = check,
    .run = run,
};
