/* See sse_params.h.
 *
 * Thread: any (no state).
 */
#include "server/net/sse_params.h"

#include "server/base/json_scan.h"
#include "server/net/http_target.h"
#include "server/protocol/sse_id.h"

#include <string.h>

static bool fail(struct sse_params *p, int status, const char *why) {
    p->status = status;
    p->why = why;
    return false;
}

/* --- the body --------------------------------------------------------------------------------- */

static const char shape[] =
    "the body is {\"channels\":[\"NAME\",...],\"last_event_id\":\"...\",\"token\":\"...\","
    "\"event\":\"channel\"}, of strings without NUL; all but the channels may be left out";

static bool add_text(struct sse_params *p, const char *name, struct json_value v) {
    struct buf scratch = {0};
    struct str text = v.kind == JSON_KIND_STRING ? json_decode(v, &scratch) : STR_NONE;
    bool is_good = v.kind == JSON_KIND_STRING && str_find(text, '\0') == text.n;
    if (is_good) {
        buf_add_z(&p->list, name);
        buf_add_char(&p->list, '=');
        buf_add(&p->list, text);
        buf_add_char(&p->list, '\0');
    }
    buf_fini(&scratch);
    return is_good;
}

static bool add_channels(struct sse_params *p, struct json_value channels) {
    struct json_value item;
    for (size_t at = 0; json_each(channels, &at, NULL, &item);)
        if (!add_text(p, "channel", item))
            return false;
    return true;
}

static bool is_absent(struct json_value v) {
    return v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL;
}

static bool read_json(struct sse_params *p, struct str body) {
    struct json_value object;
    struct json_fault fault;
    struct json_field f[] = {JSON_FIELD("channels"), JSON_FIELD("last_event_id"),
                             JSON_FIELD("token"), JSON_FIELD("event")};
    if (!json_scan_all(body, &object, &fault) || object.kind != JSON_KIND_OBJECT ||
        !json_fields(object, f, 4, &fault) || f[0].value.kind != JSON_KIND_ARRAY ||
        !add_channels(p, f[0].value))
        return fail(p, 400, shape);
    static const char *const names[] = {NULL, "last_event_id", "token", "event"};
    for (size_t i = 1; i < 4; i++)
        if (!is_absent(f[i].value) && !add_text(p, names[i], f[i].value))
            return fail(p, 400, shape);
    return true;
}

static bool read_form(struct sse_params *p, struct str body) {
    return http_target_pairs(body, &p->list) || fail(p, 400, "the body has an encoded NUL");
}

/* Without its parameters: "; charset=utf-8". */
static struct str media_type(struct str content_type) {
    return str_trim(str_slice(content_type, 0, str_find(content_type, ';')));
}

static bool read_body(struct sse_params *p, const struct http_request *q) {
    struct str type = media_type(q->content_type);
    if (str_equal_nocase(type, STR("application/x-www-form-urlencoded")))
        return read_form(p, q->body);
    if (str_equal_nocase(type, STR("application/json")))
        return read_json(p, q->body);
    return fail(p, 415,
                "the Content-Type of a POST is application/x-www-form-urlencoded or "
                "application/json");
}

/* --- all of it -------------------------------------------------------------------------------- */

/* It would hide those behind it. */
static bool has_empty_channel(const struct sse_params *p) {
    struct str rest = buf_str(&p->list), pair;
    while (str_cut(&rest, '\0', &pair))
        if (str_equal(pair, STR("channel=")))
            return true;
    return false;
}

static void check(struct sse_params *p, const struct http_request *q) {
    struct str event = http_query_value(buf_str(&p->list), "event", 0);
    if (!sse_params_channel(p, 0).n)
        fail(p, 400, "name one channel or more: ?channel=NAME");
    else if (has_empty_channel(p))
        fail(p, 400, "not a channel name: it is empty");
    else if (sse_params_last_id(p, q).n > SSE_ID_MAX_BYTES)
        fail(p, 400, "Last-Event-ID, or last_event_id, has at most 1024 bytes");
    else if (event.n && !sse_params_names_events(p))
        fail(p, 400, "event can only be channel: events are named as their channels");
}

void sse_params_read(const struct http_request *q, struct sse_params *out) {
    *out = (struct sse_params){0};
    if (str_equal(q->method, STR("POST")) && !read_body(out, q))
        return;
    buf_add(&out->list, q->query);
    check(out, q);
}

void sse_params_fini(struct sse_params *p) {
    if (p->list.p)
        explicit_bzero(p->list.p, p->list.n); /* a token */
    buf_fini(&p->list);
}

struct str sse_params_channel(const struct sse_params *p, size_t nth) {
    return http_query_value(buf_str(&p->list), "channel", nth);
}

struct str sse_params_last_id(const struct sse_params *p, const struct http_request *q) {
    if (q->last_event_id.n)
        return q->last_event_id;
    struct str id = http_query_value(buf_str(&p->list), "last_event_id", 0);
    return id.n ? id : http_query_value(buf_str(&p->list), "lastEventId", 0);
}

bool sse_params_names_events(const struct sse_params *p) {
    return str_equal(http_query_value(buf_str(&p->list), "event", 0), STR("channel"));
}
