/* Connection tokens: JWTs (RFC 7519) that an application's back end makes, verified with its
 * secret.
 *
 * Two layers: jws.h says that the bytes are the back end's, this one what they mean. Refused by
 * length before anything is parsed: a token over TOKEN_MAX_BYTES. What is wrong in detail is for
 * logs only; clients learn "invalid" or "expired". Which claims there are and which are ignored:
 * docs/auth.md.
 *
 * A claim with a meaning here and a wrong type makes the token invalid. null is a wrong type, too,
 * but for "info" and "channels", where it means none: a back end that has no time to give must not
 * make a token for ever, and one that lost its user must not make an anonymous one.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_AUTH_TOKEN_H
#define CARILLON_AUTH_TOKEN_H

#include "auth/jws.h"
#include "server/base/buf.h"

#include <stdint.h>

#define TOKEN_MAX_BYTES 8192u
#define TOKEN_CHANNELS_MAX 1024u
#define TOKEN_USER_MAX_BYTES 255u

enum token_result { TOKEN_OK, TOKEN_INVALID, TOKEN_EXPIRED };

struct token_claims {
    struct buf texts;     /* holds all texts below */
    struct str user;      /* "sub", UTF-8 without control characters; empty: anonymous */
    struct str info;      /* "info": one JSON value on one line; empty: none */
    struct str *channels; /* "channels": server-side subscriptions, none of them empty */
    size_t channel_count;
    int64_t expires_at_s; /* "expire_at", else "exp"; 0: the connection never expires */
    const char *fault;    /* static: what was wrong, for logs, when the result is not TOKEN_OK */
};

/* Fills *out, also on failure (then only fault counts); free with token_claims_fini() in any case.
 * now_s is the wall clock. A token whose time has not come yet (nbf) or is over (exp, expire_at)
 * gives TOKEN_EXPIRED, if nothing else is wrong with it. */
enum token_result token_verify(struct str token, const struct jws_keys *keys, int64_t now_s,
                               struct token_claims *out);

void token_claims_fini(struct token_claims *c);

/* Does a claim of this name have a meaning here? */
bool token_knows_claim(struct str name);

/* What `carillon token` asks for. */
struct token_request {
    struct str user;            /* UTF-8 */
    struct str info;            /* one JSON value, or empty */
    const struct str *channels; /* UTF-8; may be NULL */
    size_t channel_count;
    int64_t issued_at_s;
    int64_t expires_at_s; /* 0: never */
};

/* Appends a token signed with HS256. The secret must not be empty. */
void token_make(const struct token_request *q, struct str hmac_secret, struct buf *out);

#endif
