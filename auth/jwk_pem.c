/* Keys of PEM texts: see jwk.h.
 *
 * Thread: any (no state). Owns: nothing.
 */
#include "auth/jwk_parts.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

static EVP_PKEY *key_of_certificate(BIO *b) {
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    EVP_PKEY *pkey = x ? X509_get_pubkey(x) : NULL;
    X509_free(x);
    return pkey;
}

static EVP_PKEY *public_key(BIO *b) {
    EVP_PKEY *pkey = NULL;
    OSSL_DECODER_CTX *c =
        OSSL_DECODER_CTX_new_for_pkey(&pkey, "PEM", NULL, NULL, EVP_PKEY_PUBLIC_KEY, NULL, NULL);
    if (!c || OSSL_DECODER_from_bio(c, b) != 1)
        pkey = NULL;
    OSSL_DECODER_CTX_free(c);
    return pkey;
}

static struct jwk *expect_kind(struct jwk *k, enum jwk_kind kind, const char **fault) {
    static const char *const faults[] = {[JWK_SECRET] = "is a public key, no secret",
                                         [JWK_RSA] = "is no RSA key",
                                         [JWK_EC] = "is no EC key",
                                         [JWK_ED25519] = "is no Ed25519 key"};
    if (!k || k->kind == kind)
        return k;
    jwk_destroy(k);
    *fault = faults[kind];
    return NULL;
}

struct jwk *jwk_from_pem(const char *pem, enum jwk_kind kind, const char **fault) {
    if (strstr(pem, "PRIVATE KEY-----")) {
        *fault = "is a private key: the public one is needed, and the private one belongs only "
                 "where tokens are made";
        return NULL;
    }
    BIO *b = BIO_new_mem_buf(pem, -1);
    assert(b); /* only memory can lack */
    EVP_PKEY *pkey =
        strstr(pem, "-----BEGIN CERTIFICATE-----") ? key_of_certificate(b) : public_key(b);
    BIO_free(b);
    ERR_clear_error();
    if (!pkey) {
        *fault = "holds no public key, or a broken one";
        return NULL;
    }
    return expect_kind(jwk_from_pkey(pkey, fault), kind, fault);
}
