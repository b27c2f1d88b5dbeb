/* What a request for a plain stream asks for: its channels, and how it wants them.
 *
 *     GET  /sse?channel=A&channel=B&last_event_id=...&token=...&event=channel
 *     POST /sse, the same as a form, or {"channels":["A","B"],"last_event_id":"...",...}
 *
 * A POST may have parameters in its query, too; those of the body come first.
 *
 * Owns: the list, until sse_params_fini(). Thread: any (no state).
 */
#ifndef CARILLON_NET_SSE_PARAMS_H
#define CARILLON_NET_SSE_PARAMS_H

#include "server/api/api.h"

struct sse_params {
    struct buf list; /* for http_query_value(), under the names of a query */
    int status;      /* what is wrong with the request, with a static text; 0: nothing */
    const char *why;
};

/* Fills *out, whose list is then to be freed in any case. */
void sse_params_read(const struct http_request *q, struct sse_params *out);
void sse_params_fini(struct sse_params *p);

/* The nth channel; empty: there are not so many. */
struct str sse_params_channel(const struct sse_params *p, size_t nth);

/* By the header, which a browser that comes back sends while its URL still has what it began with;
 * else by the parameters. */
struct str sse_params_last_id(const struct sse_params *p, const struct http_request *q);

/* Are the events to have the names of their channels? */
bool sse_params_names_events(const struct sse_params *p);

#endif
