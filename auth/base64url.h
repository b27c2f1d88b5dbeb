/* base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strictly: each byte string
 * has exactly one text, and every other text is refused.
 *
 * Not libsodium's decoder: that of 1.0.18 (Debian 12) takes every byte from 0x80 on for a "_". It
 * is not in constant time, which needs no secret: what is decoded here comes from a token, whose
 * bearer knows it.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_BASE64URL_H
#define CARILLON_AUTH_BASE64URL_H

#include "server/base/buf.h"

/* Length of the text of n bytes. */
static inline size_t base64url_length(size_t n) {
    return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}

/* Appends the text. */
void base64url_encode(struct str bytes, struct buf *out);

/* Appends the bytes. False, with *out as it was, when there is padding, white space or any other
 * character that does not belong, a lonely last one, or a bit left over that is not zero. */
bool base64url_decode(struct str text, struct buf *out);

#endif
