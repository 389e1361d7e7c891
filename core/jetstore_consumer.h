/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libjetstore, consumers: their store (state on disk) and what they deliver. Included by
 * core/jetstore.h; see there for the words used. All of this needs a store opened with JS_OPEN_RW.
 *
 * A consumer is opened once in a process, however many handles there are: all see the same state.
 * Two layers share it. The store's functions (js_consumer_update_delivered and so on, named after
 * the peer's ConsumerStore) change the state as they are told. The others decide themselves: which
 * message comes next, when it comes again, what leaves the stream because it was acknowledged.
 *
 * When state reaches the disk: changes are written at most every 100 ms by js_store_run_due, by
 * js_consumer_sync, and when the consumer stops. What says that it is durable returns only when the
 * state is on disk (JS_SYNC_CLOSE, JS_SYNC_ALWAYS; in the other modes it leaves that to time).
 *
 * Errors that any of these functions may return: STORE_CLOSED (stopped or deleted), READ_ONLY,
 * NO_SPACE, IO, ACCESS, TOO_MANY_FILES, NOMEM. After an error in writing the state in memory stays
 * as the call left it and is written again later.
 */
#ifndef JETSTORE_CONSUMER_H
#define JETSTORE_CONSUMER_H

#ifndef JETSTORE_H
#error "include core/jetstore.h"
#endif

struct js_consumer;

/* ---- handles ------------------------------------------------------------------------------- */

/*
 * Creates a durable pull consumer (directory, meta.inf, meta.sum, first state) or says why not.
 * config_json: a configuration as in meta.inf, or NULL for explicit acknowledgements, everything
 * from the first message on. The servers' rules hold, with those for workqueue and interest
 * streams. Errors: EXISTS, INVAL, NOT_PERMITTED (the stream's retention does not allow it); ret_why
 * gets a sentence.
 */
JS_API int js_stream_create_consumer(struct js_stream *stream, const char *name,
                                     const char *config_json, char *ret_why, size_t why_size);
/*
 * Opens (first time) or finds a consumer and takes a reference. NO_CONSUMER; CORRUPT, WRONG_KEY,
 * NO_KEY
 * ... when what is on disk cannot be read: nothing is changed then; js_stream_repair_consumer()
 * mends it.
 */
JS_API int js_stream_open_consumer(struct js_stream *stream, const char *name,
                                   struct js_consumer **ret_consumer);
JS_API void js_consumer_unref(struct js_consumer *consumer);
/* Deletes a consumer with its directory, opened or not, readable or not. LOCKED when messages are
 * in flight and force is false. */
JS_API int js_stream_delete_consumer(struct js_stream *stream, const char *name, bool force);
/*
 * Gives a consumer whose state is damaged, or that is past the end of the stream, a state that
 * fits: messages from seq on are delivered (again); 0 = from the first that may be undelivered.
 * Works on consumers that do not open, as long as their configuration can be read.
 */
JS_API int js_stream_repair_consumer(struct js_stream *stream, const char *name, js_seq_t seq);
/* Borrowed until the last reference goes. */
JS_API const char *js_consumer_name(const struct js_consumer *consumer);

/* ---- the store: state ------------------------------------------------------------------------ */

struct js_consumer_redelivered {
    js_seq_t stream_seq;
    uint64_t count; /* deliveries beyond the first */
};

struct js_consumer_state {
    const struct js_env *env;
    uint64_t delivered_consumer, delivered_stream;
    uint64_t floor_consumer, floor_stream;
    struct js_pending *pending; /* ascending stream_seq; redelivered filled in */
    size_t num_pending;
    struct js_consumer_redelivered *redelivered; /* ascending; pending or not */
    size_t num_redelivered;
};
/* Frees what js_consumer_state gave. */
JS_API void js_consumer_state_done(struct js_consumer_state *state);

/* Delivery begins behind seq: the state becomes durable before it returns. */
JS_API int js_consumer_set_starting(struct js_consumer *consumer, js_seq_t seq);
/* The same, upward only, and written with time. */
JS_API int js_consumer_update_starting(struct js_consumer *consumer, js_seq_t seq);
/* Forgets everything, then js_consumer_set_starting. */
JS_API int js_consumer_reset(struct js_consumer *consumer, js_seq_t seq);
/* 1 if something was delivered or a state is on disk, else 0. */
JS_API int js_consumer_has_state(struct js_consumer *consumer);
/* Message stream_seq was delivered as the consumer's number consumer_seq, for the count-th time.
 * NO_ACK_POLICY: count is not 1, and the consumer takes no acknowledgements. */
JS_API int js_consumer_update_delivered(struct js_consumer *consumer, uint64_t consumer_seq,
                                        js_seq_t stream_seq, uint64_t count, js_time_t time);
/* It was acknowledged. MSG_NOT_FOUND (not pending), NO_ACK_POLICY. */
JS_API int js_consumer_update_acks(struct js_consumer *consumer, uint64_t consumer_seq,
                                   js_seq_t stream_seq);
/* Forgets redelivery counts below seq. */
JS_API int js_consumer_remove_redelivered_below(struct js_consumer *consumer, js_seq_t seq);
/* Replaces the state. INVAL (floor past what was delivered, pending outside of floor..delivered),
 * OLD_UPDATE (it would go back). force: OLD_UPDATE does not happen, durable. */
JS_API int js_consumer_update(struct js_consumer *consumer, const struct js_consumer_state *state);
JS_API int js_consumer_force_update(struct js_consumer *consumer,
                                    const struct js_consumer_state *state);
/* A copy, freed with js_consumer_state_done. */
JS_API int js_consumer_state(struct js_consumer *consumer, struct js_consumer_state *ret_state);
/* The same for a look: fn gets a view that is valid until it returns and must not call functions of
 * the consumer. fn's value is returned. */
JS_API int js_consumer_borrow_state(struct js_consumer *consumer,
                                    int (*fn)(void *ctx, const struct js_consumer_state *state),
                                    void *ctx);
/* The bytes of o.dat (not sealed). */
JS_API int js_consumer_encoded_state(struct js_consumer *consumer, js_sink_fn sink, void *ctx);
/* Bytes of o.dat to a state. CORRUPT, UNKNOWN_FORMAT (version), NOMEM. */
JS_API int js_consumer_state_decode(const struct js_env *env, const uint8_t *in, size_t len,
                                    struct js_consumer_state *ret_state);
/* "file" */
JS_API const char *js_consumer_type(const struct js_consumer *consumer);

/* The configuration (JSON as in meta.inf). */
JS_API int js_consumer_get_config(struct js_consumer *consumer, js_sink_fn sink, void *ctx);
/* Replaces it. INVAL, NOT_PERMITTED (what may not change: policies, name ...); ret_why gets a
 * sentence. meta.inf is replaced atomically before anything else happens. */
JS_API int js_consumer_update_config(struct js_consumer *consumer, const char *config_json,
                                     char *ret_why, size_t why_size);

/* Puts the state on disk, whatever the mode. */
JS_API int js_consumer_sync(struct js_consumer *consumer);
/* The same for every open consumer of a stream. First error. */
JS_API int js_stream_sync_consumers(struct js_stream *stream);
/* Writes what changed; every further call but unref gives STORE_CLOSED, but stopping again is fine.
 */
JS_API int js_consumer_stop(struct js_consumer *consumer);
/* The same, and removes the directory. */
JS_API int js_consumer_delete(struct js_consumer *consumer);
/* The stream's directory goes as a whole: stops without writing or removing anything. */
JS_API int js_consumer_stream_delete(struct js_consumer *consumer);

/* ---- delivering ------------------------------------------------------------------------------ */

struct js_delivery {
    js_seq_t seq;
    uint64_t consumer_seq;
    uint64_t count;       /* 1: the first time */
    uint64_t num_pending; /* how many will follow */
};
/*
 * What comes next: messages to be delivered again first, then new ones. At most max; *ret_n is how
 * many (1 or more if 0 is returned). They are pending from now on unless the consumer takes no
 * acknowledgements. Errors: AGAIN (nothing now), MAX_ACK_PENDING, PAUSED.
 */
JS_API int js_consumer_next(struct js_consumer *consumer, struct js_delivery *ret_deliveries,
                            size_t max, size_t *ret_n);
/* The sequences that js_consumer_next would give, from `from` on, ascending: those to come again,
 * then new ones. Changes nothing. */
JS_API int js_consumer_peek(struct js_consumer *consumer, js_seq_t from, js_seq_t *buf, size_t max,
                            size_t *ret_n);
/* Those in flight: delivered, not acknowledged, ack wait not over. Ascending from `from`. */
JS_API int js_consumer_inflight(struct js_consumer *consumer, js_seq_t from, struct js_pending *buf,
                                size_t max, size_t *ret_n);

enum js_ack_kind {
    JS_ACK,         /* done */
    JS_NAK,         /* deliver again, after delay */
    JS_TERM,        /* never deliver again */
    JS_IN_PROGRESS, /* the ack wait begins anew */
};
struct js_ack {
    js_seq_t seq;
    enum js_ack_kind kind;
    js_time_t delay; /* of JS_NAK; 0 = at once */
};
/*
 * Takes acknowledgements in order. Durable. *ret_done (may be NULL): how many were taken before the
 * one that failed; when the state could not be put on disk, none. MSG_NOT_FOUND: not pending;
 * NO_ACK_POLICY.
 */
JS_API int js_consumer_ack(struct js_consumer *consumer, const struct js_ack *acks, size_t n,
                           size_t *ret_done);
/* Takes a delivery back that nobody saw: at once again, and not counted as a delivery. */
JS_API int js_consumer_undeliver(struct js_consumer *consumer, js_seq_t seq);
/* Delivery goes on at seq, or at the first message from a time on; what was pending is forgotten.
 * Durable. */
JS_API int js_consumer_seek(struct js_consumer *consumer, js_seq_t seq);
JS_API int js_consumer_seek_time(struct js_consumer *consumer, js_time_t time);

/*
 * fn is called (outside all locks, from any thread) whenever js_consumer_next may have something
 * new: messages were stored, an ack wait ended, an acknowledgement made room, a pause is over. One
 * a consumer; NULL takes it back, and after that no call is running.
 */
typedef void (*js_ready_fn)(void *ctx, struct js_consumer *consumer);
JS_API void js_consumer_on_ready(struct js_consumer *consumer, js_ready_fn fn, void *ctx);

#endif
