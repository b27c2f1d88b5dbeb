/* The head of an HTTP/1 request, read strictly: request line and headers, as spans of the bytes
 * given.
 *
 * RFC 9112. Lines may end in LF alone (section 2.2) and white space before a header's colon is
 * dropped; folded lines, NUL and other control bytes are refused.
 *
 * Owns: nothing. Thread: any (no state).
 */
#ifndef CARILLON_NET_HEAD_H
#define CARILLON_NET_HEAD_H

#include "server/base/str.h"

#define HEAD_MAX_BYTES 8192u
#define HEAD_MAX_HEADERS 128u
#define HEAD_TARGET_MAX_BYTES 4096u

struct head_header {
    struct str name, value;
};

struct head {
    struct str method, target;
    uint32_t major, minor; /* of the HTTP version */
    struct head_header headers[HEAD_MAX_HEADERS];
    uint32_t header_count;
    size_t size_bytes; /* with the empty line */
};

enum head_result {
    HEAD_OK,
    HEAD_INCOMPLETE,
    HEAD_NOT_HTTP, /* does not begin like HTTP/1: a TLS hello, binary garbage */
    HEAD_BAD,
    HEAD_TARGET_TOO_LONG,
    HEAD_TOO_LARGE,
};

enum head_result head_parse(struct str bytes, struct head *out);

/* The value of the only header of that name. Gives how many there are; *value is that of the first,
 * or STR_NONE. Names are compared without case. */
uint32_t head_find(const struct head *h, const char *name, struct str *value);

/* Is `token` one of the comma-separated values of the headers of that name (case is ignored)?
 * Several headers count as one list (RFC 9110 section 5.3). */
bool head_has_token(const struct head *h, const char *name, const char *token);

#endif
