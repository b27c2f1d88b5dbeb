/* Asking Redis what it remembers of channels.
 *
 * One reading may take several calls of a script; each is bounded in bytes, so that Redis serves
 * others in between. So is the number of readings at a time; the others wait for their turn. A
 * reading with a deadline is over then, in whatever state it is. What is in the stream and not ours
 * is counted as garbage and left out.
 *
 * Owns: nothing but readings under way. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_HISTORY_H
#define CARILLON_CHANNELS_REDIS_HISTORY_H

#include "channels/redis_shared.h"
#include "server/base/list.h"

struct redis_history {
    struct redis_shared *shared;
    struct redis_link *link;
    void (*fail)(void *arg, const char *why);
    void *arg;
    bool has_met;        /* Redis knows that we have found it to be this one */
    struct list waiting; /* readings; those without a deadline first */
    struct list open;    /* readings */
    uint32_t open_count; /* calls; of readings that are over, too */
};

void redis_history_init(struct redis_history *h, struct redis_shared *shared,
                        struct redis_link *link);

/* The link is open: asks which run of which Redis this is, and notes it there. `fail` is called
 * when that does not work. */
void redis_history_connected(struct redis_history *h);
/* The link is closed, its commands were told: those that wait are, too. */
void redis_history_lost(struct redis_history *h);

/* Ends those that take too long. */
void redis_history_tick(struct redis_history *h, uint64_t now_ms);

/* An epoch for a channel that has none; random. */
struct str redis_new_epoch(char out[EPOCH_BYTES]);

/* One reading, inside a struct of the asker's, who fills the first part. */
struct redis_reading {
    struct str channel; /* borrowed until it is done */
    bool is_reverse, has_since;
    struct position since; /* as in struct history_reply */
    uint32_t limit;        /* 0: only the position */
    uint32_t max_bytes;    /* 0: all */
    uint64_t deadline_ms;  /* 0: none but that of the link */
    /* Called once, in a later turn; REDIS_ANSWERED, and then the second part is filled. */
    void (*done)(struct redis_reading *r, enum redis_outcome outcome);
    /* --- */
    struct position top;
    struct position previous; /* where the epoch before ended; offset 0: none */
    uint64_t ttl_ms;          /* that the publications still live */
    bool is_other_epoch, is_cut;
    struct msg **items; /* redis_reading_fini() frees them */
    uint32_t count;
    /* for redis_history.c: */
    struct redis_history *owner;
    struct list in_history;
    struct reading_call *call;
    uint32_t capacity;
    size_t bytes;
};

/* False, and `done` is not called, when the link is not open. */
bool redis_history_read(struct redis_history *h, struct redis_reading *r);

void redis_reading_fini(struct redis_reading *r);

/* Is this position as good in the epoch of `top`? One in the epoch before is, up to its end; one
 * without epoch always is. */
bool redis_position_is_in(const struct position *p, const struct position *top,
                          const struct position *previous);

#endif
