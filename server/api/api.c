/* See api.h: routes, methods and keys.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/api.h"

#include "server/api/handlers.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* --- responses -------------------------------------------------------------------------------- */

void http_response_text(struct http_response *r, int status, const char *text) {
    r->status = status;
    r->content_type = "text/plain; charset=utf-8";
    buf_clear(&r->body);
    buf_add_z(&r->body, text);
    buf_add_char(&r->body, '\n');
}

void http_response_json(struct http_response *r, int status, struct str json) {
    r->status = status;
    r->content_type = "application/json";
    r->headers = "Cache-Control: no-store\r\n";
    buf_clear(&r->body);
    buf_add(&r->body, json);
}

bool api_wants_transport_errors(const struct http_request *q) {
    return str_equal_nocase(q->error_mode, STR("transport"));
}

static const char *error_message(enum api_error e) {
    switch (e) {
    case API_INTERNAL:
        return "internal server error";
    case API_UNKNOWN_CHANNEL:
        return "unknown channel";
    case API_BAD_REQUEST:
        return "bad request";
    case API_NOT_AVAILABLE:
        return "not available";
    }
    return "error";
}

static int error_status(enum api_error e) {
    switch (e) {
    case API_UNKNOWN_CHANNEL:
        return 404;
    case API_BAD_REQUEST:
    case API_NOT_AVAILABLE:
        return 400;
    case API_INTERNAL:
        break;
    }
    return 500;
}

void api_add_error(struct buf *b, enum api_error e) {
    buf_printf(b, "{\"code\":%d,\"message\":\"%s\"}", (int)e, error_message(e));
}

void api_respond_error(struct http_response *r, enum api_error e, bool is_transport_mode) {
    http_response_json(r, is_transport_mode ? error_status(e) : 200, STR("{\"error\":"));
    api_add_error(&r->body, e);
    buf_add_char(&r->body, '}');
}

/* --- routes ----------------------------------------------------------------------------------- */

static const struct {
    struct str name;
    api_handler_fn *handle;
} methods[] = {
    {{"publish", 7}, api_publish},
    {{"broadcast", 9}, api_broadcast},
    {{"info", 4}, api_info},
};
enum { METHOD_COUNT = sizeof(methods) / sizeof(methods[0]) };

struct route {
    api_handler_fn *handle; /* NULL: no such path */
    const char *allow;      /* methods, as in the Allow header */
    bool needs_key;
    bool is_unknown_method; /* below the API's prefix, but no method of ours */
};

static struct route find_api_route(struct str name) {
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (str_equal(name, methods[i].name))
            return (struct route){methods[i].handle, "POST", true, false};
    return (struct route){.needs_key = true, .is_unknown_method = true};
}

static struct route find_route(const struct config *c, struct str path) {
    struct str prefix = str_of(c->http_api_handler_prefix);
    if (!c->http_api_disabled && str_starts(path, prefix) &&
        (path.n == prefix.n || path.p[prefix.n] == '/')) {
        size_t from = path.n == prefix.n ? prefix.n : prefix.n + 1;
        return find_api_route(str_slice(path, from, path.n));
    }
    if (c->health_enabled && str_equal(path, str_of(c->health_handler_prefix)))
        return (struct route){api_health, "GET, HEAD", false, false};
    if (c->health_enabled && str_equal(path, str_of(c->health_ready_handler_prefix)))
        return (struct route){api_ready, "GET, HEAD", false, false};
    if (c->prometheus_enabled && str_equal(path, str_of(c->prometheus_handler_prefix)))
        return (struct route){api_metrics, "GET, HEAD", false, false};
    if (c->demo_enabled)
        return (struct route){api_static, "GET, HEAD", false, false};
    return (struct route){0};
}

/* Is `method` one of those in an Allow list? */
static bool is_allowed(const char *allow, struct str method) {
    const char *at = strstr(allow, "GET, HEAD");
    if (at)
        return str_equal(method, STR("GET")) || str_equal(method, STR("HEAD"));
    return str_equal(method, str_of(allow));
}

/* --- keys ------------------------------------------------------------------------------------- */

struct str http_query_value(struct str query, const char *name, size_t nth) {
    struct str wanted = str_of(name);
    struct str pair;
    while (str_cut(&query, '\0', &pair))
        if (str_starts(pair, wanted) && pair.n > wanted.n && pair.p[wanted.n] == '=' && nth-- == 0)
            return str_slice(pair, wanted.n + 1, pair.n);
    return STR_NONE;
}

/* In constant time, whatever the lengths: hashes are compared. */
static bool is_same_secret(struct str a, struct str b) {
    unsigned char ha[crypto_generichash_BYTES], hb[crypto_generichash_BYTES];
    crypto_generichash(ha, sizeof(ha), (const unsigned char *)a.p, a.n, NULL, 0);
    crypto_generichash(hb, sizeof(hb), (const unsigned char *)b.p, b.n, NULL, 0);
    return sodium_memcmp(ha, hb, sizeof(ha)) == 0;
}

static struct str given_key(const struct http_request *q) {
    static const struct str scheme = {"apikey ", 7};
    if (q->api_key.n)
        return q->api_key;
    if (q->authorization.n > scheme.n &&
        str_equal_nocase(str_slice(q->authorization, 0, scheme.n), scheme))
        return str_trim(str_slice(q->authorization, scheme.n, q->authorization.n));
    return http_query_value(q->query, "api_key", 0);
}

static bool has_key(const struct config *c, const struct http_request *q) {
    struct str key = given_key(q);
    if (c->http_api_insecure)
        return true;
    return c->http_api_key && *c->http_api_key && key.n &&
           is_same_secret(key, str_of(c->http_api_key));
}

/* --- requests --------------------------------------------------------------------------------- */

static void respond_unknown_method(struct http_response *r) {
    http_response_json(r, 404,
                       STR("{\"error\":{\"code\":104,\"message\":\"method not found\"},"
                           "\"methods\":["));
    for (size_t i = 0; i < METHOD_COUNT; i++)
        buf_printf(&r->body, "%s\"%.*s\"", i ? "," : "", STR_ARG(methods[i].name));
    buf_add_z(&r->body, "]}");
}

int api_precheck(struct sessions *s, const struct api_node *node, const struct http_request *q,
                 struct http_response *r) {
    struct route route = find_route(s->config, q->path);
    (void)node;
    if (route.needs_key && !has_key(s->config, q)) {
        http_response_text(r, 401, "a valid API key is needed: header X-API-Key");
        r->headers = "WWW-Authenticate: apikey\r\n";
    } else if (route.is_unknown_method) {
        respond_unknown_method(r);
    } else if (!route.handle) {
        http_response_text(r, 404, "no such path");
    } else if (!is_allowed(route.allow, q->method)) {
        http_response_text(r, 405, "method not allowed");
        snprintf(r->allow, sizeof(r->allow), "%s", route.allow);
    }
    return r->status;
}

struct api_call *api_handle(struct sessions *s, struct api_node *node, const struct http_request *q,
                            struct http_response *r, struct api_answer later) {
    const struct api_context x = {s, node, q, r, later};
    const struct route route = find_route(s->config, q->path);
    assert(route.handle); /* api_precheck() has seen to it */
    return route.handle(&x);
}
