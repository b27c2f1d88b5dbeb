/* See jwk.h: what a key can do. How it is made: jwk_pem.c, jwk_json.c.
 *
 * RSA and ECDSA by OpenSSL, Ed25519 by libsodium, which is faster and refuses keys of small order
 * and signatures that could be written differently.
 *
 * Thread: any.
 */
#include "auth/jwk_parts.h"

#include "server/base/mem.h"

#include <assert.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <string.h>

/* Of r and of s. */
static size_t number_bytes(enum jws_algorithm a) {
    return a == JWS_ES256 ? 32 : a == JWS_ES384 ? 48 : 66;
}

enum jwk_kind jwk_kind(const struct jwk *k) {
    return k->kind;
}

uint32_t jwk_algorithms(const struct jwk *k) {
    return k->algorithms;
}

size_t jwk_signature_bytes(const struct jwk *k, enum jws_algorithm a) {
    if (k->kind == JWK_RSA)
        return (size_t)EVP_PKEY_get_size(k->pkey);
    return k->kind == JWK_EC ? 2 * number_bytes(a) : jws_algorithm_digest_bytes(a);
}

void jwk_destroy(struct jwk *k) {
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    if (k->bytes.cap)
        sodium_memzero(k->bytes.p, k->bytes.cap);
    buf_fini(&k->bytes);
    mem_free(k);
}

/* --- verifying -------------------------------------------------------------------------------- */

static const EVP_MD *digest_of(enum jws_algorithm a) {
    size_t bytes = jws_algorithm_digest_bytes(a);
    return bytes == 32 ? EVP_sha256() : bytes == 48 ? EVP_sha384() : EVP_sha512();
}

bool jwk_mac(enum jws_algorithm a, struct str secret, struct str text, unsigned char mac[64]) {
    unsigned n = 0;
    assert(a <= JWS_HS512 && secret.n <= INT_MAX);
    return HMAC(digest_of(a), secret.p, (int)secret.n, (const unsigned char *)text.p, text.n, mac,
                &n) &&
           n == jws_algorithm_digest_bytes(a);
}

static bool verify_mac(const struct jwk *k, enum jws_algorithm a, struct str text, struct str s) {
    unsigned char mac[64];
    bool is_good = jwk_mac(a, buf_str(&k->bytes), text, mac) &&
                   s.n == jws_algorithm_digest_bytes(a) && sodium_memcmp(s.p, mac, s.n) == 0;
    sodium_memzero(mac, sizeof(mac)); /* it would be a good signature for this text */
    return is_good;
}

/* The salt is as long as the hash (RFC 7518 section 3.5), the hash of the mask is the same. */
static bool set_padding(EVP_PKEY_CTX *c, enum jws_algorithm a) {
    if (a < JWS_PS256 || a > JWS_PS512)
        return true;
    return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) > 0 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(c, digest_of(a)) > 0;
}

static bool verify_pkey(const struct jwk *k, enum jws_algorithm a, struct str text,
                        const unsigned char *signature, size_t signature_bytes) {
    EVP_PKEY_CTX *c = NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    assert(md); /* only memory can lack */
    bool is_good =
        EVP_DigestVerifyInit(md, &c, digest_of(a), NULL, k->pkey) == 1 && set_padding(c, a) &&
        EVP_DigestVerify(md, signature, signature_bytes, (const unsigned char *)text.p, text.n) ==
            1;
    EVP_MD_CTX_free(md);
    if (!is_good)
        ERR_clear_error();
    return is_good;
}

/* r and s become the DER that OpenSSL reads. It refuses 0, and the order of the curve or more. */
static bool verify_ecdsa(const struct jwk *k, enum jws_algorithm a, struct str text,
                         struct str signature) {
    size_t n = number_bytes(a);
    const unsigned char *raw = (const unsigned char *)signature.p;
    unsigned char der[160], *to = der;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)n, NULL), *s = BN_bin2bn(raw + n, (int)n, NULL);
    assert(sig && r && s);
    ECDSA_SIG_set0(sig, r, s);
    int der_bytes = i2d_ECDSA_SIG(sig, NULL);
    assert(der_bytes > 0 && (size_t)der_bytes <= sizeof(der));
    i2d_ECDSA_SIG(sig, &to);
    ECDSA_SIG_free(sig);
    return verify_pkey(k, a, text, der, (size_t)der_bytes);
}

bool jwk_verify(const struct jwk *k, enum jws_algorithm a, struct str text, struct str signature) {
    const unsigned char *s = (const unsigned char *)signature.p;
    assert((k->algorithms & JWS_BIT(a)) && signature.n == jwk_signature_bytes(k, a));
    switch (k->kind) {
    case JWK_SECRET:
        return verify_mac(k, a, text, signature);
    case JWK_EC:
        return verify_ecdsa(k, a, text, signature);
    case JWK_ED25519:
        return crypto_sign_ed25519_verify_detached(s, (const unsigned char *)text.p, text.n,
                                                   (const unsigned char *)k->bytes.p) == 0;
    default:
        return verify_pkey(k, a, text, s, signature.n);
    }
}

/* --- making ----------------------------------------------------------------------------------- */

static const char *judge_rsa(EVP_PKEY *pkey) {
    BIGNUM *e = NULL;
    const char *fault = NULL;
    int bits = EVP_PKEY_get_bits(pkey);
    if (!EVP_PKEY_get_bn_param(pkey, "e", &e))
        fault = "is an RSA key without an exponent";
    else if (!BN_is_odd(e) || BN_is_one(e) || BN_is_negative(e) || BN_num_bits(e) > 64)
        fault = "is an RSA key with a bad exponent: it must be odd and at least 3";
    else if (bits < JWK_RSA_BITS_MIN)
        fault = "is an RSA key of less than 2048 bits";
    else if (bits > JWK_RSA_BITS_MAX)
        fault = "is an RSA key of more than 8192 bits";
    BN_free(e);
    return fault;
}

/* NULL and the only algorithm, by the curve. */
static const char *judge_ec(EVP_PKEY *pkey, uint32_t *algorithms) {
    static const struct {
        const char *group;
        enum jws_algorithm algorithm;
    } all[] = {{"prime256v1", JWS_ES256}, {"secp384r1", JWS_ES384}, {"secp521r1", JWS_ES512}};
    char group[64] = "";
    size_t n = 0;
    int is_explicit = 0;
    EVP_PKEY_get_int_param(pkey, "decoded-from-explicit", &is_explicit);
    if (is_explicit || EVP_PKEY_get_group_name(pkey, group, sizeof(group), &n) != 1)
        group[0] = '\0';
    for (size_t i = 0; i < 3; i++)
        if (!strcmp(group, all[i].group)) {
            *algorithms = JWS_BIT(all[i].algorithm);
            return NULL;
        }
    return "is on another curve than P-256, P-384 and P-521";
}

static bool is_sound(EVP_PKEY *pkey) {
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool is_good = c && EVP_PKEY_public_check(c) == 1;
    EVP_PKEY_CTX_free(c);
    ERR_clear_error();
    return is_good;
}

struct jwk *jwk_from_pkey(EVP_PKEY *pkey, const char **fault) {
    struct jwk k = {.pkey = pkey};
    const char *why = "is of no kind that can be used: RSA, EC or Ed25519";
    unsigned char raw[JWK_ED25519_BYTES];
    size_t raw_bytes = sizeof(raw);
    if (EVP_PKEY_is_a(pkey, "RSA")) {
        k.kind = JWK_RSA;
        k.algorithms = JWS_RSA;
        why = judge_rsa(pkey);
    } else if (EVP_PKEY_is_a(pkey, "EC")) {
        k.kind = JWK_EC;
        why = judge_ec(pkey, &k.algorithms);
    } else if (EVP_PKEY_is_a(pkey, "ED25519") &&
               EVP_PKEY_get_raw_public_key(pkey, raw, &raw_bytes) == 1) {
        EVP_PKEY_free(pkey);
        return jwk_from_ed25519((struct str){(const char *)raw, raw_bytes}, fault);
    }
    if (!why && !is_sound(pkey))
        why = "is no sound key: OpenSSL's check of it fails, as with a point off its curve";
    if (why) {
        EVP_PKEY_free(pkey);
        *fault = why;
        return NULL;
    }
    struct jwk *made = mem_alloc(sizeof(*made));
    *made = k;
    return made;
}

struct jwk *jwk_from_ed25519(struct str raw, const char **fault) {
    if (raw.n != JWK_ED25519_BYTES) {
        *fault = "is no Ed25519 key: those have 32 bytes";
        return NULL;
    }
    if (!crypto_core_ed25519_is_valid_point((const unsigned char *)raw.p)) {
        *fault = "is no sound Ed25519 key: it is off the curve, of small order or not canonical";
        return NULL;
    }
    struct jwk *k = mem_zalloc(sizeof(*k));
    k->kind = JWK_ED25519;
    k->algorithms = JWS_BIT(JWS_EDDSA);
    buf_add(&k->bytes, raw);
    return k;
}

struct jwk *jwk_from_secret(struct str secret, const char **fault) {
    struct jwk k = {.kind = JWK_SECRET};
    for (enum jws_algorithm a = JWS_HS256; a <= JWS_HS512; a++)
        if (secret.n >= jws_algorithm_digest_bytes(a))
            k.algorithms |= JWS_BIT(a);
    if (!k.algorithms) {
        *fault = "is a secret of less than 32 bytes";
        return NULL;
    }
    struct jwk *made = mem_alloc(sizeof(*made));
    *made = k;
    buf_add(&made->bytes, secret);
    return made;
}
