/* Does a quiet connection live? The doctor says nothing and waits for the server's ping; a proxy
 * that gives up sooner is caught in the act.
 *
 * Thread: main.
 */
#include "server/base/clock.h"
#include "server/doctor/checks.h"
#include "server/doctor/known.h"
#include "server/doctor/reply.h"
#include "server/doctor/websocket.h"

#include <stdio.h>
#include <string.h>

enum { MARGIN_S = 5, PONG_WAIT_MS = 1000, READ_MS = 500, IDLE_LONGEST_S = 3605 };

struct watch {
    uint64_t start_ms;
    uint32_t ping_count;
    enum ws_event end; /* LATE: it lives */
    uint16_t code;
};

static bool begin(struct doctor *d, struct websocket *w) {
    struct buf command = {0};
    if (!websocket_open(w, &d->target, d->websocket_path, d->origin))
        return false;
    doctor_add_connect(d, &command);
    link_set_deadline(&w->x.link, d->target.timeout_ms);
    bool is_sent = websocket_send(w, buf_str(&command));
    explicit_bzero(command.p, command.cap);
    buf_fini(&command);
    return is_sent && websocket_next(w) == WS_EVENT_MESSAGE;
}

/* Until the first ping was answered and nobody minded, or the time is over. */
static void watch(struct websocket *w, uint32_t idle_s, struct watch *out) {
    out->start_ms = clock_now_ms();
    link_set_deadline(&w->x.link, idle_s * 1000);
    while ((out->end = websocket_next(w)) == WS_EVENT_MESSAGE) {
        struct str text = buf_str(&w->message);
        struct reply r;
        if (!reply_cut(&text, &r) || !r.is_ping || out->ping_count)
            continue;
        out->ping_count++;
        websocket_send(w, STR("{}"));
        link_set_deadline(&w->x.link, PONG_WAIT_MS);
    }
    out->code = w->code;
}

static const char held_back[] =
    "something in between holds back what the server sends, or the pongs of clients: switch "
    "buffering off there; or the node hangs (carillon_worker_loop_lag_seconds)";

/* Sooner than the server speaks. */
static void report_impatient(struct doctor *d, double seconds) {
    struct buf advice = {0};
    buf_printf(&advice,
               "a proxy or load balancer gives up on quiet connections sooner than the server "
               "pings (every %llu s): raise its time (nginx: proxy_read_timeout and "
               "proxy_send_timeout; HAProxy: timeout tunnel; load balancers: idle timeout), or "
               "lower client.ping_interval below %.0f s",
               (unsigned long long)d->ping_s, seconds < 2 ? 1.0 : seconds - 1);
    buf_add_char(&advice, '\0');
    report_add(&d->report, VERDICT_FAIL, "idle", advice.p,
               "cut without a word after %.1f s, before the first ping", seconds);
    buf_fini(&advice);
}

static void report_cut(struct doctor *d, const struct watch *x, double seconds) {
    if (x->end == WS_EVENT_CLOSED)
        report_add(&d->report, VERDICT_FAIL, "idle",
                   x->code == CODE_NO_PONG ? held_back : known_code(x->code, d->ask->token.n > 0),
                   "closed with %u after %.1f s", x->code, seconds);
    else if (!x->ping_count && seconds < (double)d->ping_s)
        report_impatient(d, seconds);
    else
        report_add(&d->report, VERDICT_FAIL, "idle", held_back, "%s after %.1f s, %s a ping",
                   x->end == WS_EVENT_BROKEN ? "broken" : "cut without a word", seconds,
                   x->ping_count ? "after" : "without");
}

static void report_alive(struct doctor *d, const struct watch *x, uint32_t idle_s, double seconds) {
    if (x->ping_count)
        report_add(&d->report, VERDICT_OK, "idle", NULL,
                   "a quiet connection lives: the server's ping came after %.1f s", seconds);
    else if (idle_s <= d->ping_s)
        report_add(&d->report, VERDICT_OK, "idle", NULL,
                   "a quiet connection lived for %u s; pings come every %llu s, so longer is not "
                   "proven (--idle)",
                   idle_s, (unsigned long long)d->ping_s);
    else
        report_add(&d->report, VERDICT_FAIL, "idle", held_back,
                   "no ping in %u s, though one is due every %llu s", idle_s,
                   (unsigned long long)d->ping_s);
}

static void check_quiet_websocket(struct doctor *d, uint32_t idle_s) {
    struct websocket w;
    struct watch x = {0};
    if (begin(d, &w)) {
        watch(&w, idle_s, &x);
        double seconds = (double)(clock_now_ms() - x.start_ms) / 1e3;
        if (x.end == WS_EVENT_LATE)
            report_alive(d, &x, idle_s, seconds - (x.ping_count ? PONG_WAIT_MS / 1e3 : 0));
        else
            report_cut(d, &x, seconds);
    } else {
        report_add(&d->report, VERDICT_FAIL, "idle", "try again; the server's log says more",
                   "a second connection did not come about");
    }
    websocket_close(&w);
}

/* A proxy may be more patient with a WebSocket than with a stream (nginx: a location of its own).
 * Both are watched in the same time. */
void check_idle(struct doctor *d) {
    uint64_t preset_s = d->ping_s + MARGIN_S;
    uint32_t idle_s = d->ask->idle_s != UINT32_MAX ? d->ask->idle_s
                      : preset_s < IDLE_LONGEST_S  ? (uint32_t)preset_s
                                                   : IDLE_LONGEST_S;
    if ((!d->is_connected && !d->good_stream) || idle_s == 0) {
        report_add(&d->report, VERDICT_SKIP, "idle", NULL,
                   idle_s ? "there is no connection to watch" : "--idle 0");
        return;
    }
    struct stream *s = d->good_stream ? quiet_stream_open(d) : NULL;
    uint64_t start_ms = clock_now_ms();
    if (d->is_connected)
        check_quiet_websocket(d, idle_s);
    uint64_t age_ms = clock_now_ms() - start_ms, end_ms = (uint64_t)idle_s * 1000;
    /* What has come already takes a moment to be read. */
    uint32_t left_ms = age_ms + READ_MS < end_ms ? (uint32_t)(end_ms - age_ms) : READ_MS;
    if (s)
        quiet_stream_report(d, s, age_ms, left_ms);
    quiet_stream_close(s);
}
