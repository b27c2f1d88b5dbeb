/* See emulation.h.
 *
 * Thread: the worker.
 */
#include "server/net/emulation.h"

#include "server/base/json_scan.h"
#include "server/net/handshake.h"
#include "server/net/stream.h"
#include "server/protocol/centrifugo.h"
#include "server/session/emulated.h"

#include <stdio.h>

enum endpoint { ENDPOINT_NONE, ENDPOINT_SSE, ENDPOINT_STREAM, ENDPOINT_EMULATION };

static enum endpoint endpoint_of(const struct config *config, struct str path) {
    if (config->sse_enabled && str_equal(path, str_of(config->sse_handler_prefix)))
        return ENDPOINT_SSE;
    if (config->http_stream_enabled && str_equal(path, str_of(config->http_stream_handler_prefix)))
        return ENDPOINT_STREAM;
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
    case ENDPOINT_EMULATION:
        return config->emulation_max_request_body_bytes;
    case ENDPOINT_NONE:
        break;
    }
    return 0;
}

static void respond(struct http_conn *c, const struct http_request *q, struct http_response *r) {
    struct buf headers = {0};
    if (r->status != 403)
        stream_add_cors(&headers, q);
    if (str_equal(q->method, STR("OPTIONS")))
        buf_add_z(&headers, "Access-Control-Allow-Methods: GET, POST\r\n"
                            "Access-Control-Allow-Headers: content-type\r\n"
                            "Access-Control-Max-Age: 300\r\n");
    buf_add_char(&headers, '\0');
    r->headers = headers.p;
    http_exchange_answer(c, r);
    buf_fini(&headers);
}

static void refuse(struct http_conn *c, const struct http_request *q, int status,
                   const char *text) {
    struct http_response r = {0};
    http_response_text(&r, status, text);
    if (status == 405)
        snprintf(r.allow, sizeof(r.allow), "POST, OPTIONS");
    respond(c, q, &r);
}

/* --- down ------------------------------------------------------------------------------------- */

static void open_stream(struct http_conn *c, const struct http_request *q, bool is_sse,
                        struct str commands) {
    const struct protocol *p = is_sse ? &protocol_centrifugo_sse : &protocol_centrifugo_stream;
    struct client *client = client_create(c->http->sessions, p, &stream_transport, c);
    emulated_begin(client);
    stream_begin(c, client, q, is_sse ? "text/event-stream" : "application/json",
                 is_sse ? STR("\r\n") : STR_NONE);
    client_receive(client, commands);
    http_exchange_drop(c);
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
        respond(c, q, &(struct http_response){.status = 204});
    else if (result == EMULATED_BAD)
        refuse(c, q, 400,
               "the body is {\"session\":\"...\",\"node\":\"...\",\"data\":\"...\"}, "
               "session and node as the reply to connect said");
    else if (result == EMULATED_NO_NODE)
        refuse(c, q, 404, "there is no such node");
    else
        refuse(c, q, 503, "the way to that node is blocked");
}

void emulation_run(struct http_conn *c, const struct http_request *q) {
    const struct config *config = c->http->sessions->config;
    enum endpoint at = endpoint_of(config, q->path);
    bool is_post = str_equal(q->method, STR("POST"));
    bool is_get = at == ENDPOINT_SSE && str_equal(q->method, STR("GET"));
    struct str commands = is_get ? http_query_value(q->query, "cf_connect", 0) : q->body;
    if (q->origin.n && !handshake_origin_is_allowed(config, q->origin))
        refuse(c, q, 403, "this origin is not in client.allowed_origins");
    else if (str_equal(q->method, STR("OPTIONS")))
        respond(c, q, &(struct http_response){.status = 204});
    else if (!is_post && !is_get)
        refuse(c, q, 405, "a POST with commands");
    else if (!commands.n)
        refuse(c, q, 400,
               is_get ? "no commands: ?cf_connect=COMMANDS" : "the body has no commands");
    else if (at == ENDPOINT_EMULATION)
        send_commands(c, q);
    else
        open_stream(c, q, at == ENDPOINT_SSE, commands);
}
