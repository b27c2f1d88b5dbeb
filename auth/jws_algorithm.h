/* The algorithms of signatures (RFC 7518 section 3, RFC 8037) and what makes them different.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_JWS_ALGORITHM_H
#define CARILLON_AUTH_JWS_ALGORITHM_H

#include "server/base/str.h"

enum jws_algorithm {
    JWS_HS256,
    JWS_HS384,
    JWS_HS512,
    JWS_RS256,
    JWS_RS384,
    JWS_RS512,
    JWS_PS256,
    JWS_PS384,
    JWS_PS512,
    JWS_ES256,
    JWS_ES384,
    JWS_ES512,
    JWS_EDDSA, /* Ed25519 only */
    JWS_ALGORITHM_COUNT,
};

/* Sets of algorithms: bit n stands for algorithm n. */
#define JWS_BIT(algorithm) (1u << (algorithm))
#define JWS_HMAC (JWS_BIT(JWS_HS256) | JWS_BIT(JWS_HS384) | JWS_BIT(JWS_HS512))
#define JWS_RSA                                                                                    \
    (JWS_BIT(JWS_RS256) | JWS_BIT(JWS_RS384) | JWS_BIT(JWS_RS512) | JWS_BIT(JWS_PS256) |           \
     JWS_BIT(JWS_PS384) | JWS_BIT(JWS_PS512))

/* Exactly as it is written in RFC 7518; JWS_ALGORITHM_COUNT when it is none of them. */
enum jws_algorithm jws_algorithm_find(struct str name);

const char *jws_algorithm_name(enum jws_algorithm a);

/* "SHA256", "SHA384", "SHA512"; NULL for EdDSA. */
const char *jws_algorithm_digest(enum jws_algorithm a);

/* Of the digest; 64 for EdDSA. */
size_t jws_algorithm_digest_bytes(enum jws_algorithm a);

#endif
