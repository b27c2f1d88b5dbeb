/* Plain Server-Sent Events: publications of the channels in the URL, for EventSource and curl.
 *
 * Before a publication that has a position goes the id of the stream (sse_id.h): it is this
 * client's, while the rest of the event is the same for all. One that comes back is sent what it
 * missed, or the event "lost" with the channel.
 *
 * The client sends nothing. A publication is one event with the payload as its data (JSON, so one
 * line). A stream begins with a comment and a reconnect delay, and ends, but for a connection that
 * is lost, with an event that says why. One to whom it is not to come back has an id that says so
 * (SSE_ID_STOP), since no EventSource could be stopped otherwise. Source: the HTML standard,
 * section 9.2.
 *
 * Thread: the worker of the client. No state.
 */
#ifndef CARILLON_PROTOCOL_SSE_H
#define CARILLON_PROTOCOL_SSE_H

#include "server/base/buf.h"
#include "server/session/client.h"

/* The one message that a client receives is its request: the Last-Event-ID (which has no NUL), then
 * the channels, a NUL behind each. */
extern const struct protocol protocol_sse;

/* The same, with publications as events that are named as their channels. */
extern const struct protocol protocol_sse_named;

/* client_find_position_fn: from where a channel is resumed; positions is a struct str, the
 * Last-Event-ID. Of a channel that it does not know nobody can say what was missed, so that this is
 * told. */
void sse_find_position(const void *positions, struct str channel, struct client_subscribe *out);

/* Appends what a stream begins with: it pushes the response's head through proxies and spreads
 * reconnects over a second. */
void sse_add_preamble(struct buf *b);

#endif
