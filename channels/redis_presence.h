/* Reading who is in a channel, over all nodes.
 *
 * Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_PRESENCE_H
#define CARILLON_CHANNELS_REDIS_PRESENCE_H

#include "channels/redis_inbox.h"
#include "channels/redis_shared.h"

struct redis_presence {
    struct redis_shared *shared;
    struct redis_link *link;
    struct redis_inbox *inbox;
};

/* Answers a call with a struct presence_reply later, and ends it; takes it. */
void redis_presence_read(struct redis_presence *p, struct redis_call *call);

#endif
