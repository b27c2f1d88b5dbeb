/* See broker_memory.h. A message is posted to all its workers under the lock of its channel's
 * fanout shard, so all subscribers see one order. Presence lies in 64 shards, each with a lock,
 * which is held while joins and leaves are posted: who joined and what was announced cannot differ.
 *
 * Always reachable; every reply is answered in the call, by mailbox.
 *
 * Thread: any.
 */
#include "channels/broker_memory.h"

#include "channels/presence.h"
#include "server/base/list.h"
#include "server/base/map.h"
#include "server/base/mem.h"

enum { SHARDS = 64 };

struct shard {
    pthread_mutex_t lock;
    struct presence presence; /* guarded by lock */
};

struct broker_memory {
    struct broker broker;
    struct fanout *fanout;
    _Atomic bool is_stopped;
    struct shard shards[SHARDS];
};

static struct broker_memory *of(struct broker *b) {
    return list_entry(b, struct broker_memory, broker);
}

static struct shard *shard_of(struct broker *b, uint64_t channel_hash) {
    return &of(b)->shards[channel_hash >> 58]; /* the top bits: the maps use the low ones */
}

static enum broker_result result_of(struct broker *b) {
    return of(b)->is_stopped ? BROKER_UNAVAILABLE : BROKER_OK;
}

static void publish(struct broker *b, struct msg *m, struct reply *r) {
    enum broker_result result = result_of(b);
    if (result == BROKER_OK)
        fanout_post(of(b)->fanout, m);
    msg_unref(m);
    broker_answer(r, result);
}

static void attach(struct broker *b, struct str channel, struct reply *r) {
    (void)channel; /* the worker is in the fanout already: that is all there is to it */
    broker_answer(r, result_of(b));
}

static void detach(struct broker *b, struct str channel) {
    (void)b;
    (void)channel;
}

static void join(struct broker *b, struct msg *m, unsigned flags) {
    struct shard *s = shard_of(b, m->channel_hash);
    pthread_mutex_lock(&s->lock);
    bool is_new = !(flags & MEMBER_KEEP) || presence_join(&s->presence, m);
    if (is_new && !of(b)->is_stopped && (flags & MEMBER_ANNOUNCE))
        fanout_post(of(b)->fanout, m);
    pthread_mutex_unlock(&s->lock);
    msg_unref(m);
}

static void leave(struct broker *b, struct msg *m, unsigned flags) {
    struct shard *s = shard_of(b, m->channel_hash);
    pthread_mutex_lock(&s->lock);
    bool was_there =
        !(flags & MEMBER_KEEP) || presence_leave(&s->presence, m->parts.channel, m->parts.client);
    if (was_there && !of(b)->is_stopped && (flags & MEMBER_ANNOUNCE))
        fanout_post(of(b)->fanout, m);
    pthread_mutex_unlock(&s->lock);
    msg_unref(m);
}

static void presence(struct broker *b, struct str channel, struct presence_reply *r) {
    struct shard *s = shard_of(b, map_hash(channel));
    pthread_mutex_lock(&s->lock);
    presence_read(&s->presence, channel, r);
    pthread_mutex_unlock(&s->lock);
    broker_answer(&r->reply, result_of(b));
}

static const char *trouble(struct broker *b) {
    (void)b;
    return NULL;
}

static void stop(struct broker *b) {
    of(b)->is_stopped = true; /* no thread, no open call */
}

static void destroy(struct broker *b) {
    struct broker_memory *m = of(b);
    for (size_t i = 0; i < SHARDS; i++) {
        presence_fini(&m->shards[i].presence);
        pthread_mutex_destroy(&m->shards[i].lock);
    }
    mem_free(m);
}

struct broker *broker_memory_create(struct fanout *fanout) {
    static const struct broker_ops ops = {
        .name = "memory",
        .publish = publish,
        .attach = attach,
        .detach = detach,
        .join = join,
        .leave = leave,
        .presence = presence,
        .trouble = trouble,
        .stop = stop,
        .destroy = destroy,
    };
    struct broker_memory *m = mem_zalloc(sizeof(*m));
    m->broker.ops = &ops;
    m->fanout = fanout;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&m->shards[i].lock, NULL);
        presence_init(&m->shards[i].presence);
    }
    return &m->broker;
}
