/* Listening sockets: one per worker on the same address, with SO_REUSEPORT, so that the kernel
 * spreads connections; or one shared socket when the address is a Unix path.
 *
 * Before that the port is proven free, without SO_REUSEPORT: two servers must never share it
 * unnoticed.
 *
 * Thread: main, before the workers start.
 */
#ifndef CARILLON_NET_LISTENER_H
#define CARILLON_NET_LISTENER_H

#include "server/config/config.h"

#include <stdbool.h>

struct listeners {
    int *fds; /* one per worker */
    uint32_t count;
    uint16_t port;   /* the real one when 0 was asked for; 0 for a Unix path */
    char *unix_path; /* to be removed at the end; NULL */
};

/* False after one line on stderr that says what is wrong and, when a process of ours may know, who
 * holds the port. Takes config->backlog; non-blocking, close-on-exec. */
bool listeners_open(struct listeners *l, const struct config *config, uint32_t count);

void listeners_close(struct listeners *l);

/* Finds a process that listens on a TCP port: its pid and name; false when none is visible. */
bool port_owner(uint16_t port, long *pid, char name[32]);

#endif
