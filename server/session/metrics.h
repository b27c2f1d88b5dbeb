/* Counters of one worker. Only their worker writes them, any thread may read them.
 *
 * An increment is a plain load and store (relaxed atomics), no locked instruction. /metrics adds up
 * the workers.
 *
 * Thread: write from the owner, read from any.
 */
#ifndef CARILLON_SESSION_METRICS_H
#define CARILLON_SESSION_METRICS_H

#include "server/session/reasons.h"

#include <stdatomic.h>
#include <stdint.h>

/* X(id, Prometheus name without prefix, type, help) */
#define METRICS(X)                                                                                 \
    X(METRIC_CLIENTS, "node_num_clients", "gauge", "Client connections that are open.")            \
    X(METRIC_SUBSCRIPTIONS, "node_num_subscriptions", "gauge", "Subscriptions that are held.")     \
    X(METRIC_CHANNELS, "node_num_channels", "gauge",                                               \
      "Channels with a subscriber, counted once per worker.")                                      \
    X(METRIC_SOCKETS_ACCEPTED, "sockets_accepted_total", "counter", "TCP connections accepted.")   \
    X(METRIC_SOCKETS_REFUSED, "sockets_refused_total", "counter",                                  \
      "TCP connections refused because a limit was reached.")                                      \
    X(METRIC_HANDSHAKES_REFUSED, "handshakes_refused_total", "counter",                            \
      "WebSocket handshakes answered with an error status.")                                       \
    X(METRIC_WRITES, "transport_writes_total", "counter",                                          \
      "Writes to client sockets; each may carry many frames.")                                     \
    X(METRIC_COMMANDS, "client_commands_total", "counter", "Commands received from clients.")      \
    X(METRIC_PUBLISHED, "publications_total", "counter",                                           \
      "Publications accepted from clients and the HTTP API.")                                      \
    X(METRIC_DELIVERED, "deliveries_total", "counter",                                             \
      "Publications, joins and leaves queued for a subscriber.")                                   \
    X(METRIC_CONFLATED, "conflated_total", "counter",                                              \
      "Publications left out for a slow reader because a newer one came.")                         \
    X(METRIC_LIMITED_COMMANDS, "client_limited_commands_total", "counter",                         \
      "Commands refused by client.command_rate_limit.")                                            \
    X(METRIC_LIMITED_BYTES, "client_limited_bytes_total", "counter",                               \
      "Commands refused by client.bytes_rate_limit.")                                              \
    X(METRIC_REVOKED, "client_tokens_revoked_total", "counter",                                    \
      "Connections closed, and tokens refused, because the back end took the token back.")         \
    X(METRIC_HTTP_REQUESTS, "http_requests_total", "counter", "HTTP requests.")                    \
    X(METRIC_LOOP_TURNS, "worker_loop_turns_total", "counter", "Turns of the event loops.")

#define METRIC_ENUM(id, name, type, help) id,
enum metric { METRICS(METRIC_ENUM) METRIC_COUNT };
#undef METRIC_ENUM

/* The same by transport. */
#define WIRE_METRICS(X)                                                                            \
    X(WIRE_CLIENTS, "client_connections_inflight", "gauge", "Client connections that are open.")   \
    X(WIRE_CLIENTS_ACCEPTED, "client_connections_accepted", "counter",                             \
      "Client connections opened.")                                                                \
    X(WIRE_MESSAGES_RECEIVED, "transport_messages_received", "counter",                            \
      "Messages received from clients.")                                                           \
    X(WIRE_BYTES_RECEIVED, "transport_messages_received_size", "counter",                          \
      "Bytes of messages received from clients.")                                                  \
    X(WIRE_MESSAGES_SENT, "transport_messages_sent", "counter", "Frames sent to clients.")         \
    X(WIRE_BYTES_SENT, "transport_messages_sent_size", "counter", "Bytes sent to clients.")

#define METRIC_ENUM(id, name, type, help) id,
enum wire_metric { WIRE_METRICS(METRIC_ENUM) WIRE_METRIC_COUNT };
#undef METRIC_ENUM

struct metrics {
    _Atomic uint64_t values[METRIC_COUNT];
    _Atomic uint64_t wires[TRANSPORT_COUNT][WIRE_METRIC_COUNT];
    _Atomic uint64_t closes[TRANSPORT_COUNT][CLOSE_REASON_COUNT]; /* ended connections by reason */
    _Atomic uint64_t errors[CLIENT_ERROR_COUNT];                  /* error replies by kind */
    _Atomic uint64_t lag_last_us; /* how late the last tick of the worker came */
    _Atomic uint64_t lag_max_us;  /* since start */
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n) {
    uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, v + n, memory_order_relaxed);
}

static inline void metrics_add(struct metrics *m, enum metric id, uint64_t n) {
    counter_add(&m->values[id], n);
}

static inline void metrics_add_for(struct metrics *m, enum transport t, enum wire_metric id,
                                   uint64_t n) {
    counter_add(&m->wires[t][id], n);
}

/* For gauges. */
static inline void metrics_set(struct metrics *m, enum metric id, uint64_t v) {
    atomic_store_explicit(&m->values[id], v, memory_order_relaxed);
}

static inline uint64_t metrics_get(const struct metrics *m, enum metric id) {
    return atomic_load_explicit(&m->values[id], memory_order_relaxed);
}

#endif
