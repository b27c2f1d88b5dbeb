/* The inside of keys, for jwk*.c only.
 *
 * Thread: see jwk.h.
 */
#ifndef CARILLON_AUTH_JWK_PARTS_H
#define CARILLON_AUTH_JWK_PARTS_H

#include "auth/jwk.h"

#include <openssl/evp.h>

#define JWK_RSA_BITS_MIN 2048
#define JWK_RSA_BITS_MAX 8192
#define JWK_ED25519_BYTES 32

struct jwk {
    enum jwk_kind kind;
    uint32_t algorithms;
    EVP_PKEY *pkey;   /* RSA, EC */
    struct buf bytes; /* a secret, or the point of an Ed25519 key */
};

/* Each gives a key with all algorithms that it is good for, or NULL and *fault. */
struct jwk *jwk_from_pkey(EVP_PKEY *pkey, const char **fault); /* takes pkey */
struct jwk *jwk_from_ed25519(struct str raw, const char **fault);
struct jwk *jwk_from_secret(struct str secret, const char **fault);

#endif
