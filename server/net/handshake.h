/* Every check before a request may reach libwebsockets: is it sound HTTP, and if it asks for a
 * WebSocket, is the handshake right (RFC 6455 section 4.2.1) and the origin allowed?
 *
 * libwebsockets answers 101 to handshakes it should refuse, and reads freed memory on some it does
 * refuse (CVE-2025-11677), so nothing gets there unchecked.
 *
 * Owns: nothing. Thread: any (no state).
 */
#ifndef CARILLON_NET_HANDSHAKE_H
#define CARILLON_NET_HANDSHAKE_H

#include "server/config/config.h"
#include "server/net/head.h"

struct handshake_answer {
    int status;          /* 0: go on */
    const char *text;    /* static; says what is wrong and what is allowed */
    const char *headers; /* static further header lines, or "" */
    bool is_upgrade;     /* with status 0: becomes a WebSocket */
};

struct handshake_answer handshake_check(const struct head *h, const struct config *config);

/* What to answer to a head that could not be parsed; status 0: nothing, just close. */
struct handshake_answer handshake_broken(enum head_result result);

/* Does one of the glob patterns allow this Origin? A `*` in a pattern stands for any text, a `?`
 * for any character. "null" and what is not scheme://host[:port] is never allowed. RFC 6454
 * section 7. */
bool handshake_origin_is_allowed(const struct config *config, struct str origin);

#endif
