/* Signatures of compact JWS (RFC 7515) with a shared secret: HS256, HS384, HS512.
 *
 * The key decides: an HMAC secret allows these three and nothing else, whatever the token says. A
 * header that asks for anything special (crit, b64, zip, cty) is refused; keys and addresses in it
 * (jwk, jku, x5u, x5c, kid) are never looked at.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_AUTH_JWS_H
#define CARILLON_AUTH_JWS_H

#include "server/base/buf.h"

#define JWS_MAX_BYTES 8192u
#define JWS_HEADER_MAX_BYTES 1024u

/* Appends the decoded payload to *payload. False, and *fault (static text), when the token is not
 * well formed or its signature is wrong. An empty secret refuses everything. */
bool jws_verify(struct str token, struct str hmac_secret, struct buf *payload, const char **fault);

/* Appends a token with this payload, signed with HS256. */
void jws_sign(struct str payload, struct str hmac_secret, struct buf *out);

#endif
