/* See exchange.h.
 *
 * Thread: main.
 */
#include "server/doctor/exchange.h"

#include "server/base/version.h"

#include <string.h>

static void add_request(struct buf *out, const struct target *t, const struct request *q) {
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: carillon-doctor/%s\r\n", q->method,
               q->path, STR_ARG(t->url.authority), CARILLON_VERSION);
    buf_add(out, q->headers);
    if (q->body.n)
        buf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", q->body.n);
    buf_add_z(out, "\r\n");
    buf_add(out, q->body);
}

static bool fail(struct exchange *x, const char *fault) {
    x->fault = fault;
    return false;
}

/* A head that is not whole or not good is none. */
static bool fail_head(struct exchange *x, const char *fault) {
    x->head = (struct answer_head){0};
    return fail(x, fault);
}

static bool read_head(struct exchange *x) {
    enum answer_state state;
    const char *fault = NULL;
    while ((state = answer_head_read(buf_str(&x->link.in), &x->head, &fault)) == ANSWER_MORE)
        if (!link_receive(&x->link))
            return fail_head(x, x->link.in.n && x->link.state == LINK_LATE
                                    ? "the head of the answer does not end"
                                    : link_state_text(&x->link));
    if (state == ANSWER_BAD)
        return fail_head(x, fault);
    size_t size = x->head.size_bytes;
    buf_add(&x->head_text, str_slice(buf_str(&x->link.in), 0, size));
    buf_consume(&x->link.in, size);
    answer_head_read(buf_str(&x->head_text), &x->head, &fault);
    return answer_body_begin(&x->cut, &x->head) ||
           fail_head(x, "the length of its body is ambiguous");
}

bool exchange_begin(struct exchange *x, const struct target *t, const struct request *q) {
    struct buf out = {0};
    *x = (struct exchange){.link = {.fd = -1}};
    if (!link_open(&x->link, t))
        return fail(x, link_state_text(&x->link));
    add_request(&out, t, q);
    link_set_deadline(&x->link, t->timeout_ms);
    /* Who refuses may do so before it has read everything. */
    link_send(&x->link, buf_str(&out));
    explicit_bzero(out.p, out.cap); /* may hold the token */
    buf_fini(&out);
    if (x->link.state == LINK_RESET)
        x->link.state = LINK_OPEN;
    return read_head(x);
}

bool exchange_more(struct exchange *x) {
    size_t before = x->body.n;
    while (!x->cut.is_done) {
        if (!answer_body_feed(&x->cut, &x->link.in, &x->body))
            return fail(x, "its body is broken");
        if (x->body.n > before)
            return true;
        if (!x->cut.is_done && !link_receive(&x->link)) {
            x->cut.is_done = x->cut.kind == BODY_TO_END && x->link.state == LINK_ENDED;
            return x->cut.is_done ? false : fail(x, link_state_text(&x->link));
        }
    }
    return false;
}

bool exchange_whole(struct exchange *x, const struct target *t, const struct request *q,
                    size_t max_bytes) {
    if (!exchange_begin(x, t, q))
        return false;
    while (x->body.n < max_bytes && exchange_more(x))
        continue;
    if (x->body.n > max_bytes)
        x->body.n = max_bytes;
    return x->body.n >= max_bytes || x->cut.is_done || x->head.status != 200;
}

void exchange_fini(struct exchange *x) {
    link_close(&x->link);
    buf_fini(&x->head_text);
    buf_fini(&x->body);
}

struct str exchange_server(const struct exchange *x) {
    struct str name;
    return answer_find(&x->head, "server", &name) && name.n ? str_slice(name, 0, 60)
                                                            : STR("a server without a name");
}
