/* One connection to Redis, and the event loop of the thread that has them all.
 *
 * A link looks up the server, connects, shakes hands if there is TLS, sends commands in a pipeline
 * and hands out their answers. Commands are collected and written once per turn of the loop.
 * Whatever goes wrong (refused, closed, no answer in time, more unanswered than the bounds,
 * nonsense) is a fault: at the end of the turn the socket is closed, every open command is told,
 * then its owner, who may open it again. A link never does so by itself.
 *
 * A server that has stopped answering is found by the age of the oldest open command; one that has
 * nothing to answer, by a heartbeat of the owner.
 *
 * Owns: the socket, what is unsent and unanswered. Thread: the loop's for everything but
 * redis_loop_wake().
 */
#ifndef CARILLON_CHANNELS_REDIS_LINK_H
#define CARILLON_CHANNELS_REDIS_LINK_H

#include "channels/redis_command.h"
#include "channels/redis_requests.h"
#include "channels/redis_socket.h"
#include "channels/redis_tls.h"
#include "server/base/str.h"

/* --- the loop --- */

struct redis_loop;

struct redis_loop_hooks {
    void (*woken)(void *arg);                 /* after redis_loop_wake(); several may become one */
    void (*tick)(void *arg, uint64_t now_ms); /* ten times a second */
    void (*turn_end)(void *arg);              /* before the links write */
    void *arg;
};

/* NULL when the process is out of descriptors. */
struct redis_loop *redis_loop_create(const struct redis_loop_hooks *hooks);

/* Its links must have been destroyed. */
void redis_loop_destroy(struct redis_loop *loop);

/* Returns after redis_loop_stop(). */
void redis_loop_run(struct redis_loop *loop);
void redis_loop_stop(struct redis_loop *loop);

/* Thread: any. */
void redis_loop_wake(struct redis_loop *loop);

/* True during a tick that comes much too late: the process was stopped or starved, so whoever did
 * not answer must be given another tick. */
bool redis_loop_was_stalled(const struct redis_loop *loop);

/* --- the link --- */

struct redis_link;

struct redis_link_hooks {
    /* The socket is open: the place to send what must be first. */
    void (*connected)(void *arg);
    /* A message of a subscription: [3] "message", channel, payload, all strings. NULL: none come.
     */
    void (*message)(void *arg, struct str channel, struct str payload);
    /* The link is closed; every command has been told. `why` is a static text. */
    void (*down)(void *arg, const char *why);
    void *arg;
};

struct redis_link_options {
    struct redis_target target;  /* borrowed as long as the link lives, or is aimed elsewhere */
    const struct redis_tls *tls; /* borrowed, too; NULL: plain */
    uint32_t connect_timeout_ms; /* the TLS handshake included */
    uint32_t io_timeout_ms;
};

/* Gives a closed link. */
struct redis_link *redis_link_create(struct redis_loop *loop,
                                     const struct redis_link_options *options,
                                     const struct redis_link_hooks *hooks);

/* Closes it at once and tells open commands, but not the owner. Not from a hook or an answer. */
void redis_link_close(struct redis_link *link);

/* Closes it first; NULL is fine. */
void redis_link_destroy(struct redis_link *link);

/* Another server, from the next opening on; borrowed like the one in the options. The link must be
 * closed. */
void redis_link_aim(struct redis_link *link, const struct redis_target *target);

/* The link must be closed. */
void redis_link_open(struct redis_link *link);

/* A fault: closes the link at the end of the turn; `why` is a static text. Nothing more is sent or
 * read. On a closed or failing link it does nothing. */
void redis_link_fail(struct redis_link *link, const char *why);

/* Connected, and no fault. */
bool redis_link_is_open(const struct redis_link *link);

/* Commands without an answer. */
size_t redis_link_open_count(const struct redis_link *link);

/* --- commands --- */

/* What becomes of a command's answers. */
struct redis_waiter {
    redis_answer_fn *answer;
    void *arg;
    uint32_t answer_count;
};

/* Copies the command. False, and `waiter` is never called, when the link is not open. */
bool redis_link_send(struct redis_link *link, struct str command, struct redis_waiter waiter);

/* The same from arguments. */
bool redis_link_send_args(struct redis_link *link, struct redis_args *args,
                          struct redis_waiter waiter);

#endif
