/* The methods subscribe, unsubscribe, disconnect and refresh: what a back end does to a user's
 * connections, on all nodes. Answered when all have done it, or with the names of those that did
 * not.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/clock.h"
#include "server/base/mem.h"
#include "server/session/user_calls.h"

enum {
    CODE_MIN = 3000,
    CODE_MAX = 4999,
};

static const int64_t TIME_MAX_S = INT64_C(1) << 40; /* so that it may be counted in ms */

/* A call in the making, and where its texts are. */
struct request {
    struct user_call call;
    struct channel_options options;
    struct str *whitelist;
    struct buf user, client, session, channel, text, ids;
    struct buf data_line, data_raw, info_line, info_raw;
};

static void request_fini(struct request *r) {
    struct buf *const all[] = {&r->user, &r->client,    &r->session,  &r->channel,   &r->text,
                               &r->ids,  &r->data_line, &r->data_raw, &r->info_line, &r->info_raw};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        buf_fini(all[i]);
    mem_free(r->whitelist);
}

static void call_done(void *arg, struct cluster_call *call) {
    struct api_command *c = arg;
    if (api_is_done_everywhere(c, call))
        api_done(c);
}

/* Starts it when nothing is wrong, and lets go of the request. */
static void finish(struct api_command *c, struct request *r, const char *why) {
    if (why)
        api_refuse(c, why);
    else
        user_call_everywhere(c->sessions, &r->call, call_done, c);
    request_fini(r);
}

/* --- parameters: NULL, or what is wrong ------------------------------------------------------- */

/* Every method begins with these. */
#define WHOM_FIELDS JSON_FIELD("user"), JSON_FIELD("client"), JSON_FIELD("session")
enum { F_USER, F_CLIENT, F_SESSION, F_NEXT };

static const char *read_whom(struct request *r, const struct json_field *f) {
    if (!api_is_string(f[F_USER].value))
        return "\"user\" must be a string";
    if (!api_is_string(f[F_CLIENT].value) || !api_is_string(f[F_SESSION].value))
        return "\"client\" and \"session\" must be strings";
    r->call.user = api_text(f[F_USER].value, &r->user);
    r->call.client = api_text(f[F_CLIENT].value, &r->client);
    r->call.session = api_text(f[F_SESSION].value, &r->session);
    return NULL;
}

/* One JSON value on one line; the base64 form is taken when it is JSON, which is all we can
 * deliver. False: it is not. */
static bool read_json(struct json_value v, struct json_value b64, struct buf *line, struct buf *raw,
                      struct str *out) {
    if (!api_is_missing(b64) && !api_b64(b64, raw, &v))
        return false;
    if (!api_is_missing(v))
        *out = api_line(v, line);
    return true;
}

static const char *read_since(struct request *r, struct json_value since) {
    if (api_is_missing(since))
        return NULL;
    r->call.recovers = true;
    return api_position(since, &r->call.since)
               ? NULL
               : "\"recover_since\" must be an object of offset and epoch";
}

/* {"value": true}; a missing one changes nothing. */
static bool read_override(struct json_value v, bool *option, bool *is_any) {
    struct json_field f[] = {JSON_FIELD("value")};
    struct json_fault fault;
    bool value = false;
    if (api_is_missing(v))
        return true;
    if (v.kind != JSON_KIND_OBJECT || !json_fields(v, f, 1, &fault) ||
        !api_bool(f[0].value, &value))
        return false;
    *option = value;
    *is_any = true;
    return true;
}

static const char *read_overrides(struct request *r, struct json_value v) {
    static const char why[] = "\"override\" must be an object of {\"value\":true} or false";
    struct json_field f[] = {JSON_FIELD("presence"), JSON_FIELD("join_leave"),
                             JSON_FIELD("force_push_join_leave"), JSON_FIELD("force_positioning"),
                             JSON_FIELD("force_recovery")};
    struct channel_options *o = &r->options;
    bool *const options[] = {&o->presence, &o->join_leave, &o->force_push_join_leave,
                             &o->force_positioning, &o->force_recovery};
    struct json_fault fault;
    if (api_is_missing(v))
        return NULL;
    if (v.kind != JSON_KIND_OBJECT || !json_fields(v, f, 5, &fault))
        return why;
    *o = *r->call.options;
    for (size_t i = 0; i < 5; i++)
        if (!read_override(f[i].value, options[i], &r->call.is_own_options))
            return why;
    if (r->call.is_own_options)
        r->call.options = o;
    return NULL;
}

/* --- subscribe, unsubscribe ------------------------------------------------------------------- */

enum {
    F_CHANNEL = F_NEXT,
    F_INFO,
    F_B64INFO,
    F_DATA,
    F_B64DATA,
    F_EXPIRE_AT,
    F_RECOVER_SINCE,
    F_OVERRIDE,
    F_SUBSCRIBE_COUNT
};

static const char *read_subscribe(struct api_command *c, struct request *r,
                                  const struct json_field *f) {
    struct user_call *q = &r->call;
    const char *why = read_whom(r, f);
    if (why)
        return why;
    if (!read_json(f[F_INFO].value, f[F_B64INFO].value, &r->info_line, &r->info_raw, &q->info))
        return "\"b64info\" must be JSON in base64";
    if (!read_json(f[F_DATA].value, f[F_B64DATA].value, &r->data_line, &r->data_raw, &q->data))
        return "\"b64data\" must be JSON in base64";
    if (q->data.n > publication_max_bytes(c->sessions->config) ||
        q->info.n > publication_max_bytes(c->sessions->config))
        return "data or info is larger than a publication may be";
    if (!api_i64(f[F_EXPIRE_AT].value, 0, TIME_MAX_S, &q->expires_at_s))
        return "\"expire_at\" must be a time in seconds";
    if (q->expires_at_s && q->expires_at_s <= clock_wall_ms() / 1000)
        return "\"expire_at\" must be in the future";
    why = read_since(r, f[F_RECOVER_SINCE].value);
    return why ? why : read_overrides(r, f[F_OVERRIDE].value);
}

void api_subscribe(struct api_command *c, struct json_value params) {
    struct json_field f[F_SUBSCRIBE_COUNT] = {WHOM_FIELDS,
                                              JSON_FIELD("channel"),
                                              JSON_FIELD("info"),
                                              JSON_FIELD("b64info"),
                                              JSON_FIELD("data"),
                                              JSON_FIELD("b64data"),
                                              JSON_FIELD("expire_at"),
                                              JSON_FIELD("recover_since"),
                                              JSON_FIELD("override")};
    struct request r = {.call = {.action = USER_SUBSCRIBE}};
    if (!api_fields(c, params, f, F_SUBSCRIBE_COUNT))
        return;
    if (api_channel(c, f[F_CHANNEL].value, &r.channel, &r.call.channel, &r.call.options))
        finish(c, &r, read_subscribe(c, &r, f));
    else
        request_fini(&r);
}

void api_unsubscribe(struct api_command *c, struct json_value params) {
    struct json_field f[] = {WHOM_FIELDS, JSON_FIELD("channel")};
    struct request r = {.call = {.action = USER_UNSUBSCRIBE}};
    if (!api_fields(c, params, f, F_CHANNEL + 1))
        return;
    if (api_channel(c, f[F_CHANNEL].value, &r.channel, &r.call.channel, &r.call.options))
        finish(c, &r, read_whom(&r, f));
    else
        request_fini(&r);
}

/* --- disconnect ------------------------------------------------------------------------------- */

enum { F_WHITELIST = F_NEXT, F_DISCONNECT, F_DISCONNECT_COUNT };

/* A text that is not as long as an id is nobody's. */
static const char *read_whitelist(struct request *r, struct json_value list) {
    static const char why[] = "\"whitelist\" must be an array of at most 1000 client ids";
    struct json_value item;
    struct buf scratch = {0};
    size_t count = 0;
    if (api_is_missing(list))
        return NULL;
    if (list.kind != JSON_KIND_ARRAY)
        return why;
    r->whitelist = mem_array(USER_CALL_WHITELIST_MAX, sizeof(*r->whitelist));
    r->call.whitelist = r->whitelist;
    buf_reserve(&r->ids, (size_t)USER_CALL_WHITELIST_MAX * CLIENT_ID_BYTES);
    for (size_t at = 0; json_each(list, &at, NULL, &item); count++) {
        if (item.kind != JSON_KIND_STRING || count == USER_CALL_WHITELIST_MAX)
            break;
        struct str id = json_decode(item, &scratch);
        if (id.n != CLIENT_ID_BYTES)
            continue;
        r->whitelist[r->call.whitelist_count++] = (struct str){r->ids.p + r->ids.n, id.n};
        buf_add(&r->ids, id);
    }
    buf_fini(&scratch);
    size_t end = 0, total = 0;
    while (json_each(list, &end, NULL, &item))
        total++;
    return count == total ? NULL : why;
}

static const char *read_close(struct request *r, struct json_value close) {
    static const char why[] =
        "\"disconnect\" must have a code from 3000 to 4999 and a reason of at most 123 bytes";
    struct json_field f[] = {JSON_FIELD("code"), JSON_FIELD("reason")};
    struct json_fault fault;
    uint64_t code = 0;
    if (api_is_missing(close))
        return NULL;
    if (close.kind != JSON_KIND_OBJECT || !json_fields(close, f, 2, &fault) ||
        !api_u64(f[0].value, CODE_MAX, &code) || code < CODE_MIN || !api_is_string(f[1].value))
        return why;
    r->call.code = (uint16_t)code;
    r->call.text = api_text(f[1].value, &r->text);
    if (!r->call.text.n) /* SDKs do not look at a code without a reason */
        r->call.text = str_of(close_reason_text(CLOSE_FORCED));
    return r->call.text.n <= USER_CALL_REASON_MAX ? NULL : why;
}

void api_disconnect(struct api_command *c, struct json_value params) {
    struct json_field f[F_DISCONNECT_COUNT] = {WHOM_FIELDS, JSON_FIELD("whitelist"),
                                               JSON_FIELD("disconnect")};
    struct request r = {.call = {.action = USER_DISCONNECT}};
    if (!api_fields(c, params, f, F_DISCONNECT_COUNT))
        return;
    const char *why = read_whom(&r, f);
    if (!why)
        why = read_whitelist(&r, f[F_WHITELIST].value);
    if (!why)
        why = read_close(&r, f[F_DISCONNECT].value);
    finish(c, &r, why);
}

/* --- refresh ---------------------------------------------------------------------------------- */

enum { F_R_EXPIRED = F_NEXT, F_R_EXPIRE_AT, F_R_INFO, F_R_B64INFO, F_REFRESH_COUNT };

static const char *read_refresh(struct request *r, const struct json_field *f) {
    struct user_call *q = &r->call;
    const char *why = read_whom(r, f);
    if (why)
        return why;
    if (!api_bool(f[F_R_EXPIRED].value, &q->is_expired))
        return "\"expired\" must be true or false";
    if (!api_i64(f[F_R_EXPIRE_AT].value, 0, TIME_MAX_S, &q->expires_at_s))
        return "\"expire_at\" must be a time in seconds";
    if (!read_json(f[F_R_INFO].value, f[F_R_B64INFO].value, &r->info_line, &r->info_raw, &q->info))
        return "\"b64info\" must be JSON in base64";
    if (q->expires_at_s && q->expires_at_s <= clock_wall_ms() / 1000)
        q->is_expired = true;
    return NULL;
}

void api_refresh(struct api_command *c, struct json_value params) {
    struct json_field f[F_REFRESH_COUNT] = {WHOM_FIELDS, JSON_FIELD("expired"),
                                            JSON_FIELD("expire_at"), JSON_FIELD("info"),
                                            JSON_FIELD("b64info")};
    struct request r = {.call = {.action = USER_REFRESH}};
    if (!api_fields(c, params, f, F_REFRESH_COUNT))
        return;
    finish(c, &r, read_refresh(&r, f));
}
