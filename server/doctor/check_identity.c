/* Is it Carillon that answers? A plain GET of the WebSocket path is refused in words that are its
 * own, also when a proxy changes the headers. The clock comes along.
 *
 * Thread: main.
 */
#include "server/doctor/checks.h"
#include "server/doctor/known.h"

#include <stdlib.h>
#include <time.h>

enum { CLOCK_SKEW_MAX_S = 30 };

static void check_clock(struct doctor *d, const struct exchange *x) {
    struct str date;
    struct tm tm = {0};
    char text[64];
    if (!answer_find(&x->head, "date", &date) || date.n >= sizeof(text))
        return;
    snprintf(text, sizeof(text), "%.*s", STR_ARG(date));
    if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return;
    long long skew = (long long)timegm(&tm) - (long long)time(NULL);
    if (llabs(skew) > CLOCK_SKEW_MAX_S)
        report_add(&d->report, VERDICT_WARN, "clock",
                   "set both by NTP: tokens seem expired, or not valid yet, where clocks differ",
                   "the server's is %lld s %s this machine's", llabs(skew),
                   skew > 0 ? "ahead of" : "behind");
    else
        report_add(&d->report, VERDICT_OK, "clock", NULL, "the server's is this machine's");
}

static void report_stranger(struct doctor *d, const struct exchange *x) {
    struct str location = STR_NONE;
    answer_find(&x->head, "location", &location);
    report_add(&d->report, VERDICT_FAIL, "carillon", known_status(x->head.status),
               "%.*s answers GET %s with %d%s%.*s, which is not Carillon",
               STR_ARG(exchange_server(x)), d->websocket_path, x->head.status,
               location.n ? " and Location: " : "", STR_ARG(str_slice(location, 0, 300)));
}

bool check_identity(struct doctor *d) {
    struct exchange x;
    const struct request q = {
        .method = "GET", .path = d->websocket_path, .headers = {"Connection: close\r\n", 19}};
    if (!exchange_whole(&x, &d->target, &q, DOCTOR_BODY_BYTES_MAX) && !x.head.status) {
        report_add(&d->report, VERDICT_FAIL, "carillon",
                   "is it the right port and scheme (http, https), and is the process alive? Its "
                   "log, and that of the proxy, say more. A proxy must take HTTP/1.1 beside HTTP/2 "
                   "(HAProxy: alpn h2,http/1.1, no `proto h2`)",
                   "no HTTP answer: %s", x.fault);
        exchange_fini(&x);
        return false;
    }
    const char *advice = known_refusal(x.head.status, buf_str(&x.body));
    d->is_carillon = advice != NULL;
    /* A proxy may have a page of its own for 400, 426 or 505: the handshake will tell. */
    bool is_perhaps = x.head.status == 400 || x.head.status == 426 || x.head.status == 505;
    bool is_full = x.head.status == 503 && advice;
    if (is_full)
        report_add(&d->report, VERDICT_FAIL, "carillon", advice, "503: too many connections");
    else if (d->is_carillon)
        report_add(&d->report, VERDICT_OK, "carillon", NULL, "it answers at %s", d->websocket_path);
    else if (is_perhaps)
        report_add(&d->report, VERDICT_WARN, "carillon", NULL,
                   "%.*s answers with %d, not in Carillon's words", STR_ARG(exchange_server(&x)),
                   x.head.status);
    else
        report_stranger(d, &x);
    if (d->is_carillon)
        check_clock(d, &x);
    exchange_fini(&x);
    return (d->is_carillon || is_perhaps) && !is_full;
}
