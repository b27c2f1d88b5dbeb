/* Notes between nodes (cluster.h) over Redis: to all on one channel, to one on its own, and the
 * numbers that order things over all nodes.
 *
 * A note to all is published by a script that reads in the same step who is in the registry, so
 * whoever sends it knows who must have got it. When Redis has lost the registry, nodes that were
 * there before count as well, until they must have come back.
 *
 * Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_CONTROL_H
#define CARILLON_CHANNELS_REDIS_CONTROL_H

#include "channels/redis_inbox.h"
#include "channels/redis_nodes.h"

struct redis_control {
    struct redis_shared *shared;
    struct redis_link *link;
    const struct redis_nodes *nodes;
    struct redis_inbox *inbox;
    const struct control_sink *sink; /* NULL: nobody listens */
};

/* A CALL_CONTROL, whose reply is a struct control_reply or NULL, or a CALL_NUMBER, CALL_KEEP or
 * CALL_KEPT; takes it, and
 * answers it later. */
void redis_control_send(struct redis_control *c, struct redis_call *call);

/* The message of a CALL_KEEP. Thread: any. */
struct msg *redis_control_keep_msg(struct str bytes, int64_t until_s);

/* A message of a subscription: false when it is not of our channels. */
bool redis_control_take(const struct redis_control *c, struct str name, struct str payload);

/* Redis is there (again). */
void redis_control_up(const struct redis_control *c);

#endif
