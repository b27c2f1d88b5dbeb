/* How a subscription goes from history to live without a gap and without a repeat.
 *
 * While a subscription waits for the broker, what is published to its channel is held. Once the
 * channel is attached, a subscription that keeps a position (rules.h) asks the broker where the
 * channel stands, and for what it missed if it recovers; the answer and what was held are joined by
 * offset. The reply to subscribe comes next, then what was held and has no offset, then live.
 *
 * What recovering means: centrifugo.md in words, centrifugal/centrifuge in code. A client that
 * cannot get everything is told so (recovered: false), never silently given a part.
 *
 * Owns: the held messages and the answer. Thread: the worker of the client.
 */
#ifndef CARILLON_SESSION_SYNC_H
#define CARILLON_SESSION_SYNC_H

#include "channels/broker.h"

/* Held for one subscription. */
enum { SYNC_HELD_MAX_COUNT = 4096, SYNC_HELD_MAX_BYTES = 1 << 20 };

struct hub_channel;
struct subscription;
struct history_call;

/* What the reply to subscribe says about history. */
struct sync_result {
    bool was_recovering;
    bool is_recovered;
    bool is_cut;              /* there is more, but the client's queue could not take it */
    struct position position; /* from where the client continues, `items` not yet counted */
    struct msg **items;       /* what it missed, oldest first */
    uint32_t count, capacity;
};

struct sync {
    /* As the client asks: */
    bool wants_recovery;
    bool fails_unrecoverable; /* an error rather than "recovered: false" */
    struct position since;
    /* The rest is for client_sync.c: */
    bool is_overfull; /* held messages were dropped: what was read is not enough */
    uint8_t attempts;
    struct history_call *call; /* open; NULL: none */
    struct msg **held;
    uint32_t held_count, held_capacity;
    size_t held_bytes;
    struct sync_result result;
};

/* Gives the subscription's sync, made when there is none yet. */
struct sync *sync_of(struct subscription *sub);

/* Keeps a reference until the subscription is live. False: there are too many, and it is not one
 * that a history could give again. */
bool sync_hold(struct subscription *sub, struct msg *m);

/* The channel is attached: asks the broker. sync_done() of client_channels.c follows, with the
 * error or ERROR_NONE, in this call or later. */
void sync_start(struct subscription *sub);

/* Frees it; an answer that is still to come finds nobody. */
void sync_end(struct subscription *sub);

/* For subscriptions that keep a position: may this message go to the client? */
enum sync_verdict {
    SYNC_DELIVER,
    SYNC_DROP,         /* it had it already */
    SYNC_INSUFFICIENT, /* something is missing before it */
};
enum sync_verdict sync_advance(struct subscription *sub, const struct msg *m);

/* The channel stands here: who is elsewhere has missed something that is gone, and is told so. */
void sync_jump(struct hub_channel *hc, const struct position *top);

/* Asks the broker whether a silent channel stands where its subscribers are; called now and then
 * for each positioned subscription. Those who have missed something are told. */
void sync_check(struct subscription *sub, uint64_t now_ms);

#endif
