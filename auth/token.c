/* See token.h. Two layers: jws.c says that the bytes are the back end's, this file what they mean.
 *
 * Claims are read with our own scanner, so that "info" is passed on byte for byte. A wrong type in
 * a claim that means something to us makes the token invalid; claims nobody here knows are ignored.
 *
 * Thread: any (no state).
 */
#include "auth/token.h"

#include "auth/jws.h"
#include "server/base/json_scan.h"
#include "server/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { SUB, EXP, NBF, EXPIRE_AT, INFO, CHANNELS, CHANNEL, CLAIM_COUNT };
enum { USER_MAX_BYTES = 255 };

static bool is_missing(struct json_value v) {
    return v.kind == JSON_KIND_MISSING || v.kind == JSON_KIND_NULL;
}

/* RFC 7519 section 2, NumericDate: seconds, a fraction is dropped. Missing is 0. */
static bool read_time(struct json_value v, int64_t *out) {
    char text[40];
    *out = 0;
    if (is_missing(v))
        return true;
    if (v.kind != JSON_KIND_NUMBER || v.text.n >= sizeof(text))
        return false;
    memcpy(text, v.text.p, v.text.n);
    text[v.text.n] = '\0';
    double d = strtod(text, NULL);
    if (!(d >= 0 && d < 1e12))
        return false;
    *out = (int64_t)d;
    return true;
}

static bool is_name(struct str s, size_t max_bytes) {
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return s.n <= max_bytes && str_is_utf8(s);
}

/* Texts are appended to one buffer that may move: offsets first, pointers when all is there. */
struct span {
    size_t from, n;
};

static bool copy_name(struct json_value v, size_t max_bytes, struct buf *texts, struct span *out) {
    struct buf scratch = {0};
    bool is_good = v.kind == JSON_KIND_STRING;
    *out = (struct span){texts->n, 0};
    if (is_good) {
        struct str s = json_decode(v, &scratch);
        is_good = is_name(s, max_bytes);
        buf_add(texts, s);
        out->n = s.n;
    }
    buf_fini(&scratch);
    return is_good;
}

static struct str text_of(const struct buf *texts, struct span s) {
    return s.n ? (struct str){texts->p + s.from, s.n} : STR_NONE;
}

static size_t count_of(struct json_value array) {
    struct json_value item;
    size_t count = 0;
    for (size_t at = 0; count <= TOKEN_CHANNELS_MAX && json_each(array, &at, NULL, &item);)
        count++;
    return count;
}

/* Fills spans with the names; false when one is none. */
static bool read_channels(struct json_value v, struct buf *texts, struct span *spans) {
    struct json_value item;
    size_t at = 0;
    for (size_t i = 0; json_each(v, &at, NULL, &item); i++)
        if (!copy_name(item, TOKEN_MAX_BYTES, texts, &spans[i]) || spans[i].n == 0)
            return false;
    return true;
}

static const char *read_texts(const struct json_field *f, struct token_claims *out) {
    struct span user = {0}, info = {0}, *channels = NULL;
    struct json_value list = f[CHANNELS].value;
    const char *fault = NULL;
    size_t count = list.kind == JSON_KIND_ARRAY ? count_of(list) : 0;

    if (!is_missing(f[SUB].value) && !copy_name(f[SUB].value, USER_MAX_BYTES, &out->texts, &user))
        return "sub must be a string of at most 255 bytes without control characters";
    if (!is_missing(list) && (list.kind != JSON_KIND_ARRAY || count > TOKEN_CHANNELS_MAX))
        return "channels must be a list of at most 1024 names";
    if (!is_missing(f[INFO].value)) {
        info.from = out->texts.n;
        json_add_line(&out->texts, f[INFO].value);
        info.n = out->texts.n - info.from;
    }
    channels = mem_array(count + 1, sizeof(*channels));
    if (count && !read_channels(list, &out->texts, channels))
        fault = "channels must hold names";
    out->channels = mem_array(count + 1, sizeof(*out->channels));
    out->channel_count = fault ? 0 : count;
    for (size_t i = 0; i < out->channel_count; i++)
        out->channels[i] = text_of(&out->texts, channels[i]);
    out->user = text_of(&out->texts, user);
    out->info = text_of(&out->texts, info);
    mem_free(channels);
    return fault;
}

static enum token_result refuse(struct token_claims *out, enum token_result result,
                                const char *fault) {
    out->fault = fault;
    return result;
}

static enum token_result read_claims(struct str payload, int64_t now_s, struct token_claims *out) {
    struct json_field f[CLAIM_COUNT] = {
        JSON_FIELD("sub"),  JSON_FIELD("exp"),      JSON_FIELD("nbf"),    JSON_FIELD("expire_at"),
        JSON_FIELD("info"), JSON_FIELD("channels"), JSON_FIELD("channel")};
    struct json_value object;
    struct json_fault fault;
    int64_t exp_s, nbf_s, expire_at_s;

    if (!json_scan_all(payload, &object, &fault) || object.kind != JSON_KIND_OBJECT ||
        !json_fields(object, f, CLAIM_COUNT, &fault))
        return refuse(out, TOKEN_INVALID, "the claims are not a JSON object, each once");
    if (!is_missing(f[CHANNEL].value))
        return refuse(out, TOKEN_INVALID, "it is a subscription token: it names a channel");
    if (!read_time(f[EXP].value, &exp_s) || !read_time(f[NBF].value, &nbf_s) ||
        !read_time(f[EXPIRE_AT].value, &expire_at_s))
        return refuse(out, TOKEN_INVALID, "exp, nbf and expire_at must be seconds since 1970");
    const char *bad_text = read_texts(f, out);
    if (bad_text)
        return refuse(out, TOKEN_INVALID, bad_text);
    if (!is_missing(f[EXP].value) && now_s >= exp_s)
        return refuse(out, TOKEN_EXPIRED, "exp is in the past");
    if (nbf_s > now_s)
        return refuse(out, TOKEN_EXPIRED, "nbf is in the future");
    out->expires_at_s = is_missing(f[EXPIRE_AT].value) ? exp_s : expire_at_s;
    return TOKEN_OK;
}

enum token_result token_verify(struct str token, const struct token_keys *keys, int64_t now_s,
                               struct token_claims *out) {
    struct buf payload = {0};
    enum token_result result = TOKEN_INVALID;
    *out = (struct token_claims){0};
    if (jws_verify(token, keys->hmac_secret, &payload, &out->fault))
        result = read_claims(buf_str(&payload), now_s, out);
    buf_fini(&payload);
    return result;
}

void token_claims_fini(struct token_claims *c) {
    buf_fini(&c->texts);
    mem_free(c->channels);
    c->channels = NULL;
    c->channel_count = 0;
}

void token_make(const struct token_request *q, struct str hmac_secret, struct buf *out) {
    struct buf b = {0};
    buf_add_z(&b, "{\"sub\":");
    json_add_string(&b, q->user);
    buf_printf(&b, ",\"iat\":%lld", (long long)q->issued_at_s);
    if (q->expires_at_s)
        buf_printf(&b, ",\"exp\":%lld", (long long)q->expires_at_s);
    if (q->info.n)
        buf_printf(&b, ",\"info\":%.*s", STR_ARG(q->info));
    for (size_t i = 0; i < q->channel_count; i++) {
        buf_add_z(&b, i ? "," : ",\"channels\":[");
        json_add_string(&b, q->channels[i]);
    }
    buf_add_z(&b, q->channel_count ? "]}" : "}");
    jws_sign(buf_str(&b), hmac_secret, out);
    buf_fini(&b);
}
