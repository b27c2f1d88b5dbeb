/* The clients of each user on one worker, and this worker's entries in the node's table of users.
 *
 * A client is in the index from the moment it has an identity, anonymous or not, until it begins to
 * end. It costs a link; a user costs an entry here and one in channels/users.h, whose copy of the
 * name is the only one.
 *
 * Thread: the worker. Owns: its entries.
 */
#ifndef CARILLON_SESSION_USER_INDEX_H
#define CARILLON_SESSION_USER_INDEX_H

#include "server/base/str.h"

struct sessions;
struct client;

/* Sets the client's user. Once. */
void user_index_add(struct client *c, struct str user);

/* Takes the client's user away; any number of times. */
void user_index_remove(struct client *c);

/* Visits the user's clients here. The visited one may leave meanwhile; no other, and none may come.
 */
typedef void user_visit_fn(struct client *c, const void *arg);
void user_index_each(struct sessions *s, struct str user, user_visit_fn *visit, const void *arg);

#endif
