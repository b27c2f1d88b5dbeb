/* One channel with history, as this node follows it: which publication came last, the newest ones,
 * and what is held while something is missing.
 *
 * Redis sends each publication once and in order as long as the link lives. What arrives is judged
 * by its position:
 *
 *     the next one           goes to the subscribers
 *     further on             there is a hole: it is held, the missing ones are read first
 *     not new                dropped, it was read already; unless it was under way when the node
 *                            began to follow the channel: then it may be new to somebody
 *     of another epoch       held: a newer one, or one that is over? Redis is asked; the
 *                            subscribers see by the first of the new epoch that they must begin
 * again
 *
 * Owns: a reference of each message inside. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_STREAM_H
#define CARILLON_CHANNELS_REDIS_STREAM_H

#include "channels/fanout.h"
#include "channels/redis_inbox.h"
#include "channels/redis_shared.h"
#include "channels/redis_tail.h"
#include "server/base/list.h"

struct redis_streams;
struct stream_read;

struct redis_stream {
    struct redis_streams *owner;
    struct str channel; /* the table of subscriptions has it */
    struct list in_all, in_tails, in_queue;
    bool is_known;            /* `last` is */
    bool is_broken;           /* something is missing behind `last`: what comes is held */
    bool awaits_copy;         /* the next message without a position is one that came with it */
    bool reads_again;         /* there was too much to hold, or the reading came too early */
    uint64_t start_top;       /* of `last` when the node began to follow; 0 later */
    struct position last;     /* that subscribers have got, or need not */
    struct position previous; /* end of the epoch before, if Redis has said so */
    struct redis_tail tail;   /* up to `last`, or empty */
    uint64_t tail_due_ms;
    uint32_t size; /* publications that the history keeps; 0: not known yet */
    struct msg **held;
    uint32_t held_count, held_capacity;
    size_t held_bytes;
    struct stream_read *read;        /* under way; NULL: none */
    struct redis_call_queue waiting; /* questions for the next reading */
    uint64_t heard_ms;
};

/* What a stream needs of its surroundings. */
struct redis_stream_context {
    struct redis_shared *shared;
    struct fanout *fanout;
    struct buf patch;
    size_t held_bytes; /* of all streams */
};

/* A publication from Redis; borrows it. False: something is missing before it, so it is held. */
bool redis_stream_take(struct redis_stream *t, struct redis_stream_context *x, struct msg *m,
                       bool makes_delta);

/* Holds a message; borrows it. */
void redis_stream_hold(struct redis_stream *t, struct redis_stream_context *x, struct msg *m);

/* What was held goes on, in order. False: something is missing again; the rest stays. */
bool redis_stream_release(struct redis_stream *t, struct redis_stream_context *x);

/* Drops what is held, but for what has no position: that goes to the subscribers. */
void redis_stream_drop_held(struct redis_stream *t, struct redis_stream_context *x);

/* Drops those of the first `count` held ones that cannot be, as the top was read after they came:
 * of an epoch that is over, or above the top (then it was not Redis that numbered them). */
void redis_stream_drop_outdated(struct redis_stream *t, struct redis_stream_context *x,
                                uint32_t count, const struct position *top);

/* One that was missing; those that came already are skipped. */
void redis_stream_refill(struct redis_stream *t, struct redis_stream_context *x, struct msg *m);

/* What is between `last` and here is gone: the subscribers are told, and it goes on from here. */
void redis_stream_jump(struct redis_stream *t, struct redis_stream_context *x,
                       const struct position *top);

/* The epoch is another one, in which `first` is the first that was read: it goes on there. The
 * subscribers see by that publication that they must begin again. */
void redis_stream_change_epoch(struct redis_stream *t, struct redis_stream_context *x,
                               const struct position *first);

/* Begins to follow the channel here. */
void redis_stream_begin(struct redis_stream *t, const struct position *at);

#endif
