/* See user_index.h. An entry exists while it has clients or is being visited.
 *
 * Thread: the worker.
 */
#include "server/session/user_index.h"

#include "server/base/mem.h"
#include "server/session/sessions.h"

#include <assert.h>

struct entry {
    struct map_node node; /* the key is of channels/users.h, alive while there are clients */
    struct list clients;
};

static struct entry *find(const struct sessions *s, struct str user) {
    struct map_node *n = map_find(&s->user_clients, user);
    return n ? list_entry(n, struct entry, node) : NULL;
}

void user_index_add(struct client *c, struct str user) {
    struct sessions *s = c->sessions;
    struct str name = users_join(s->users, user, s->worker);
    struct entry *e = find(s, user);
    assert(list_is_empty(&c->in_user));
    if (!e) {
        e = mem_zalloc(sizeof(*e));
        list_init(&e->clients);
        map_insert(&s->user_clients, &e->node, name);
    }
    list_append(&e->clients, &c->in_user);
    c->user = user.n ? name.p : NULL;
}

void user_index_remove(struct client *c) {
    struct sessions *s = c->sessions;
    struct str user = str_of(c->user);
    if (list_is_empty(&c->in_user))
        return;
    bool is_last = c->in_user.next == c->in_user.prev; /* both are the head */
    if (is_last) {
        struct entry *e = list_entry(c->in_user.next, struct entry, clients);
        map_remove(&s->user_clients, &e->node);
        list_remove(&c->in_user);
        mem_free(e);
    } else {
        list_remove(&c->in_user);
    }
    c->user = NULL;
    users_leave(s->users, user, s->worker, is_last);
}

/* The visited client may be the last one, and take the entry with it. */
void user_index_each(struct sessions *s, struct str user, user_visit_fn *visit, const void *arg) {
    struct entry *e = find(s, user);
    struct list *head = e ? &e->clients : NULL;
    for (struct list *l = head ? head->next : NULL, *next; l != head; l = next) {
        next = l->next;
        visit(list_entry(l, struct client, in_user), arg);
    }
}
