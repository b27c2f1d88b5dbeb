/* Tokens that are refused though they are well signed and have not ended: one token by its id
 * ("jti"), or all of a user that were issued ("iat") before a time.
 *
 * What cannot show that it is not meant is refused: a token without "iat" is older than any time. A
 * second revocation of the same user or token only ever adds: the later time and the later end
 * count. Each has an end, after which it is forgotten, best when the tokens it is about have ended
 * themselves; there are at most REVOCATIONS_MAX, and then new ones are refused, not old ones
 * forgotten.
 *
 * Owns: its entries. Thread: any.
 */
#ifndef CARILLON_AUTH_REVOCATIONS_H
#define CARILLON_AUTH_REVOCATIONS_H

#include "server/base/buf.h"

#include <stdint.h>

enum { REVOCATIONS_MAX = 50000, REVOCATION_ID_MAX_BYTES = 255 };

enum revocation_kind { REVOKED_TOKEN = 1, REVOKED_USER = 2 };

/* Borrows the id. */
struct revocation {
    enum revocation_kind kind;
    struct str id;           /* of the token, or the user */
    int64_t issued_before_s; /* of a user's tokens */
    int64_t expires_at_s;    /* wall clock; when it is forgotten */
};

/* Appends its bytes, without the end. */
void revocation_pack(const struct revocation *v, struct buf *b);

/* False when the bytes are none. *out borrows them, and has no end. */
bool revocation_unpack(struct str bytes, struct revocation *out);

struct revocations;

struct revocations *revocations_create(void);
void revocations_destroy(struct revocations *r);

/* Copies it. False: there are too many. One that has ended is fine, and forgotten. */
bool revocations_add(struct revocations *r, const struct revocation *v, int64_t now_s);

/* What a token says of itself. Borrows. */
struct token_identity {
    struct str user, id; /* empty: it does not say */
    int64_t issued_at_s; /* 0: it does not say */
};

/* Is a token refused? NULL has no revocations. */
bool revocations_refuse(struct revocations *r, const struct token_identity *t, int64_t now_s);

/* How many are remembered. */
size_t revocations_count(struct revocations *r);

#endif
