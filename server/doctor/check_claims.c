/* What can be said about a token before the server sees it: what its claims are, and, with the
 * server's configuration, whether its keys and rules would take it.
 *
 * Thread: main.
 */
#include "server/doctor/checks.h"

#include "auth/base64url.h"
#include "server/base/clock.h"
#include "server/base/json_scan.h"

#include <inttypes.h>

enum { CLAIM_COUNT = 4 };

struct claims {
    struct json_value sub, exp, nbf, channel;
};

/* A part between dots. */
static struct str part(struct str token, int which) {
    struct str piece = STR_NONE;
    for (int i = 0; i <= which; i++)
        if (!str_cut(&token, '.', &piece))
            return STR_NONE;
    return piece;
}

/* Reads the payload, of which the claims borrow. */
static bool read_claims(struct str token, struct buf *payload, struct claims *out) {
    struct json_value v;
    struct json_fault ignored;
    struct json_field f[CLAIM_COUNT] = {JSON_FIELD("sub"), JSON_FIELD("exp"), JSON_FIELD("nbf"),
                                        JSON_FIELD("channel")};
    if (!base64url_decode(part(token, 1), payload) ||
        !json_scan_all(buf_str(payload), &v, &ignored) || v.kind != JSON_KIND_OBJECT ||
        !json_fields(v, f, CLAIM_COUNT, &ignored))
        return false;
    *out = (struct claims){f[0].value, f[1].value, f[2].value, f[3].value};
    return true;
}

/* "in 59 min", "now" or "3 min ago" */
static void add_distance(struct buf *out, int64_t from_now_s) {
    uint64_t s = (uint64_t)(from_now_s < 0 ? -from_now_s : from_now_s);
    const char *unit = s < 120 ? "s" : s < 7200 ? "min" : s < 172800 ? "h" : "days";
    uint64_t n = s < 120 ? s : s < 7200 ? s / 60 : s < 172800 ? s / 3600 : s / 86400;
    if (s == 0)
        buf_add_z(out, "now");
    else
        buf_printf(out, from_now_s < 0 ? "%" PRIu64 " %s ago" : "in %" PRIu64 " %s", n, unit);
}

/* NULL, or what is wrong with the claims alone, and what to do. */
static const char *judge_claims(const struct claims *c, int64_t now_s, const char **advice) {
    int64_t at;
    *advice = "make it as docs/auth.md says";
    if (c->channel.kind != JSON_KIND_MISSING)
        return "it has a claim \"channel\": it is a subscription token, not a connection token";
    if (c->sub.kind != JSON_KIND_MISSING && c->sub.kind != JSON_KIND_STRING)
        return "its claim \"sub\" is no string: String(user.id), not a number";
    if (c->exp.kind == JSON_KIND_NUMBER && json_i64(c->exp, &at) && at > now_s * 100)
        return "its claim \"exp\" is in milliseconds: it must be seconds since 1970";
    *advice = "make a new one; clients get theirs from getToken";
    if (c->exp.kind == JSON_KIND_NUMBER && json_i64(c->exp, &at) && at <= now_s)
        return "it has expired";
    *advice = "compare the clocks of this machine and of the back end";
    if (c->nbf.kind == JSON_KIND_NUMBER && json_i64(c->nbf, &at) && at > now_s)
        return "its time has not come yet (nbf)";
    return NULL;
}

/* With the keys of --config. NULL, or why the server refuses it. */
static const char *judge_all(const struct doctor *d, struct str token, int64_t now_s) {
    const struct token_policy policy = config_token_policy(d->config, TOKEN_CONNECTION);
    struct token_claims claims;
    const char *fault = NULL;
    if (policy.keys->jwks && (fault = jwks_cache_fetch_now(policy.keys->jwks)))
        return fault;
    if (token_verify(token, &policy, now_s, &claims) != TOKEN_OK)
        fault = claims.fault;
    token_claims_fini(&claims);
    return fault;
}

static void report_good(struct doctor *d, const struct claims *c, int64_t now_s) {
    struct buf end = {0};
    int64_t at;
    if (c->exp.kind == JSON_KIND_NUMBER && json_i64(c->exp, &at))
        add_distance(&end, at - now_s);
    else
        buf_add_z(&end, "never");
    report_add(&d->report, VERDICT_OK, "claims", NULL, "user %.*s, ends %.*s%s",
               STR_ARG(c->sub.kind == JSON_KIND_STRING ? str_slice(c->sub.text, 0, 300)
                                                       : STR("(anonymous)")),
               STR_ARG(buf_str(&end)),
               d->ask->config_file ? ", and the keys of --config take it" : "");
    buf_fini(&end);
}

static void report_bad(struct doctor *d, const struct claims *c, const char *fault,
                       const char *advice) {
    struct buf end = {0};
    int64_t at;
    if (c->exp.kind == JSON_KIND_NUMBER && json_i64(c->exp, &at)) {
        buf_add_z(&end, ", exp is ");
        add_distance(&end, at - clock_wall_ms() / 1000);
    }
    report_add(&d->report, VERDICT_FAIL, "claims", advice, "%s%.*s", fault, STR_ARG(buf_str(&end)));
    buf_fini(&end);
}

void check_claims(struct doctor *d) {
    struct str token = buf_str(&d->ask->token);
    struct buf payload = {0};
    struct claims c = {0};
    int64_t now_s = clock_wall_ms() / 1000;
    const char *advice = NULL, *fault = NULL;
    if (!token.n)
        return;
    if (!read_claims(token, &payload, &c))
        fault = "it is no JWT", advice = "give the token alone, as the back end made it";
    else
        fault = judge_claims(&c, now_s, &advice);
    if (!fault && d->ask->config_file && (fault = judge_all(d, token, now_s)))
        advice = "sign it with the key of this configuration, see docs/auth.md";
    if (fault)
        report_bad(d, &c, fault, advice);
    else
        report_good(d, &c, now_s);
    buf_fini(&payload);
}
