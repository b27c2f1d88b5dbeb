/* Taking tokens back, on all nodes: auth/revocations.h says what is refused from then on; here is
 * how all nodes learn it, and what becomes of who is connected with such a token.
 *
 * A revocation is first kept by the engine, so that nodes which start later or were cut off read it
 * when the engine is up; then all nodes are told, and answer when their workers have closed the
 * connections that have such a token. A token is checked and its client entered in one go, on one
 * worker; so each client is either refused or found by the walk that comes after.
 *
 * With the memory engine the process alone remembers, as long as it runs.
 *
 * Thread: the worker that calls; the answers come there in a later turn.
 */
#ifndef CARILLON_SESSION_REVOKING_H
#define CARILLON_SESSION_REVOKING_H

#include "auth/revocations.h"
#include "server/session/node_calls.h"

struct sessions;

/* Copies it. `done` gets the answers of the nodes. When the engine did not keep it, no node was
 * told: then call->reply.result says why. */
void revoke_everywhere(struct sessions *s, const struct revocation *v, node_call_fn *done,
                       void *arg);

/* The handler of NODE_REVOKE. */
cluster_run_fn revoke_run;

/* The engine can serve (again): reads what it keeps. */
void revoke_up(void *reader);

#endif
