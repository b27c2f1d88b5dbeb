/* Which channels have how many subscribers on this node, counted over all workers, page by page in
 * the order of their names. channel_pages.h asks all nodes.
 *
 * Each worker gives the first names of its hub that match; these lists are merged. A page takes a
 * walk over all channels of each worker.
 *
 * Thread: the worker that asks; the answer comes there in a later turn.
 */
#ifndef CARILLON_SESSION_CHANNEL_SURVEY_H
#define CARILLON_SESSION_CHANNEL_SURVEY_H

#include "channels/broker.h"
#include "server/session/channel_counts.h"

enum { CHANNEL_SURVEY_MAX = 10000 };

struct sessions;

/* Borrows the page, which is NULL unless the result is BROKER_OK. */
typedef void channel_survey_fn(void *arg, enum broker_result result,
                               const struct channel_counts *page);

/* pattern: see glob.h, without fault; empty: all. after: only names behind this one. limit: 1 to
 * CHANNEL_SURVEY_MAX. Copies the texts; `done` is called once. */
void channel_survey_start(struct sessions *s, struct str pattern, struct str after, uint32_t limit,
                          channel_survey_fn *done, void *arg);

#endif
