/* The two links of a node to Redis: one for commands, one for subscriptions (Redis takes nothing
 * else on it). They live and die together: when one breaks, the other is closed too, and both are
 * opened again after a pause, so the rest of the broker knows only "connected" and "lost".
 *
 * Each link first says who we are (AUTH, SELECT, CLIENT SETNAME), and the one for commands asks
 * whether this is a master: a replica is refused. With Sentinels, they name the server before every
 * attempt, and both links are dropped as soon as they name another one.
 *
 * The pause grows with each failure, at random between half and all of it: at most 1 s in the first
 * minute, then at most 5 s. Why it failed is logged when it changes, not on every try.
 *
 * Owns: both links, and those to the Sentinels. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_PAIR_H
#define CARILLON_CHANNELS_REDIS_PAIR_H

#include "channels/redis_link.h"
#include "channels/redis_sentinel.h"

struct redis_pair_options {
    struct redis_link_options link; /* with Sentinels, its target is not used */
    struct redis_sentinel_options sentinel;
    const char *user;     /* empty: the default user */
    const char *password; /* empty: none */
    uint32_t db;
    const char *uid;
};

struct redis_pair_hooks {
    void (*connected)(void *arg);
    /* Also when connecting failed: then was_connected is false. */
    void (*lost)(void *arg, const char *why, bool was_connected);
    void (*message)(void *arg, struct str channel, struct str payload);
    /* Connected, and to another master than before. Comes before connected. */
    void (*moved)(void *arg);
    void *arg;
};

struct redis_side {
    struct redis_pair *pair;
    struct redis_link *link;
    uint32_t hello_left; /* answers until it is ready */
    bool is_ready, is_closed;
};

struct redis_pair {
    struct redis_pair_options options; /* borrowed texts */
    struct redis_pair_hooks hooks;
    struct redis_side commands, messages;
    struct redis_sentinel *sentinel;     /* NULL: none */
    bool is_asking;                      /* the Sentinels */
    char host[REDIS_HOST_MAX_BYTES + 1]; /* where they say the master is */
    uint32_t port;
    char master[REDIS_HOST_MAX_BYTES + 8]; /* host:port of the last one that worked; "": none */
    bool is_connected;
    const char *fault;   /* of this attempt */
    const char *logged;  /* the last fault in the log */
    uint32_t fail_count; /* since it last worked */
    uint64_t down_since_ms, retry_at_ms;
};

/* Connects at the next tick. */
void redis_pair_init(struct redis_pair *p, struct redis_loop *loop,
                     const struct redis_pair_options *options,
                     const struct redis_pair_hooks *hooks);

/* Closes both at once; open commands are told, no hook is called. */
void redis_pair_close(struct redis_pair *p);

/* After redis_pair_close(). */
void redis_pair_fini(struct redis_pair *p);

void redis_pair_tick(struct redis_pair *p, uint64_t now_ms);

/* Drops both links at the end of the turn. */
void redis_pair_fail(struct redis_pair *p, const char *why);

/* Everything works: the next failure starts with short pauses again. */
void redis_pair_works(struct redis_pair *p);

/* Connected, and no fault. */
bool redis_pair_is_open(const struct redis_pair *p);

#endif
