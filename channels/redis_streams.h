/* The channels with history that this node follows: no publication is missed in silence, and those
 * who come back are served.
 *
 * Holes are filled from the history in Redis before anything behind them is delivered. After each
 * reconnect, and when a channel was silent for a while, the tops of all channels are compared with
 * Redis in batches. What is gone from the history, or whose epoch ended, is told to the subscribers
 * (MSG_TOP). See redis_stream.h for one channel.
 *
 * Questions about history are answered from what the node has seen when that is enough; otherwise
 * one reading serves all that wait for the same channel. An answer never tells of less than what
 * was posted to the workers before the question.
 *
 * Owns: its streams, and the questions while they wait. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_STREAMS_H
#define CARILLON_CHANNELS_REDIS_STREAMS_H

#include "channels/redis_envelope.h"
#include "channels/redis_history.h"
#include "channels/redis_stream.h"
#include "channels/redis_subs.h"

struct redis_streams {
    struct redis_stream_context context;
    struct redis_subs *subs;
    struct redis_history *history;
    struct redis_inbox *inbox;
    struct list all;        /* least recently heard of first */
    struct list tails;      /* those that have one, the same */
    struct list to_compare; /* with Redis */
    struct list to_heal;
    uint32_t quiet_ms; /* a channel that was silent so long is compared */
    uint32_t count;    /* of streams */
    size_t tail_bytes;
    uint32_t open_compares, open_heals;
};

void redis_streams_init(struct redis_streams *s, struct redis_shared *shared,
                        struct fanout *fanout);

/* After redis_streams_lost(); streams end with their subscriptions. */
void redis_streams_fini(struct redis_streams *s);

/* A message from Redis, of a channel that is subscribed; takes m, whose position is set. */
void redis_streams_take(struct redis_streams *s, struct redis_stream **slot, struct msg *m,
                        const struct redis_place *place);

/* The history up to here was removed by somebody. */
void redis_streams_removed(struct redis_stream **slot);

/* Something was lost; it goes on here, in another epoch. */
void redis_streams_broken(struct redis_stream **slot, const struct position *top);

/* Takes a call with a struct history_reply; answers it, now or later. */
void redis_streams_ask(struct redis_streams *s, struct redis_call *call);

/* Takes a call; forgets the publications, here and by a message on all nodes, and answers it. */
void redis_streams_remove(struct redis_streams *s, struct redis_call *call);

/* The links are open and everything is subscribed again. */
void redis_streams_connected(struct redis_streams *s);

/* The links are closed and all commands were told. */
void redis_streams_lost(struct redis_streams *s);

void redis_streams_tick(struct redis_streams *s, uint64_t now_ms);

/* The subscription ends. */
void redis_streams_end(struct redis_stream *stream);

#endif
