/* See users.h.
 *
 * Numbers are those of all users, so that they go on rising when a user's entry went and came again
 * meanwhile.
 *
 * Thread: any; each shard's map is guarded by that shard's lock.
 */
#include "channels/users.h"

#include "server/base/list.h"
#include "server/base/map.h"
#include "server/base/mem.h"

#include <assert.h>
#include <string.h>

enum { SHARDS = 64 };

struct entry {
    struct map_node node;
    uint64_t workers; /* bit per worker */
    uint32_t connection_count;
    char name[]; /* and a zero */
};

struct shard {
    pthread_mutex_t lock;
    struct map entries; /* guarded by lock */
};

struct users {
    struct mailbox **boxes;
    uint32_t worker_count;
    _Atomic uint64_t last_number;
    struct shard shards[SHARDS];
};

struct users *users_create(struct mailbox **boxes, uint32_t worker_count) {
    struct users *u = mem_zalloc(sizeof(*u));
    assert(worker_count <= USERS_WORKERS_MAX);
    u->boxes = boxes;
    u->worker_count = worker_count;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&u->shards[i].lock, NULL);
        map_init(&u->shards[i].entries);
    }
    return u;
}

void users_destroy(struct users *u) {
    if (!u)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        assert(u->shards[i].entries.count == 0);
        map_fini(&u->shards[i].entries);
        pthread_mutex_destroy(&u->shards[i].lock);
    }
    mem_free(u);
}

static struct shard *shard_of(struct users *u, uint64_t hash) {
    /* The top bits: the maps use the low ones. */
    return &u->shards[hash >> 58];
}

static struct entry *find(struct shard *s, struct str user, uint64_t hash) {
    struct map_node *n = map_find_hashed(&s->entries, user, hash);
    return n ? list_entry(n, struct entry, node) : NULL;
}

static struct entry *add(struct shard *s, struct str user) {
    struct entry *e = mem_zalloc(sizeof(*e) + user.n + 1);
    if (user.n)
        memcpy(e->name, user.p, user.n);
    map_insert(&s->entries, &e->node, (struct str){e->name, user.n});
    return e;
}

struct str users_join(struct users *u, struct str user, uint32_t worker) {
    uint64_t hash = map_hash(user);
    struct shard *s = shard_of(u, hash);

    assert(worker < u->worker_count);
    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, user, hash);
    if (!e)
        e = add(s, user);
    e->workers |= UINT64_C(1) << worker;
    e->connection_count++;
    struct str name = e->node.key;
    pthread_mutex_unlock(&s->lock);
    return name;
}

uint64_t users_next_number(struct users *u) {
    return atomic_fetch_add(&u->last_number, 1) + 1;
}

void users_leave(struct users *u, struct str user, uint32_t worker, bool is_last_here) {
    uint64_t hash = map_hash(user);
    struct shard *s = shard_of(u, hash);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, user, hash);
    assert(e && e->connection_count > 0 && (e->workers & UINT64_C(1) << worker));
    e->connection_count--;
    if (is_last_here)
        e->workers &= ~(UINT64_C(1) << worker);
    assert(!e->workers == !e->connection_count);
    if (!e->workers) {
        map_remove(&s->entries, &e->node);
        mem_free(e);
    }
    pthread_mutex_unlock(&s->lock);
}

/* All zero when there is no such user. */
static struct entry look_up(struct users *u, struct str user) {
    uint64_t hash = map_hash(user);
    struct shard *s = shard_of(u, hash);
    pthread_mutex_lock(&s->lock);
    const struct entry *e = find(s, user, hash);
    struct entry copy = e ? *e : (struct entry){0};
    pthread_mutex_unlock(&s->lock);
    return copy;
}

uint64_t users_workers(struct users *u, struct str user) {
    return look_up(u, user).workers;
}

uint32_t users_connections(struct users *u, struct str user) {
    return look_up(u, user).connection_count;
}

size_t users_count(struct users *u) {
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&u->shards[i].lock);
        count += u->shards[i].entries.count;
        pthread_mutex_unlock(&u->shards[i].lock);
    }
    return count;
}

uint32_t users_worker_count(const struct users *u) {
    return u->worker_count;
}

struct mailbox *users_mailbox(const struct users *u, uint32_t worker) {
    assert(worker < u->worker_count);
    return u->boxes[worker];
}
