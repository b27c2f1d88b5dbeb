/* See token.h. Claims are read with our own scanner, so that "info" is passed on byte for byte, and
 * names that occur twice are refused (json_object.h). Claims nobody here knows are ignored.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/token.h"

#include "auth/capabilities.h"
#include "auth/json_object.h"
#include "auth/scopes.h"
#include "auth/token_texts.h"
#include "server/base/mem.h"
#include "server/base/pattern.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(TOKEN_MAX_BYTES == JWS_MAX_BYTES, "one limit with two names");

/* Seconds since 1970 with less digits than milliseconds have, a common mistake that would give
 * tokens that live for 50,000 years. */
#define TIME_LIMIT_S 1e12

/* Claims that any token may have come first, then those of connection tokens, then the others. */
enum {
    SUB,
    EXP,
    NBF,
    IAT,
    EXPIRE_AT,
    INFO,
    B64INFO,
    JTI,
    AUD,
    ISS,
    CHANNEL,
    COMMON_COUNT,
    CHANNELS = COMMON_COUNT,
    SUBS,
    META,
    CAPS,
    SCOPE,
    CLIENT = COMMON_COUNT,
    DATA,
    B64DATA,
    OVERRIDE,
    ALLOW,
    CLAIM_COUNT
};

#define COMMON_CLAIMS                                                                              \
    JSON_FIELD("sub"), JSON_FIELD("exp"), JSON_FIELD("nbf"), JSON_FIELD("iat"),                    \
        JSON_FIELD("expire_at"), JSON_FIELD("info"), JSON_FIELD("b64info"), JSON_FIELD("jti"),     \
        JSON_FIELD("aud"), JSON_FIELD("iss"), JSON_FIELD("channel")

static const struct json_field known_claims[][CLAIM_COUNT] = {
    [TOKEN_CONNECTION] = {COMMON_CLAIMS, JSON_FIELD("channels"), JSON_FIELD("subs"),
                          JSON_FIELD("meta"), JSON_FIELD("caps"), JSON_FIELD("scope")},
    [TOKEN_SUBSCRIPTION] = {COMMON_CLAIMS, JSON_FIELD("client"), JSON_FIELD("data"),
                            JSON_FIELD("b64data"), JSON_FIELD("override"), JSON_FIELD("allow")},
};
static const size_t claim_counts[] = {
    [TOKEN_CONNECTION] = SCOPE + 1, [TOKEN_SUBSCRIPTION] = ALLOW + 1};

bool token_knows_claim(enum token_kind kind, struct str name) {
    for (size_t i = 0; i < claim_counts[kind]; i++)
        if (str_equal(known_claims[kind][i].name, name))
            return true;
    return false;
}

/* --- times ------------------------------------------------------------------------------------ */

/* RFC 7519 section 2, NumericDate: seconds, perhaps with a fraction. Both 0 when not given. */
struct moment {
    bool is_given;
    int64_t floor_s, ceiling_s;
};

/* The scanner has seen that the text is a number, so strtod() takes all of it; "." is the decimal
 * point, as the program never sets a locale. */
static bool read_time(struct json_value v, struct moment *out) {
    char text[40] = "";
    *out = (struct moment){.is_given = v.kind != JSON_KIND_MISSING};
    if (!out->is_given)
        return true;
    if (v.kind != JSON_KIND_NUMBER || v.text.n >= sizeof(text))
        return false;
    memcpy(text, v.text.p, v.text.n);
    double s = strtod(text, NULL);
    if (!(s == 0 || (s >= 1 && s < TIME_LIMIT_S)))
        return false;
    out->floor_s = (int64_t)s;
    out->ceiling_s = out->floor_s + ((double)out->floor_s < s);
    return true;
}

struct times {
    struct moment exp, nbf, iat, expire_at;
};

static bool read_times(const struct json_field *f, struct times *t) {
    return read_time(f[EXP].value, &t->exp) && read_time(f[NBF].value, &t->nbf) &&
           read_time(f[IAT].value, &t->iat) && read_time(f[EXPIRE_AT].value, &t->expire_at);
}

/* NULL when the time is right. A fraction of a second never makes a token valid for longer. All
 * times are below 1e12, so nothing overflows. */
static const char *judge_times(const struct times *t, int64_t now_s, int64_t leeway_s) {
    if (t->exp.is_given && now_s >= t->exp.floor_s + leeway_s)
        return "exp is in the past";
    if (t->nbf.is_given && now_s < t->nbf.ceiling_s - leeway_s)
        return "nbf is in the future";
    if (t->expire_at.floor_s && now_s >= t->expire_at.floor_s + leeway_s)
        return "expire_at is in the past";
    return NULL;
}

/* --- who it is from, for and about ------------------------------------------------------------ */

static const char *read_user(struct json_value v, struct token_claims *out) {
    if (v.kind == JSON_KIND_MISSING)
        return NULL;
    if (v.kind != JSON_KIND_STRING)
        return "sub is not a string (or what user_id_claim names)";
    out->user = token_add_text(out, v);
    if (out->user.n > TOKEN_USER_MAX_BYTES)
        return "sub is longer than 255 bytes";
    return token_has_control(out->user) ? "sub has control characters" : NULL;
}

/* A member of an object; a missing one, too, when the object is none or has it twice. */
static struct json_value member(struct json_value object, struct str name) {
    struct json_field f = {.name = name};
    struct json_fault ignored;
    if (object.kind != JSON_KIND_OBJECT || !json_fields(object, &f, 1, &ignored))
        return (struct json_value){0};
    return f.value;
}

/* The claim of exactly this name, else the one that the path leads to. */
static struct json_value find_user(struct json_value claims, struct str path) {
    struct json_value v = member(claims, path);
    struct str name;
    if (v.kind != JSON_KIND_MISSING)
        return v;
    for (v = claims; str_cut(&path, '.', &name);)
        v = member(v, name);
    return v;
}

static bool fits(struct str s, struct str exact, const struct pattern *pattern) {
    return pattern ? pattern_matches(pattern, s) : str_equal(s, exact);
}

static bool is_text_for(struct json_value v, struct str exact, const struct pattern *pattern) {
    struct buf scratch = {0};
    bool is_for = v.kind == JSON_KIND_STRING && fits(json_decode(v, &scratch), exact, pattern);
    buf_fini(&scratch);
    return is_for;
}

/* One of a list will do, but all must be strings. */
static bool is_for_audience(struct json_value v, const struct token_policy *p) {
    struct json_value item;
    bool is_for = false;
    if (v.kind != JSON_KIND_ARRAY)
        return is_text_for(v, p->audience, p->audience_pattern);
    for (size_t at = 0; json_each(v, &at, NULL, &item);) {
        if (item.kind != JSON_KIND_STRING)
            return false;
        is_for |= is_text_for(item, p->audience, p->audience_pattern);
    }
    return is_for;
}

static const char *judge_parties(const struct json_field *f, const struct token_policy *p) {
    if ((p->audience.n || p->audience_pattern) && !is_for_audience(f[AUD].value, p))
        return "aud is not what the configuration asks for";
    if ((p->issuer.n || p->issuer_pattern) &&
        !is_text_for(f[ISS].value, p->issuer, p->issuer_pattern))
        return "iss is not what the configuration asks for";
    return NULL;
}

static const char *read_id(struct json_value v, struct token_claims *out) {
    if (v.kind == JSON_KIND_MISSING)
        return NULL;
    if (v.kind != JSON_KIND_STRING)
        return "jti is not a string";
    out->id = token_add_text(out, v);
    return NULL;
}

/* --- what it gives ---------------------------------------------------------------------------- */

/* Other services use the claim in other ways: without a table nobody looks at it. */
static const char *read_scope(struct json_value v, const struct scopes *scopes,
                              struct token_claims *out) {
    struct buf scratch = {0};
    if (!scopes || v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL)
        return NULL;
    if (v.kind != JSON_KIND_STRING)
        return "scope is not a string";
    out->scopes = scopes_find(scopes, json_decode(v, &scratch));
    buf_fini(&scratch);
    return NULL;
}

static const char *read_connection(const struct json_field *f, const struct token_policy *p,
                                   struct token_claims *out) {
    enum json_kind meta = f[META].value.kind;
    const char *fault = NULL;
    if (f[CHANNEL].value.kind != JSON_KIND_MISSING)
        return "it is a subscription token: it has a channel claim";
    if (meta != JSON_KIND_MISSING && meta != JSON_KIND_NULL && meta != JSON_KIND_OBJECT)
        return "meta is not an object";
    fault = read_scope(f[SCOPE].value, p->scopes, out);
    if (!fault)
        fault = token_read_channels(out, f[CHANNELS].value);
    if (!fault)
        fault = token_read_subs(out, f[SUBS].value);
    if (!fault)
        out->capabilities = capabilities_read(f[CAPS].value, &fault);
    return fault;
}

static const char *read_subscription(const struct json_field *f, struct token_claims *out) {
    struct token_sub *sub = &out->sub;
    if (f[CHANNEL].value.kind == JSON_KIND_MISSING)
        return "it is a connection token: it has no channel claim";
    if (f[CHANNEL].value.kind != JSON_KIND_STRING)
        return "channel is not a string";
    sub->channel = token_add_text(out, f[CHANNEL].value);
    sub->info = out->info;
    if (sub->channel.n == 0)
        return "channel is empty";
    if (f[CLIENT].value.kind != JSON_KIND_MISSING && f[CLIENT].value.kind != JSON_KIND_STRING)
        return "client is not a string";
    if (f[CLIENT].value.kind == JSON_KIND_STRING) {
        out->client = token_add_text(out, f[CLIENT].value);
        if (out->client.n == 0)
            return "client is empty";
    }
    if (!capabilities_read_allow(f[ALLOW].value, &out->allow))
        return "allow is not a list of sub, pub, prs and hst";
    const char *fault = token_read_json(out, f[DATA].value, f[B64DATA].value, &sub->data);
    return fault ? fault : token_read_override(f[OVERRIDE].value, &sub->override);
}

/* --- all of it -------------------------------------------------------------------------------- */

static const char *read_texts(struct json_value object, const struct json_field *f,
                              const struct token_policy *p, struct token_claims *out) {
    struct json_value user =
        p->user_id_claim.n ? find_user(object, p->user_id_claim) : f[SUB].value;
    const char *fault = read_user(user, out);
    if (!fault)
        fault = read_id(f[JTI].value, out);
    if (!fault)
        fault = token_read_json(out, f[INFO].value, f[B64INFO].value, &out->info);
    if (fault)
        return fault;
    return p->kind == TOKEN_CONNECTION ? read_connection(f, p, out) : read_subscription(f, out);
}

/* NULL, or why the token is invalid whatever the time is. */
static const char *read_claims(struct str payload, const struct token_policy *p,
                               struct times *times, struct token_claims *out) {
    struct json_field f[CLAIM_COUNT];
    struct json_value object;
    struct json_fault fault;
    memcpy(f, known_claims[p->kind], sizeof(f));
    if (!json_object_read(payload, JSON_OBJECT_MEMBERS_MAX, &object) ||
        !json_fields(object, f, claim_counts[p->kind], &fault))
        return "the claims are not a JSON object of at most 256 members with different names";
    if (!read_times(f, times))
        return "exp, nbf, iat and expire_at must be numbers: seconds since 1970, below 1e12";
    out->issued_at_s = times->iat.floor_s;
    buf_reserve(&out->texts, 2 * payload.n); /* the user may stand inside of another claim */
    const char *why = read_texts(object, f, p, out);
    return why ? why : judge_parties(f, p);
}

static enum token_result judge(struct str payload, const struct token_policy *p, int64_t now_s,
                               struct token_claims *out) {
    struct times times;
    assert(p->leeway_s >= 0 && p->leeway_s <= TOKEN_LEEWAY_MAX_S);
    out->fault = read_claims(payload, p, &times, out);
    if (out->fault)
        return TOKEN_INVALID;
    int64_t end_s = times.expire_at.is_given ? times.expire_at.floor_s : times.exp.floor_s;
    out->expires_at_s = end_s ? end_s + p->leeway_s : 0;
    out->fault = judge_times(&times, now_s, p->leeway_s);
    return out->fault ? TOKEN_EXPIRED : TOKEN_OK;
}

enum token_result token_verify(struct str token, const struct token_policy *policy, int64_t now_s,
                               struct token_claims *out) {
    struct buf payload = {0};
    enum token_result result = TOKEN_INVALID;
    *out = (struct token_claims){0};
    if (jws_verify(token, policy->keys, &payload, &out->fault, now_s))
        result = judge(buf_str(&payload), policy, now_s, out);
    else if (out->fault == jws_key_awaited)
        result = TOKEN_EXPIRED; /* the client shall come again, with a token it asks for then */
    buf_fini(&payload);
    return result;
}

void token_claims_fini(struct token_claims *c) {
    buf_fini(&c->texts);
    mem_free(c->channels);
    mem_free(c->subs);
    capabilities_destroy(c->capabilities);
    *c = (struct token_claims){0};
}

void token_make(const struct token_request *q, struct str hmac_secret, struct buf *out) {
    struct buf b = {0};
    buf_add_z(&b, "{\"sub\":");
    json_add_string(&b, q->user);
    buf_printf(&b, ",\"iat\":%lld", (long long)q->issued_at_s);
    if (q->expires_at_s)
        buf_printf(&b, ",\"exp\":%lld", (long long)q->expires_at_s);
    if (q->channel.n) {
        buf_add_z(&b, ",\"channel\":");
        json_add_string(&b, q->channel);
    }
    if (q->info.n) {
        buf_add_z(&b, ",\"info\":");
        buf_add(&b, q->info);
    }
    for (size_t i = 0; i < q->channel_count; i++) {
        buf_add_z(&b, i ? "," : ",\"channels\":[");
        json_add_string(&b, q->channels[i]);
    }
    buf_add_z(&b, q->channel_count ? "]}" : "}");
    jws_sign(buf_str(&b), hmac_secret, out);
    buf_fini(&b);
}
