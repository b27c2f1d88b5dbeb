/* Responses that do not end: what clients over HTTP have in common.
 *
 * Thread: the worker. Private to net/.
 */
#ifndef CARILLON_NET_STREAM_H
#define CARILLON_NET_STREAM_H

#include "server/net/http_conn.h"

/* Its conn is a struct http_conn. */
extern const struct transport_ops stream_transport;

/* Answers, so that the request's origin can read it, and ends the request. */
void stream_answer(struct http_conn *c, const struct http_request *q, struct http_response *r);
void stream_refuse(struct http_conn *c, const struct http_request *q, int status, const char *text);

/* May the request run? False, and it is answered: an origin that is not allowed, a preflight
 * request, or none of these methods ("GET, POST"). */
bool stream_may_run(struct http_conn *c, const struct http_request *q, const char *methods);

/* Makes the response the stream of the client: sends its head and the first bytes. The request
 * stays until http_exchange_drop(). */
void stream_begin(struct http_conn *c, struct client *client, const struct http_request *q,
                  const char *content_type, struct str first);

#endif
