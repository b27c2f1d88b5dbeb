/* One key to verify with: parsed and checked once, used for every token.
 *
 * The key says which algorithms it is for: an RSA key RS* and PS*, a key on P-256 ES256 only, on
 * P-384 ES384, on P-521 ES512, an Ed25519 key EdDSA, a secret HS*; "alg" of a JWK (RFC 7517) makes
 * that one of them. Weak keys are refused: RSA below 2048 bits or with an even exponent or 1, a
 * point that is not on its curve or of small order, a secret shorter than the hash. So are private
 * keys, which have no place where tokens are only verified, and keys for other uses.
 *
 * Owns: the key; secrets are wiped. Thread: one makes and destroys it, any verifies.
 */
#ifndef CARILLON_AUTH_JWK_H
#define CARILLON_AUTH_JWK_H

#include "auth/jws_algorithm.h"
#include "server/base/json_scan.h"

struct jwk;

enum jwk_kind { JWK_SECRET, JWK_RSA, JWK_EC, JWK_ED25519 };

/* Gives the key in a PEM text: a public key (SPKI, or RSA's own form) or a certificate. NULL, and
 * *fault, a static text, when it is none of this kind or may not be used. */
struct jwk *jwk_from_pem(const char *pem, enum jwk_kind kind, const char **fault);

/* Gives the key of one JWK, an object that json_scan_all() gave; kid is not looked at. NULL, and
 * *fault, when it is not understood, not for signatures, weak or private. */
struct jwk *jwk_from_json(struct json_value object, const char **fault);

void jwk_destroy(struct jwk *k);

enum jwk_kind jwk_kind(const struct jwk *k);

/* The set of algorithms, JWS_BIT each. */
uint32_t jwk_algorithms(const struct jwk *k);

/* How long a signature is; the key must allow the algorithm, here and below. */
size_t jwk_signature_bytes(const struct jwk *k, enum jws_algorithm a);

/* Is it a good signature of text? It must have the right length. */
bool jwk_verify(const struct jwk *k, enum jws_algorithm a, struct str text, struct str signature);

/* The MAC of HS256, HS384 or HS512. False when OpenSSL will not: a strict policy of the machine
 * may refuse short secrets. */
bool jwk_mac(enum jws_algorithm a, struct str secret, struct str text, unsigned char mac[64]);

#endif
