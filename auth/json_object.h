/* JSON objects in tokens: headers and claims.
 *
 * The project's own scanner reads them, so that what is passed on ("info") stays byte for byte what
 * the back end wrote; a parser that builds a tree would refuse or change large numbers. What tokens
 * need on top of it is here: no name may occur twice, because two readers of such an object can see
 * two different tokens (RFC 7515 section 4, RFC 7519 section 4).
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_JSON_OBJECT_H
#define CARILLON_AUTH_JSON_OBJECT_H

#include "server/base/json_scan.h"

#define JSON_OBJECT_MEMBERS_MAX 256u

/* True when text is one JSON object with at most members_max (up to JSON_OBJECT_MEMBERS_MAX)
 * members, whose names, as they are after decoding, all differ. What is inside of a member's value
 * is valid JSON, and may repeat names. *out borrows text. */
bool json_object_read(struct str text, size_t members_max, struct json_value *out);

#endif
