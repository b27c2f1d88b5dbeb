/* Tokens: JWTs (RFC 7519) that an application's back end makes. A connection token says who a
 * client is, a subscription token that one client may subscribe to one channel.
 *
 * Two layers: jws.h says that the bytes are the back end's, this one what they mean. Refused by
 * length before anything is parsed: a token over TOKEN_MAX_BYTES. What is wrong in detail is for
 * logs only; clients learn "invalid" or "expired". Which claims there are and which are ignored:
 * docs/auth.md.
 *
 * A claim with a meaning here and a wrong type makes the token invalid. null is a wrong type, too,
 * but for claims that give something ("info", "channels", "caps" ...), where it means none: a back
 * end that has no time to give must not make a token for ever, and one that lost its user must not
 * make an anonymous one.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_AUTH_TOKEN_H
#define CARILLON_AUTH_TOKEN_H

#include "auth/jws.h"
#include "server/base/buf.h"

#include <stdint.h>

struct pattern;
struct capabilities;
struct scopes;

#define TOKEN_MAX_BYTES 8192u
#define TOKEN_CHANNELS_MAX 1024u
#define TOKEN_USER_MAX_BYTES 255u
#define TOKEN_LEEWAY_MAX_S 60

enum token_result { TOKEN_OK, TOKEN_INVALID, TOKEN_EXPIRED };

/* The claim "channel" tells them apart: one must not have it, the other must. */
enum token_kind { TOKEN_CONNECTION, TOKEN_SUBSCRIPTION };

/* What a token must be. Borrows. */
struct token_policy {
    enum token_kind kind;
    const struct jws_keys *keys;
    struct str user_id_claim; /* instead of "sub"; a path with dots will do; empty: "sub" */
    /* Of "aud" and "iss": exact, or a pattern; empty and NULL: not looked at. */
    struct str audience, issuer;
    const struct pattern *audience_pattern, *issuer_pattern;
    const struct scopes *scopes; /* what "scope" of a connection token permits; NULL: nothing */
    int64_t leeway_s;            /* at most TOKEN_LEEWAY_MAX_S */
};

/* Bits of struct token_override. */
enum {
    TOKEN_PRESENCE = 1,
    TOKEN_JOIN_LEAVE = 2,
    TOKEN_FORCE_PUSH_JOIN_LEAVE = 4,
    TOKEN_FORCE_POSITIONING = 8,
    TOKEN_FORCE_RECOVERY = 16,
};

/* "override": options of the channel that are different for this subscription. */
struct token_override {
    uint8_t given, on;
};

/* A subscription that a token gives. */
struct token_sub {
    struct str channel;    /* not empty, no control characters */
    struct str info, data; /* one JSON value on one line each; empty: none */
    struct token_override override;
};

struct token_claims {
    struct buf texts;     /* holds all texts below */
    struct str user;      /* "sub", UTF-8 without control characters; empty: anonymous */
    struct str info;      /* "info" or "b64info": one JSON value on one line; empty: none */
    struct str id;        /* "jti"; empty: none */
    int64_t issued_at_s;  /* "iat"; 0: not given */
    int64_t expires_at_s; /* "expire_at", else "exp", and the leeway; 0: it never ends */
    /* Of connection tokens: */
    struct str *channels; /* "channels": server-side subscriptions, none of them empty */
    size_t channel_count;
    struct token_sub *subs; /* "subs": the same with options */
    size_t sub_count;
    uint64_t scopes;                   /* lines of the policy's scopes */
    struct capabilities *capabilities; /* "caps"; NULL: none. May be taken: set it to NULL then. */
    /* Of subscription tokens: */
    struct token_sub sub; /* info is that of the token */
    struct str client;    /* "client": only for this one; empty: for any */
    unsigned allow;       /* "allow": bits of enum permission */
    const char *fault;    /* static: what was wrong, for logs, when the result is not TOKEN_OK */
};

/* Fills *out, also on failure (then only fault counts); free with token_claims_fini() in any case.
 * now_s is the wall clock. A token whose time has not come yet (nbf) or is over (exp, expire_at)
 * gives TOKEN_EXPIRED, if nothing else is wrong with it. */
enum token_result token_verify(struct str token, const struct token_policy *policy, int64_t now_s,
                               struct token_claims *out);

void token_claims_fini(struct token_claims *c);

/* Does a claim of this name have a meaning in a token of this kind? */
bool token_knows_claim(enum token_kind kind, struct str name);

/* What `carillon token` asks for. */
struct token_request {
    struct str user;            /* UTF-8 */
    struct str channel;         /* UTF-8; of a subscription token, else empty */
    struct str info;            /* one JSON value, or empty */
    const struct str *channels; /* UTF-8; may be NULL */
    size_t channel_count;
    int64_t issued_at_s;
    int64_t expires_at_s; /* 0: never */
};

/* Appends a token signed with HS256. The secret must not be empty. */
void token_make(const struct token_request *q, struct str hmac_secret, struct buf *out);

#endif
