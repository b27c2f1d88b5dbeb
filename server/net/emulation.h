/* HTTP of the Centrifugo protocol where WebSocket cannot go: commands up in requests, the protocol
 * down in a stream.
 *
 *     GET  <sse.handler_prefix>?cf_connect=COMMANDS, or POST with COMMANDS    Server-Sent Events
 *     POST <http_stream.handler_prefix>, body COMMANDS                       lines of JSON
 *     POST <emulation.handler_prefix> {"session":S,"node":N,"data":"COMMANDS"}    204
 *     GET  <uni_sse.handler_prefix>?cf_connect=CONNECT, or POST with CONNECT   one way: only pushes
 *
 * COMMANDS are the client protocol's, one per line, the first one connect. Its reply tells session
 * and node (session/emulated.h), so that no sticky sessions are needed. CONNECT is the object of a
 * connect alone, or nothing; its "subs" name channels. What is wrong with a connect is told in the
 * stream. Source: centrifugal/
 * centrifuge, handler_sse.go, handler_http_stream.go, handler_emulation.go; centrifugo,
 * internal/unisse.
 *
 * Thread: the worker.
 */
#ifndef CARILLON_NET_EMULATION_H
#define CARILLON_NET_EMULATION_H

#include "server/net/http_conn.h"

bool emulation_is_for(const struct config *config, struct str path);

/* The largest body of a request to this path. */
uint32_t emulation_max_body_bytes(const struct config *config, struct str path);

/* The request is whole: answers it, or makes the connection a stream. */
void emulation_run(struct http_conn *c, const struct http_request *q);

#endif
