/* Who else is there: this node's heartbeat, the registry of nodes, and taking out the members of
 * those that are gone.
 *
 * Once a second a script writes the number of this beat into the registry, publishes it on the
 * node's own channel and reads the registry. The beat that comes back on the other link proves that
 * both work; after three missed ones both are dropped. A node whose number has not changed for 10 s
 * of our own clock, while our own links never broke, is gone: its members are taken out in small
 * batches, each of which checks in Redis that the node is still silent. So a frozen or restarted
 * Redis, or a node that was frozen itself, makes nobody leave. When Redis has lost its data, nodes
 * that were there are remembered for 10 s, until they must have come back.
 *
 * Owns: its table. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_NODES_H
#define CARILLON_CHANNELS_REDIS_NODES_H

#include "channels/redis_shared.h"
#include "server/base/map.h"

struct redis_nodes_hooks {
    /* A beat was written and answered. is_first: of this connection. is_known: Redis knew this
     * node. is_swept: others took out its members. */
    void (*beat)(void *arg, bool is_first, bool is_known, bool is_swept);
    void (*fail)(void *arg, const char *why);
    void *arg;
};

struct redis_nodes {
    struct redis_shared *shared;
    struct redis_link *link;
    struct redis_nodes_hooks hooks;
    struct map others;
    uint64_t beat_number, heard_number;
    uint64_t beat_at_ms, heard_ms; /* next beat, last one that came back */
    uint64_t watching_since_ms;    /* from when on the silence of others counts */
    uint64_t forgotten_ms;         /* when Redis was last found to have lost its data; 0: never */
    uint32_t round;                /* of reading the registry */
    const char *refusal;           /* why Redis does not write, as logged; NULL: it does */
    bool is_connected, is_beating; /* is_beating: a beat is under way */
    bool has_beaten, has_written;  /* on this connection: it was answered, Redis wrote it */
    bool was_registered;           /* at some time since the start */
    bool is_gone;                  /* the goodbye is done */
};

void redis_nodes_init(struct redis_nodes *n, struct redis_shared *shared, struct redis_link *link,
                      const struct redis_nodes_hooks *hooks);
void redis_nodes_fini(struct redis_nodes *n);

/* The link is open: the first beat goes out. */
void redis_nodes_connected(struct redis_nodes *n, uint64_t now_ms);
void redis_nodes_lost(struct redis_nodes *n);

void redis_nodes_tick(struct redis_nodes *n, uint64_t now_ms, bool was_stalled);

/* A beat came back. */
void redis_nodes_heard(struct redis_nodes *n, struct str payload);

/* Are nodes that were in the registry probably still there, although it has lost them? Then they
 * are the keys of n->others. */
bool redis_nodes_are_remembered(const struct redis_nodes *n, uint64_t now_ms);

/* Takes out this node's own members and its name; is_gone when done. */
void redis_nodes_say_goodbye(struct redis_nodes *n);

#endif
