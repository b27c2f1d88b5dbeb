/* The members of this node, and keeping Redis' record of them right.
 *
 * The local list is the truth: while Redis is away joins and leaves change only that. Joins and
 * leaves are written in batches; a batch goes out before anything that was called after it. After a
 * reconnect, or when Redis or another node has lost or removed them, all members are written again,
 * a few batches at a time, and what Redis has of this node and the list has not is taken out.
 *
 * A join is announced by the script that enters it, if it was not there. When members are written
 * again, those whose join was announced before are entered silently, unless others have announced
 * that they left. What has to be announced waits a little after a reconnect, because the other
 * nodes were probably cut off too and must be listening again.
 *
 * In a channel with a limit on announced members the scripts count, and Redis keeps the limit
 * beside the members, for nodes that take out those of another.
 *
 * A leave is announced by the script that takes the member out, if it was there. Who left while
 * Redis was away is found in its record; when Redis comes back without its data, this node
 * announces them itself.
 *
 * Owns: a reference of each member's message. Thread: the Redis thread.
 */
#ifndef CARILLON_CHANNELS_REDIS_MEMBERS_H
#define CARILLON_CHANNELS_REDIS_MEMBERS_H

#include "channels/redis_shared.h"
#include "server/base/list.h"
#include "server/base/map.h"

struct redis_members {
    struct redis_shared *shared;
    struct redis_link *link;
    struct map all;
    struct list clean;   /* as in Redis */
    struct list fresh;   /* joined, to be written in the order of calls */
    struct list again;   /* to be written again, a few at a time */
    struct list later;   /* to be written with the next rewrite */
    struct list leaving; /* left, to be taken out in the order of calls */
    struct list gone;    /* left, and Redis could not be told, or had forgotten them */
    uint32_t open_batches, open_again_batches;
    bool is_connected;
    bool is_rewriting, is_scanning; /* all members are being written; Redis' record is being read */
    bool was_swept;                 /* until they are all written again */
    bool needs_rewrite;
    uint64_t rewrite_at_ms; /* not before; with a beat */
    struct buf scratch;
};

void redis_members_init(struct redis_members *m, struct redis_shared *shared,
                        struct redis_link *link);

/* After redis_members_lost(). */
void redis_members_fini(struct redis_members *m);

/* Takes msg; options as in broker.h, with MEMBER_KEEP. */
void redis_members_join(struct redis_members *m, struct msg *msg, const struct member_options *o);

/* Borrows msg. The limit is that of the join. */
void redis_members_leave(struct redis_members *m, const struct msg *msg, unsigned flags);

/* Sends what is waiting: before any other call, and at the end of the turn. */
void redis_members_flush(struct redis_members *m);

/* A beat was answered: redis_nodes.h says what the arguments mean. */
void redis_members_beat(struct redis_members *m, bool is_first, bool is_known, bool is_swept);

void redis_members_lost(struct redis_members *m);

#endif
