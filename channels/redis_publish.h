/* Publishing through Redis.
 *
 * A publication that is not kept is a plain PUBLISH; one that is, or that has an idempotency key, a
 * script that numbers, keeps and publishes it in one step. The script is called by its hash, which
 * each connection loads first. Should Redis forget it all the same (SCRIPT FLUSH), then all
 * publications wait until it is loaded again, those that were refused are repeated in their order,
 * and one that another of its channel has overtaken meanwhile is given up: nothing was done with
 * it.
 *
 * A publication that was sent and got no answer is never repeated: its publisher is told
 * BROKER_UNKNOWN, and may repeat it with an idempotency key.
 *
 * Owns: the calls that are under way. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_PUBLISH_H
#define CARILLON_CHANNELS_REDIS_PUBLISH_H

#include "channels/redis_acks.h"
#include "channels/redis_history.h"
#include "channels/redis_inbox.h"

enum { REDIS_SHA_BYTES = 40 };

struct redis_publisher {
    struct redis_shared *shared;
    struct redis_link *link;
    struct redis_inbox *inbox;
    struct redis_acks *acks;
    void (*fail)(void *arg, const char *why);
    void *arg;
    char sha[REDIS_SHA_BYTES + 1];
    bool is_loaded; /* on this connection */
    /* For want of the script, each in the order of calls: */
    struct redis_call_queue refused; /* by Redis, to be repeated first */
    struct redis_call_queue waiting; /* not sent yet */
    struct buf scratch, name;
};

/* `fail` is called when this Redis does not load scripts. */
void redis_publisher_init(struct redis_publisher *p, struct redis_shared *shared,
                          struct redis_link *link, struct redis_inbox *inbox);

/* After redis_publisher_lost(). */
void redis_publisher_fini(struct redis_publisher *p);

/* The link is open: loads the script. */
void redis_publisher_connected(struct redis_publisher *p);

/* The link is closed. */
void redis_publisher_lost(struct redis_publisher *p);

/* Takes a call with a message; answers it later. */
void redis_publish(struct redis_publisher *p, struct redis_call *call);

/* Answers one that was not sent. */
void redis_publish_refuse(struct redis_publisher *p, struct redis_call *call);

#endif
