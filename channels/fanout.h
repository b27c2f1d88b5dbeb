/* Which workers want a channel. A message goes only to the mailboxes of workers that have a
 * subscriber of its channel.
 *
 * A table of 64 shards, each with its own lock; an entry is a channel name and a bit per worker (so
 * at most 64 workers). Lock order: broker shard -> fanout shard -> mailbox; no other lock is taken
 * here.
 *
 * Owns: its entries. Borrows: the mailboxes. Thread: any.
 */
#ifndef CARILLON_CHANNELS_FANOUT_H
#define CARILLON_CHANNELS_FANOUT_H

#include "channels/mailbox.h"

#define FANOUT_WORKERS_MAX 64

struct fanout;

/* `boxes` is one mailbox per worker; they must outlive the fanout. */
struct fanout *fanout_create(struct mailbox **boxes, uint32_t worker_count);
void fanout_destroy(struct fanout *f);

/* From now on this worker gets the channel's messages. */
void fanout_add(struct fanout *f, struct str channel, uint32_t worker);
void fanout_remove(struct fanout *f, struct str channel, uint32_t worker);

/* Channels with a subscriber on any worker. */
size_t fanout_channel_count(struct fanout *f);

/* Posts a message to every worker that wants its channel; borrows m. */
void fanout_post(struct fanout *f, struct msg *m);

#endif
