/* The methods revoke_token and invalidate_user_tokens: a back end takes back what it has signed, on
 * all nodes, before it ends by itself. Answered as the methods of api_users.c.
 *
 * Thread: the worker of the connection.
 */
#include "server/api/handlers.h"
#include "server/base/clock.h"
#include "server/session/revoking.h"

/* Without "expire_at": as long as any token is likely to be good. */
enum { KEPT_S = 365 * 24 * 3600, KEPT_MAX_S = 10 * KEPT_S };

static void call_done(void *arg, struct cluster_call *call) {
    struct api_command *c = arg;
    if (api_is_done_everywhere(c, call))
        api_done(c);
}

static int64_t now_s(void) {
    return clock_wall_ms() / 1000;
}

/* NULL, or what is wrong. */
static const char *read_end(struct json_value v, struct revocation *out) {
    int64_t now = now_s();
    out->expires_at_s = now + KEPT_S;
    if (!api_i64(v, 0, now + KEPT_MAX_S, &out->expires_at_s))
        return "\"expire_at\" must be a time in seconds, at most ten years from now";
    return out->expires_at_s > now ? NULL : "\"expire_at\" must be in the future";
}

/* An option of Centrifugo PRO that restricts would be lost silently. */
static const char *refuse_channel(struct json_value v) {
    return api_is_missing(v) ? NULL
                             : "\"channel\" is not supported: a revocation is for all channels";
}

static const char *read_id(struct json_value v, const char *why, struct buf *scratch,
                           struct str *id) {
    *id = api_text(v, scratch);
    return id->n && id->n <= REVOCATION_ID_MAX_BYTES ? NULL : why;
}

/* Starts it when nothing is wrong. */
static void finish(struct api_command *c, const struct revocation *v, const char *why) {
    if (why)
        api_refuse(c, why);
    else
        revoke_everywhere(c->sessions, v, call_done, c);
}

void api_revoke_token(struct api_command *c, struct json_value params) {
    struct json_field f[] = {JSON_FIELD("uid"), JSON_FIELD("expire_at"), JSON_FIELD("channel")};
    struct revocation v = {.kind = REVOKED_TOKEN};
    struct buf scratch = {0};
    if (!api_fields(c, params, f, 3))
        return;
    const char *why = read_id(f[0].value, "\"uid\" must be the \"jti\" of a token, 1 to 255 bytes",
                              &scratch, &v.id);
    why = why ? why : read_end(f[1].value, &v);
    why = why ? why : refuse_channel(f[2].value);
    finish(c, &v, why);
    buf_fini(&scratch);
}

void api_invalidate_user_tokens(struct api_command *c, struct json_value params) {
    struct json_field f[] = {JSON_FIELD("user"), JSON_FIELD("issued_before"),
                             JSON_FIELD("expire_at"), JSON_FIELD("channel")};
    struct revocation v = {.kind = REVOKED_USER, .issued_before_s = now_s()};
    struct buf scratch = {0};
    if (!api_fields(c, params, f, 4))
        return;
    const char *why =
        read_id(f[0].value, "\"user\" must be a string of 1 to 255 bytes", &scratch, &v.id);
    if (!why && !api_i64(f[1].value, 1, now_s() + KEPT_MAX_S, &v.issued_before_s))
        why = "\"issued_before\" must be a time in seconds";
    why = why ? why : read_end(f[2].value, &v);
    why = why ? why : refuse_channel(f[3].value);
    finish(c, &v, why);
    buf_fini(&scratch);
}
