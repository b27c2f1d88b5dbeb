/* Questions that a worker asks all nodes (channels/cluster.h): which there are, and the way of the
 * answers back to whoever asked.
 *
 * Thread: the worker that asks; the answers come there in a later turn.
 */
#ifndef CARILLON_SESSION_NODE_CALLS_H
#define CARILLON_SESSION_NODE_CALLS_H

#include "channels/cluster.h"

struct sessions;

/* On the wire: a number never gets another meaning. */
enum node_op {
    NODE_USER = 1,     /* user_wire.h -> nothing */
    NODE_CHANNELS = 2, /* channel_pages.c -> a list */
    NODE_SINGLE = 3,   /* told: single_connection.c */
    NODE_INFO = 4,     /* nothing -> api_nodes.c */
    NODE_REVOKE = 5,   /* revoking.c -> nothing */
    NODE_EMULATED = 6, /* told: emulated.c */
};

/* Borrows the call with its answers: call->reply.result says what became of it. */
typedef void node_call_fn(void *arg, struct cluster_call *call);

/* Copies the body; `done` is called once. */
void node_call_start(struct sessions *s, enum node_op op, struct str body, node_call_fn *done,
                     void *arg);

/* Sets the handlers of this layer. */
void node_calls_register(struct cluster *c);

#endif
