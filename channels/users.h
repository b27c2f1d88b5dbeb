/* Which users are connected to this node, with how many connections, and to which workers, so that
 * what concerns one user disturbs no other worker.
 *
 * A table of 64 shards, each with its own lock, like fanout.h. The anonymous user is the one with
 * the empty name. The name that users_join() gives is the table's own: all connections of a user
 * share it.
 *
 * Owns: its entries. Borrows: the mailboxes. Thread: any; no other lock is taken here.
 */
#ifndef CARILLON_CHANNELS_USERS_H
#define CARILLON_CHANNELS_USERS_H

#include "channels/mailbox.h"

#define USERS_WORKERS_MAX 64

struct users;

/* `boxes` is one mailbox per worker; they must outlive the table. */
struct users *users_create(struct mailbox **boxes, uint32_t worker_count);
void users_destroy(struct users *u);

/* One more connection to this worker. Gives the user's name, zero-terminated; it lives until
 * users_leave(). */
struct str users_join(struct users *u, struct str user, uint32_t worker);

/* One less; is it the user's last one to this worker? */
void users_leave(struct users *u, struct str user, uint32_t worker, bool is_last_here);

/* The workers that have this user: a bit each. */
uint64_t users_workers(struct users *u, struct str user);

/* A number above all that it gave before. */
uint64_t users_next_number(struct users *u);

/* Connections of one user. */
uint32_t users_connections(struct users *u, struct str user);

/* Distinct users; anonymous is one of them if somebody is. */
size_t users_count(struct users *u);

uint32_t users_worker_count(const struct users *u);
struct mailbox *users_mailbox(const struct users *u, uint32_t worker);

#endif
