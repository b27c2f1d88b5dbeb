/* Which channels this node wants from Redis, and how far Redis knows.
 *
 * Workers attach and detach; the table counts, and asks Redis for the first and, a second after the
 * last one is gone, to stop. Names are asked for in batches of 512, once per turn of the loop, with
 * a bounded number unconfirmed. An attach is answered when Redis has confirmed the name. When the
 * link is lost, what waits is told and what is attached is wanted again.
 *
 *              attach              batch sent          confirmed         unused for 1 s
 *     (nothing) --> SUB_WANTED ---------> SUB_ASKED ---------> SUB_LIVE --------> SUB_LEAVING -->
 * (nothing)
 *                       ^-------------------------------- attach ------------------------'
 *
 * Owns: its entries; the replies while they wait. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_SUBS_H
#define CARILLON_CHANNELS_REDIS_SUBS_H

#include "channels/redis_shared.h"
#include "server/base/list.h"
#include "server/base/map.h"

struct redis_stream;

struct redis_subs {
    struct redis_shared *shared;
    struct redis_link *link;
    void (*ended)(
        struct redis_stream *stream); /* of one whose channel is not subscribed any more */
    struct map channels;
    struct list wanted;  /* to be asked for */
    struct list idle;    /* live, but nobody is attached; oldest first */
    struct list waiters; /* of all channels, oldest first */
    uint32_t unconfirmed_count;
    bool is_connected;
    struct buf scratch;
};

/* `ended` may be NULL when nothing is kept with channels. */
void redis_subs_init(struct redis_subs *s, struct redis_shared *shared, struct redis_link *link,
                     void (*ended)(struct redis_stream *stream));

/* After redis_subs_lost(). */
void redis_subs_fini(struct redis_subs *s);

/* The link is open: the node's own channels (beats, notes of other nodes) are asked for at once,
 * the rest follows. */
void redis_subs_connected(struct redis_subs *s);

/* The link is closed. */
void redis_subs_lost(struct redis_subs *s);

void redis_subs_attach(struct redis_subs *s, struct str channel, struct reply *r, uint64_t now_ms);
void redis_subs_detach(struct redis_subs *s, struct str channel, uint64_t now_ms);

/* Asks for what is wanted; once per turn. */
void redis_subs_turn_end(struct redis_subs *s);

/* Deadlines, and channels nobody wants any more. */
void redis_subs_tick(struct redis_subs *s, uint64_t now_ms);

/* Redis has confirmed all that is wanted. */
bool redis_subs_are_settled(const struct redis_subs *s);

/* What somebody keeps with a channel that Redis sends us; NULL: it does not, or nobody wants it. */
struct redis_stream **redis_subs_live_stream(const struct redis_subs *s, struct str channel);

/* The table's own name of such a channel. */
struct str redis_subs_name(const struct redis_subs *s, struct str channel);

#endif
