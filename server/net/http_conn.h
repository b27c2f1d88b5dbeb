/* One HTTP connection: bytes in and out, deadlines. What the requests mean is in http_exchange.c.
 *
 * Thread: its worker. Private to net/http*.c.
 */
#ifndef CARILLON_NET_HTTP_CONN_H
#define CARILLON_NET_HTTP_CONN_H

#include "server/net/head.h"
#include "server/net/http.h"

enum http_state {
    HTTP_READING_HEAD,
    HTTP_READING_BODY,
    HTTP_WAITING,   /* for the answer of api/; nothing is read */
    HTTP_WRITING,   /* the rest of a response */
    HTTP_STREAMING, /* an endless response: net/sse.c */
    HTTP_LINGERING, /* answered for the last time; reads and throws away until the peer closes */
};

struct exchange;

struct http_conn {
    struct http *http;
    struct list link;
    struct wheel_entry timer;
    uv_poll_t poll;
    int fd;
    enum http_state state;
    struct exchange *exchange; /* the request that is under way, or NULL */
    struct client *client;     /* of a stream, or NULL */
    struct buf out;            /* what the socket did not take, from out_at */
    size_t out_at;
    bool must_close;     /* after the response */
    bool has_head_begun; /* the deadline of the head is running */
};

/* Queues bytes and writes what the socket takes; takes b's memory. When all is out the next request
 * is read, or the connection ends. */
void http_conn_write(struct http_conn *c, struct buf *b);

/* Sends what the socket takes of bytes; keeps the rest in out. False: the connection is dead. */
bool http_conn_send(struct http_conn *c, const char *bytes, size_t n);

/* The last response is out: ends our side, and reads on until the peer closes. */
void http_conn_linger(struct http_conn *c);

/* Watches for what the state needs. */
void http_conn_watch(struct http_conn *c);

void http_conn_set_deadline(struct http_conn *c, uint32_t ms);

/* Ends it at once. */
void http_conn_drop(struct http_conn *c);

/* --- http_exchange.c -------------------------------------------------------------------------- */

/* A request whose head was accepted and taken from the socket. */
void http_exchange_begin(struct http_conn *c, const struct head *head);

/* Answers the request that is under way, without having read its body. */
void http_exchange_answer(struct http_conn *c, struct http_response *r);

/* How much of the body is still to come; a place to put it; and that n bytes of it came. */
size_t http_exchange_missing(const struct http_conn *c);
char *http_exchange_room(struct http_conn *c, size_t n);
void http_exchange_add(struct http_conn *c, size_t n);

/* The connection ends: no answer is wanted. */
void http_exchange_drop(struct http_conn *c);

#endif
