/* Responses that do not end: what clients over HTTP have in common.
 *
 * Thread: the worker. Private to net/.
 */
#ifndef CARILLON_NET_STREAM_H
#define CARILLON_NET_STREAM_H

#include "server/net/http_conn.h"

/* Its conn is a struct http_conn. */
extern const struct transport_ops stream_transport;

/* Appends header lines that let the request's origin read the response. */
void stream_add_cors(struct buf *b, const struct http_request *q);

/* Makes the response the stream of the client: sends its head and the first bytes. The request
 * stays until http_exchange_drop(). */
void stream_begin(struct http_conn *c, struct client *client, const struct http_request *q,
                  const char *content_type, struct str first);

#endif
