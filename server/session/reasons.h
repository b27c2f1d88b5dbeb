/* Why a connection ends, and why a command fails: names of our own. Each protocol has one table
 * that turns them into its wire codes; logs and metrics use the names here.
 *
 * Thread: any (constant).
 */
#ifndef CARILLON_SESSION_REASONS_H
#define CARILLON_SESSION_REASONS_H

/* The first four are never sent: there is nobody left to read them. */
#define CLOSE_REASONS(X)                                                                           \
    X(CLOSE_NONE, "open")                                                                          \
    X(CLOSE_PEER, "closed by peer")                                                                \
    X(CLOSE_LOST, "connection lost")                                                               \
    X(CLOSE_WRITE_ERROR, "write error")                                                            \
    X(CLOSE_SHUTDOWN, "shutdown")                                                                  \
    X(CLOSE_INTERNAL, "internal server error")                                                     \
    X(CLOSE_SLOW, "slow")                                                                          \
    X(CLOSE_INSUFFICIENT_STATE, "insufficient state")                                              \
    X(CLOSE_NO_PONG, "no pong")                                                                    \
    X(CLOSE_TOO_MANY_REQUESTS, "too many requests")                                                \
    X(CLOSE_EXPIRED, "connection expired")                                                         \
    X(CLOSE_SUBSCRIPTION_EXPIRED, "subscription expired")                                          \
    X(CLOSE_FORCED, "force disconnect")                                                            \
    X(CLOSE_CONNECTION_LIMIT, "connection limit")                                                  \
    X(CLOSE_INVALID_TOKEN, "invalid token")                                                        \
    X(CLOSE_BAD_REQUEST, "bad request")                                                            \
    X(CLOSE_STALE, "stale")                                                                        \
    X(CLOSE_CHANNEL_LIMIT, "channel limit")                                                        \
    X(CLOSE_NOT_AVAILABLE, "not available")                                                        \
    X(CLOSE_MESSAGE_TOO_BIG, "message too big")                                                    \
    X(CLOSE_TOO_MANY_FRAGMENTS, "too many fragments")                                              \
    X(CLOSE_NOT_UTF8, "invalid UTF-8")                                                             \
    X(CLOSE_BAD_CLOSE_FRAME, "bad close frame")                                                    \
    X(CLOSE_NOT_TEXT, "binary message on a JSON connection")

#define REASON_ENUM(name, text) name,
enum close_reason { CLOSE_REASONS(REASON_ENUM) CLOSE_REASON_COUNT };

/* What a command's reply can say instead of a result. */
#define CLIENT_ERRORS(X)                                                                           \
    X(ERROR_NONE, "none")                                                                          \
    X(ERROR_INTERNAL, "internal server error")                                                     \
    X(ERROR_UNKNOWN_CHANNEL, "unknown channel")                                                    \
    X(ERROR_PERMISSION_DENIED, "permission denied")                                                \
    X(ERROR_ALREADY_SUBSCRIBED, "already subscribed")                                              \
    X(ERROR_LIMIT_EXCEEDED, "limit exceeded")                                                      \
    X(ERROR_BAD_REQUEST, "bad request")                                                            \
    X(ERROR_NOT_AVAILABLE, "not available")                                                        \
    X(ERROR_TOKEN_EXPIRED, "token expired")                                                        \
    X(ERROR_EXPIRED, "expired")                                                                    \
    X(ERROR_TOO_MANY_REQUESTS, "too many requests")                                                \
    X(ERROR_UNRECOVERABLE, "unrecoverable position")

enum client_error { CLIENT_ERRORS(REASON_ENUM) CLIENT_ERROR_COUNT };

/* Why the server takes a subscription away. */
#define UNSUBSCRIBE_REASONS(X)                                                                     \
    X(UNSUBSCRIBE_SERVER, "server unsubscribe")                                                    \
    X(UNSUBSCRIBE_INSUFFICIENT_STATE, "insufficient state")                                        \
    X(UNSUBSCRIBE_EXPIRED, "subscription expired")

enum unsubscribe_reason { UNSUBSCRIBE_REASONS(REASON_ENUM) UNSUBSCRIBE_REASON_COUNT };

/* The wires of clients, as in logs and metrics. */
#define TRANSPORTS(X)                                                                              \
    X(TRANSPORT_WEBSOCKET, "websocket")                                                            \
    X(TRANSPORT_SDK_SSE, "sdk_sse")                                                                \
    X(TRANSPORT_HTTP_STREAM, "http_stream")                                                        \
    X(TRANSPORT_UNI_SSE, "uni_sse")                                                                \
    X(TRANSPORT_SSE, "sse")

enum transport { TRANSPORTS(REASON_ENUM) TRANSPORT_COUNT };
#undef REASON_ENUM

/* Static texts. */
const char *transport_text(enum transport t);
const char *close_reason_text(enum close_reason r);
const char *client_error_text(enum client_error e);
const char *unsubscribe_reason_text(enum unsubscribe_reason r);

#endif
