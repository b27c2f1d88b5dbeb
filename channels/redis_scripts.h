/* The Lua scripts that change or count presence. A script runs as one step in Redis, so what
 * changes and what is announced cannot differ.
 *
 * Scripts are sent with every call (EVAL), not by their hash: a Redis that forgot them (SCRIPT
 * FLUSH, a fail-over) would refuse some calls of a pipeline and run those behind them, so a leave
 * could overtake its join. It costs about 700 bytes and 3 us in Redis per call; joins go in
 * batches.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_CHANNELS_REDIS_SCRIPTS_H
#define CARILLON_CHANNELS_REDIS_SCRIPTS_H

#include "channels/redis_shared.h"

/* The arguments of each, behind those of redis_script_begin(): */
enum redis_script {
    /* (channel, client, "1" to announce, value)*: enters members of this node. */
    SCRIPT_JOIN,
    /* (channel, client, "1" to announce, "0" not, "s" as stored)*: takes out members of this node.
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

/* Starts a call: the arguments up to the uid. Send it with redis_link_send_args(). */
void redis_script_begin(const struct redis_shared *shared, enum redis_script script,
                        struct redis_args *args);

#endif
