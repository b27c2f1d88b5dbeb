/* The HTTP side without its wire: requests in, responses out.
 *
 * net/http.c reads a whole request and calls api_handle(). Most answers are made in the call; one
 * that must wait for the broker comes later, through the request's `answer` callback, in a later
 * turn of the same worker's loop.
 *
 * Thread: the worker of the connection. The shared parts of struct api are constant or atomic.
 */
#ifndef CARILLON_API_H
#define CARILLON_API_H

#include "auth/api_keys.h"
#include "server/base/buf.h"
#include "server/session/sessions.h"

/* What all workers share, made by main. */
struct api_node {
    const struct config *config;
    struct sessions **sessions; /* one per worker; only their metrics and mailboxes are read */
    uint32_t worker_count;
    struct broker *broker;
    struct cluster *cluster;
    struct api_keyring *keyring; /* of http_api.keys_file; NULL: none */
    char uid[CLIENT_ID_BYTES + 1];
    uint64_t started_ms;
    uint32_t connections_max; /* what the descriptor limit and client.connection_limit allow */
    _Atomic bool is_draining;
};

/* Sets the handlers of this layer; borrows the node. */
void api_nodes_register(struct cluster *cluster, struct api_node *node);

struct http_request {
    struct str method; /* upper case */
    struct str path;   /* decoded, begins with "/" */
    struct str query;  /* name=value&..., decoded by lookup only; may be empty */
    struct str body;
    struct str api_key;       /* X-API-Key */
    struct str authorization; /* Authorization */
    struct str if_none_match; /* If-None-Match */
    struct str error_mode;    /* X-Centrifugo-Error-Mode */
    struct str origin;        /* Origin */
    struct str cookie;        /* Cookie */
    struct str last_event_id; /* Last-Event-ID */
    struct str content_type;  /* Content-Type */
};

struct http_response {
    int status;
    const char *content_type; /* static; NULL: no body */
    const char *headers;      /* static: whole further lines, each ending in CRLF; may be NULL */
    char etag[48];            /* empty: none */
    char allow[32];           /* for 405: the methods; empty: none */
    struct buf body;
};

/* The value of the nth query parameter of that name, from 0; STR_NONE when there are not so many.
 */
struct str http_query_value(struct str query, const char *name, size_t nth);

/* A request that waits for its answer. */
struct api_call;

struct api_answer {
    /* Borrows the response. Not called after api_abandon(). */
    void (*answer)(void *to, struct http_response *r);
    void *to;
};

/* Is this path ours and does its request have a body worth reading? Called before the body is read:
 * 0 means go on; else the status to answer at once, without reading it, e.g. 404, 405, 401. */
int api_precheck(struct sessions *s, const struct api_node *node, const struct http_request *q,
                 struct http_response *r);

/* Fills *r and returns NULL; or returns the waiting call, which will answer later. */
struct api_call *api_handle(struct sessions *s, struct api_node *node, const struct http_request *q,
                            struct http_response *r, struct api_answer later);

/* The connection is gone: the answer is not wanted any more. */
void api_abandon(struct api_call *call);

/* Sets a plain text or JSON body. */
void http_response_text(struct http_response *r, int status, const char *text);
void http_response_json(struct http_response *r, int status, struct str json);

#endif
