/* Joins and leaves of a channel with the option join_leave_interval: collected, and sent to each
 * subscriber that wants them in one frame when the interval has passed since the first of them.
 *
 * A client that comes and goes within one batch is not mentioned, and one that goes and comes with
 * the same infos neither. What is left is in the order in which it happened. Publications do not
 * wait for a batch.
 *
 * A subscriber gets what happened since its subscribe was answered, as without batches: whoever
 * comes in the middle of a batch gets the rest of it, in which only what is behind its coming is
 * cancelled out. So it hears that somebody left who is in the presence it read, and not that
 * somebody left before. For the same reason who asks for the presence first gets what it has not
 * got of the batch.
 *
 * A batch is sent early when it is large (MEMBER_BATCH_...; no batch is larger than a publication
 * may be), or when too many different rests of it would have to be made.
 *
 * Owns: the batches, with a reference of each message. Thread: its worker.
 */
#ifndef CARILLON_SESSION_MEMBER_BATCH_H
#define CARILLON_SESSION_MEMBER_BATCH_H

#include "channels/hub.h"
#include "channels/msg.h"
#include "server/session/wheel.h"

#define MEMBER_BATCH_MAX_COUNT 10000u
/* Of the frames for subscribers that came in the middle. */
#define MEMBER_BATCH_LATE_MAX_BYTES (4u << 20)

struct sessions;
struct subscription;

/* Of a worker. */
struct member_batches {
    struct map channels;
    struct wheel wheel;
};

void member_batches_init(struct member_batches *b, uint64_t now_ms);

/* What waits is forgotten. */
void member_batches_fini(struct member_batches *b);

/* Sends what is due. */
void member_batches_tick(struct sessions *s);

/* Keeps a reference of a join or leave. False: this channel has no batches, deliver it. */
bool member_batch_take(struct sessions *s, struct hub_channel *hc, struct msg *m);

/* The subscription has gone live. */
void member_batch_enter(struct subscription *sub);

/* The subscriber is about to be told who is there. */
void member_batch_catch_up(struct subscription *sub);

#endif
