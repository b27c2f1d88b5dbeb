/* Which Redis is the master, as its Sentinels say.
 *
 * A link to each of them stays open, and all are asked once a second; who is away is tried again
 * every second. Answers may differ for a while: the one with the highest configuration epoch
 * counts, as it does among the Sentinels themselves. So one that is cut off from the others does
 * not mislead, nor does it matter which ones are away, as long as one of those that know is there.
 *
 * Answers are heard only at a tick: what is asked for never comes back from inside the call.
 *
 * Owns: its links. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_SENTINEL_H
#define CARILLON_CHANNELS_REDIS_SENTINEL_H

#include "channels/redis_link.h"

enum { REDIS_SENTINELS_MAX = 16, REDIS_HOST_MAX_BYTES = 255 };

struct redis_endpoint {
    const char *host; /* a name or an IP address */
    uint32_t port;
};

struct redis_sentinel_options {
    struct redis_endpoint items[REDIS_SENTINELS_MAX];
    uint32_t count;
    const char *master_name;
    const char *user;     /* empty: the default user */
    const char *password; /* empty: none */
    const struct redis_tls *tls;
    uint32_t connect_timeout_ms;
};

struct redis_sentinel_hooks {
    /* Answers redis_sentinel_ask(): either this or failed, once. */
    void (*found)(void *arg, const struct redis_endpoint *master);
    void (*failed)(void *arg, const char *why); /* a static text */
    /* While nobody asks: they name another master than the one last found. */
    void (*changed)(void *arg);
    void *arg;
};

struct redis_sentinel;

/* Borrows the texts and the TLS settings as long as it lives. */
struct redis_sentinel *redis_sentinel_create(struct redis_loop *loop,
                                             const struct redis_sentinel_options *options,
                                             const struct redis_sentinel_hooks *hooks);

/* Closes the links at once; no hook is called. */
void redis_sentinel_close(struct redis_sentinel *s);

/* After redis_sentinel_close(); NULL is fine. */
void redis_sentinel_destroy(struct redis_sentinel *s);

/* Asks all anew. */
void redis_sentinel_ask(struct redis_sentinel *s, uint64_t now_ms);

void redis_sentinel_tick(struct redis_sentinel *s, uint64_t now_ms);

#endif
