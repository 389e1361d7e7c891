/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/cli/findings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cli/cli.h"

int jf_finding_exit(enum js_health verdict, bool live) {
    switch (verdict) {
    case JS_HEALTH_OK:
        return JF_EXIT_OK;
    case JS_HEALTH_TORN_TAIL:
        return live ? JF_EXIT_OK : JF_EXIT_DAMAGE;
    case JS_HEALTH_WRONG_KEY:
    case JS_HEALTH_NO_KEY:
        return JF_EXIT_OPERATION;
    case JS_HEALTH_DAMAGED:
    case JS_HEALTH_UNKNOWN_FORMAT:
    default:
        return JF_EXIT_DAMAGE;
    }
}

bool jf_finding_block(const struct js_problem *problem, uint32_t *ret_number) {
    unsigned long number;
    char *end;
    const char *name = problem->file;

    if (strncmp(name, "msgs/", 5) != 0 || name[5] < '0' || name[5] > '9')
        return false;
    number = strtoul(name + 5, &end, 10);
    if (strcmp(end, ".blk") != 0 || number > UINT32_MAX)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

bool jf_finding_in_blocks(const struct js_problem *problem) {
    uint32_t number;

    /* A block's key (msgs/3.key) costs the block; so does the directory, or no file at all. */
    return jf_finding_block(problem, &number) || problem->lost > 0 || problem->file[0] == '\0' ||
           strcmp(problem->file, "msgs") == 0 || strcmp(problem->file, "msgs/") == 0;
}

/* The facts between file and sentence; "" if there are none. */
static void describe(const struct js_problem *p, char *buf, size_t size) {
    char place[80] = "";
    char seqs[80] = "";
    char lost[40] = "";

    if (p->length > 0)
        snprintf(place, sizeof place, ": %llu bytes at %llu", (unsigned long long)p->length,
                 (unsigned long long)p->offset);
    else if (p->offset > 0)
        snprintf(place, sizeof place, ": at %llu", (unsigned long long)p->offset);
    if (p->seq_first > 0 && p->seq_last > p->seq_first)
        snprintf(seqs, sizeof seqs, ", sequences %llu..%llu", (unsigned long long)p->seq_first,
                 (unsigned long long)p->seq_last);
    else if (p->seq_first > 0)
        snprintf(seqs, sizeof seqs, ", sequence %llu", (unsigned long long)p->seq_first);
    if (p->lost > 0)
        snprintf(lost, sizeof lost, " (%llu lost)", (unsigned long long)p->lost);
    snprintf(buf, size, "%s%s%s", place, seqs, lost);
}

void jf_finding_print(struct jf_out *out, const struct js_problem *problem) {
    char facts[220];

    describe(problem, facts, sizeof facts);
    jf_out_printf(out, "%s%s", js_health_name(problem->verdict), problem->file[0] ? " " : "");
    jf_out_escaped(out, problem->file, strlen(problem->file));
    jf_out_printf(out, "%s: ", facts);
    jf_out_escaped(out, problem->text, strlen(problem->text));
    jf_out_text(out, "\n");
}

void jf_finding_say(const char *label, const struct js_problem *problem) {
    char facts[220];

    describe(problem, facts, sizeof facts);
    jf_say(label, "%s%s%s%s: %s", js_health_name(problem->verdict), problem->file[0] ? " " : "",
           problem->file, facts, problem->text);
}

void jf_finding_json(struct jf_out *out, const struct js_problem *problem) {
    uint32_t block;

    jf_out_printf(out, "{\"verdict\": \"%s\", \"file\": ", js_health_name(problem->verdict));
    jf_out_json_text(out, problem->file);
    if (jf_finding_block(problem, &block))
        jf_out_printf(out, ", \"block\": %u", block);
    else
        jf_out_text(out, ", \"block\": null");
    jf_out_printf(out,
                  ", \"offset\": %llu, \"length\": %llu, \"seq_first\": %llu, \"seq_last\": %llu, "
                  "\"lost\": %llu, \"text\": ",
                  (unsigned long long)problem->offset, (unsigned long long)problem->length,
                  (unsigned long long)problem->seq_first, (unsigned long long)problem->seq_last,
                  (unsigned long long)problem->lost);
    jf_out_json_text(out, problem->text);
    jf_out_text(out, "}");
}
