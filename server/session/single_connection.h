/* One connection per user, over all workers and nodes, where the configuration wants it: the newest
 * one stays.
 *
 * A connection that is made takes a number above all that were given before, on any node (the
 * engine gives it), and then tells all workers and nodes: "this user has a connection with number
 * n". Whoever has one with a lower number closes it; another node that has one with a higher number
 * says so in turn. A connection without a number yet is spared: it will get a higher one, or be
 * told when it has one. So of any number of connections the one with the highest number stays, in
 * whatever order all this arrives, and it never goes because of the others.
 *
 * While the engine is away there are no numbers, and connections stay. When it is back, those
 * without a number get one, and all numbers are told again, because another node may have given a
 * higher one meanwhile.
 *
 * Thread: the worker of the client.
 */
#ifndef CARILLON_SESSION_SINGLE_CONNECTION_H
#define CARILLON_SESSION_SINGLE_CONNECTION_H

#include "channels/cluster.h"

struct client;
struct sessions;

/* Of struct sessions. */
struct single_connections {
    bool is_incomplete; /* some may have no number */
    uint64_t retry_ms;  /* not before */
};

/* It is connected. */
void single_connection_claim(struct client *c);

/* Asks again for those that got no number; some times a second. */
void single_connection_tick(struct sessions *s);

/* The engine can serve (again). */
void single_connection_up(void *reader);

/* The handler of NODE_SINGLE. */
cluster_run_fn single_connection_run;

#endif
