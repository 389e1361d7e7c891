/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer store: what its operations make of the state, in every cipher and compression. */
#include "core/consumer/consumer.h"
#include "tests/core/consumer_states.h"

/* ---- deliveries and acknowledgements
 * ------------------------------------------------------------- */

/* TestFileStoreConsumerDeliveredAndAckUpdates */
static void acks_out_of_order(void **s) {
    static const js_seq_t seqs[] = {100, 110, 130, 150, 165};
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 200);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i + 1, seqs[i], 1, TE_START), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.delivered_consumer, 5);
    assert_int_equal(st.delivered_stream, 165);
    assert_int_equal(st.num_pending, 5);
    assert_int_equal(st.floor_consumer, 0);
    js_consumer_state_done(&st);
    assert_int_equal(js_consumer_update_acks(f.c, 1, 101), JS_ERR_MSG_NOT_FOUND);
    assert_int_equal(js_consumer_update_acks(f.c, 1, 100), 0);
    expect_floor(&f, 1, 109);
    assert_int_equal(js_consumer_update_acks(f.c, 3, 130), 0);
    expect_floor(&f, 1, 109);
    assert_int_equal(js_consumer_update_acks(f.c, 2, 110), 0);
    expect_floor(&f, 3, 149);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_acks(f.c, 5, 165), 0);
    expect_floor(&f, 3, 149);
    assert_int_equal(js_consumer_update_acks(f.c, 4, 150), 0);
    expect_floor(&f, 5, 165);
    /* What is below the floor is known. */
    assert_int_equal(js_consumer_update_acks(f.c, 4, 150), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 5, 165, 1, TE_START), 0);
    st = state_of(&f);
    assert_int_equal(st.num_pending, 0);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

/* TestFileStoreConsumerDeliveredUpdates */
static void no_acks(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "{\"ack_policy\":\"none\"}");
    fill(&f, 300);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 100, 1, TE_START), 0);
    expect_floor(&f, 1, 100);
    assert_int_equal(js_consumer_update_delivered(f.c, 2, 110, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 5, 130, 1, TE_START), 0);
    expect_floor(&f, 5, 130);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.delivered_consumer, 5);
    assert_int_equal(st.num_pending, 0);
    js_consumer_state_done(&st);
    assert_int_equal(js_consumer_update_acks(f.c, 5, 130), JS_ERR_NO_ACK_POLICY);
    assert_int_equal(js_consumer_update_delivered(f.c, 6, 131, 2, TE_START), JS_ERR_NO_ACK_POLICY);
    assert_int_equal(js_consumer_update_starting(f.c, 200), 0);
    expect_floor(&f, 5, 200);
    assert_int_equal(js_consumer_update_starting(f.c, 150), 0);
    expect_floor(&f, 5, 200);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

/* TestFileStoreConsumerRedeliveredLost */
static void redelivered_survives(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 10);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_delivered(f.c, 2, 1, 2, TE_START), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 3, 1, 3, TE_START), 0);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_delivered(f.c, 4, 2, 1, TE_START), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 2);
    assert_int_equal(st.pending[0].consumer_seq, 1); /* of the first delivery */
    assert_int_equal(st.num_redelivered, 1);
    assert_int_equal(st.redelivered[0].count, 2);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_acks(f.c, 3, 1), 0);
    assert_int_equal(js_consumer_update_acks(f.c, 4, 2), 0);
    st = state_of(&f);
    assert_int_equal(st.num_pending, 0);
    assert_int_equal(st.num_redelivered, 0);
    assert_int_equal(st.floor_consumer, 4);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

/* TestFileStoreConsumerUpdateAcksFlushesRedelivered */
static void too_often(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "{\"ack_policy\":\"explicit\",\"max_deliver\":1}");
    fill(&f, 10);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 2, 1, 2, TE_START), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 0);
    assert_int_equal(st.num_redelivered, 1);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_acks(f.c, 1, 1), JS_ERR_MSG_NOT_FOUND);
    fx_reopen(&f, "c");
    st = state_of(&f);
    assert_int_equal(st.num_redelivered, 0);
    js_consumer_state_done(&st);
    fx_end(&f);
}

static void ack_all_is_cumulative(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "{\"ack_policy\":\"all\"}");
    fill(&f, 100);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i, i * 10, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 11, 30, 2, TE_START), 0);
    assert_int_equal(js_consumer_update_acks(f.c, 4, 45), JS_ERR_MSG_NOT_FOUND);
    assert_int_equal(js_consumer_update_acks(f.c, 4, 40), 0);
    expect_floor(&f, 4, 40);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 6);
    assert_int_equal(st.num_redelivered, 0);
    js_consumer_state_done(&st);
    /* A gap of two thousand million sequences takes no time. */
    assert_int_equal(js_consumer_update_delivered(f.c, 12, 1999999999, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_acks(f.c, 12, 1999999999), 0);
    expect_floor(&f, 12, 1999999999);
    fx_end(&f);
}

static void counts_below_are_forgotten(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, "{\"ack_policy\":\"explicit\",\"max_deliver\":2}");
    fill(&f, 100);
    for (uint64_t i = 1; i <= 20; i++)
        assert_int_equal(js_consumer_update_delivered(f.c, i, i, 1, TE_START), 0);
    for (uint64_t i = 1; i <= 20; i++) /* 1..10 are dead letters then */
        assert_int_equal(js_consumer_update_delivered(f.c, 20 + i, i, i <= 10 ? 3 : 2, TE_START),
                         0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.num_pending, 10);
    assert_int_equal(st.num_redelivered, 20);
    js_consumer_state_done(&st);
    assert_int_equal(js_consumer_remove_redelivered_below(f.c, 0), 0);
    assert_int_equal(js_consumer_remove_redelivered_below(f.c, 16), 0);
    st = state_of(&f);
    assert_int_equal(st.num_redelivered, 5);
    assert_int_equal(st.redelivered[0].stream_seq, 16);
    assert_int_equal(st.pending[0].redelivered, 0);
    assert_int_equal(st.pending[9].redelivered, 1);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

/* TestFileStoreConsumer, TestFileStoreResetConsumerToStreamState */
static void update_takes_over(void **s) {
    static struct js_pending many[8192];
    struct js_consumer_redelivered twice[] = {{22, 3}, {30, 8}};
    struct js_consumer_state st = {.delivered_consumer = 100, .delivered_stream = 100};
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 19000);
    assert_int_equal(js_consumer_update(f.c, &st), 0);
    st.floor_consumer = 101;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    st.floor_consumer = 20, st.floor_stream = 200;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    st.floor_stream = 20;
    struct js_pending p = {.stream_seq = 20, .consumer_seq = 20, .delivered = TE_START};
    st.pending = &p, st.num_pending = 1;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    p.stream_seq = 101;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    p.stream_seq = 22;
    st.redelivered = twice, st.num_redelivered = 2;
    assert_int_equal(js_consumer_update(f.c, &st), 0);
    struct js_consumer_state is = state_of(&f);
    p.redelivered = 3;
    assert_true(same_state(&st, &is));
    js_consumer_state_done(&is);
    expect_same_after_reopening(&f);
    /* Older ones only by force; what cannot be is refused before that. */
    st.delivered_consumer = 99;
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_OLD_UPDATE);
    st.floor_consumer = 200;
    assert_int_equal(js_consumer_force_update(f.c, &st), JS_ERR_INVAL);
    assert_int_equal(js_consumer_update(f.c, &st), JS_ERR_INVAL);
    st.floor_consumer = 20;
    assert_int_equal(js_consumer_force_update(f.c, &st), 0);
    is = state_of(&f);
    assert_true(same_state(&st, &is));
    js_consumer_state_done(&is);
    for (size_t i = 0; i < 8192; i++)
        many[i] = (struct js_pending){
            .stream_seq = 100 + i * 2, .consumer_seq = 30 + i, .delivered = TE_START};
    st = (struct js_consumer_state){.delivered_consumer = 9000,
                                    .delivered_stream = 19000,
                                    .floor_consumer = 20,
                                    .floor_stream = 99,
                                    .pending = many,
                                    .num_pending = 8192};
    assert_int_equal(js_consumer_update(f.c, &st), 0);
    expect_same_after_reopening(&f);
    fx_end(&f);
}

static void starting_and_reset(void **s) {
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 100);
    assert_int_equal(js_consumer_set_starting(f.c, 22), 0);
    expect_floor(&f, 0, 22);
    expect_same_after_reopening(&f);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 23, 1, TE_START), 0);
    assert_int_equal(js_consumer_update_starting(f.c, 10), 0);
    struct js_consumer_state st = state_of(&f);
    assert_int_equal(st.delivered_stream, 23);
    js_consumer_state_done(&st);
    assert_int_equal(js_consumer_has_state(f.c), 1);
    assert_int_equal(js_consumer_reset(f.c, 7), 0);
    st = state_of(&f);
    assert_int_equal(st.num_pending, 0);
    assert_int_equal(st.delivered_consumer, 0);
    assert_int_equal(st.delivered_stream, 7);
    js_consumer_state_done(&st);
    expect_same_after_reopening(&f);
    assert_string_equal(js_consumer_type(f.c), "file");
    fx_end(&f);
}

static int add_size(void *ctx, const void *data, size_t len) {
    (void)data;
    *(size_t *)ctx += len;
    return 0;
}

static int look(void *ctx, const struct js_consumer_state *st) {
    *(uint64_t *)ctx = st->delivered_consumer;
    return 7;
}

static void looks_at_the_state(void **s) {
    uint64_t delivered = 0;
    size_t len = 0;
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    assert_int_equal(js_consumer_encoded_state(f.c, add_size, &len), 0);
    assert_true(len > 8 && len < 40);
    assert_int_equal(js_consumer_borrow_state(f.c, look, &delivered), 7);
    assert_int_equal(delivered, 1);
    fx_end(&f);
}

/* Where a stream is encrypted, nothing of its consumers is plain. */
static void sealed(void **s) {
    static const char *const files[] = {"meta.inf", "o.dat"};
    struct fixture f;

    (void)s;
    begin(&f, explicit_acks);
    fill(&f, 9);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    expect_same_after_reopening(&f);
    assert_string_equal(js_stream_cipher(f.stream), fx_cipher ? fx_cipher : "none");
    for (size_t i = 0; i < 2; i++) {
        char path[200];
        uint8_t *data;
        bool lz4 = fx_compression && strcmp(fx_compression, "lz4") == 0;
        snprintf(path, sizeof path, "/s/jetstream/$G/%s/S/obs/c/%s", lz4 ? "jetfs" : "streams",
                 files[i]);
        long len = rd_get(f.disk, path, &data);
        assert_true(len > 4);
        if (fx_cipher)
            assert_memory_not_equal(data, i ? "\x16\x02\x00\x00" : "{\"Cr", 4);
        else
            assert_memory_equal(data, i ? "\x16\x02\x00\x00" : "{\"Cr", 4);
        free(data);
    }
    fx_end(&f);
}

/* What was delivered a moment ago counts in the stream that a new cipher makes. */
static void another_cipher(void **s) {
    const enum js_new_cipher none = JS_CIPHER_NEW_NONE;
    struct js_consumer_state st;
    struct fixture f;

    (void)s;
    if (!fx_cipher)
        return;
    begin(&f, explicit_acks);
    fill(&f, 9);
    assert_int_equal(js_consumer_sync(f.c), 0);
    assert_int_equal(js_consumer_update_delivered(f.c, 1, 1, 1, TE_START), 0);
    assert_int_equal(js_store_rekey(f.store, "$G", "S", &none, NULL), 0);
    fx_reopen(&f, "c");
    assert_string_equal(js_stream_cipher(f.stream), "none");
    assert_int_equal(js_consumer_state(f.c, &st), 0);
    assert_int_equal(st.delivered_stream, 1);
    js_consumer_state_done(&st);
    fx_end(&f);
}

static void stop(void *ctx, struct js_consumer *c) {
    ++*(int *)ctx;
    assert_int_equal(js_consumer_stop(c), 0);
}

/* Who goes in the middle of a round does not end it for the others. */
static void all_are_told(void **s) {
    struct fixture f;
    int n = 0;

    (void)s;
    begin(&f, explicit_acks);
    fx_consumer(&f, "c2", explicit_acks);
    fx_consumer(&f, "c3", explicit_acks);
    js_consumers_each(f.stream, stop, &n);
    assert_int_equal(n, 3);
    fx_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acks_out_of_order),     cmocka_unit_test(no_acks),
        cmocka_unit_test(redelivered_survives),  cmocka_unit_test(too_often),
        cmocka_unit_test(ack_all_is_cumulative), cmocka_unit_test(counts_below_are_forgotten),
        cmocka_unit_test(update_takes_over),     cmocka_unit_test(starting_and_reset),
        cmocka_unit_test(looks_at_the_state),    cmocka_unit_test(sealed),
        cmocka_unit_test(another_cipher),        cmocka_unit_test(all_are_told),
    };
    static const char *const ciphers[] = {NULL, "chacha", "aes"};
    static const char *const compressions[] = {"none", "s2", "lz4"};
    int failed = 0;

    for (int i = 0; i < 9; i++) {
        fx_cipher = ciphers[i / 3];
        fx_compression = compressions[i % 3];
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
