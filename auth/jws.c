/* See jws.h. What is cheap comes first: length, dots, base64url, header, and only then the MAC.
 *
 * Thread: any (no state).
 */
#include "auth/jws.h"

#include <assert.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <string.h>

struct parts {
    struct str header, payload, signature;
    struct str signed_text; /* header "." payload */
};

/* Exactly two dots, no empty part. */
static bool split(struct str token, struct parts *p) {
    size_t first = str_find(token, '.');
    struct str rest = str_slice(token, first < token.n ? first + 1 : first, token.n);
    size_t second = str_find(rest, '.');
    if (first == token.n || second == rest.n)
        return false;
    p->header = str_slice(token, 0, first);
    p->payload = str_slice(rest, 0, second);
    p->signature = str_slice(rest, second + 1, rest.n);
    p->signed_text = str_slice(token, 0, first + 1 + second);
    return p->header.n && p->payload.n && p->signature.n &&
           str_find(p->signature, '.') == p->signature.n;
}

/* RFC 7515 section 2: no padding, no white space, nothing left over. libsodium refuses trailing
 * bits. */
static bool decode(struct str s, struct buf *out) {
    size_t room = s.n / 4 * 3 + 3, n = 0;
    unsigned char *to = (unsigned char *)buf_reserve(out, room);
    if (sodium_base642bin(to, room, s.p, s.n, NULL, &n, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    out->n += n;
    return true;
}

static const EVP_MD *digest_of(const char *alg) {
    if (strcmp(alg, "HS256") == 0)
        return EVP_sha256();
    if (strcmp(alg, "HS384") == 0)
        return EVP_sha384();
    return strcmp(alg, "HS512") == 0 ? EVP_sha512() : NULL;
}

static bool is_plain(const json_t *header) {
    static const char *const refused[] = {"crit", "b64", "zip", "cty"};
    const json_t *typ = json_object_get(header, "typ");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (json_object_get(header, refused[i]))
            return false;
    return !typ || (json_is_string(typ) && strcasecmp(json_string_value(typ), "JWT") == 0);
}

static const EVP_MD *read_header(struct str encoded, const char **fault) {
    struct buf text = {0};
    const EVP_MD *digest = NULL;
    json_t *header = NULL;
    *fault = "the header is not base64url of a JSON object";
    if (encoded.n <= JWS_HEADER_MAX_BYTES && decode(encoded, &text))
        header = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(header)) {
        const json_t *alg = json_object_get(header, "alg");
        *fault = "the algorithm is none that the key allows";
        if (json_is_string(alg) && is_plain(header))
            digest = digest_of(json_string_value(alg));
    }
    json_decref(header);
    buf_fini(&text);
    return digest;
}

static bool has_signature(const struct parts *p, const EVP_MD *digest, struct str secret) {
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_bytes = 0;
    struct buf given = {0};
    HMAC(digest, secret.p, (int)secret.n, (const unsigned char *)p->signed_text.p, p->signed_text.n,
         mac, &mac_bytes);
    bool is_same = decode(p->signature, &given) && given.n == mac_bytes &&
                   sodium_memcmp(given.p, mac, mac_bytes) == 0;
    buf_fini(&given);
    return is_same;
}

bool jws_verify(struct str token, struct str hmac_secret, struct buf *payload, const char **fault) {
    struct parts p;
    *fault = "no key is configured";
    if (hmac_secret.n == 0)
        return false;
    *fault = "it is longer than 8192 bytes";
    if (token.n > JWS_MAX_BYTES)
        return false;
    *fault = "it is not three parts with two dots between them";
    if (!split(token, &p))
        return false;
    const EVP_MD *digest = read_header(p.header, fault);
    if (!digest)
        return false;
    *fault = "the signature is wrong";
    if (!has_signature(&p, digest, hmac_secret))
        return false;
    *fault = "the payload is not base64url";
    return decode(p.payload, payload);
}

static void encode(struct buf *out, const void *bytes, size_t n) {
    size_t room = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *to = buf_reserve(out, room);
    sodium_bin2base64(to, room, bytes, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    out->n += strlen(to);
}

void jws_sign(struct str payload, struct str hmac_secret, struct buf *out) {
    static const struct str header = {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", 27};
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_bytes = 0;
    size_t from = out->n;
    encode(out, header.p, header.n);
    buf_add_char(out, '.');
    encode(out, payload.p, payload.n);
    HMAC(EVP_sha256(), hmac_secret.p, (int)hmac_secret.n, (unsigned char *)out->p + from,
         out->n - from, mac, &mac_bytes);
    buf_add_char(out, '.');
    encode(out, mac, mac_bytes);
}
