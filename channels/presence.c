/* See presence.h. A map of channels; in each a map of members by client id and one of users with
 * the number of their clients.
 *
 * Thread: one at a time.
 */
#include "channels/presence.h"

#include "server/base/list.h"
#include "server/base/mem.h"

#include <assert.h>
#include <string.h>

struct user {
    struct map_node node; /* key = name */
    uint32_t client_count;
    char name[];
};

struct member {
    struct map_node node; /* key = client id, in msg */
    struct msg *msg;
    struct user *user;
};

struct channel {
    struct map_node node; /* key = name */
    struct map members, users;
    char name[];
};

void presence_init(struct presence *p) {
    map_init(&p->channels);
    p->member_count = 0;
}

static struct channel *find_channel(const struct presence *p, struct str name) {
    struct map_node *n = map_find(&p->channels, name);
    return n ? list_entry(n, struct channel, node) : NULL;
}

static struct channel *make_channel(struct presence *p, struct str name) {
    struct channel *c = mem_zalloc(sizeof(*c) + name.n);
    memcpy(c->name, name.p, name.n);
    map_init(&c->members);
    map_init(&c->users);
    map_insert(&p->channels, &c->node, (struct str){c->name, name.n});
    return c;
}

static void release_channel(struct channel *c) {
    map_fini(&c->members);
    map_fini(&c->users);
    mem_free(c);
}

static void free_channel(struct presence *p, struct channel *c) {
    map_remove(&p->channels, &c->node);
    release_channel(c);
}

static struct user *enter_user(struct channel *c, struct str name) {
    struct map_node *n = map_find(&c->users, name);
    struct user *u = n ? list_entry(n, struct user, node) : NULL;
    if (!u) {
        u = mem_zalloc(sizeof(*u) + name.n + 1);
        if (name.n)
            memcpy(u->name, name.p, name.n);
        map_insert(&c->users, &u->node, (struct str){u->name, name.n});
    }
    u->client_count++;
    return u;
}

static void leave_user(struct channel *c, struct user *u) {
    if (--u->client_count > 0)
        return;
    map_remove(&c->users, &u->node);
    mem_free(u);
}

static void release_member(struct channel *c, struct member *m) {
    leave_user(c, m->user);
    msg_unref(m->msg);
    mem_free(m);
}

static void remove_member(struct presence *p, struct channel *c, struct member *m) {
    map_remove(&c->members, &m->node);
    release_member(c, m);
    p->member_count--;
}

bool presence_join(struct presence *p, struct msg *m) {
    struct channel *c = find_channel(p, m->parts.channel);
    struct map_node *old = c ? map_find(&c->members, m->parts.client) : NULL;
    struct member *member = mem_zalloc(sizeof(*member));
    if (!c)
        c = make_channel(p, m->parts.channel);
    if (old)
        remove_member(p, c, list_entry(old, struct member, node));
    member->msg = msg_ref(m);
    member->user = enter_user(c, m->parts.user);
    map_insert(&c->members, &member->node, m->parts.client);
    p->member_count++;
    return !old;
}

bool presence_leave(struct presence *p, struct str channel, struct str client) {
    struct channel *c = find_channel(p, channel);
    struct map_node *n = c ? map_find(&c->members, client) : NULL;
    if (!n)
        return false;
    remove_member(p, c, list_entry(n, struct member, node));
    if (c->members.count == 0)
        free_channel(p, c);
    return true;
}

uint32_t presence_client_count(const struct presence *p, struct str channel) {
    const struct channel *c = find_channel(p, channel);
    return c ? (uint32_t)c->members.count : 0;
}

void presence_read(const struct presence *p, struct str channel, struct presence_reply *r) {
    const struct channel *c = find_channel(p, channel);
    uint32_t count = 0;
    r->client_count = c ? (uint32_t)c->members.count : 0;
    r->user_count = c ? (uint32_t)c->users.count : 0;
    if (!c || !r->wants_members)
        return;
    r->members = mem_array(r->client_count, sizeof(struct msg *));
    for (struct map_node *n = NULL; (n = map_next(&c->members, n));)
        r->members[count++] = msg_ref(list_entry(n, struct member, node)->msg);
    assert(count == r->client_count);
}

void presence_each(const struct presence *p, void (*visit)(struct msg *member, void *arg),
                   void *arg) {
    for (struct map_node *n = NULL; (n = map_next(&p->channels, n));) {
        const struct channel *c = list_entry(n, struct channel, node);
        for (struct map_node *m = NULL; (m = map_next(&c->members, m));)
            visit(list_entry(m, struct member, node)->msg, arg);
    }
}

static void drop_member(struct map_node *n, void *channel) {
    release_member(channel, list_entry(n, struct member, node));
}

static void drop_channel(struct map_node *n, void *arg) {
    struct channel *c = list_entry(n, struct channel, node);
    (void)arg;
    map_clear(&c->members, drop_member, c);
    release_channel(c);
}

void presence_fini(struct presence *p) {
    map_clear(&p->channels, drop_channel, NULL);
    p->member_count = 0;
}
