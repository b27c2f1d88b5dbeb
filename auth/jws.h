/* Signatures of compact JWS (RFC 7515): the lower layer of tokens, which knows bytes and keys and
 * nothing of claims.
 *
 * The key decides, the token only agrees: each key is for certain algorithms and no other (jwk.h),
 * whatever the header says. A header that asks for anything special (crit, b64, zip, cty, a typ
 * other than JWT) is refused; keys and addresses in it (jwk, jku, x5u, x5c) are never looked at.
 * kid only counts where there is a set of keys: then it must name one of them exactly, and no other
 * key is tried. base64url is strict: no padding, no other characters, no bits left over.
 *
 * What is cheap comes first (length, dots, header, form of the signature), and only then the
 * signature. A token is no identity: the same claims can have several good signatures (ECDSA, PSS).
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_JWS_H
#define CARILLON_AUTH_JWS_H

#include "auth/jwks_cache.h"
#include "server/base/buf.h"

#define JWS_MAX_BYTES 8192u
#define JWS_HEADER_MAX_BYTES 1024u /* in base64url */

/* What tokens may be signed with. Borrows. */
struct jws_keys {
    struct str hmac_secret;          /* HS256, HS384, HS512; empty: none of them */
    struct str hmac_previous_secret; /* good, too, */
    int64_t hmac_previous_until_s;   /* before this time; 0: always */
    struct jwk *rsa, *ecdsa, *ed25519;
    struct jwks_cache *jwks; /* if not NULL, the only keys: those above are not used */
};

/* Is there any key? */
bool jws_keys_exist(const struct jws_keys *keys);

/* The fault of a token whose key is not known yet, but may be soon; compare by address. */
extern const char jws_key_awaited[];

/* Appends the decoded payload to *payload. False when the token is not well formed or its signature
 * is wrong; then *payload is as it was, and *fault says in words for logs what it is (static text,
 * without anything of the token). Without any key every token is refused. now_s is the wall clock.
 */
bool jws_verify(struct str token, const struct jws_keys *keys, struct buf *payload,
                const char **fault, int64_t now_s);

/* Appends a token with this payload, signed with HS256. The secret must not be empty. */
void jws_sign(struct str payload, struct str hmac_secret, struct buf *out);

#endif
