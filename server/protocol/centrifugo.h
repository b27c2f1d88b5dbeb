/* Centrifugo's client protocol v2 in JSON, over WebSocket.
 *
 * Source: the protocol schema of Centrifugo 6 (centrifugal/protocol 0.19); where it and the
 * official SDKs disagree, the SDKs are right. A message holds one or more commands separated by
 * newlines; every reply and push is a frame of its own.
 *
 * Thread: the worker of the client. No state.
 */
#ifndef CARILLON_PROTOCOL_CENTRIFUGO_H
#define CARILLON_PROTOCOL_CENTRIFUGO_H

#include "server/protocol/protocol.h"

extern const struct protocol protocol_centrifugo_ws;

/* The same, down as Server-Sent Events or as lines of an HTTP response, up by session/emulated.h.
 * The end is a push, after which the stream ends. */
extern const struct protocol protocol_centrifugo_sse, protocol_centrifugo_stream;

/* One way, down as Server-Sent Events: bare pushes, the first one "connect". The one message that
 * such a client receives is the object of a connect; it is given those of its "subs" that it may
 * subscribe to. */
extern const struct protocol protocol_centrifugo_uni_sse;

/* Commands, the same over every wire. */
void centrifugo_receive(struct client *c, struct str message);

/* The object of a connect, of a client that sends nothing else; is it one? Also null. */
void centrifugo_receive_connect(struct client *c, struct str message);
bool centrifugo_is_connect(struct str message);

#endif
