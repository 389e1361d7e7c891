/* SPDX-License-Identifier: Apache-2.0 */
/* Walking backup archives, good and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/buf.h"
#include "core/base/bytes.h"
#include "core/format/archive.h"

static long allocs_left = -1; /* -1: unlimited */
static size_t largest;        /* allocation asked for */

static void *count_realloc(void *ctx, void *p, size_t size) {
    (void)ctx;
    largest = size > largest ? size : largest;
    if (allocs_left == 0)
        return NULL;
    if (allocs_left > 0)
        allocs_left--;
    return realloc(p, size);
}

static void plain_free(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static const struct js_alloc test_alloc = {.realloc = count_realloc, .free = plain_free};
static const struct js_env env = {.alloc = &test_alloc};

static ssize_t read_buf(void *ctx, void *buf, size_t len, uint64_t off) {
    const struct js_buf *b = ctx;
    if (off >= b->len)
        return 0;
    if (len > b->len - off)
        len = b->len - off;
    memcpy(buf, b->data + off, len);
    return (ssize_t)len;
}

/* The source's first len bytes, copied so that the sanitizer sees what is read behind them. */
static struct js_buf cut(const struct js_buf *b, size_t len) {
    struct js_buf c = {.env = &env};
    c.data = malloc(len ? len : 1);
    memcpy(c.data, b->data, len);
    c.len = c.cap = len;
    return c;
}

/* ---- building tars -------------------------------------------------------------------------- */

static void put_sum(uint8_t *h) {
    unsigned sum = 0;
    memset(h + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
    h[155] = ' ';
}

static void add_entry(struct js_buf *b, const char *name, char type, const void *data, size_t len,
                      const char *size_field) {
    uint8_t h[512] = {0};
    char size[32];
    memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(h + 100, "0000600", 8);
    snprintf(size, sizeof size, "%011zo", len);
    memcpy(h + 124, size_field ? size_field : size, 12);
    h[156] = (uint8_t)type;
    memcpy(h + 257, "ustar\00000", 8);
    put_sum(h);
    js_buf_append(b, h, sizeof h);
    js_buf_append(b, data, len);
    while (b->len % 512)
        js_buf_append_u8(b, 0);
}

static void add_file(struct js_buf *b, const char *name, const char *text) {
    add_entry(b, name, '0', text, strlen(text), NULL);
}

static void add_end(struct js_buf *b) {
    static const uint8_t zeros[1024];
    js_buf_append(b, zeros, sizeof zeros);
}

/* "LENGTH key=value\n", where the length counts itself. */
static void pax_record(char *out, const char *key, const char *value) {
    size_t body = strlen(key) + strlen(value) + 3, n = body;
    char digits[24];
    do
        n = body + (size_t)snprintf(digits, sizeof digits, "%zu", n);
    while ((size_t)snprintf(digits, sizeof digits, "%zu", n) + body != n);
    sprintf(out + strlen(out), "%zu %s=%s\n", n, key, value);
}

/* Lists what a walk gives as "name:content;". */
struct listing {
    const struct js_buf *src;
    char text[4096];
    int stop_at;
    int n;
};

static int list_file(void *ctx, const char *name, uint64_t off, uint64_t size) {
    struct listing *l = ctx;
    size_t at = strlen(l->text);
    assert_true(off <= l->src->len && size <= l->src->len - off);
    snprintf(l->text + at, sizeof l->text - at, "%s:%.*s;", name, size > 60 ? 60 : (int)size,
             (const char *)l->src->data + off);
    return ++l->n == l->stop_at ? 55 : 0;
}

static int walk(const struct js_buf *b, struct listing *l) {
    struct js_pread src = {.fn = read_buf, .ctx = (void *)b, .size = b->len};
    *l = (struct listing){.src = b, .stop_at = l->stop_at};
    return js_tar_walk(&env, &src, list_file, l);
}

static void assert_walk(struct js_buf *b, int r, const char *text) {
    struct listing l = {0};
    assert_int_equal(walk(b, &l), r);
    assert_string_equal(l.text, text);
    js_buf_done(b);
}

/* ---- tar ------------------------------------------------------------------------------------ */

static void files_of_a_tar_are_given_in_order(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    struct listing l = {.stop_at = 2};
    add_file(&b, "meta.inf", "{}");
    add_file(&b, "msgs/1.blk", "");
    add_file(&b, "msgs/2.blk", "22");
    add_end(&b);
    assert_int_equal(walk(&b, &l), 55);
    assert_string_equal(l.text, "meta.inf:{};msgs/1.blk:;");
    assert_walk(&b, 0, "meta.inf:{};msgs/1.blk:;msgs/2.blk:22;");
}

static void links_devices_and_directories_are_passed_over(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    for (const char *t = "123456"; *t; t++)
        add_entry(&b, "x", *t, NULL, 0, "00000001000"); /* a size without bytes */
    add_entry(&b, "odd", 'Z', "data", 4, NULL);
    add_entry(&b, "global", 'g', "11 path=gg\n", 11, NULL);
    add_entry(&b, "old", 0, "o", 1, NULL);
    add_entry(&b, "cont", '7', "c", 1, NULL);
    add_end(&b);
    assert_walk(&b, 0, "old:o;cont:c;");
}

static void long_names_come_from_pax_gnu_and_prefix(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    char pax[1024] = "", expect[2048], name[301], hundred[101];
    memset(name, 'n', 300);
    name[300] = 0;
    memset(hundred, 'h', 100);
    hundred[100] = 0;
    pax_record(pax, "mtime", "1700000000.5");
    pax_record(pax, "path", name);
    add_entry(&b, "PaxHeaders.0/n", 'x', pax, strlen(pax), NULL);
    add_file(&b, "short", "1");
    add_entry(&b, "././@LongLink", 'L', name, strlen(name) + 1, NULL);
    add_file(&b, "short", "2");
    add_file(&b, hundred, "3");
    size_t at = b.len;
    add_file(&b, "tail", "4");
    memcpy(b.data + at + 345, "pre/fix", 7);
    put_sum(b.data + at);
    add_end(&b);
    snprintf(expect, sizeof expect, "%s:1;%s:2;%s:3;pre/fix/tail:4;", name, name, hundred);
    assert_walk(&b, 0, expect);
}

static void sizes_in_binary_and_from_pax_count(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    char pax[64] = "";
    add_entry(&b, "bin", '0', "abc", 3, "\x80\0\0\0\0\0\0\0\0\0\0\x03");
    pax_record(pax, "size", "5");
    add_entry(&b, "p", 'x', pax, strlen(pax), NULL);
    add_entry(&b, "pax", '0', "hello", 5, "00000000000");
    add_file(&b, "next", "n");
    add_end(&b);
    assert_walk(&b, 0, "bin:abc;pax:hello;next:n;");
}

static void lying_sizes_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *field;
        int r;
    } sizes[] = {
        {"77777777777", JS_ERR_TORN},
        {"00000010000", JS_ERR_TORN},
        {"0000000000x", JS_ERR_CORRUPT},
        {"-0000000001", JS_ERR_CORRUPT},
        {"\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", JS_ERR_TORN},
        {"\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", JS_ERR_CORRUPT},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", JS_ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct js_buf b = {.env = &env};
        add_entry(&b, "f", '0', "abc", 3, sizes[i].field);
        add_end(&b);
        assert_walk(&b, sizes[i].r, "");
    }
    /* In an extended header: no memory is taken for what is not there. */
    struct js_buf b = {.env = &env};
    add_entry(&b, "f", 'x', "abc", 3, "00040000000");
    add_end(&b);
    largest = 0;
    assert_walk(&b, JS_ERR_TORN, "");
    assert_true(largest < 4096);
}

static void malformed_extended_headers_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"x",
                                      "9",
                                      "7 path=",
                                      "999 path=x\n",
                                      "0 path=x\n",
                                      "3 \n",
                                      "8 pathx\n",
                                      "10 path=xx",
                                      "-1 path=x\n",
                                      "99999999999999999999 path=x\n",
                                      "8 path=\n",
                                      "11 size=-1\n",
                                      "10 size=x\n",
                                      "27 size=9999999999999999999\n",
                                      "10 path=x\n11 path"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct js_buf b = {.env = &env};
        add_entry(&b, "p", 'x', bad[i], strlen(bad[i]), NULL);
        add_file(&b, "f", "1");
        add_end(&b);
        assert_walk(&b, JS_ERR_CORRUPT, "");
    }
    struct js_buf b = {.env = &env};
    add_entry(&b, "p", 'x', "11 path=a\0b\n", 12, NULL);
    add_file(&b, "f", "1");
    add_end(&b);
    assert_walk(&b, JS_ERR_CORRUPT, "");
    b = (struct js_buf){.env = &env};
    add_entry(&b, "sparse", 'S', "1", 1, NULL);
    add_end(&b);
    assert_walk(&b, JS_ERR_CORRUPT, "");
    b = (struct js_buf){.env = &env};
    add_entry(&b, "p", 'x', "10 path=x\n", 10, NULL); /* for nothing */
    add_end(&b);
    assert_walk(&b, JS_ERR_CORRUPT, "");
}

static void make_sample(struct js_buf *b) {
    char pax[512] = "", name[200];
    memset(name, 'l', 199);
    name[199] = 0;
    add_file(b, "meta.inf", "{}");
    pax_record(pax, "path", name);
    add_entry(b, "p", 'x', pax, strlen(pax), NULL);
    char *big = calloc(1, 1300);
    memset(big, 'b', 1299);
    add_file(b, "msgs/1.blk", big);
    free(big);
    add_file(b, "meta.sum", "0123456789abcdef");
}

static void a_tar_cut_anywhere_is_torn(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    make_sample(&b);
    size_t end = b.len;
    add_end(&b);
    for (size_t n = 0; n <= b.len; n += n % 512 == 510 ? 1 : 1 + (n % 512 == 1) * 509) {
        struct js_buf c = cut(&b, n);
        struct listing l = {0};
        assert_int_equal(walk(&c, &l), n < end + 512 ? JS_ERR_TORN : 0);
        js_buf_done(&c);
    }
    js_buf_done(&b);
}

static void a_flipped_byte_of_a_header_is_found(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    make_sample(&b);
    add_end(&b);
    for (size_t i = 0; i < 512; i++) {
        struct listing l = {0};
        b.data[i] ^= 1;
        /* In the sum's own last byte nothing is stored. */
        int r = walk(&b, &l);
        if (i != 155 && i != 154)
            assert_int_equal(r, JS_ERR_CORRUPT);
        b.data[i] ^= 1;
    }
    js_buf_done(&b);
}

static void random_damage_never_reads_outside(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    uint64_t x = 88172645463325252ull;
    make_sample(&b);
    add_end(&b);
    for (int i = 0; i < 3000; i++) {
        struct js_buf c = cut(&b, b.len);
        struct listing l = {0};
        for (int k = 0; k < 3; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            c.data[x % c.len] = (uint8_t)(x >> 40);
        }
        for (size_t h = 0; h + 512 <= c.len && i % 2; h += 512)
            put_sum(c.data + h);
        walk(&c, &l);
        js_buf_done(&c);
    }
    js_buf_done(&b);
}

static void errors_of_the_source_and_of_memory_come_through(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    make_sample(&b);
    add_end(&b);
    for (long n = 0; n < 3; n++) {
        struct listing l = {0};
        allocs_left = n;
        assert_int_equal(walk(&b, &l), JS_ERR_NOMEM);
        allocs_left = -1;
    }
    /* The file is shorter than was said. */
    struct js_pread src = {.fn = read_buf, .ctx = &b, .size = b.len + 100000};
    struct listing l = {.src = &b};
    b.len -= 1024;
    assert_int_equal(js_tar_walk(&env, &src, list_file, &l), JS_ERR_TORN);
    js_buf_done(&b);
}

/* ---- NATSARC1 ------------------------------------------------------------------------------- */

static void add_arc(struct js_buf *b, const char *name, js_time_t t, js_seq_t seq, const char *hdr,
                    const char *data) {
    js_buf_append_uv(b, strlen(name));
    js_buf_append_sv(b, t);
    js_buf_append_uv(b, seq);
    js_buf_append_uv(b, strlen(hdr));
    js_buf_append_uv(b, strlen(data));
    js_buf_append(b, name, strlen(name));
    js_buf_append(b, hdr, strlen(hdr));
    js_buf_append(b, data, strlen(data));
}

static int list_arc(void *ctx, const struct js_arc_entry *e) {
    struct listing *l = ctx;
    size_t at = strlen(l->text);
    assert_true(e->hdr_off + e->hdr_size == e->data_off);
    assert_true(e->data_off <= l->src->len && e->data_size <= l->src->len - e->data_off);
    assert_int_equal(e->name[e->name_len], 0);
    snprintf(l->text + at, sizeof l->text - at, "%.40s %d %d %.*s|%.*s;", e->name, (int)e->time,
             (int)e->seq, (int)e->hdr_size, (const char *)l->src->data + e->hdr_off,
             e->data_size > 40 ? 40 : (int)e->data_size, (const char *)l->src->data + e->data_off);
    return ++l->n == l->stop_at ? 55 : 0;
}

static int arc(const struct js_buf *b, struct listing *l) {
    struct js_pread src = {.fn = read_buf, .ctx = (void *)b, .size = b->len};
    *l = (struct listing){.src = b, .stop_at = l->stop_at};
    return js_arc_walk(&env, &src, list_arc, l);
}

static void assert_arc(struct js_buf *b, int r, const char *text) {
    struct listing l = {0};
    assert_int_equal(arc(b, &l), r);
    assert_string_equal(l.text, text);
    js_buf_done(b);
}

static void make_arc(struct js_buf *b) {
    js_buf_append(b, "NATSARC1", 8);
    add_arc(b, "state.json", 5, 0, "", "{}");
    add_arc(b, "consumers/c", 5, 0, "", "{1}");
    add_arc(b, "a.b", -7, 3, "H", "data");
    add_arc(b, "", 8, 9, "", "");
}

static void entries_of_an_archive_are_given_in_order(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    struct listing l = {.stop_at = 3};
    make_arc(&b);
    js_buf_append(&b, "\0\0\0\0\0", 5);
    assert_int_equal(arc(&b, &l), 55);
    assert_arc(&b, 0, "state.json 5 0 |{};consumers/c 5 0 |{1};a.b -7 3 H|data; 8 9 |;");
}

static void an_archive_cut_anywhere_is_torn(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    make_arc(&b);
    js_buf_append(&b, "\0\0\0\0\0", 5);
    for (size_t n = 0; n <= b.len; n++) {
        struct js_buf c = cut(&b, n);
        struct listing l = {0};
        assert_int_equal(arc(&c, &l), n < 8 ? JS_ERR_UNKNOWN_FORMAT : n < b.len ? JS_ERR_TORN : 0);
        js_buf_done(&c);
    }
    js_buf_done(&b);
}

static void an_archive_larger_than_the_window_is_walked(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    char *name = malloc(200001), *data = malloc(70001);
    memset(name, 'n', 200000);
    memset(data, 'd', 70000);
    name[200000] = data[70000] = 0;
    js_buf_append(&b, "NATSARC1", 8);
    for (js_seq_t seq = 1; seq <= 300; seq++)
        add_arc(&b, seq % 50 ? "s" : name, 1, seq, "h", seq % 3 ? data + 69990 : data);
    js_buf_append(&b, "\0\0\0\0\0", 5);
    struct js_pread src = {.fn = read_buf, .ctx = &b, .size = b.len};
    struct listing l = {.src = &b};
    assert_int_equal(js_arc_walk(&env, &src, list_arc, &l), 0);
    assert_int_equal(l.n, 300);
    free(name);
    free(data);
    js_buf_done(&b);
}

static void hostile_archives_are_refused(void **state) {
    (void)state;
    static const uint8_t varint[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct js_buf b = {.env = &env};
    js_buf_append(&b, "NATSARC2\0\0\0\0\0", 13);
    assert_arc(&b, JS_ERR_UNKNOWN_FORMAT, "");

    b = (struct js_buf){.env = &env};
    make_arc(&b);
    for (int i = 0; i < 5; i++)
        js_buf_append(&b, varint, sizeof varint);
    struct listing l = {0};
    assert_int_equal(arc(&b, &l), JS_ERR_CORRUPT);
    js_buf_done(&b);

    /* Lengths far beyond the file. */
    for (int field = 0; field < 3; field++) {
        static const uint64_t sizes[] = {1u << 20, 1ull << 40, UINT64_MAX};
        for (int k = 0; k < 3; k++) {
            b = (struct js_buf){.env = &env};
            js_buf_append(&b, "NATSARC1", 8);
            js_buf_append_uv(&b, field == 0 ? sizes[k] : 1);
            js_buf_append_sv(&b, 1);
            js_buf_append_uv(&b, 1);
            js_buf_append_uv(&b, field == 1 ? sizes[k] : 0);
            js_buf_append_uv(&b, field == 2 ? sizes[k] : 1);
            js_buf_append(&b, "nnnnnnnn", 8);
            largest = 0;
            assert_arc(&b, field == 0 && k > 0 ? JS_ERR_CORRUPT : JS_ERR_TORN, "");
            assert_true(largest < 4096);
        }
    }

    /* Sequences that do not rise, and an entry without one behind messages. */
    b = (struct js_buf){.env = &env};
    js_buf_append(&b, "NATSARC1", 8);
    add_arc(&b, "a", 1, 5, "", "");
    add_arc(&b, "a", 1, 5, "", "");
    assert_arc(&b, JS_ERR_CORRUPT, "a 1 5 |;");
    b = (struct js_buf){.env = &env};
    js_buf_append(&b, "NATSARC1", 8);
    add_arc(&b, "a", 1, 5, "", "");
    add_arc(&b, "state.json", 1, 0, "", "");
    assert_arc(&b, JS_ERR_CORRUPT, "a 1 5 |;");
}

static void an_archive_without_memory_says_so(void **state) {
    (void)state;
    struct js_buf b = {.env = &env};
    struct listing l = {0};
    make_arc(&b);
    for (long n = 0; n < 2; n++) {
        allocs_left = n;
        assert_int_equal(arc(&b, &l), JS_ERR_NOMEM);
        allocs_left = -1;
    }
    js_buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_a_tar_are_given_in_order),
        cmocka_unit_test(links_devices_and_directories_are_passed_over),
        cmocka_unit_test(long_names_come_from_pax_gnu_and_prefix),
        cmocka_unit_test(sizes_in_binary_and_from_pax_count),
        cmocka_unit_test(lying_sizes_are_refused),
        cmocka_unit_test(malformed_extended_headers_are_refused),
        cmocka_unit_test(a_tar_cut_anywhere_is_torn),
        cmocka_unit_test(a_flipped_byte_of_a_header_is_found),
        cmocka_unit_test(random_damage_never_reads_outside),
        cmocka_unit_test(errors_of_the_source_and_of_memory_come_through),
        cmocka_unit_test(entries_of_an_archive_are_given_in_order),
        cmocka_unit_test(an_archive_cut_anywhere_is_torn),
        cmocka_unit_test(an_archive_larger_than_the_window_is_walked),
        cmocka_unit_test(hostile_archives_are_refused),
        cmocka_unit_test(an_archive_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
