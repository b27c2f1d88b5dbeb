/* Which channels have how many subscribers, over all nodes, page by page in the order of their
 * names.
 *
 * Each node is asked for its own page (channel_survey.h), and they are merged. A node cuts its list
 * at its part of what an answer may have; then the page of all ends where that list ends.
 *
 * Thread: the worker that asks; the answer comes there in a later turn.
 */
#ifndef CARILLON_SESSION_CHANNEL_PAGES_H
#define CARILLON_SESSION_CHANNEL_PAGES_H

#include "server/session/channel_counts.h"
#include "server/session/node_calls.h"

enum { CHANNEL_PATTERN_MAX_BYTES = 255 };

/* As for channel_survey_start(), but `done` gets the answers of all nodes, for
 * channel_pages_merge(). */
void channel_pages_start(struct sessions *s, struct str pattern, struct str after, uint32_t limit,
                         node_call_fn *done, void *arg);

/* Gives one page of the answers that are good; the others are marked as failed. Borrows from
 * them. */
struct channel_counts channel_pages_merge(struct cluster_call *call, uint32_t limit);

/* The handler of NODE_CHANNELS. */
cluster_run_fn channel_pages_run;

#endif
