/* See stream.h.
 *
 * Thread: the worker.
 */
#include "server/net/stream.h"

#include "server/net/handshake.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

static bool transport_write(void *conn, const char *bytes, size_t n) {
    return http_conn_send(conn, bytes, n);
}

static bool transport_is_blocked(void *conn) {
    const struct http_conn *c = conn;
    return c->out.n > 0;
}

static void transport_pause(void *conn, bool is_paused) {
    (void)conn; /* what comes behind the request is thrown away anyhow */
    (void)is_paused;
}

static void transport_finish(void *conn) {
    http_conn_linger(conn);
}

static void transport_kill(void *conn) {
    struct http_conn *c = conn;
    shutdown(c->fd, SHUT_RDWR);
    http_conn_set_deadline(c, 0); /* dropped by the next tick, when nobody holds it */
}

static void transport_peer(void *conn, char *out, size_t cap) {
    const struct http_conn *c = conn;
    struct sockaddr_storage a = {0};
    socklen_t size = sizeof(a);
    char text[INET6_ADDRSTRLEN] = "";
    getpeername(c->fd, (struct sockaddr *)&a, &size);
    if (a.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&a)->sin6_addr, text, sizeof(text));
    else if (a.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&a)->sin_addr, text, sizeof(text));
    snprintf(out, cap, "%s", text);
}

const struct transport_ops stream_transport = {
    .write = transport_write,
    .is_blocked = transport_is_blocked,
    .pause = transport_pause,
    .finish = transport_finish,
    .kill = transport_kill,
    .peer = transport_peer,
};

/* --- answers ---------------------------------------------------------------------------------- */

/* Header lines that let the request's origin read the response. */
static void add_cors(struct buf *b, const struct http_request *q) {
    buf_add_z(b, "Vary: Origin\r\n");
    if (q->origin.n)
        buf_printf(b,
                   "Access-Control-Allow-Origin: %.*s\r\n"
                   "Access-Control-Allow-Credentials: true\r\n",
                   STR_ARG(q->origin));
}

static void answer(struct http_conn *c, struct http_response *r, struct buf *headers) {
    buf_add_char(headers, '\0');
    r->headers = headers->p;
    http_exchange_answer(c, r);
    buf_fini(headers);
}

void stream_answer(struct http_conn *c, const struct http_request *q, struct http_response *r) {
    struct buf headers = {0};
    buf_add_z(&headers, "Cache-Control: no-store\r\n"); /* a 204 or 404 may be kept otherwise */
    add_cors(&headers, q);
    answer(c, r, &headers);
}

void stream_refuse(struct http_conn *c, const struct http_request *q, int status,
                   const char *text) {
    struct http_response r = {0};
    http_response_text(&r, status, text);
    stream_answer(c, q, &r);
}

static void refuse_origin(struct http_conn *c) {
    struct http_response r = {0};
    http_response_text(&r, 403, "this origin is not in client.allowed_origins");
    http_exchange_answer(c, &r);
}

static void answer_preflight(struct http_conn *c, const struct http_request *q,
                             const char *methods) {
    struct buf headers = {0};
    add_cors(&headers, q);
    buf_printf(&headers,
               "Access-Control-Allow-Methods: %s\r\n"
               "Access-Control-Allow-Headers: authorization, cache-control, content-type, "
               "last-event-id\r\n"
               "Access-Control-Max-Age: 300\r\n",
               methods);
    answer(c, &(struct http_response){.status = 204}, &headers);
}

static bool is_one_of(struct str method, const char *methods) {
    struct str rest = str_of(methods), one;
    while (str_cut(&rest, ',', &one))
        if (str_equal(method, str_trim(one)))
            return true;
    return false;
}

static void refuse_method(struct http_conn *c, const struct http_request *q, const char *methods) {
    struct http_response r = {0};
    http_response_text(&r, 405, "not a method of this endpoint");
    snprintf(r.allow, sizeof(r.allow), "%s, OPTIONS", methods);
    stream_answer(c, q, &r);
}

bool stream_may_run(struct http_conn *c, const struct http_request *q, const char *methods) {
    if (q->origin.n && !handshake_origin_is_allowed(c->http->sessions->config, q->origin))
        refuse_origin(c);
    else if (str_equal(q->method, STR("OPTIONS")))
        answer_preflight(c, q, methods);
    else if (!is_one_of(q->method, methods))
        refuse_method(c, q, methods);
    else
        return true;
    return false;
}

/* --- the stream ------------------------------------------------------------------------------- */

void stream_begin(struct http_conn *c, struct client *client, const struct http_request *q,
                  const char *content_type, struct str first) {
    struct buf b = {0};
    c->state = HTTP_STREAMING;
    c->client = client;
    c->must_close = true;
    wheel_cancel(&c->timer); /* the client has its own */
    http_conn_watch(c);
    buf_printf(&b,
               "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
               "Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n"
               "X-Content-Type-Options: nosniff\r\nConnection: close\r\n",
               content_type);
    add_cors(&b, q);
    buf_add_z(&b, "\r\n");
    buf_add(&b, first);
    /* The first write to a fresh response; a dead one shows soon. */
    (void)http_conn_send(c, b.p, b.n);
    buf_fini(&b);
}
