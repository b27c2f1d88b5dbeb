/* The newest publications of a channel that this node has seen, one behind the other without a
 * hole: so that many who come back at once cost Redis one question.
 *
 * Bounded: at most 1,000 publications or 1 MiB per channel, always the newest one (for patches).
 *
 * Owns: a reference of each. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_TAIL_H
#define CARILLON_CHANNELS_REDIS_TAIL_H

#include "channels/broker.h"

struct redis_tail {
    struct msg **items; /* `count` from `first` on, oldest first */
    uint32_t first, count, capacity;
    size_t bytes;
};

/* Keeps a reference; at most max_count are kept then (0: as many as fit). One that does not follow
 * the last one replaces all. */
void redis_tail_push(struct redis_tail *t, struct msg *m, uint32_t max_count);

/* Frees everything. */
void redis_tail_clear(struct redis_tail *t);

static inline struct msg *redis_tail_last(const struct redis_tail *t) {
    return t->count ? t->items[t->first + t->count - 1] : NULL;
}

/* What is known of a channel, to answer from. */
struct redis_view {
    struct position top, previous; /* as in struct redis_reading */
    struct msg *const *items;      /* borrowed; contiguous, oldest first, the last one is the top */
    uint32_t count;
    uint64_t from;     /* everything that is kept behind this offset is here */
    bool is_fresh;     /* asked for since the question came: nothing is above the top */
    bool is_cut;       /* but the items end before the top */
    bool knows_newest; /* the newest is here, or none is kept */
};

/* Fills the answer, but for its reply, and gives true when the view has all that it takes. */
bool redis_view_answer(const struct redis_view *v, struct history_reply *h);

/* May the question be answered from a view at all? */
bool redis_view_can_answer(const struct history_reply *h);

#endif
