/* HTTP streaming and Server-Sent Events, the way of clients that no WebSocket gets through to: are
 * they there, and does what is sent arrive at once? A proxy that collects, or compresses, holds the
 * events back until there are enough of them.
 *
 * The doctor connects as an SDK does and then has single events sent to it: replies to commands
 * that go up by the emulation endpoint. It POSTs, so that the token comes into no proxy's log.
 *
 * Thread: main.
 */
#include "server/base/clock.h"
#include "server/base/mem.h"
#include "server/doctor/checks.h"
#include "server/doctor/known.h"
#include "server/doctor/reply.h"

#include <string.h>

enum { BODY_BYTES_MAX = 1 << 20, PACKED_BYTES_MIN = 30, EVENT_COUNT = 3, LATE_MS = 500 };
enum { FIRST_COMMAND_ID = 2 };

struct stream {
    const char *check;
    char *path;
    bool is_packed; /* compressed: nothing can be read, but it came */
    struct exchange x;
    size_t at; /* what was read of the body */
    struct reply reply;
    struct buf session, node;
};

static const char unbuffer[] =
    "the proxy collects the answer: nginx needs `proxy_buffering off;` in this location, and no "
    "`proxy_ignore_headers X-Accel-Buffering`; Apache `SetEnv proxy-sendchunked` and no "
    "mod_deflate; "
    "a CDN or a virus scanner must let text/event-stream and this path through";

static const char no_packing[] =
    "compression collects events: nginx `gzip off;` in this location, or no application/json and "
    "text/event-stream in gzip_types; elsewhere exempt this path";

static void stream_fini(struct stream *s) {
    exchange_fini(&s->x);
    buf_fini(&s->session);
    buf_fini(&s->node);
    mem_free(s->path);
}

/* --- opening ---------------------------------------------------------------------------------- */

static bool open_stream(struct doctor *d, struct stream *s, bool may_pack) {
    struct buf headers = {0}, body = {0};
    buf_add_z(&headers, "Accept: text/event-stream, application/json\r\n");
    buf_add_z(&headers, may_pack ? "Accept-Encoding: gzip, deflate, br\r\n" : "");
    if (d->origin)
        buf_printf(&headers, "Origin: %s\r\n", d->origin);
    doctor_add_connect(d, &body);
    const struct request q = {
        .method = "POST", .path = s->path, .headers = buf_str(&headers), .body = buf_str(&body)};
    bool is_answered = exchange_begin(&s->x, &d->target, &q);
    explicit_bzero(body.p, body.cap);
    buf_fini(&body);
    buf_fini(&headers);
    return is_answered;
}

static void report_status(struct doctor *d, struct stream *s) {
    int status = s->x.head.status;
    while (s->x.body.n < DOCTOR_BODY_BYTES_MAX && exchange_more(&s->x))
        continue;
    const char *own = known_refusal(status, buf_str(&s->x.body));
    if (own && status == 403 && !d->origin)
        own = known_added_origin;
    if (own && status == 404)
        report_add(&d->report, VERDICT_WARN, s->check,
                   "clients that no WebSocket gets through to have no other way: sse.enabled, "
                   "http_stream.enabled; or the handler_prefix is another one (--config)",
                   "there is none at %s", s->path);
    else if (own)
        report_add(&d->report, VERDICT_FAIL, s->check, own, "Carillon answers %d: %.*s", status,
                   STR_ARG(str_slice(buf_str(&s->x.body), 0, s->x.body.n - 1)));
    else
        report_add(&d->report, VERDICT_WARN, s->check, known_status(status),
                   "%.*s answers %d at %s", STR_ARG(exchange_server(&s->x)), status, s->path);
}

/* What stands at the path is a page, with status 200. */
static bool is_page(const struct stream *s) {
    struct str type;
    return answer_find(&s->x.head, "content-type", &type) && str_starts(type, STR("text/html"));
}

/* Browsers let the page read the answer only if it says so, once. */
static bool check_cors(struct doctor *d, struct stream *s) {
    struct str value = STR_NONE;
    if (!d->origin)
        return true;
    uint32_t count = answer_find(&s->x.head, "access-control-allow-origin", &value);
    if (count == 1 && str_equal(value, str_of(d->origin)))
        return true;
    report_add(
        &d->report, VERDICT_FAIL, s->check,
        count ? "the proxy adds an Access-Control-Allow-Origin of its own (nginx: add_header): "
                "take it out, Carillon says it itself"
              : "the proxy drops Access-Control-Allow-Origin: browsers refuse the answer",
        "%u times Access-Control-Allow-Origin, the first is \"%.*s\"", count,
        STR_ARG(str_slice(value, 0, 200)));
    return false;
}

/* --- events ----------------------------------------------------------------------------------- */

/* A line of the body, without what an event stream puts before the data. */
static bool cut_event(struct stream *s, struct str *line) {
    struct str rest = str_slice(buf_str(&s->x.body), s->at, s->x.body.n);
    size_t end = str_find(rest, '\n');
    if (end == rest.n)
        return false;
    *line = str_slice(rest, 0, end);
    s->at += end + 1;
    if (str_starts(*line, STR("data: ")))
        *line = str_slice(*line, 6, line->n);
    return true;
}

/* The next reply, or a disconnect, into s->reply. False when none comes in time. */
static bool next_reply(struct stream *s, uint32_t timeout_ms) {
    struct str line;
    link_set_deadline(&s->x.link, timeout_ms);
    do {
        while (cut_event(s, &line))
            if (reply_cut(&line, &s->reply) && (s->reply.id || s->reply.disconnect_code))
                return true;
    } while (s->x.body.n < BODY_BYTES_MAX && exchange_more(&s->x));
    return false;
}

static void report_silence(struct doctor *d, struct stream *s) {
    if (s->x.link.state == LINK_ENDED || s->x.link.state == LINK_RESET)
        report_add(&d->report, VERDICT_FAIL, s->check,
                   "something in between ends streams: look at its log",
                   "the stream ended before the first event: %s",
                   s->x.fault ? s->x.fault : "whole");
    else
        report_add(&d->report, VERDICT_FAIL, s->check, unbuffer,
                   "the first event, which Carillon sends at once, did not arrive in %u s",
                   d->target.timeout_ms / 1000);
}

/* --- commands up ------------------------------------------------------------------------------ */

/* A command with an answer and no effect: an RPC, which has no handler. Gives the status; 0: none.
 */
static int send_command(struct doctor *d, struct stream *s, int id, struct str *why,
                        struct exchange *x) {
    struct buf body = {0}, headers = {0};
    char *path = doctor_path(d, d->config->emulation_handler_prefix);
    buf_add_z(&headers, "Connection: close\r\n");
    if (d->origin)
        buf_printf(&headers, "Origin: %s\r\n", d->origin);
    buf_printf(&body,
               "{\"session\":\"%.*s\",\"node\":\"%.*s\",\"data\":\"{\\\"id\\\":%d,\\\"rpc\\\":"
               "{}}\"}",
               STR_ARG(buf_str(&s->session)), STR_ARG(buf_str(&s->node)), id);
    const struct request q = {
        .method = "POST", .path = path, .headers = buf_str(&headers), .body = buf_str(&body)};
    bool is_answered = exchange_whole(x, &d->target, &q, DOCTOR_BODY_BYTES_MAX);
    *why = is_answered || x->head.status ? buf_str(&x->body) : str_of(x->fault);
    mem_free(path);
    buf_fini(&headers);
    buf_fini(&body);
    return x->head.status;
}

static const char *advice_for_up(int status, struct str why) {
    const char *own = known_refusal(status, why);
    if (own)
        return own;
    if (status == 404 && str_starts(why, STR("no such node")))
        return "nodes behind one address must share one engine.redis";
    if (status == 404)
        return "the proxy must send emulation.handler_prefix to the nodes, too";
    if (status == 503 && !str_starts(why, STR("<")))
        return "the nodes do not reach each other over Redis: see /ready";
    return known_status(status);
}

/* A page of the proxy says no more than its status. */
static void report_up(struct doctor *d, struct stream *s, int status, struct str why) {
    const char *advice = advice_for_up(status, why);
    why = str_starts(why, STR("<")) ? STR_NONE : str_trim(str_slice(why, 0, 200));
    report_add(&d->report, VERDICT_FAIL, s->check, advice, "%s answers %d%s%.*s",
               d->config->emulation_handler_prefix, status, why.n ? ": " : "", STR_ARG(why));
}

/* The server ends what was open. */
static void report_end_of(struct doctor *d, const struct stream *s) {
    uint64_t code = s->reply.disconnect_code;
    report_add(&d->report, VERDICT_FAIL, s->check, known_code(code, d->ask->token.n > 0),
               "the stream is ended with %llu: %.*s", (unsigned long long)code,
               STR_ARG(str_slice(s->reply.message, 0, 200)));
}

/* While events are measured, which takes less than a pong may: everything before was held back. */
static void report_no_pong(struct doctor *d, const struct stream *s) {
    report_add(&d->report, VERDICT_FAIL, s->check, unbuffer,
               "the first event arrived only when the server had given up with %d: %.*s",
               CODE_NO_PONG, STR_ARG(str_slice(s->reply.message, 0, 200)));
}

/* Has events sent, one after the other. False, after a line, when one does not come. *late_ms: how
 * long they take on average, beyond what an answer takes. */
static bool measure(struct doctor *d, struct stream *s, uint64_t *late_ms) {
    uint64_t events_ms = 0, answers_ms = 0;
    for (int i = 0; i < EVENT_COUNT; i++) {
        struct exchange x;
        struct str why;
        uint64_t start_ms = clock_now_ms();
        int status = send_command(d, s, FIRST_COMMAND_ID + i, &why, &x);
        answers_ms += clock_now_ms() - start_ms;
        if (status != 204)
            report_up(d, s, status, why);
        exchange_fini(&x);
        if (status != 204)
            return false;
        if (!next_reply(s, d->target.timeout_ms)) {
            report_add(&d->report, VERDICT_FAIL, s->check, unbuffer,
                       "event %d did not arrive in %u s", i + 2, d->target.timeout_ms / 1000);
            return false;
        }
        if (s->reply.disconnect_code) {
            if (s->reply.disconnect_code == CODE_NO_PONG)
                report_no_pong(d, s);
            else
                report_end_of(d, s);
            return false;
        }
        events_ms += clock_now_ms() - start_ms;
    }
    *late_ms = events_ms > 2 * answers_ms ? (events_ms - 2 * answers_ms) / EVENT_COUNT : 0;
    return true;
}

static void check_events(struct doctor *d, struct stream *s, const char *handler_prefix) {
    uint64_t late_ms = 0;
    d->ping_s = s->reply.ping_s;
    buf_add(&s->session, s->reply.session);
    buf_add(&s->node, s->reply.node);
    if (!measure(d, s, &late_ms))
        return;
    d->good_stream = handler_prefix;
    if (late_ms > LATE_MS)
        report_add(&d->report, VERDICT_WARN, s->check, unbuffer,
                   "events come %llu ms late: something in between collects them",
                   (unsigned long long)late_ms);
    else
        report_add(&d->report, VERDICT_OK, s->check, NULL,
                   "%d events arrived at once, commands go up%s", EVENT_COUNT + 1,
                   d->origin ? ", browsers may read it" : "");
}

/* --- one stream ------------------------------------------------------------------------------- */

/* What is compressed cannot be read here; that it comes can be seen. */
static void check_packed(struct doctor *d, struct stream *s, struct str coding) {
    link_set_deadline(&s->x.link, d->target.timeout_ms);
    while (s->x.body.n < PACKED_BYTES_MIN && exchange_more(&s->x))
        continue;
    bool is_there = s->is_packed = s->x.body.n >= PACKED_BYTES_MIN;
    report_add(&d->report, is_there ? VERDICT_WARN : VERDICT_FAIL, s->check, no_packing,
               "Content-Encoding: %.*s, which Carillon does not use; %s",
               STR_ARG(str_slice(coding, 0, 50)),
               is_there ? "the first event arrived" : "the first event did not arrive");
}

/* False when this was all. */
static bool check_head(struct doctor *d, struct stream *s, bool is_answered) {
    struct str coding;
    if (!is_answered && !s->x.head.status && s->x.link.state == LINK_LATE)
        report_silence(d, s);
    else if (!is_answered && !s->x.head.status)
        report_add(&d->report, VERDICT_FAIL, s->check, "see the log of the proxy", "no answer: %s",
                   s->x.fault);
    else if (s->x.head.status != 200 || is_page(s))
        report_status(d, s);
    else if (answer_find(&s->x.head, "content-encoding", &coding) &&
             !str_equal_nocase(coding, STR("identity")))
        check_packed(d, s, coding);
    else
        return check_cors(d, s);
    return false;
}

/* Why is known from the WebSocket, if there is one. */
static void report_no_connect(struct doctor *d, const struct stream *s) {
    const struct reply *r = &s->reply;
    uint64_t code = r->error_code ? r->error_code : r->disconnect_code;
    report_add(&d->report, d->is_upgrading ? VERDICT_WARN : VERDICT_FAIL, s->check,
               d->is_upgrading ? NULL : known_code(code, d->ask->token.n > 0),
               "the first event arrived at once; it refuses the token, so that was all: %llu: %.*s",
               (unsigned long long)code, STR_ARG(str_slice(r->message, 0, 200)));
}

/* True when it was compressed and came nevertheless. */
static bool check_one(struct doctor *d, const char *check, const char *handler_prefix,
                      bool may_pack) {
    struct stream s = {.check = check, .path = doctor_path(d, handler_prefix)};
    bool is_answered = open_stream(d, &s, may_pack);
    if (check_head(d, &s, is_answered)) {
        if (!next_reply(&s, d->target.timeout_ms))
            report_silence(d, &s);
        else if (s.reply.is_connected)
            check_events(d, &s, handler_prefix);
        else
            report_no_connect(d, &s);
    }
    bool is_packed = s.is_packed;
    stream_fini(&s);
    return is_packed;
}

/* Compressed, but there: what else is wrong shows without compression. */
static void check_both(struct doctor *d, const char *check, const char *handler_prefix) {
    if (check_one(d, check, handler_prefix, true))
        check_one(d, check, handler_prefix, false);
}

void check_streams(struct doctor *d) {
    check_both(d, "http_stream", d->config->http_stream_handler_prefix);
    check_both(d, "sse", d->config->sse_handler_prefix);
}

/* --- a quiet one ------------------------------------------------------------------------------ */

static const char more_patience[] =
    "a proxy or load balancer gives up on quiet streams sooner than the server pings: raise its "
    "time (nginx: proxy_read_timeout; HAProxy: timeout server, timeout client and timeout tunnel; "
    "load balancers: idle timeout), or lower client.ping_interval";

struct stream *quiet_stream_open(struct doctor *d) {
    struct stream *s = mem_zalloc(sizeof(*s));
    s->check = "idle_stream";
    s->path = doctor_path(d, d->good_stream);
    if (open_stream(d, s, false) && s->x.head.status == 200 &&
        next_reply(s, d->target.timeout_ms) && s->reply.is_connected)
        return s;
    report_add(&d->report, VERDICT_FAIL, s->check, "try again; the server's log says more",
               "a second stream did not come about");
    quiet_stream_close(s);
    return NULL;
}

void quiet_stream_close(struct stream *s) {
    if (!s)
        return;
    stream_fini(s);
    mem_free(s);
}

/* True when a ping came, or the server ended the stream: it was open until then. */
static bool wait_for_ping(struct stream *s, uint32_t left_ms) {
    struct str line;
    link_set_deadline(&s->x.link, left_ms);
    do {
        while (cut_event(s, &line))
            if (reply_cut(&line, &s->reply) && (s->reply.is_ping || s->reply.disconnect_code))
                return true;
    } while (s->x.body.n < BODY_BYTES_MAX && exchange_more(&s->x));
    return false;
}

void quiet_stream_report(struct doctor *d, struct stream *s, uint64_t age_ms, uint32_t left_ms) {
    uint64_t start_ms = clock_now_ms();
    bool is_pinged = wait_for_ping(s, left_ms);
    double seconds = (double)(age_ms + clock_now_ms() - start_ms) / 1e3;
    if (is_pinged && s->reply.is_ping)
        report_add(&d->report, VERDICT_OK, s->check, NULL, "a quiet stream of %s lives, too",
                   s->path);
    else if (is_pinged)
        report_end_of(d, s);
    else if (s->x.link.state != LINK_LATE)
        report_add(&d->report, VERDICT_FAIL, s->check, more_patience,
                   "%s was cut within %.1f s, before the first ping", s->path, seconds);
    else if (seconds <= (double)d->ping_s)
        report_add(&d->report, VERDICT_OK, s->check, NULL, "a quiet stream lived for %.0f s, too",
                   seconds);
    else
        report_add(&d->report, VERDICT_FAIL, s->check, unbuffer,
                   "no ping in %.1f s, though one is due every %llu s", seconds,
                   (unsigned long long)d->ping_s);
}
