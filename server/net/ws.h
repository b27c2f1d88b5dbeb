/* The WebSocket side of libwebsockets: whole messages to clients, frames to the wire.
 *
 * Everything goes out as raw, ready-made frames, close frames too; nothing is ever written through
 * the library's own framing. The limits on message size and fragments are ours, since the library
 * has none, and so is the check of UTF-8, since the library's ends connections without a close
 * frame.
 *
 * Thread: the worker. Called from the protocol callback only.
 */
#ifndef CARILLON_NET_WS_H
#define CARILLON_NET_WS_H

#include "server/net/conn.h"
#include "server/session/sessions.h"

#include <libwebsockets.h>

void ws_established(struct sessions *s, struct conn *conn, struct lws *wsi);

/* A piece of a message. */
void ws_receive(struct conn *conn, struct lws *wsi, struct str piece);

void ws_writable(struct conn *conn);

/* The peer sent a close frame, with this payload: false when the connection should just end,
 * because ours went out before. */
bool ws_peer_closes(struct conn *conn, struct str payload);

/* Also without ws_established() before. */
void ws_closed(struct conn *conn);

#endif
