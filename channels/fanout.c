/* See fanout.h.
 *
 * Thread: any; each shard's map is guarded by that shard's lock.
 */
#include "channels/fanout.h"

#include "server/base/list.h"
#include "server/base/map.h"
#include "server/base/mem.h"

#include <assert.h>
#include <string.h>

enum { SHARDS = 64 };

struct entry {
    struct map_node node;
    uint64_t workers; /* bit per worker */
    char name[];
};

struct shard {
    pthread_mutex_t lock;
    struct map entries; /* guarded by lock */
};

struct fanout {
    struct mailbox **boxes;
    uint32_t worker_count;
    struct shard shards[SHARDS];
};

struct fanout *fanout_create(struct mailbox **boxes, uint32_t worker_count) {
    struct fanout *f = mem_zalloc(sizeof(*f));
    assert(worker_count <= FANOUT_WORKERS_MAX);
    f->boxes = boxes;
    f->worker_count = worker_count;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&f->shards[i].lock, NULL);
        map_init(&f->shards[i].entries);
    }
    return f;
}

void fanout_destroy(struct fanout *f) {
    if (!f)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        assert(f->shards[i].entries.count == 0);
        map_fini(&f->shards[i].entries);
        pthread_mutex_destroy(&f->shards[i].lock);
    }
    mem_free(f);
}

static struct shard *shard_of(struct fanout *f, uint64_t hash) {
    /* The top bits: the maps use the low ones. */
    return &f->shards[hash >> 58];
}

static struct entry *find(struct shard *s, struct str channel, uint64_t hash) {
    struct map_node *n = map_find_hashed(&s->entries, channel, hash);
    return n ? list_entry(n, struct entry, node) : NULL;
}

void fanout_add(struct fanout *f, struct str channel, uint32_t worker) {
    uint64_t hash = map_hash(channel);
    struct shard *s = shard_of(f, hash);

    assert(worker < f->worker_count);
    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, channel, hash);
    if (!e) {
        e = mem_zalloc(sizeof(*e) + channel.n);
        memcpy(e->name, channel.p, channel.n);
        map_insert(&s->entries, &e->node, (struct str){e->name, channel.n});
    }
    e->workers |= UINT64_C(1) << worker;
    pthread_mutex_unlock(&s->lock);
}

void fanout_remove(struct fanout *f, struct str channel, uint32_t worker) {
    uint64_t hash = map_hash(channel);
    struct shard *s = shard_of(f, hash);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, channel, hash);
    assert(e && (e->workers & UINT64_C(1) << worker));
    e->workers &= ~(UINT64_C(1) << worker);
    if (!e->workers) {
        map_remove(&s->entries, &e->node);
        mem_free(e);
    }
    pthread_mutex_unlock(&s->lock);
}

size_t fanout_channel_count(struct fanout *f) {
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&f->shards[i].lock);
        count += f->shards[i].entries.count;
        pthread_mutex_unlock(&f->shards[i].lock);
    }
    return count;
}

void fanout_post(struct fanout *f, struct msg *m) {
    struct shard *s = shard_of(f, m->channel_hash);

    /* Posted under the lock: two messages of one channel reach every worker in the same order. */
    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, m->parts.channel, m->channel_hash);
    for (uint64_t left = e ? e->workers : 0; left; left &= left - 1)
        mailbox_post_msg(f->boxes[__builtin_ctzll(left)], m);
    pthread_mutex_unlock(&s->lock);
}
