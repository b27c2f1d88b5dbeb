/* GET /health, /ready and /metrics: how the node is.
 *
 * Thread: the worker of the connection; counters of the other workers are read as atomics.
 */
#include "server/api/api_figures.h"
#include "server/api/handlers.h"
#include "server/base/clock.h"
#include "server/base/json_scan.h"
#include "server/base/version.h"

struct api_call *api_health(const struct api_context *x) {
    http_response_json(x->response, 200, STR("{}"));
    return NULL;
}

struct api_call *api_ready(const struct api_context *x) {
    struct broker *broker = x->node->broker;
    const char *trouble = x->node->is_draining ? "draining" : broker->ops->trouble(broker);
    if (!trouble) {
        http_response_json(x->response, 200, STR("{\"ready\":true}"));
        return NULL;
    }
    http_response_json(x->response, 503, STR("{\"ready\":false,\"reason\":"));
    json_add_string(&x->response->body, str_of(trouble));
    buf_add_char(&x->response->body, '}');
    return NULL;
}

/* --- /metrics --------------------------------------------------------------------------------- */

static void add_head(struct buf *b, const char *name, const char *type, const char *help) {
    buf_printf(b, "# HELP carillon_%s %s\n# TYPE carillon_%s %s\n", name, help, name, type);
}

static void add_totals(struct buf *b, const struct api_node *node) {
#define ADD_METRIC(id, name, type, help)                                                           \
    add_head(b, name, type, help);                                                                 \
    buf_printf(b, "carillon_%s %llu\n", name, (unsigned long long)api_sum(node, id));
    METRICS(ADD_METRIC)
#undef ADD_METRIC
}

static uint64_t sum_for(const struct api_node *node, enum transport t, enum wire_metric id) {
    return api_sum_at(node, offsetof(struct metrics, wires[t][id]));
}

static void add_wires(struct buf *b, const struct api_node *node) {
#define ADD_METRIC(id, name, type, help)                                                           \
    add_head(b, name, type, help);                                                                 \
    for (int t = 0; t < TRANSPORT_COUNT; t++)                                                      \
        buf_printf(b, "carillon_%s{transport=\"%s\"} %llu\n", name,                                \
                   transport_text((enum transport)t),                                              \
                   (unsigned long long)sum_for(node, (enum transport)t, id));
    WIRE_METRICS(ADD_METRIC)
#undef ADD_METRIC
}

/* Of transports that were never used only the name would be new. */
static void add_closes(struct buf *b, const struct api_node *node) {
    add_head(b, "client_closes_total", "counter",
             "Client connections that ended, by reason and transport.");
    for (int t = 0; t < TRANSPORT_COUNT; t++) {
        if (t != TRANSPORT_WEBSOCKET && !sum_for(node, (enum transport)t, WIRE_CLIENTS_ACCEPTED))
            continue;
        for (int r = CLOSE_NONE + 1; r < CLOSE_REASON_COUNT; r++)
            buf_printf(
                b, "carillon_client_closes_total{reason=\"%s\",transport=\"%s\"} %llu\n",
                close_reason_text((enum close_reason)r), transport_text((enum transport)t),
                (unsigned long long)api_sum_at(node, offsetof(struct metrics, closes[t][r])));
    }
}

static void add_errors(struct buf *b, const struct api_node *node) {
    add_head(b, "client_num_reply_errors", "counter", "Error replies to clients, by error.");
    for (int e = ERROR_NONE + 1; e < CLIENT_ERROR_COUNT; e++)
        buf_printf(b, "carillon_client_num_reply_errors{error=\"%s\"} %llu\n",
                   client_error_text((enum client_error)e),
                   (unsigned long long)api_sum_at(node, offsetof(struct metrics, errors[e])));
}

static void add_workers(struct buf *b, const struct api_node *node) {
    add_head(b, "worker_loop_lag_seconds", "gauge", "How late the last tick of a worker came.");
    for (uint32_t i = 0; i < node->worker_count; i++)
        buf_printf(b, "carillon_worker_loop_lag_seconds{worker=\"%u\"} %.6f\n", i,
                   (double)node->sessions[i]->metrics->lag_last_us / 1e6);
    add_head(b, "worker_loop_lag_max_seconds", "gauge", "The longest such delay since start.");
    for (uint32_t i = 0; i < node->worker_count; i++)
        buf_printf(b, "carillon_worker_loop_lag_max_seconds{worker=\"%u\"} %.6f\n", i,
                   (double)node->sessions[i]->metrics->lag_max_us / 1e6);
    add_head(b, "mailbox_dropped_total", "counter",
             "Messages dropped for a worker whose mailbox was over its mark.");
    for (uint32_t i = 0; i < node->worker_count; i++)
        buf_printf(b, "carillon_mailbox_dropped_total{worker=\"%u\"} %llu\n", i,
                   (unsigned long long)mailbox_dropped_count(node->sessions[i]->mailbox));
}

static void add_key(void *arg, const char *name, uint64_t allowed_count, uint64_t denied_count) {
    buf_printf(arg, "carillon_api_key_calls_total{key=\"%s\",result=\"allowed\"} %llu\n", name,
               (unsigned long long)allowed_count);
    buf_printf(arg, "carillon_api_key_calls_total{key=\"%s\",result=\"denied\"} %llu\n", name,
               (unsigned long long)denied_count);
}

static void add_api_keys(struct buf *b, const struct api_node *node) {
    if (!node->keyring)
        return;
    add_head(b, "api_key_calls_total", "counter",
             "API calls with a key of http_api.keys_file, by its name; denied: without the scope.");
    api_keyring_each(node->keyring, add_key, b);
}

static void add_engine(struct buf *b, const struct api_node *node) {
    struct broker *broker = node->broker;
    struct broker_counter counters[BROKER_COUNTERS_MAX];
    size_t count = broker->ops->counters ? broker->ops->counters(broker, counters) : 0;
    add_head(b, "engine_up", "gauge", "1: the engine can serve; 0: /ready says why not.");
    buf_printf(b, "carillon_engine_up{engine=\"%s\"} %d\n", broker->ops->name,
               broker->ops->trouble(broker) == NULL);
    for (size_t i = 0; i < count; i++) {
        const struct broker_counter *c = &counters[i];
        add_head(b, c->name, c->is_gauge ? "gauge" : "counter", c->help);
        buf_printf(b, "carillon_%s %llu\n", c->name, (unsigned long long)c->value);
    }
}

static void add_cluster(struct buf *b, const struct api_node *node) {
    const struct cluster_counters *n = cluster_counters(node->cluster);
#define ADD_COUNTER(field, name, help)                                                             \
    add_head(b, name, "counter", help);                                                            \
    buf_printf(b, "carillon_%s %llu\n", name, (unsigned long long)n->field);
    CLUSTER_COUNTERS(ADD_COUNTER)
#undef ADD_COUNTER
}

static void add_fetches(struct buf *b, const char *section, const struct config_keys *k) {
    if (!k->jws.jwks || !*k->jwks_public_endpoint)
        return;
    struct jwks_cache_counts n = jwks_cache_counts(k->jws.jwks);
    buf_printf(b, "carillon_jwks_fetches_total{section=\"%s\",result=\"ok\"} %llu\n", section,
               (unsigned long long)n.fetched);
    buf_printf(b, "carillon_jwks_fetches_total{section=\"%s\",result=\"failed\"} %llu\n", section,
               (unsigned long long)n.failed);
}

static void add_keys(struct buf *b, const struct config *c) {
    add_head(b, "jwks_fetches_total", "counter",
             "Key sets fetched from jwks_public_endpoint; failed ones leave the old keys in use.");
    add_fetches(b, "client.token", &c->client_token_keys);
    add_fetches(b, "client.subscription_token", &c->client_subscription_token_keys);
}

static void add_process(struct buf *b, const struct api_node *node) {
    add_head(b, "build_info", "gauge", "Version.");
    buf_add_z(b, "carillon_build_info{version=\"" CARILLON_VERSION "\"} 1\n");
    add_head(b, "uptime_seconds", "gauge", "Time since start.");
    buf_printf(b, "carillon_uptime_seconds %.3f\n",
               (double)(clock_now_ms() - node->started_ms) / 1e3);
    add_head(b, "node_connections_max", "gauge",
             "Connections that the descriptor limit and client.connection_limit allow.");
    buf_printf(b, "carillon_node_connections_max %u\n", node->connections_max);
    buf_printf(b, "# TYPE process_max_fds gauge\nprocess_max_fds %llu\n",
               (unsigned long long)api_descriptors_max());
    buf_add_z(b, "# TYPE process_resident_memory_bytes gauge\n");
    buf_printf(b, "process_resident_memory_bytes %llu\n", (unsigned long long)api_rss_bytes());
    buf_add_z(b, "# TYPE process_cpu_seconds_total counter\n");
    buf_printf(b, "process_cpu_seconds_total %.3f\n", api_cpu_s());
}

struct api_call *api_metrics(const struct api_context *x) {
    struct http_response *r = x->response;
    r->status = 200;
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    r->headers = "Cache-Control: no-store\r\n";
    add_totals(&r->body, x->node);
    add_wires(&r->body, x->node);
    add_closes(&r->body, x->node);
    add_errors(&r->body, x->node);
    add_workers(&r->body, x->node);
    add_api_keys(&r->body, x->node);
    add_engine(&r->body, x->node);
    add_cluster(&r->body, x->node);
    add_keys(&r->body, x->node->config);
    add_process(&r->body, x->node);
    return NULL;
}
