/* SPDX-License-Identifier: Apache-2.0 */
/* df: a stream's limits where it has some, else the disk below SOURCE. */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/session/ops.h"

#define BLOCK 4096u

static uint64_t limit(const json_t *config, const char *name) {
    json_int_t v = json_integer_value(json_object_get(config, name));

    return v > 0 ? (uint64_t)v : 0;
}

static void apply_limits(struct js_stream *stream, struct statvfs *st) {
    const char *text = js_stream_config_json(stream);
    struct js_stream_state state;
    json_t *config = text && *text ? json_loads(text, 0, NULL) : NULL;

    js_stream_get_state(stream, &state);
    uint64_t max_bytes = config ? limit(config, "max_bytes") : 0;
    uint64_t max_msgs = config ? limit(config, "max_msgs") : 0;
    json_decref(config);
    if (max_bytes) {
        st->f_blocks = (max_bytes + BLOCK - 1) / BLOCK;
        uint64_t used = (state.bytes + BLOCK - 1) / BLOCK;
        st->f_bfree = st->f_bavail = used < st->f_blocks ? st->f_blocks - used : 0;
    }
    uint64_t spare = UINT32_MAX;
    if (max_msgs)
        spare = max_msgs > state.msgs ? max_msgs - state.msgs : 0;
    st->f_files = state.msgs + spare;
    st->f_ffree = st->f_favail = spare;
}

int jf_statfs(const struct jf_fs *fs, struct js_stream *stream, struct statvfs *ret_st) {
    struct statvfs disk;
    struct statvfs st;

    memset(&st, 0, sizeof(st));
    if (statvfs(fs->source, &disk) < 0)
        return -errno;
    st.f_bsize = st.f_frsize = BLOCK;
    st.f_blocks = disk.f_blocks * disk.f_frsize / BLOCK;
    st.f_bfree = disk.f_bfree * disk.f_frsize / BLOCK;
    st.f_bavail = disk.f_bavail * disk.f_frsize / BLOCK;
    st.f_namemax = 255;
    if (stream)
        apply_limits(stream, &st);
    *ret_st = st;
    return 0;
}
