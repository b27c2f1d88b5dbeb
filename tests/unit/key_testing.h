/* Key pairs of every kind, and signatures made with them, without the code under test.
 *
 * Thread: one. Owns: the keys, for the life of the process.
 */
#ifndef CARILLON_TESTS_KEY_TESTING_H
#define CARILLON_TESTS_KEY_TESTING_H

#include "auth/jwk.h"
#include "tests/unit/token_testing.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

enum { PAIR_RSA, PAIR_P256, PAIR_P384, PAIR_P521, PAIR_ED25519, PAIR_COUNT };

struct public_algorithm {
    const char *name;
    enum jws_algorithm id;
    int pair;
    const EVP_MD *(*digest)(void); /* NULL: none */
    bool is_pss;
};

static const struct public_algorithm public_algorithms[] = {
    {"RS256", JWS_RS256, PAIR_RSA, EVP_sha256, false},
    {"RS384", JWS_RS384, PAIR_RSA, EVP_sha384, false},
    {"RS512", JWS_RS512, PAIR_RSA, EVP_sha512, false},
    {"PS256", JWS_PS256, PAIR_RSA, EVP_sha256, true},
    {"PS384", JWS_PS384, PAIR_RSA, EVP_sha384, true},
    {"PS512", JWS_PS512, PAIR_RSA, EVP_sha512, true},
    {"ES256", JWS_ES256, PAIR_P256, EVP_sha256, false},
    {"ES384", JWS_ES384, PAIR_P384, EVP_sha384, false},
    {"ES512", JWS_ES512, PAIR_P521, EVP_sha512, false},
    {"EdDSA", JWS_EDDSA, PAIR_ED25519, NULL, false},
};

#define for_each_public(a)                                                                         \
    for (const struct public_algorithm *a = public_algorithms; a < public_algorithms + 10; a++)

static inline EVP_PKEY *make_pair(int pair) {
    switch (pair) {
    case PAIR_RSA:
        return EVP_RSA_gen(2048);
    case PAIR_P256:
        return EVP_EC_gen("P-256");
    case PAIR_P384:
        return EVP_EC_gen("P-384");
    case PAIR_P521:
        return EVP_EC_gen("P-521");
    default:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
}

/* The pair that is used unless another one is asked for. */
static inline EVP_PKEY *pair_of(int pair) {
    static EVP_PKEY *pairs[PAIR_COUNT];
    if (!pairs[pair])
        pairs[pair] = make_pair(pair);
    return pairs[pair];
}

/* Appends the public key's PEM text and a zero. */
static inline void add_public_pem(struct buf *out, EVP_PKEY *pkey) {
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    PEM_write_bio_PUBKEY(b, pkey);
    long n = BIO_get_mem_data(b, &text);
    buf_add(out, (struct str){text, (size_t)n});
    buf_add_char(out, '\0');
    BIO_free(b);
}

/* The half of an ECDSA signature. */
static inline size_t half_bytes(enum jws_algorithm a) {
    return a == JWS_ES256 ? 32 : a == JWS_ES384 ? 48 : 66;
}

/* Appends OpenSSL's signature: for ECDSA that is DER. */
static inline void add_openssl_signature(struct buf *out, const struct public_algorithm *a,
                                         EVP_PKEY *pkey, struct str text, int salt_bytes) {
    EVP_PKEY_CTX *c = NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t n = 1024;
    int is_good = EVP_DigestSignInit(md, &c, a->digest ? a->digest() : NULL, NULL, pkey);
    if (a->is_pss)
        is_good &= EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) > 0 &&
                   EVP_PKEY_CTX_set_rsa_pss_saltlen(c, salt_bytes) > 0;
    is_good &= EVP_DigestSign(md, (unsigned char *)buf_reserve(out, n), &n,
                              (const unsigned char *)text.p, text.n);
    assert(is_good == 1);
    out->n += n;
    EVP_MD_CTX_free(md);
}

/* Appends r and s, each as long as half. */
static inline void add_raw(struct buf *out, struct str der, size_t half) {
    const unsigned char *p = (const unsigned char *)der.p;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
    unsigned char *to = (unsigned char *)buf_reserve(out, 2 * half);
    BN_bn2binpad(ECDSA_SIG_get0_r(s), to, (int)half);
    BN_bn2binpad(ECDSA_SIG_get0_s(s), to + half, (int)half);
    out->n += 2 * half;
    ECDSA_SIG_free(s);
}

/* Appends a signature as it stands in a token, not encoded. */
static inline void add_public_signature(struct buf *out, const struct public_algorithm *a,
                                        EVP_PKEY *pkey, struct str text) {
    struct buf der = {0};
    bool is_ecdsa = a->id >= JWS_ES256 && a->id <= JWS_ES512;
    add_openssl_signature(is_ecdsa ? &der : out, a, pkey, text, RSA_PSS_SALTLEN_DIGEST);
    if (is_ecdsa)
        add_raw(out, buf_str(&der), half_bytes(a->id));
    buf_fini(&der);
}

/* Replaces what is in the buffer by "header.payload"; each @ in the header stands for the name. */
static inline void make_unsigned(struct buf *token, const char *name, struct str header,
                                 struct str payload) {
    struct buf text = {0};
    buf_clear(token);
    for (size_t i = 0; i < header.n; i++) {
        if (header.p[i] == '@')
            buf_add_z(&text, name);
        else
            buf_add_char(&text, header.p[i]);
    }
    add_base64url(token, buf_str(&text));
    buf_add_char(token, '.');
    add_base64url(token, payload);
    buf_fini(&text);
}

static inline void make_public_token(struct buf *token, const struct public_algorithm *a,
                                     struct str header, struct str payload) {
    struct buf signature = {0};
    make_unsigned(token, a->name, header, payload);
    add_public_signature(&signature, a, pair_of(a->pair), buf_str(token));
    buf_add_char(token, '.');
    add_base64url(token, buf_str(&signature));
    buf_fini(&signature);
}

/* Gives the public key of a pair as the code under test reads it from PEM. */
static inline struct jwk *jwk_of_pair(EVP_PKEY *pkey, int pair) {
    struct buf pem = {0};
    const char *fault = "";
    add_public_pem(&pem, pkey);
    struct jwk *k = jwk_from_pem(pem.p,
                                 pair == PAIR_RSA       ? JWK_RSA
                                 : pair == PAIR_ED25519 ? JWK_ED25519
                                                        : JWK_EC,
                                 &fault);
    buf_fini(&pem);
    return k;
}

#endif
