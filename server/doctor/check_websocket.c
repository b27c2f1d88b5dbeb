/* The WebSocket: does the handshake get through, is the page's origin allowed, is the token taken?
 *
 * Thread: main.
 */
#include "server/doctor/checks.h"
#include "server/doctor/known.h"
#include "server/doctor/reply.h"
#include "server/doctor/websocket.h"

#include "server/base/mem.h"

#include <stdio.h>
#include <string.h>

/* --- the handshake ---------------------------------------------------------------------------- */

/* Why a handshake was not answered with 101. */
static void report_refusal(struct doctor *d, const char *check, const char *origin,
                           const struct websocket *w) {
    const struct exchange *x = &w->x;
    const char *own = known_refusal(x->head.status, buf_str(&x->body));
    if (own && x->head.status == 403 && !origin)
        own = known_added_origin;
    struct str location = STR_NONE;
    answer_find(&x->head, "location", &location);
    if (x->fault && x->head.status == 101)
        report_add(
            &d->report, VERDICT_FAIL, check,
            "a cache, or something that is no WebSocket server, answers: the proxy must pass "
            "the handshake on",
            "%s", x->fault);
    else if (!x->head.status)
        report_add(&d->report, VERDICT_FAIL, check,
                   "a plain request was answered, so something in between, a proxy, a firewall or "
                   "an antivirus, stops WebSocket; wss:// gets through more often than ws://",
                   "no answer to the handshake: %s", x->fault);
    else if (own)
        report_add(&d->report, VERDICT_FAIL, check, own, "Carillon answers %d: %.*s",
                   x->head.status, STR_ARG(str_slice(buf_str(&x->body), 0, x->body.n - 1)));
    else
        report_add(&d->report, VERDICT_FAIL, check, known_status(x->head.status),
                   "%.*s answers %d%s%.*s instead of 101", STR_ARG(exchange_server(x)),
                   x->head.status, location.n ? " and Location: " : "",
                   STR_ARG(str_slice(location, 0, 300)));
}

void check_upgrade(struct doctor *d) {
    struct websocket w;
    d->is_upgrading = websocket_open(&w, &d->target, d->websocket_path, NULL);
    if (d->is_upgrading)
        report_add(&d->report, VERDICT_OK, "upgrade", NULL, "101, it is a WebSocket");
    else
        report_refusal(d, "upgrade", NULL, &w);
    websocket_close(&w);
}

void check_origin(struct doctor *d) {
    struct websocket w;
    if (!d->is_upgrading) {
        d->origin = d->ask->origin; /* the streams will tell */
        return;
    }
    if (!d->ask->origin) {
        report_add(&d->report, VERDICT_SKIP, "origin", NULL,
                   "browsers send one: give --origin, such as https://example.com");
        return;
    }
    if (websocket_open(&w, &d->target, d->websocket_path, d->ask->origin)) {
        d->origin = d->ask->origin;
        report_add(&d->report, VERDICT_OK, "origin", NULL, "%s is allowed", d->origin);
    } else {
        report_refusal(d, "origin", d->ask->origin, &w);
    }
    websocket_close(&w);
}

/* --- connect ---------------------------------------------------------------------------------- */

void doctor_add_connect(const struct doctor *d, struct buf *out) {
    buf_add_z(out, "{\"id\":1,\"connect\":{\"name\":\"doctor\"");
    if (d->ask->token.n)
        buf_printf(out, ",\"token\":\"%.*s\"", STR_ARG(buf_str(&d->ask->token)));
    buf_add_z(out, "}}");
}

static void report_code(struct doctor *d, const char *how, uint64_t code, struct str text) {
    report_add(&d->report, VERDICT_FAIL, "token", known_code(code, d->ask->token.n > 0),
               "%s %llu: %.*s", how, (unsigned long long)code, STR_ARG(str_slice(text, 0, 200)));
}

static void take_reply(struct doctor *d, const struct reply *r) {
    struct buf ttl = {0};
    if (r->error_code) {
        report_code(d, "connect is answered with error", r->error_code, r->message);
        return;
    }
    d->is_connected = true;
    d->ping_s = r->ping_s;
    snprintf(d->version, sizeof(d->version), "%.*s", STR_ARG(str_slice(r->version, 0, 30)));
    if (r->ttl_s)
        buf_printf(&ttl, ", for %llu s", (unsigned long long)r->ttl_s);
    report_add(&d->report, VERDICT_OK, "token", NULL,
               "connected%s%.*s, server version %s, ping %llu s",
               d->ask->token.n ? " with the token" : " without a token", STR_ARG(buf_str(&ttl)),
               *d->version ? d->version : "?", (unsigned long long)r->ping_s);
    buf_fini(&ttl);
}

static void report_no_reply(struct doctor *d, enum ws_event e, const struct websocket *w) {
    if (e == WS_EVENT_CLOSED)
        report_code(d, "the connection is closed with", w->code, buf_str(&w->message));
    else if (e == WS_EVENT_LATE)
        report_add(&d->report, VERDICT_FAIL, "token",
                   "something in between answers handshakes but passes nothing on, or the node "
                   "hangs: /ready and its log say more",
                   "no reply to connect in time");
    else
        report_add(&d->report, VERDICT_FAIL, "token",
                   "something in between cuts the connection, or changes what goes over it",
                   e == WS_EVENT_CUT ? "the connection was cut after the handshake"
                                     : "what comes over the connection is no WebSocket");
}

void check_connect(struct doctor *d) {
    struct websocket w;
    struct buf command = {0};
    if (!d->is_upgrading)
        return;
    if (!websocket_open(&w, &d->target, d->websocket_path, d->origin)) {
        websocket_close(&w);
        report_add(&d->report, VERDICT_SKIP, "token", NULL,
                   "there is no connection to send it over");
        return;
    }
    doctor_add_connect(d, &command);
    link_set_deadline(&w.x.link, d->target.timeout_ms);
    websocket_send(&w, buf_str(&command));
    enum ws_event e;
    struct reply r = {0};
    while ((e = websocket_next(&w)) == WS_EVENT_MESSAGE && !r.id) {
        struct str text = buf_str(&w.message);
        while (!r.id && reply_cut(&text, &r))
            continue;
        if (r.id)
            break;
    }
    if (r.id)
        take_reply(d, &r);
    else
        report_no_reply(d, e, &w);
    explicit_bzero(command.p, command.cap);
    buf_fini(&command);
    websocket_close(&w);
}
