/* Responses as bytes.
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_NET_HTTP_RESPONSE_H
#define CARILLON_NET_HTTP_RESPONSE_H

#include "server/api/api.h"
#include "server/net/handshake.h"

/* Appends status line, headers and, unless is_head, the body. is_last: the connection ends after
 * it. */
void http_response_format(struct buf *b, const struct http_response *r, bool is_head, bool is_last);

/* The same for a refusal at the door; always the last. */
void http_response_refusal(struct buf *b, const struct handshake_answer *a, bool is_head);

#endif
