/* A worker: one thread with its own event loop, libwebsockets context, listening socket, hub and
 * clients. Workers share nothing but what struct server names.
 *
 * The turn of a loop: timers, input (libwebsockets, door, mailbox wake-up), then in a check handle:
 * take mail, and when no more input is there, or what is pending is old or much, flush. While
 * something is pending an idle handle keeps the loop from sleeping.
 *
 * Life: worker_create() on the main thread (creating libwebsockets contexts touches OpenSSL's
 * globals), worker_start(), then requests by worker_ask(), worker_join(), worker_settle(),
 * worker_destroy().
 *
 * Thread: main, but for what runs inside.
 */
#ifndef CARILLON_NET_WORKER_H
#define CARILLON_NET_WORKER_H

#include "server/api/api.h"
#include "server/net/door.h"

struct worker;

/* Shared by all workers of the process. */
struct server {
    const struct config *config;
    struct fanout *fanout;
    struct users *users;
    struct revocations *revocations;
    struct broker *broker;
    struct cluster *cluster;
    struct api_node node;
    struct door_limits limits;
};

/* What libwebsockets says while workers are created goes to our log, at debug level; once they run
 * it is silent, because 4.1.6 formats into one buffer that all threads share. */
void worker_log_while_created(bool is_on);

/* Takes listen_fd. Gives NULL when libwebsockets or its libuv plugin is missing: one line says
 * what. */
struct worker *worker_create(struct server *server, uint32_t index, int listen_fd);

/* Where others post to it; valid until worker_destroy(). */
struct mailbox *worker_mailbox(struct worker *w);

struct sessions *worker_sessions(struct worker *w);

void worker_start(struct worker *w);

enum worker_request {
    WORKER_DRAIN, /* stop accepting, tell clients to go, paced */
    WORKER_STOP,  /* now */
};
void worker_ask(struct worker *w, enum worker_request request);

/* True when all its clients and requests are gone (or it stopped). */
bool worker_is_drained(struct worker *w);

/* Since WORKER_DRAIN: adds who is still there, as of the last tick. */
void worker_add_remaining(struct worker *w, size_t *clients, size_t *requests);

/* After WORKER_STOP. The mailbox stays open. */
void worker_join(struct worker *w);

/* Takes what is left in the mailbox: answers to calls of clients that are gone, and calls of other
 * workers, which may put answers into theirs. False: there was nothing. To be called for all
 * workers until there is nothing anywhere, before any of them is destroyed. */
bool worker_settle(struct worker *w);

void worker_destroy(struct worker *w);

#endif
