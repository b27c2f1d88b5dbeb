/* Signatures of compact JWS (RFC 7515): the lower layer of tokens, which knows bytes and keys and
 * nothing of claims.
 *
 * The key decides, the token only agrees: an HMAC secret allows HS256, HS384 and HS512 and nothing
 * else, whatever the header says. A header that asks for anything special (crit, b64, zip, cty, a
 * typ other than JWT) is refused; keys and addresses in it (jwk, jku, x5u, x5c, kid) are never
 * looked at. base64url is strict: no padding, no other characters, no bits left over.
 *
 * What is cheap comes first (length, dots, header, form of the signature), and only then the MAC.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_JWS_H
#define CARILLON_AUTH_JWS_H

#include "server/base/buf.h"

#define JWS_MAX_BYTES 8192u
#define JWS_HEADER_MAX_BYTES 1024u /* in base64url */

/* What tokens may be signed with. Borrows. */
struct jws_keys {
    struct str hmac_secret; /* HS256, HS384, HS512; empty: none of them */
};

/* Appends the decoded payload to *payload. False when the token is not well formed or its signature
 * is wrong; then *payload is as it was, and *fault says in words for logs what it is (static text,
 * without anything of the token). Without any key every token is refused. */
bool jws_verify(struct str token, const struct jws_keys *keys, struct buf *payload,
                const char **fault);

/* Appends a token with this payload, signed with HS256. The secret must not be empty. */
void jws_sign(struct str payload, struct str hmac_secret, struct buf *out);

#endif
