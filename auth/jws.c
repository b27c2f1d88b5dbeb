/* See jws.h. OpenSSL computes the MAC, libsodium compares in constant time. Nothing is allocated
 * before the header is known to be short.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/jws.h"

#include "auth/base64url.h"
#include "auth/json_object.h"

#include <assert.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <string.h>

/* Real headers have two to five; see json_object.c for why it must be few. */
#define HEADER_MEMBERS_MAX 32

struct algorithm {
    struct str name;
    const EVP_MD *(*digest)(void);
    size_t mac_bytes;
};

/* What an HMAC secret allows. */
static const struct algorithm hmac_algorithms[] = {
    {{"HS256", 5}, EVP_sha256, 32}, {{"HS384", 5}, EVP_sha384, 48}, {{"HS512", 5}, EVP_sha512, 64}};

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

enum { ALG, TYP, CRIT, B64, ZIP, CTY, MEMBER_COUNT };

static bool is_text(struct json_value v, struct str text, bool (*equal)(struct str, struct str)) {
    struct buf scratch = {0};
    bool is_same = v.kind == JSON_KIND_STRING && equal(json_decode(v, &scratch), text);
    buf_fini(&scratch);
    return is_same;
}

/* The algorithm that the header names and the keys allow, or NULL. */
static const struct algorithm *find_algorithm(struct json_value alg, const struct jws_keys *keys) {
    size_t count = keys->hmac_secret.n ? sizeof(hmac_algorithms) / sizeof(hmac_algorithms[0]) : 0;
    for (size_t i = 0; i < count; i++)
        if (is_text(alg, hmac_algorithms[i].name, str_equal))
            return &hmac_algorithms[i];
    return NULL;
}

static const char *judge_header(struct str text, const struct jws_keys *keys,
                                const struct algorithm **out) {
    struct json_field f[MEMBER_COUNT] = {JSON_FIELD("alg"), JSON_FIELD("typ"), JSON_FIELD("crit"),
                                         JSON_FIELD("b64"), JSON_FIELD("zip"), JSON_FIELD("cty")};
    struct json_value object;
    struct json_fault fault;
    if (!json_object_read(text, HEADER_MEMBERS_MAX, &object) ||
        !json_fields(object, f, MEMBER_COUNT, &fault))
        return "the header is not a JSON object of at most 32 members with different names";
    for (size_t i = CRIT; i < MEMBER_COUNT; i++)
        if (f[i].value.kind != JSON_KIND_MISSING)
            return "the header asks for what is not supported: crit, b64, zip or cty";
    if (f[TYP].value.kind != JSON_KIND_MISSING &&
        !is_text(f[TYP].value, STR("JWT"), str_equal_nocase))
        return "typ in the header is not JWT";
    *out = find_algorithm(f[ALG].value, keys);
    return *out ? NULL : "alg in the header is none that the key allows";
}

/* NULL and *out, or what is wrong. */
static const char *read_header(struct str encoded, const struct jws_keys *keys,
                               const struct algorithm **out) {
    struct buf text = {0};
    const char *fault = "the header is longer than 1024 bytes";
    if (encoded.n <= JWS_HEADER_MAX_BYTES)
        fault = base64url_decode(encoded, &text) ? judge_header(buf_str(&text), keys, out)
                                                 : "the header is not base64url";
    buf_fini(&text);
    return fault;
}

/* --- signature -------------------------------------------------------------------------------- */

/* False when OpenSSL will not: a strict policy of the machine may refuse short secrets. */
static bool compute_mac(const struct algorithm *a, struct str secret, struct str text,
                        unsigned char mac[EVP_MAX_MD_SIZE]) {
    unsigned n = 0;
    assert(secret.n <= INT_MAX);
    return HMAC(a->digest(), secret.p, (int)secret.n, (const unsigned char *)text.p, text.n, mac,
                &n) &&
           n == a->mac_bytes;
}

/* NULL, or what is wrong. */
static const char *compare(struct str given, const struct parts *p, const struct algorithm *a,
                           const struct jws_keys *keys) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    if (!compute_mac(a, keys->hmac_secret, p->signed_text, mac))
        return "OpenSSL refuses to compute the signature";
    bool is_same = given.n == a->mac_bytes && sodium_memcmp(given.p, mac, a->mac_bytes) == 0;
    sodium_memzero(mac, sizeof(mac)); /* it would be a good signature for this text */
    return is_same ? NULL : "the signature is wrong: signed with another key, or changed since";
}

static const char *check_signature(const struct parts *p, const struct algorithm *a,
                                   const struct jws_keys *keys) {
    struct buf given = {0};
    const char *fault = "the signature is not base64url of as many bytes as alg gives";
    if (p->signature.n == base64url_length(a->mac_bytes) && base64url_decode(p->signature, &given))
        fault = compare(buf_str(&given), p, a, keys);
    buf_fini(&given);
    return fault;
}

static const char *verify(struct str token, const struct jws_keys *keys, struct buf *payload) {
    const struct algorithm *algorithm = NULL;
    struct parts p;
    if (keys->hmac_secret.n == 0)
        return "no key is configured";
    if (token.n > JWS_MAX_BYTES)
        return "it is longer than 8192 bytes";
    if (!split(token, &p))
        return "it is not three parts with two dots between them";
    const char *fault = read_header(p.header, keys, &algorithm);
    if (!fault)
        fault = check_signature(&p, algorithm, keys);
    if (!fault && !base64url_decode(p.payload, payload))
        fault = "the payload is not base64url";
    return fault;
}

bool jws_verify(struct str token, const struct jws_keys *keys, struct buf *payload,
                const char **fault) {
    const char *found = verify(token, keys, payload);
    if (found)
        *fault = found;
    return !found;
}

/* --- making one ------------------------------------------------------------------------------- */

void jws_sign(struct str payload, struct str hmac_secret, struct buf *out) {
    static const struct str header = {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", 27};
    const struct algorithm *hs256 = &hmac_algorithms[0];
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t from = out->n;
    assert(hmac_secret.n > 0);
    base64url_encode(header, out);
    buf_add_char(out, '.');
    base64url_encode(payload, out);
    bool is_signed =
        compute_mac(hs256, hmac_secret, (struct str){out->p + from, out->n - from}, mac);
    assert(is_signed);
    buf_add_char(out, '.');
    base64url_encode((struct str){(const char *)mac, hs256->mac_bytes}, out);
    sodium_memzero(mac, sizeof(mac));
}
