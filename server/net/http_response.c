/* See http_response.h.
 *
 * Thread: any (no state).
 */
#include "server/net/http_response.h"

#include "server/base/clock.h"

#include <time.h>

static const char *status_text(int status) {
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {426, "Upgrade Required"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

static void add_date(struct buf *b) {
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    char text[64];
    strftime(text, sizeof(text), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&now, &tm));
    buf_add_z(b, text);
}

void http_response_format(struct buf *b, const struct http_response *r, bool is_head,
                          bool is_last) {
    buf_printf(b, "HTTP/1.1 %d %s\r\n", r->status, status_text(r->status));
    add_date(b);
    buf_add_z(b, "X-Content-Type-Options: nosniff\r\n");
    if (r->content_type)
        buf_printf(b, "Content-Type: %s\r\n", r->content_type);
    if (r->status != 304 && r->status != 204)
        buf_printf(b, "Content-Length: %zu\r\n", r->body.n);
    if (*r->etag)
        buf_printf(b, "ETag: %s\r\n", r->etag);
    if (*r->allow)
        buf_printf(b, "Allow: %s\r\n", r->allow);
    if (r->headers)
        buf_add_z(b, r->headers);
    if (is_last)
        buf_add_z(b, "Connection: close\r\n");
    buf_add_z(b, "\r\n");
    if (!is_head && r->status != 304)
        buf_add(b, buf_str(&r->body));
}

void http_response_refusal(struct buf *b, const struct handshake_answer *a, bool is_head) {
    struct http_response r = {0};
    http_response_text(&r, a->status, a->text);
    r.headers = a->headers;
    http_response_format(b, &r, is_head, true);
    buf_fini(&r.body);
}
