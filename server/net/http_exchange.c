/* See http_conn.h: one request and its answer.
 *
 * The texts of the request are copied from the head into one buffer, which lives until the answer
 * is made.
 *
 * Thread: its worker.
 */
#include "server/base/mem.h"
#include "server/net/emulation.h"
#include "server/net/http_conn.h"
#include "server/net/http_response.h"
#include "server/net/http_target.h"
#include "server/net/sse.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

struct exchange {
    struct http_request request;
    struct buf head; /* the texts of request */
    struct buf body;
    uint64_t body_bytes;   /* announced */
    struct api_call *call; /* waits for its answer */
    bool is_head;          /* the method: no body in the response */
    bool wants_continue;
    void (*run)(struct http_conn *c, const struct http_request *q); /* NULL: api/ answers it */
};

void http_exchange_drop(struct http_conn *c) {
    struct exchange *x = c->exchange;
    if (!x)
        return;
    if (x->call)
        api_abandon(x->call);
    c->exchange = NULL;
    if (x->head.p)
        explicit_bzero(x->head.p, x->head.n); /* keys and tokens */
    if (x->run && x->body.p)
        explicit_bzero(x->body.p, x->body.n);
    buf_fini(&x->head);
    buf_fini(&x->body);
    mem_free(x);
}

/* --- answer ----------------------------------------------------------------------------------- */

static void answer(struct http_conn *c, struct http_response *r) {
    struct buf b = {0};
    bool is_head = c->exchange->is_head;
    c->exchange->call = NULL;
    http_exchange_drop(c);
    http_response_format(&b, r, is_head, c->must_close);
    buf_fini(&r->body);
    http_conn_write(c, &b);
}

static void answer_later(void *to, struct http_response *r) {
    answer(to, r);
}

/* Without having read the body: what follows cannot be told from it. */
static void answer_early(struct http_conn *c, struct http_response *r) {
    c->must_close |= c->exchange->body_bytes > 0;
    answer(c, r);
}

void http_exchange_answer(struct http_conn *c, struct http_response *r) {
    answer_early(c, r);
}

static void answer_text(struct http_conn *c, int status, const char *text) {
    struct http_response r = {0};
    http_response_text(&r, status, text);
    answer_early(c, &r);
}

/* The request is complete. */
static void run(struct http_conn *c) {
    struct exchange *x = c->exchange;
    struct http_response r = {0};
    const struct api_answer later = {answer_later, c};
    x->request.body = buf_str(&x->body);
    if (x->run) {
        x->body_bytes = 0; /* read */
        x->run(c, &x->request);
        return;
    }
    x->call = api_handle(c->http->sessions, c->http->node, &x->request, &r, later);
    if (!x->call) {
        answer(c, &r);
        return;
    }
    c->state = HTTP_WAITING;
    http_conn_watch(c);
}

/* --- request ---------------------------------------------------------------------------------- */

/* Texts are collected in one buffer that may move: positions first, pointers when all is there. */
struct span {
    size_t from, n;
};

static struct span copy(struct buf *to, struct str s) {
    struct span at = {to->n, s.n};
    buf_add(to, s);
    return at;
}

static struct span copy_header(struct buf *to, const struct head *head, const char *name) {
    struct str value;
    head_find(head, name, &value);
    return copy(to, value);
}

static struct str text_of(const struct buf *b, struct span s) {
    return (struct str){b->p + s.from, s.n};
}

/* False: the target has a bad escape. */
static bool read_request(struct exchange *x, const struct head *head) {
    struct buf *b = &x->head;
    struct span method = copy(b, head->method);
    struct span path = {b->n, 0}, query = {0};
    if (!http_target_path(head->target, b))
        return false;
    path.n = b->n - path.from;
    query.from = b->n;
    if (!http_target_query(head->target, b))
        return false;
    query.n = b->n - query.from;
    struct span api_key = copy_header(b, head, "x-api-key");
    struct span authorization = copy_header(b, head, "authorization");
    struct span if_none_match = copy_header(b, head, "if-none-match");
    struct span error_mode = copy_header(b, head, "x-centrifugo-error-mode");
    struct span origin = copy_header(b, head, "origin");
    struct span last_event_id = copy_header(b, head, "last-event-id");
    struct span cookie = copy_header(b, head, "cookie");
    struct span content_type = copy_header(b, head, "content-type");
    x->request = (struct http_request){
        .method = text_of(b, method),
        .path = text_of(b, path),
        .query = text_of(b, query),
        .api_key = text_of(b, api_key),
        .authorization = text_of(b, authorization),
        .if_none_match = text_of(b, if_none_match),
        .error_mode = text_of(b, error_mode),
        .origin = text_of(b, origin),
        .cookie = text_of(b, cookie),
        .last_event_id = text_of(b, last_event_id),
        .content_type = text_of(b, content_type),
    };
    return true;
}

static void read_framing(struct http_conn *c, const struct head *head) {
    struct exchange *x = c->exchange;
    struct str value;
    if (head_find(head, "content-length", &value))
        str_to_u64(value, &x->body_bytes); /* the handshake check has seen that it is a number */
    c->must_close |= head->minor == 0 || head_has_token(head, "connection", "close");
    head_find(head, "expect", &value);
    x->wants_continue = str_equal_nocase(value, STR("100-continue"));
    x->is_head = str_equal(head->method, STR("HEAD"));
}

static void expect_body(struct http_conn *c) {
    static const struct str interim = {"HTTP/1.1 100 Continue\r\n\r\n", 25};
    struct exchange *x = c->exchange;
    if (x->wants_continue)
        (void)!send(c->fd, interim.p, interim.n, MSG_NOSIGNAL);
    c->state = HTTP_READING_BODY;
    http_conn_set_deadline(c, HTTP_BODY_MS);
    http_conn_watch(c);
}

/* Whose request it is; gives the largest body. */
static uint32_t find_runner(struct exchange *x, const struct config *config) {
    if (sse_is_for(config, x->request.path)) {
        x->run = sse_begin;
        return config->sse_plain_max_request_body_bytes;
    }
    if (emulation_is_for(config, x->request.path)) {
        x->run = emulation_run;
        return emulation_max_body_bytes(config, x->request.path);
    }
    return config->http_api_max_request_body_bytes;
}

/* Who answers it, and may its body come? */
static void route(struct http_conn *c, const struct head *head) {
    struct http *h = c->http;
    struct exchange *x = c->exchange;
    struct http_response r = {0};
    struct str value;
    bool has_length = head_find(head, "content-length", &value);
    bool is_post = str_equal(head->method, STR("POST"));
    uint32_t max_bytes = find_runner(x, h->sessions->config);
    if (!x->run && api_precheck(h->sessions, h->node, &x->request, &r))
        answer_early(c, &r);
    else if (is_post && !has_length)
        answer_text(c, 411, "send the body with a Content-Length");
    else if (x->body_bytes > max_bytes)
        answer_text(c, 413, "the body is larger than max_request_body_size of this endpoint");
    else if (x->body_bytes)
        expect_body(c);
    else
        run(c);
}

void http_exchange_begin(struct http_conn *c, const struct head *head) {
    struct http *h = c->http;
    struct exchange *x = mem_zalloc(sizeof(*x));
    c->exchange = x;
    metrics_add(h->sessions->metrics, METRIC_HTTP_REQUESTS, 1);
    read_framing(c, head);
    if (!read_request(x, head))
        answer_text(c, 400, "the request target has a bad percent escape");
    else
        route(c, head);
}

size_t http_exchange_missing(const struct http_conn *c) {
    return (size_t)c->exchange->body_bytes - c->exchange->body.n;
}

char *http_exchange_room(struct http_conn *c, size_t n) {
    return buf_reserve(&c->exchange->body, n);
}

void http_exchange_add(struct http_conn *c, size_t n) {
    c->exchange->body.n += n;
    assert(c->exchange->body.n <= c->exchange->body_bytes);
    if (http_exchange_missing(c) == 0)
        run(c);
}
