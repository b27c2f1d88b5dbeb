/* For a reader that is behind: of a channel with the option `conflation`, only the newest
 * publication waits for it.
 *
 * While a client's socket takes nothing more, its queue grows until the client is closed as slow.
 * A publication of a conflated channel is not queued then but kept beside the queue, where the next
 * one of this channel replaces it; it is queued when the queue has drained. So such a reader sees
 * fewer publications, never an old one after a newer one, and always the last.
 *
 * Owns: a reference of each frame that waits. Thread: the worker of the client.
 */
#ifndef CARILLON_SESSION_CONFLATE_H
#define CARILLON_SESSION_CONFLATE_H

#include "server/session/frame.h"

#include <stdbool.h>

struct client;
struct subscription;

/* True when the frame, a publication, was taken care of: not to be queued. Borrows it. */
bool conflate(struct subscription *sub, struct frame *f);

/* The queue is empty: queues what waits beside it. False when there is nothing. */
bool conflate_resume(struct client *c);

/* Does a publication wait? Then it does not stand yet where its position says. */
bool conflate_waits(const struct subscription *sub);

/* The subscription ends. */
void conflate_forget(struct subscription *sub);

#endif
