/* See token.h. Claims are read with our own scanner, so that "info" is passed on byte for byte, and
 * names that occur twice are refused (json_object.h). Claims nobody here knows are ignored.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/token.h"

#include "auth/json_object.h"
#include "server/base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(TOKEN_MAX_BYTES == JWS_MAX_BYTES, "one limit with two names");

/* Seconds since 1970 with less digits than milliseconds have, a common mistake that would give
 * tokens that live for 50,000 years. */
#define TIME_LIMIT_S 1e12

enum { SUB, EXP, NBF, IAT, EXPIRE_AT, INFO, CHANNELS, CHANNEL, CLAIM_COUNT };

static const struct json_field known_claims[CLAIM_COUNT] = {
    JSON_FIELD("sub"),       JSON_FIELD("exp"),  JSON_FIELD("nbf"),      JSON_FIELD("iat"),
    JSON_FIELD("expire_at"), JSON_FIELD("info"), JSON_FIELD("channels"), JSON_FIELD("channel")};

bool token_knows_claim(struct str name) {
    for (size_t i = 0; i < CLAIM_COUNT; i++)
        if (str_equal(known_claims[i].name, name))
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

/* NULL when the time is right. A fraction of a second never makes a token valid for longer. */
static const char *judge_times(const struct times *t, int64_t now_s) {
    if (t->exp.is_given && now_s >= t->exp.floor_s)
        return "exp is in the past";
    if (t->nbf.is_given && now_s < t->nbf.ceiling_s)
        return "nbf is in the future";
    if (t->expire_at.floor_s && now_s >= t->expire_at.floor_s)
        return "expire_at is in the past";
    return NULL;
}

/* --- texts ------------------------------------------------------------------------------------ */

/* C0, DEL and C1, in UTF-8. */
static bool has_control(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        unsigned char next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0))
            return true;
    }
    return false;
}

/* Texts has room for the whole payload, and nothing in it gets longer by decoding: what is there
 * stays where it is. */
static struct str add_text(struct json_value v, struct buf *scratch, struct buf *texts) {
    struct str s = json_decode(v, scratch);
    assert(s.n <= texts->cap - texts->n);
    struct str added = {texts->p + texts->n, s.n};
    buf_add(texts, s);
    return added;
}

static const char *read_user(struct json_value v, struct buf *scratch, struct token_claims *out) {
    if (v.kind == JSON_KIND_MISSING)
        return NULL;
    if (v.kind != JSON_KIND_STRING)
        return "sub is not a string";
    out->user = add_text(v, scratch, &out->texts);
    if (out->user.n > TOKEN_USER_MAX_BYTES)
        return "sub is longer than 255 bytes";
    return has_control(out->user) ? "sub has control characters" : NULL;
}

static void read_info(struct json_value v, struct token_claims *out) {
    if (v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL)
        return;
    size_t from = out->texts.n;
    json_add_line(&out->texts, v);
    out->info = (struct str){out->texts.p + from, out->texts.n - from};
}

static size_t count_items(struct json_value array) {
    struct json_value item;
    size_t count = 0;
    for (size_t at = 0; json_each(array, &at, NULL, &item);)
        count++;
    return count;
}

static const char *read_channels(struct json_value v, struct buf *scratch,
                                 struct token_claims *out) {
    struct json_value item;
    if (v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL)
        return NULL;
    if (v.kind != JSON_KIND_ARRAY)
        return "channels is not a list";
    size_t count = count_items(v);
    if (count > TOKEN_CHANNELS_MAX)
        return "channels has more than 1024 names";
    out->channels = count ? mem_array(count, sizeof(*out->channels)) : NULL;
    for (size_t at = 0; json_each(v, &at, NULL, &item);) {
        if (item.kind != JSON_KIND_STRING)
            return "channels has an item that is not a string";
        struct str name = add_text(item, scratch, &out->texts);
        if (name.n == 0 || has_control(name))
            return "channels has a name that is empty or has control characters";
        out->channels[out->channel_count++] = name;
    }
    return NULL;
}

static const char *read_texts(const struct json_field *f, struct token_claims *out) {
    struct buf scratch = {0};
    read_info(f[INFO].value, out);
    const char *fault = read_user(f[SUB].value, &scratch, out);
    if (!fault)
        fault = read_channels(f[CHANNELS].value, &scratch, out);
    buf_fini(&scratch);
    return fault;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* NULL, or why the token is invalid whatever the time is. */
static const char *read_claims(struct str payload, struct times *times, struct token_claims *out) {
    struct json_field f[CLAIM_COUNT];
    struct json_value object;
    struct json_fault fault;
    memcpy(f, known_claims, sizeof(f));
    if (!json_object_read(payload, JSON_OBJECT_MEMBERS_MAX, &object) ||
        !json_fields(object, f, CLAIM_COUNT, &fault))
        return "the claims are not a JSON object of at most 256 members with different names";
    if (f[CHANNEL].value.kind != JSON_KIND_MISSING)
        return "it is a subscription token: it has a channel claim";
    if (!read_times(f, times))
        return "exp, nbf, iat and expire_at must be numbers: seconds since 1970, below 1e12";
    buf_reserve(&out->texts, payload.n);
    return read_texts(f, out);
}

static enum token_result judge(struct str payload, int64_t now_s, struct token_claims *out) {
    struct times times;
    out->fault = read_claims(payload, &times, out);
    if (out->fault)
        return TOKEN_INVALID;
    out->expires_at_s = times.expire_at.is_given ? times.expire_at.floor_s : times.exp.floor_s;
    out->fault = judge_times(&times, now_s);
    return out->fault ? TOKEN_EXPIRED : TOKEN_OK;
}

enum token_result token_verify(struct str token, const struct jws_keys *keys, int64_t now_s,
                               struct token_claims *out) {
    struct buf payload = {0};
    enum token_result result = TOKEN_INVALID;
    *out = (struct token_claims){0};
    if (jws_verify(token, keys, &payload, &out->fault, now_s))
        result = judge(buf_str(&payload), now_s, out);
    else if (out->fault == jws_key_awaited)
        result = TOKEN_EXPIRED; /* the client shall come again, with a token it asks for then */
    buf_fini(&payload);
    return result;
}

void token_claims_fini(struct token_claims *c) {
    buf_fini(&c->texts);
    mem_free(c->channels);
    *c = (struct token_claims){0};
}

void token_make(const struct token_request *q, struct str hmac_secret, struct buf *out) {
    struct buf b = {0};
    buf_add_z(&b, "{\"sub\":");
    json_add_string(&b, q->user);
    buf_printf(&b, ",\"iat\":%lld", (long long)q->issued_at_s);
    if (q->expires_at_s)
        buf_printf(&b, ",\"exp\":%lld", (long long)q->expires_at_s);
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
