/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/ported.h"

int pt_update(struct pt *p, const char *rest) {
    char why[200] = "";

    pt_make_config(p, rest);
    return js_stream_update_config(p->stream, p->config, why, sizeof why);
}

void pt_erase(struct pt *p, js_seq_t seq) {
    assert_int_equal(pt_must(p, js_stream_erase_msg(p->stream, seq), "erase"), 1);
}

uint64_t pt_purge(struct pt *p) {
    uint64_t n = 0;

    pt_must(p, js_stream_purge(p->stream, &n), "purge");
    return n;
}

uint64_t pt_purge_ex(struct pt *p, const char *filter, js_seq_t seq, uint64_t keep) {
    uint64_t n = 0;

    pt_must(p, js_stream_purge_ex(p->stream, filter, strlen(filter), seq, keep, &n), "purge_ex");
    return n;
}

uint64_t pt_compact(struct pt *p, js_seq_t seq) {
    uint64_t n = 0;

    pt_must(p, js_stream_compact(p->stream, seq, &n), "compact");
    return n;
}

void pt_skip(struct pt *p, size_t n) {
    while (n--)
        pt_must(p, js_stream_skip_msg(p->stream, 0, false, NULL), "skip");
}
