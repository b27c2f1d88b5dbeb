/* The target of a request, taken apart and percent-decoded (RFC 3986 section 2.1).
 *
 * Owns: nothing; writes to a buffer of the caller. Thread: any (no state).
 */
#ifndef CARILLON_NET_HTTP_TARGET_H
#define CARILLON_NET_HTTP_TARGET_H

#include "server/base/buf.h"

/* The byte that an escape (%41) at s.p[at] stands for; -1 when there is none. */
int http_target_escape(struct str s, size_t at);

/* Appends the decoded path. False: a bad escape, or an encoded NUL. */
bool http_target_path(struct str target, struct buf *out);

/* Appends each name=value of the query, decoded ("+" is a space), each ended by a NUL byte, since a
 * decoded "&" could separate nothing. A bad escape is left as it is; an encoded NUL makes it false.
 */
bool http_target_query(struct str target, struct buf *out);

/* The same for a form. A raw NUL makes it false, too. */
bool http_target_pairs(struct str form, struct buf *out);

#endif
