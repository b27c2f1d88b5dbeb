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

/* --- routes ----------------------------------------------------------------------------------- */

static const struct api_method methods[] = {
    {{"publish", 7}, api_publish, API_SCOPE_PUBLISH, false},
    {{"broadcast", 9}, api_broadcast, API_SCOPE_PUBLISH, false},
    {{"presence", 8}, api_presence, API_SCOPE_READ, false},
    {{"presence_stats", 14}, api_presence_stats, API_SCOPE_READ, false},
    {{"history", 7}, api_history, API_SCOPE_READ, false},
    {{"history_remove", 14}, api_history_remove, API_SCOPE_ALL, false},
    {{"info", 4}, api_info, API_SCOPE_READ, true},
    {{"batch", 5}, api_batch, 0, false},
    {{"subscribe", 9}, api_subscribe, API_SCOPE_ALL, false},
    {{"unsubscribe", 11}, api_unsubscribe, API_SCOPE_ALL, false},
    {{"disconnect", 10}, api_disconnect, API_SCOPE_ALL, false},
    {{"refresh", 7}, api_refresh, API_SCOPE_ALL, false},
    {{"channels", 8}, api_channels, API_SCOPE_READ, true},
    {{"revoke_token", 12}, api_revoke_token, API_SCOPE_ALL, false},
    {{"invalidate_user_tokens", 22}, api_invalidate_user_tokens, API_SCOPE_ALL, false},
};
enum { METHOD_COUNT = sizeof(methods) / sizeof(methods[0]) };

const struct api_method *api_find_method(struct str name) {
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (str_equal(name, methods[i].name))
            return &methods[i];
    return NULL;
}

/* Neither handle nor method: no such path. */
struct route {
    api_handler_fn *handle;
    const struct api_method *method; /* of the server API */
    const char *allow;               /* methods, as in the Allow header */
    bool needs_key;
    bool is_unknown_method; /* below the API's prefix, but no method of ours */
};

static struct route find_api_route(struct str name) {
    const struct api_method *m = api_find_method(name);
    return (struct route){
        .method = m, .allow = "POST", .needs_key = true, .is_unknown_method = m == NULL};
}

static struct route find_route(const struct config *c, struct str path) {
    struct str prefix = str_of(c->http_api_handler_prefix);
    if (!c->http_api_disabled && str_starts(path, prefix) &&
        (path.n == prefix.n || path.p[prefix.n] == '/')) {
        size_t from = path.n == prefix.n ? prefix.n : prefix.n + 1;
        return find_api_route(str_slice(path, from, path.n));
    }
    if (c->health_enabled && str_equal(path, str_of(c->health_handler_prefix)))
        return (struct route){.handle = api_health, .allow = "GET, HEAD"};
    if (c->health_enabled && str_equal(path, str_of(c->health_ready_handler_prefix)))
        return (struct route){.handle = api_ready, .allow = "GET, HEAD"};
    if (c->prometheus_enabled && str_equal(path, str_of(c->prometheus_handler_prefix)))
        return (struct route){.handle = api_metrics, .allow = "GET, HEAD"};
    if (c->demo_enabled)
        return (struct route){.handle = api_static, .allow = "GET, HEAD"};
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

/* Plain text in the configuration, as Centrifugo has it. */
static bool is_plain_key(const struct config *c, struct str key) {
    return c->http_api_key && *c->http_api_key && key.n &&
           is_same_secret(key, str_of(c->http_api_key));
}

/* All kinds are looked at, whichever is right. */
static bool find_caller(const struct config *c, const struct api_node *node,
                        const struct http_request *q, struct api_caller *out) {
    struct str key = given_key(q);
    bool is_plain = is_plain_key(c, key);
    bool is_found = api_keyring_find(node->keyring, key, out);
    if (!is_found && (is_plain || c->http_api_insecure))
        *out = (struct api_caller){.name = "http_api.key", .scopes = API_SCOPES_EVERY};
    return is_found || is_plain || c->http_api_insecure;
}

bool api_may(const struct api_node *node, const struct api_caller *who, const struct api_method *m,
             const char **why) {
    bool is_allowed = !m->scope || (who->scopes & m->scope);
    api_keyring_count(node->keyring, who, is_allowed);
    if (!is_allowed)
        *why = m->scope == API_SCOPE_PUBLISH ? "this API key lacks the scope \"publish\""
               : m->scope == API_SCOPE_READ  ? "this API key lacks the scope \"read\""
                                             : "this API key lacks the scope \"all\"";
    return is_allowed;
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
    struct api_caller caller;
    const char *why;
    if (route.needs_key && !find_caller(s->config, node, q, &caller)) {
        http_response_text(r, 401, "a valid API key is needed: header X-API-Key");
        r->headers = "WWW-Authenticate: apikey\r\n";
    } else if (route.is_unknown_method) {
        respond_unknown_method(r);
    } else if (!route.handle && !route.method) {
        http_response_text(r, 404, "no such path");
    } else if (!is_allowed(route.allow, q->method)) {
        http_response_text(r, 405, "method not allowed");
        snprintf(r->allow, sizeof(r->allow), "%s", route.allow);
    } else if (route.method && !api_may(node, &caller, route.method, &why)) {
        http_response_text(r, 403, why);
    }
    return r->status;
}

struct api_call *api_handle(struct sessions *s, struct api_node *node, const struct http_request *q,
                            struct http_response *r, struct api_answer later) {
    const struct api_context x = {s, node, q, r, later};
    const struct route route = find_route(s->config, q->path);
    struct api_caller caller = {
        0}; /* of a batch; a key that was taken away meanwhile may nothing */
    if (route.method) {
        find_caller(s->config, node, q, &caller);
        return api_run(&x, route.method, &caller);
    }
    assert(route.handle); /* api_precheck() has seen to it */
    return route.handle(&x);
}
