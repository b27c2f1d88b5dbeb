/* What api.c routes to: one function per endpoint.
 *
 * Each fills *r and gives NULL, or gives a call that will answer through call->later.
 *
 * Thread: the worker of the connection.
 */
#ifndef CARILLON_API_HANDLERS_H
#define CARILLON_API_HANDLERS_H

#include "server/api/api.h"

/* One request as a handler sees it. */
struct api_context {
    struct sessions *sessions;
    struct api_node *node;
    const struct http_request *request;
    struct http_response *response;
    struct api_answer later;
};

typedef struct api_call *api_handler_fn(const struct api_context *x);

/* server API: POST <prefix>/<method> */
api_handler_fn api_publish, api_broadcast, api_info;
/* plain endpoints */
api_handler_fn api_health, api_ready, api_metrics, api_static;

/* Centrifugo's error codes of the server API. */
enum api_error {
    API_INTERNAL = 100,
    API_UNKNOWN_CHANNEL = 102,
    API_BAD_REQUEST = 107,
    API_NOT_AVAILABLE = 108,
};

/* Does the request ask for errors as HTTP statuses (X-Centrifugo-Error-Mode: transport)? */
bool api_wants_transport_errors(const struct http_request *q);

/* Appends {"code":...,"message":"..."}. */
void api_add_error(struct buf *b, enum api_error e);

/* {"error":{...}} with status 200, or the error's own status in transport mode. */
void api_respond_error(struct http_response *r, enum api_error e, bool is_transport_mode);

#endif
