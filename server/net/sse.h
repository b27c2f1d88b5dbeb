/* GET or POST <plain_sse.handler_prefix>: a stream of Server-Sent Events. What it may ask for is in
 * sse_params.h.
 *
 * The same session as a WebSocket: identity by the same token (header Authorization: Bearer, cookie
 * "carillon_token", or parameter "token"), the same rules, queue and limits; the wire is an HTTP
 * response that does not end. What is wrong with the request is an HTTP status before the stream
 * begins, and final for EventSource.
 *
 * Header Last-Event-ID, or parameter "last_event_id" or "lastEventId": what was missed since that
 * id comes first (protocol/sse_id.h). The header SSE_ID_STOP is answered with 204, which ends an
 * EventSource for good.
 *
 * CORS: an Origin must be in client.allowed_origins; preflight requests are answered.
 *
 * Thread: the worker.
 */
#ifndef CARILLON_NET_SSE_H
#define CARILLON_NET_SSE_H

#include "server/net/http_conn.h"

bool sse_is_for(const struct config *config, struct str path);

/* The request is whole: answers it, or turns the connection into a stream. */
void sse_begin(struct http_conn *c, const struct http_request *q);

#endif
