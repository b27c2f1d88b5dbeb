/* What Redis has acknowledged lately, so that it is noticed when it was lost all the same: a master
 * that died may not have passed on its last publications, and those who had not received them yet
 * would never know.
 *
 * The highest offset of each channel that this node has published to is remembered for a minute.
 * After each reconnect all of them are looked for in Redis, in batches. Where one is missing a
 * script begins a new epoch in which no position of the one before is good, and tells all nodes; so
 * every subscriber of the channel learns that it was not recovered.
 *
 * Bounded: 100,000 channels and 16 MiB; beyond that the oldest are forgotten.
 *
 * Owns: its table. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_ACKS_H
#define CARILLON_CHANNELS_REDIS_ACKS_H

#include "channels/msg.h"
#include "channels/redis_shared.h"
#include "server/base/list.h"
#include "server/base/map.h"

struct redis_acks {
    struct redis_shared *shared;
    struct redis_link *link;
    struct map channels;
    struct list all;      /* oldest first */
    struct list unproven; /* to be looked for */
    size_t bytes;
    uint32_t open_batches;
    uint64_t lost_count; /* since the last reconnect */
};

void redis_acks_init(struct redis_acks *a, struct redis_shared *shared, struct redis_link *link);
void redis_acks_fini(struct redis_acks *a);

/* A publication was numbered. Copies the name. */
void redis_acks_note(struct redis_acks *a, struct str channel, const struct position *place);

/* The links are open again. */
void redis_acks_connected(struct redis_acks *a);

/* The links are closed, and all commands were told. */
void redis_acks_lost(struct redis_acks *a);

/* Forgets what is old. */
void redis_acks_tick(struct redis_acks *a, uint64_t now_ms);

#endif
