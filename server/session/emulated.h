/* Clients whose wire goes one way: an HTTP stream brings what the server says, and each message of
 * the client comes by a request of its own, to whatever worker and node the load balancer chooses.
 *
 * Such a client has a session id, which its connect reply tells it. Whoever knows it speaks for the
 * client: it is 128 random bits, and where the client is: worker, slot, generation. Source:
 * centrifugal/centrifuge, handler_emulation.go.
 *
 * Thread: the worker that has the message in hand. Owns: nothing.
 */
#ifndef CARILLON_SESSION_EMULATED_H
#define CARILLON_SESSION_EMULATED_H

#include "channels/cluster.h"
#include "server/session/sessions.h"

enum { EMULATED_SESSION_MAX_BYTES = 96 };

/* Gives the client its session id. */
void emulated_begin(struct client *c);

enum emulated_result {
    EMULATED_SENT,    /* on its way; one that nobody waits for any more is dropped at its end */
    EMULATED_BAD,     /* not a session id */
    EMULATED_NO_NODE, /* there is no such node */
    EMULATED_NO_WAY,  /* the way to it is blocked */
};

/* Takes one message to its client; copies it. `node` as the connect reply said it. */
enum emulated_result emulated_send(struct sessions *s, struct str node, struct str session,
                                   struct str message);

/* A message that another node took: handler of NODE_EMULATED. */
void emulated_run(void *arg, struct cluster_request *q, void *reader);

#endif
