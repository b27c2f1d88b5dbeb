/* The answer to a GET (RFC 9112), as it comes in: the whole of what has come so far is read each
 * time. Strict: what could be read in two ways is refused.
 *
 * Thread: any (no state). Owns: nothing.
 */
#ifndef CARILLON_AUTH_HTTP_ANSWER_H
#define CARILLON_AUTH_HTTP_ANSWER_H

#include "server/base/buf.h"

#define HTTP_ANSWER_HEAD_BYTES_MAX 16384

enum http_answer_state { HTTP_ANSWER_MORE, HTTP_ANSWER_DONE, HTTP_ANSWER_BAD };

/* is_end: no more bytes will come. MORE changes nothing. DONE appends the body, of at most
 * max_bytes, of an answer with status 200. BAD sets *fault, a static text. */
enum http_answer_state http_answer_read(struct str in, bool is_end, size_t max_bytes,
                                        struct buf *body, const char **fault);

#endif
