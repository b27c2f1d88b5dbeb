/* The Lua scripts. A script runs as one step in Redis, so what changes and what is announced cannot
 * differ.
 *
 * All but SCRIPT_PUBLISH are sent with every call (EVAL), not by their hash: a Redis that forgot
 * them (SCRIPT FLUSH, a fail-over) would refuse some calls of a pipeline and run those behind them,
 * so a leave could overtake its join. It costs about 700 bytes and 3 us in Redis per call; joins go
 * in batches. Publications are many, so redis_publish.h does what that takes.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_CHANNELS_REDIS_SCRIPTS_H
#define CARILLON_CHANNELS_REDIS_SCRIPTS_H

#include "channels/redis_shared.h"

/* The arguments of each, behind those of redis_script_begin(): */
enum redis_script {
    /* (channel, client, "1" to announce, value, max_members or "0")*: enters members of this node.
     */
    SCRIPT_JOIN,
    /* (channel, client, "1" to announce, "0" not, "s" as stored)*: takes out members of this node.
     */
    SCRIPT_LEAVE,
    /* number, name: says that this node lives. -> known before (1, 0), was swept (1, 0), [uid,
     * number]*
     */
    SCRIPT_BEAT,
    /* other's uid, its last number, max, "1" when it is oneself: takes out up to max members of a
     * node. -> how many; fewer than max: all are out; -1: it lives */
    SCRIPT_SWEEP,
    /* channel -> clients, distinct users */
    SCRIPT_COUNT,
    /* run id, new era: says which Redis this is, before it numbers anything for us */
    SCRIPT_MEET,
    /* channel, new epoch, size, ttl ms, meta ttl ms, end of the place, envelope,
     * idempotency key, version, its epoch: numbers a publication, keeps and publishes it; size 0:
     * does not keep it. -> 0, or why nobody got it: 1 was published before, 2 old version;
     * "<epoch> <offset>" */
    SCRIPT_PUBLISH,
    /* channel, new epoch, "f" forward, "r" reverse, since or "", max, max bytes
     * -> offset and epoch of the top, of the end of the epoch before, ms that the history still
     * lives, 1 when max bytes ended it, publication* */
    SCRIPT_READ,
    /* (channel, epoch, offset)* -> those channels that are elsewhere */
    SCRIPT_COMPARE,
    /* channel: forgets the publications, and tells the nodes */
    SCRIPT_REMOVE,
    /* (channel, epoch, offset, new epoch)*: of publications that were acknowledged; begins the new
     * epoch where one is gone, and tells the nodes. -> how many channels that were */
    SCRIPT_VERIFY,
    /* note: publishes it to all nodes -> [uid]*, [uid, name]* */
    SCRIPT_CONTROL,
    /* -> a number above all before: the time, in microseconds */
    SCRIPT_NUMBER,
    /* bytes, wall clock, max: keeps them until then -> 0; 1: there are too many */
    SCRIPT_KEEP,
    /* -> [bytes, until]* that are kept */
    SCRIPT_KEPT,
    SCRIPTS,
};

struct str redis_script_text(enum redis_script script);

/* Starts a call: the arguments up to the uid. Send it with redis_link_send_args(). */
void redis_script_begin(const struct redis_shared *shared, enum redis_script script,
                        struct redis_args *args);

#endif
