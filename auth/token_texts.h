/* Claims that are texts, or objects of texts: for token.c only.
 *
 * All texts go to claims->texts, which has room for all of them from the start: nothing gets longer
 * by decoding, so what is there stays where it is.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_TOKEN_TEXTS_H
#define CARILLON_AUTH_TOKEN_TEXTS_H

#include "auth/token.h"
#include "server/base/json_scan.h"

/* What these give is NULL, or what is wrong, as a static text. */

/* C0, DEL and C1, in UTF-8. */
bool token_has_control(struct str s);

/* Adds a decoded string. */
struct str token_add_text(struct token_claims *c, struct json_value string);

/* A JSON value, or one in base64; null and missing: none. */
const char *token_read_json(struct token_claims *c, struct json_value v, struct json_value b64,
                            struct str *out);

/* "channels" */
const char *token_read_channels(struct token_claims *c, struct json_value v);

/* "subs" */
const char *token_read_subs(struct token_claims *c, struct json_value v);

/* "override" */
const char *token_read_override(struct json_value v, struct token_override *out);

#endif
