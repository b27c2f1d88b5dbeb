/* The Lua scripts that change presence, and calls to them.
 *
 * A script runs as one step in Redis, so what changes and what is announced cannot differ. Scripts
 * are loaded when the link is made and called by their hash. When Redis has forgotten them (SCRIPT
 * FLUSH, a fail-over), calls are held until all that are under way have come back, the scripts are
 * loaded again, and all calls that were refused are made again, in order, before those that were
 * held.
 *
 * Owns: copies of calls until they are answered. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_SCRIPTS_H
#define CARILLON_CHANNELS_REDIS_SCRIPTS_H

#include "channels/redis_shared.h"
#include "server/base/list.h"

/* Arguments of each are: base, uid, and: */
enum redis_script {
    /* (channel, client, "1" to announce, value)*: enters members. */
    SCRIPT_JOIN,
    /* (channel, client, "1" to announce, "0" not, "s" as stored)*: takes out this node's members.
     */
    SCRIPT_LEAVE,
    /* number: says that this node lives. -> known before (1, 0), was swept (1, 0), [uid, number]*
     */
    SCRIPT_BEAT,
    /* other's uid, its last number, max, "1" when it is oneself: takes out up to max members of a
     * node. -> how many; fewer than max: all are out; -1: it lives */
    SCRIPT_SWEEP,
    /* channel -> clients, distinct users */
    SCRIPT_COUNT,
    SCRIPTS,
};

enum { REDIS_SHA_BYTES = 40 };

struct redis_scripts {
    struct redis_shared *shared;
    struct redis_link *link;
    char hashes[SCRIPTS][REDIS_SHA_BYTES];
    uint32_t loaded_count; /* SCRIPTS: ready */
    struct list calls;     /* unanswered, in order */
    uint32_t sent_count;   /* of them, those under way */
    bool is_reloading;     /* Redis forgot: new calls are held */
    void (*loaded)(void *arg);
    void *arg;
};

/* `loaded` is called when the scripts are there for the first time after redis_scripts_load(). */
void redis_scripts_init(struct redis_scripts *s, struct redis_shared *shared,
                        struct redis_link *link, void (*loaded)(void *arg), void *arg);

/* The link is open. */
void redis_scripts_load(struct redis_scripts *s);

/* The link is closed: calls that were held are told. */
void redis_scripts_lost(struct redis_scripts *s);

bool redis_scripts_are_loaded(const struct redis_scripts *s);

/* Starts a call: the arguments up to the uid. */
void redis_script_begin(struct redis_scripts *s, enum redis_script script, struct redis_args *args);

/* Copies the arguments. False, and `answer` is never called, when the link is not open. */
bool redis_script_call(struct redis_scripts *s, struct redis_args *args, redis_answer_fn *answer,
                       void *arg);

#endif
