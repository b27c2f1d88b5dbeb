/* HTTP/1.1, our own: every connection begins here. Plain requests are read whole, handed to api/
 * and answered; a WebSocket handshake that passed all checks is handed on to libwebsockets, unread.
 *
 * Why not libwebsockets' HTTP: its 4.1.6 takes the head of a pipelined request for the body of the
 * one before, spins on half-closed streams, reads freed memory on unknown upgrades
 * (CVE-2025-11677), and answers 101 to handshakes that it should refuse.
 *
 * A request is never read beyond its own end: the head is peeked at first (MSG_PEEK; SO_RCVLOWAT
 * keeps the loop quiet until more has come) and taken from the socket only when it is ours, so
 * whatever follows is still there for whoever is next. Deadlines: HTTP_HEAD_MS for a head in all,
 * HTTP_BODY_MS for a body, HTTP_IDLE_MS between requests. Who is refused has HTTP_LINGER_MS to read
 * why, while what it still sends is thrown away.
 *
 * Owns: its connections. Thread: its worker.
 */
#ifndef CARILLON_NET_HTTP_H
#define CARILLON_NET_HTTP_H

#include "server/api/api.h"
#include "server/net/door.h"

#define HTTP_HEAD_MS 10000
#define HTTP_BODY_MS 10000
#define HTTP_IDLE_MS 75000
#define HTTP_LINGER_MS 2000

/* Takes the socket, on which a good handshake waits to be read. False: not taken over, and closed.
 */
typedef bool http_upgrade_fn(void *arg, int fd);

/* All HTTP of one worker. */
struct http {
    struct sessions *sessions;
    struct api_node *node;
    struct door_limits *limits;
    uv_loop_t *loop;
    http_upgrade_fn *upgrade;
    void *upgrade_arg;
    void (*note_input)(void *arg); /* something was read; for the worker's turn */
    void *note_arg;
    struct list conns;
    uint32_t conn_count; /* with those whose handle is still closing */
    struct wheel wheel;
    struct log_limit log_refused;
};

void http_init(struct http *h);

/* Takes a fresh socket. */
void http_welcome(struct http *h, int fd);

/* Deadlines. */
void http_tick(struct http *h, uint64_t now_ms);

/* Idle connections are closed, the others after their answer. */
void http_drain(struct http *h);

/* Closes all; their handles are gone when conn_count is 0 after loop turns. */
void http_close(struct http *h);

#endif
