/* Where connections arrive: accepts them, counts them, and turns away what is over a limit before
 * anything is allocated for it.
 *
 * Owns: the listening socket. Thread: its worker.
 */
#ifndef CARILLON_NET_DOOR_H
#define CARILLON_NET_DOOR_H

#include "server/base/log.h"
#include "server/session/sessions.h"

#include <uv.h>

/* Counts of the whole process, shared by all doors. */
struct door_limits {
    _Atomic uint32_t open_count; /* connections accepted and not closed yet */
    uint32_t max_count;
};

/* Takes the socket: non-blocking, counted. It calls door_left() when the connection ends. */
typedef void door_welcome_fn(void *arg, int fd);

struct door {
    struct sessions *sessions;
    struct door_limits *limits;
    uv_loop_t *loop;
    door_welcome_fn *welcome;
    void *welcome_arg;
    uv_poll_t listener;
    int listen_fd;
    bool is_open;
    uint64_t rate_second; /* the second that accepted_count is of */
    uint32_t accepted_count;
    struct log_limit log_full, log_accept;
};

/* Takes listen_fd. Borrows the rest, which must outlive the door. */
void door_open(struct door *d, int listen_fd);

/* Stops accepting; the handle closes with the next loop turn. */
void door_close(struct door *d);

/* A connection that the door let in has ended. */
void door_left(struct door_limits *l);

#endif
