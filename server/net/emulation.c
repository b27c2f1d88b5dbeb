/* See emulation.h.
 *
 * Thread: the worker.
 */
#include "server/net/emulation.h"

#include "server/base/json_scan.h"
#include "server/net/stream.h"
#include "server/protocol/centrifugo.h"
#include "server/session/emulated.h"

enum endpoint {
    ENDPOINT_NONE,
    ENDPOINT_SSE,
    ENDPOINT_STREAM,
    ENDPOINT_UNI_SSE,
    ENDPOINT_EMULATION
};

static enum endpoint endpoint_of(const struct config *config, struct str path) {
    if (config->sse_enabled && str_equal(path, str_of(config->sse_handler_prefix)))
        return ENDPOINT_SSE;
    if (config->http_stream_enabled && str_equal(path, str_of(config->http_stream_handler_prefix)))
        return ENDPOINT_STREAM;
    if (config->uni_sse_enabled && str_equal(path, str_of(config->uni_sse_handler_prefix)))
        return ENDPOINT_UNI_SSE;
    if ((config->sse_enabled || config->http_stream_enabled) &&
        str_equal(path, str_of(config->emulation_handler_prefix)))
        return ENDPOINT_EMULATION;
    return ENDPOINT_NONE;
}

bool emulation_is_for(const struct config *config, struct str path) {
    return endpoint_of(config, path) != ENDPOINT_NONE;
}

uint32_t emulation_max_body_bytes(const struct config *config, struct str path) {
    switch (endpoint_of(config, path)) {
    case ENDPOINT_SSE:
        return config->sse_max_request_body_bytes;
    case ENDPOINT_STREAM:
        return config->http_stream_max_request_body_bytes;
    case ENDPOINT_UNI_SSE:
        return config->uni_sse_max_request_body_bytes;
    case ENDPOINT_EMULATION:
        return config->emulation_max_request_body_bytes;
    case ENDPOINT_NONE:
        break;
    }
    return 0;
}

/* --- down ------------------------------------------------------------------------------------- */

static const struct protocol *protocol_of(enum endpoint at) {
    if (at == ENDPOINT_UNI_SSE)
        return &protocol_centrifugo_uni_sse;
    return at == ENDPOINT_SSE ? &protocol_centrifugo_sse : &protocol_centrifugo_stream;
}

static void open_stream(struct http_conn *c, const struct http_request *q, enum endpoint at,
                        struct str commands) {
    bool is_sse = at != ENDPOINT_STREAM;
    struct client *client = client_create(c->http->sessions, protocol_of(at), &stream_transport, c);
    emulated_begin(client);
    stream_begin(c, client, q, is_sse ? "text/event-stream" : "application/json",
                 is_sse ? STR("\r\n") : STR_NONE);
    client_receive(client, commands);
    http_exchange_drop(c);
}

static void open_one_way(struct http_conn *c, const struct http_request *q, bool is_get) {
    struct str connect = is_get ? http_query_value(q->query, "cf_connect", 0) : q->body;
    if (is_get && !connect.n)
        connect = STR("{}");
    if (centrifugo_is_connect(connect))
        open_stream(c, q, ENDPOINT_UNI_SSE, connect);
    else
        stream_refuse(c, q, 400,
                      "not a connect request: {\"token\":\"...\",\"subs\":{\"CHANNEL\":{}}}, as "
                      "?cf_connect= or as the body of a POST");
}

/* --- up --------------------------------------------------------------------------------------- */

static void send_commands(struct http_conn *c, const struct http_request *q) {
    struct json_value body;
    struct json_fault fault = {"not an object", 0};
    struct json_field f[] = {JSON_FIELD("session"), JSON_FIELD("node"), JSON_FIELD("data")};
    struct buf session = {0}, node = {0}, data = {0};
    enum emulated_result result = EMULATED_BAD;
    if (json_scan_all(q->body, &body, &fault) && body.kind == JSON_KIND_OBJECT &&
        json_fields(body, f, 3, &fault) && f[0].value.kind == JSON_KIND_STRING &&
        f[1].value.kind == JSON_KIND_STRING && f[2].value.kind == JSON_KIND_STRING)
        result = emulated_send(c->http->sessions, json_decode(f[1].value, &node),
                               json_decode(f[0].value, &session), json_decode(f[2].value, &data));
    buf_fini(&session);
    buf_fini(&node);
    buf_fini(&data);
    if (result == EMULATED_SENT)
        stream_answer(c, q, &(struct http_response){.status = 204});
    else if (result == EMULATED_BAD)
        stream_refuse(c, q, 400,
                      "the body is {\"session\":\"...\",\"node\":\"...\",\"data\":\"...\"}, "
                      "session and node as the reply to connect said");
    else if (result == EMULATED_NO_NODE)
        stream_refuse(c, q, 404, "there is no such node");
    else
        stream_refuse(c, q, 503, "the way to that node is blocked");
}

static const char *methods_of(enum endpoint at) {
    return at == ENDPOINT_SSE || at == ENDPOINT_UNI_SSE ? "GET, POST" : "POST";
}

void emulation_run(struct http_conn *c, const struct http_request *q) {
    enum endpoint at = endpoint_of(c->http->sessions->config, q->path);
    bool is_get = str_equal(q->method, STR("GET"));
    struct str commands = is_get ? http_query_value(q->query, "cf_connect", 0) : q->body;
    if (!stream_may_run(c, q, methods_of(at)))
        return;
    if (at == ENDPOINT_UNI_SSE)
        open_one_way(c, q, is_get);
    else if (!commands.n)
        stream_refuse(c, q, 400,
                      is_get ? "no commands: ?cf_connect=COMMANDS" : "the body has no commands");
    else if (at == ENDPOINT_EMULATION)
        send_commands(c, q);
    else
        open_stream(c, q, at, commands);
}
