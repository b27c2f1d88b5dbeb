/* Who is in which channel: members by client id, with counts of clients and of distinct users that
 * cost O(1) to read.
 *
 * A member is kept as the message that announced it (MSG_JOIN: channel, user, client, infos).
 *
 * Owns: a reference of each member. Thread: one at a time; brokers lock around it.
 */
#ifndef CARILLON_CHANNELS_PRESENCE_H
#define CARILLON_CHANNELS_PRESENCE_H

#include "channels/broker.h"
#include "server/base/map.h"

struct presence {
    struct map channels;
    size_t member_count; /* over all channels */
};

void presence_init(struct presence *p);
void presence_fini(struct presence *p);

/* Keeps a reference. False when this client is in the channel already; its infos are replaced then.
 */
bool presence_join(struct presence *p, struct msg *m);

/* False when it was not there. */
bool presence_leave(struct presence *p, struct str channel, struct str client);

/* Clients in a channel. */
uint32_t presence_client_count(const struct presence *p, struct str channel);

/* Fills counts and, if wanted, references of the members. */
void presence_read(const struct presence *p, struct str channel, struct presence_reply *r);

/* Visits every member of every channel; nothing may join or leave meanwhile. Borrows. */
void presence_each(const struct presence *p, void (*visit)(struct msg *member, void *arg),
                   void *arg);

#endif
