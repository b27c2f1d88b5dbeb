/* See jws.h. Nothing is allocated before the token and its header are known to be short.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/jws.h"

#include "auth/base64url.h"
#include "auth/json_object.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* Real headers have two to five; see json_object.c for why it must be few. */
#define HEADER_MEMBERS_MAX 32

const char jws_key_awaited[] = "its kid names a key that is not known: the key set is asked for";

struct parts {
    struct str header, payload, signature;
    struct str signed_text; /* header "." payload */
};

/* Exactly two dots, no empty part. */
static bool split(struct str token, struct parts *p) {
    size_t first = str_find(token, '.');
    struct str rest = str_slice(token, first + 1, token.n);
    size_t second = str_find(rest, '.');
    p->header = str_slice(token, 0, first);
    p->payload = str_slice(rest, 0, second);
    p->signature = str_slice(rest, second + 1, rest.n);
    p->signed_text = str_slice(token, 0, first + 1 + second);
    return p->header.n && p->payload.n && p->signature.n &&
           str_find(p->signature, '.') == p->signature.n;
}

/* --- header ----------------------------------------------------------------------------------- */

enum { ALG, KID, TYP, CRIT, B64, ZIP, CTY, MEMBER_COUNT };

struct header {
    enum jws_algorithm algorithm;
    struct buf kid;
    bool has_kid; /* a text */
};

static bool is_jwt(struct json_value typ) {
    struct buf scratch = {0};
    bool is_same =
        typ.kind == JSON_KIND_STRING && str_equal_nocase(json_decode(typ, &scratch), STR("JWT"));
    buf_fini(&scratch);
    return is_same;
}

/* False when it names no algorithm that is known. */
static bool read_algorithm(struct json_value alg, enum jws_algorithm *out) {
    struct buf scratch = {0};
    *out = JWS_ALGORITHM_COUNT;
    if (alg.kind == JSON_KIND_STRING)
        *out = jws_algorithm_find(json_decode(alg, &scratch));
    buf_fini(&scratch);
    return *out != JWS_ALGORITHM_COUNT;
}

static void read_kid(struct json_value kid, struct header *out) {
    struct buf scratch = {0};
    out->has_kid = kid.kind == JSON_KIND_STRING;
    if (out->has_kid)
        buf_add(&out->kid, json_decode(kid, &scratch));
    buf_fini(&scratch);
}

#define ALGORITHM_FAULT "alg in the header is none that the key allows"

static const char *judge_header(struct str text, bool needs_kid, struct header *out) {
    struct json_field f[MEMBER_COUNT] = {JSON_FIELD("alg"),  JSON_FIELD("kid"), JSON_FIELD("typ"),
                                         JSON_FIELD("crit"), JSON_FIELD("b64"), JSON_FIELD("zip"),
                                         JSON_FIELD("cty")};
    struct json_value object;
    struct json_fault fault;
    if (!json_object_read(text, HEADER_MEMBERS_MAX, &object) ||
        !json_fields(object, f, MEMBER_COUNT, &fault))
        return "the header is not a JSON object of at most 32 members with different names";
    for (size_t i = CRIT; i < MEMBER_COUNT; i++)
        if (f[i].value.kind != JSON_KIND_MISSING)
            return "the header asks for what is not supported: crit, b64, zip or cty";
    if (f[TYP].value.kind != JSON_KIND_MISSING && !is_jwt(f[TYP].value))
        return "typ in the header is not JWT";
    if (!read_algorithm(f[ALG].value, &out->algorithm))
        return ALGORITHM_FAULT;
    if (needs_kid)
        read_kid(f[KID].value, out);
    return needs_kid && !out->has_kid ? "kid is missing in the header, or no text" : NULL;
}

/* NULL and *out, or what is wrong. */
static const char *read_header(struct str encoded, bool needs_kid, struct header *out) {
    struct buf text = {0};
    const char *fault = "the header is longer than 1024 bytes";
    if (encoded.n <= JWS_HEADER_MAX_BYTES)
        fault = base64url_decode(encoded, &text) ? judge_header(buf_str(&text), needs_kid, out)
                                                 : "the header is not base64url";
    buf_fini(&text);
    return fault;
}

/* --- signature -------------------------------------------------------------------------------- */

#define FORM_FAULT "the signature is not base64url of as many bytes as alg gives"
#define WRONG_FAULT "the signature is wrong: signed with another key, or changed since"

static const char *compare_mac(struct str given, const struct parts *p, enum jws_algorithm a,
                               struct str secret) {
    unsigned char mac[64];
    if (!jwk_mac(a, secret, p->signed_text, mac))
        return "OpenSSL refuses to compute the signature";
    bool is_same = sodium_memcmp(given.p, mac, given.n) == 0;
    sodium_memzero(mac, sizeof(mac)); /* it would be a good signature for this text */
    return is_same ? NULL : WRONG_FAULT;
}

/* The secret, else the one before it while that is good. */
static const char *check_macs(struct str given, const struct parts *p, enum jws_algorithm a,
                              const struct jws_keys *keys, int64_t now_s) {
    bool has_previous = keys->hmac_previous_secret.n &&
                        (keys->hmac_previous_until_s == 0 || now_s < keys->hmac_previous_until_s);
    const char *fault = ALGORITHM_FAULT;
    if (keys->hmac_secret.n)
        fault = compare_mac(given, p, a, keys->hmac_secret);
    if (fault && has_previous)
        fault = compare_mac(given, p, a, keys->hmac_previous_secret);
    return fault;
}

static const char *check_hmac(const struct parts *p, enum jws_algorithm a,
                              const struct jws_keys *keys, int64_t now_s) {
    struct buf given = {0};
    const char *fault = FORM_FAULT;
    if (p->signature.n == base64url_length(jws_algorithm_digest_bytes(a)) &&
        base64url_decode(p->signature, &given))
        fault = check_macs(buf_str(&given), p, a, keys, now_s);
    buf_fini(&given);
    return fault;
}

static const char *check_with_key(const struct parts *p, enum jws_algorithm a,
                                  const struct jwk *key) {
    struct buf given = {0};
    const char *fault = FORM_FAULT;
    if (!key || !(jwk_algorithms(key) & JWS_BIT(a)))
        return ALGORITHM_FAULT;
    if (p->signature.n == base64url_length(jwk_signature_bytes(key, a)) &&
        base64url_decode(p->signature, &given))
        fault = jwk_verify(key, a, p->signed_text, buf_str(&given)) ? NULL : WRONG_FAULT;
    buf_fini(&given);
    return fault;
}

/* The set stays alive while its key is in use. */
static const char *check_with_set(const struct parts *p, const struct header *h,
                                  struct jwks_cache *cache) {
    struct jwks *set = jwks_cache_get(cache);
    const struct jwk *key = set ? jwks_find(set, buf_str(&h->kid)) : NULL;
    const char *fault;
    if (key)
        fault = check_with_key(p, h->algorithm, key);
    else
        fault =
            jwks_cache_ask(cache) ? jws_key_awaited : "kid in the header is that of no known key";
    jwks_unref(set);
    return fault;
}

static const char *check_signature(const struct parts *p, const struct header *h,
                                   const struct jws_keys *keys, int64_t now_s) {
    enum jws_algorithm a = h->algorithm;
    if (keys->jwks)
        return check_with_set(p, h, keys->jwks);
    if (!(JWS_BIT(a) & JWS_HMAC))
        return check_with_key(p, a,
                              JWS_BIT(a) & JWS_RSA ? keys->rsa
                              : a == JWS_EDDSA     ? keys->ed25519
                                                   : keys->ecdsa);
    if (keys->hmac_secret.n == 0 && keys->hmac_previous_secret.n == 0)
        return ALGORITHM_FAULT;
    return check_hmac(p, a, keys, now_s);
}

bool jws_keys_exist(const struct jws_keys *k) {
    return k->hmac_secret.n || k->hmac_previous_secret.n || k->rsa || k->ecdsa || k->ed25519 ||
           k->jwks;
}

static const char *verify(struct str token, const struct jws_keys *keys, struct buf *payload,
                          int64_t now_s) {
    struct header header = {0};
    struct parts p;
    if (!jws_keys_exist(keys))
        return "no key is configured";
    if (token.n > JWS_MAX_BYTES)
        return "it is longer than 8192 bytes";
    if (!split(token, &p))
        return "it is not three parts with two dots between them";
    const char *fault = read_header(p.header, keys->jwks != NULL, &header);
    if (!fault)
        fault = check_signature(&p, &header, keys, now_s);
    if (!fault && !base64url_decode(p.payload, payload))
        fault = "the payload is not base64url";
    buf_fini(&header.kid);
    return fault;
}

bool jws_verify(struct str token, const struct jws_keys *keys, struct buf *payload,
                const char **fault, int64_t now_s) {
    const char *found = verify(token, keys, payload, now_s);
    if (found)
        *fault = found;
    return !found;
}

/* --- making one ------------------------------------------------------------------------------- */

void jws_sign(struct str payload, struct str hmac_secret, struct buf *out) {
    static const struct str header = {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", 27};
    unsigned char mac[64];
    size_t from = out->n;
    assert(hmac_secret.n > 0);
    base64url_encode(header, out);
    buf_add_char(out, '.');
    base64url_encode(payload, out);
    bool is_signed =
        jwk_mac(JWS_HS256, hmac_secret, (struct str){out->p + from, out->n - from}, mac);
    assert(is_signed);
    buf_add_char(out, '.');
    base64url_encode((struct str){(const char *)mac, jws_algorithm_digest_bytes(JWS_HS256)}, out);
    sodium_memzero(mac, sizeof(mac));
}
