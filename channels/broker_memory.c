/* See broker_memory.h. A message is posted to all its workers under the lock of its channel's
 * fanout shard, so all subscribers see one order. History and presence lie in 64 shards, each with
 * a lock, which is held while a message is numbered and posted: the order of offsets is the order
 * of delivery, and who joined and what was announced cannot differ.
 *
 * Always reachable; every reply is answered in the call, by mailbox.
 *
 * Thread: any.
 */
#include "channels/broker_memory.h"

#include "channels/delta.h"
#include "channels/history.h"
#include "channels/idempotency.h"
#include "channels/presence.h"
#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/map.h"
#include "server/base/mem.h"

#include <string.h>

enum { SHARDS = 64, EXPIRE_MAX = 2000, IDEMPOTENT_MAX = 16384, IDEMPOTENT_MS = 300 * 1000 };

struct shard {
    pthread_mutex_t lock;
    /* guarded by lock: */
    struct presence presence;
    struct history history;
    struct idempotency published;
    struct buf patch;
};

struct broker_memory {
    struct broker broker;
    struct fanout *fanout;
    _Atomic bool is_stopped;
    _Atomic uint32_t next_shard; /* to free what is over */
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

/* --- publications ----------------------------------------------------------------------------- */

/* Before the message is numbered: then the newest in the history is the one before it. */
static void add_delta(struct shard *s, struct msg *m, uint64_t now_ms) {
    struct str base = history_last_data(&s->history, m->parts.channel, now_ms);
    buf_clear(&s->patch);
    if (base.n && delta_make(&s->patch, base, m->parts.data))
        msg_set_delta(m, buf_str(&s->patch));
}

/* False: its version is old, and nobody gets it. */
static bool number(struct shard *s, struct msg *m, const struct publish_options *o,
                   uint64_t now_ms) {
    const struct history_version version = {o->version, o->version_epoch};
    if (o->keep.size == 0 || o->keep.ttl_ms == 0 || o->skips_history)
        return true;
    if (o->makes_delta)
        add_delta(s, m, now_ms);
    return history_add(&s->history, m, &o->keep, &version, now_ms);
}

static void publish_once(struct broker *b, struct shard *s, struct msg *m,
                         const struct publish_options *o, struct position *out) {
    uint64_t now_ms = clock_now_ms();
    if (o->idempotency_key.n &&
        idempotency_find(&s->published, m->parts.channel, o->idempotency_key, now_ms, out))
        return;
    if (number(s, m, o, now_ms))
        fanout_post(of(b)->fanout, m);
    *out = m->position;
    if (o->idempotency_key.n)
        idempotency_put(&s->published, m->parts.channel, o->idempotency_key, now_ms, out);
}

static void publish(struct broker *b, struct msg *m, const struct publish_options *o,
                    struct reply *r) {
    enum broker_result result = result_of(b);
    struct shard *s = shard_of(b, m->channel_hash);
    static const struct publish_options nothing_special;
    struct position position = {0};
    if (result == BROKER_OK) {
        pthread_mutex_lock(&s->lock);
        publish_once(b, s, m, o ? o : &nothing_special, &position);
        pthread_mutex_unlock(&s->lock);
    }
    msg_unref(m);
    if (r)
        r->position = position;
    broker_answer(r, result);
}

static void read_history(struct broker *b, struct str channel, struct history_reply *r) {
    struct shard *s = shard_of(b, map_hash(channel));
    enum broker_result result = result_of(b);
    if (result == BROKER_OK) {
        pthread_mutex_lock(&s->lock);
        history_read(&s->history, channel, r, clock_now_ms());
        pthread_mutex_unlock(&s->lock);
    }
    broker_answer(&r->reply, result);
}

static void remove_history(struct broker *b, struct str channel, struct reply *r) {
    struct shard *s = shard_of(b, map_hash(channel));
    pthread_mutex_lock(&s->lock);
    history_remove(&s->history, channel);
    pthread_mutex_unlock(&s->lock);
    broker_answer(r, result_of(b));
}

/* One shard at a time: all of them in four seconds. */
static void tick(struct broker *b) {
    struct shard *s = &of(b)->shards[of(b)->next_shard++ % SHARDS];
    uint64_t now_ms = clock_now_ms();
    pthread_mutex_lock(&s->lock);
    history_expire(&s->history, now_ms, EXPIRE_MAX);
    idempotency_expire(&s->published, now_ms, EXPIRE_MAX);
    pthread_mutex_unlock(&s->lock);
}

/* --- subscribers and members ------------------------------------------------------------------ */

static void attach(struct broker *b, struct str channel, struct reply *r) {
    (void)channel; /* the worker is in the fanout already: that is all there is to it */
    broker_answer(r, result_of(b));
}

static void detach(struct broker *b, struct str channel) {
    (void)b;
    (void)channel;
}

/* To be asked while the member is in the presence. */
static bool is_announced(const struct shard *s, const struct msg *m,
                         const struct member_options *o) {
    if (!(o->flags & MEMBER_ANNOUNCE))
        return false;
    return !(o->flags & MEMBER_KEEP) || !o->max_members ||
           presence_client_count(&s->presence, m->parts.channel) <= o->max_members;
}

static void join(struct broker *b, struct msg *m, const struct member_options *o) {
    struct shard *s = shard_of(b, m->channel_hash);
    pthread_mutex_lock(&s->lock);
    bool is_new = !(o->flags & MEMBER_KEEP) || presence_join(&s->presence, m);
    if (is_new && !of(b)->is_stopped && is_announced(s, m, o))
        fanout_post(of(b)->fanout, m);
    pthread_mutex_unlock(&s->lock);
    msg_unref(m);
}

static void leave(struct broker *b, struct msg *m, const struct member_options *o) {
    struct shard *s = shard_of(b, m->channel_hash);
    pthread_mutex_lock(&s->lock);
    bool is_wanted = is_announced(s, m, o);
    bool was_there = !(o->flags & MEMBER_KEEP) ||
                     presence_leave(&s->presence, m->parts.channel, m->parts.client);
    if (was_there && !of(b)->is_stopped && is_wanted)
        fanout_post(of(b)->fanout, m);
    pthread_mutex_unlock(&s->lock);
    msg_unref(m);
}

static void presence(struct broker *b, struct str channel, struct presence_reply *r) {
    struct shard *s = shard_of(b, map_hash(channel));
    pthread_mutex_lock(&s->lock);
    presence_read(&s->presence, channel, r);
    /* Within the lock: whoever asked gets it behind the joins and leaves that are in it, and before
     * all others. */
    broker_answer(&r->reply, result_of(b));
    pthread_mutex_unlock(&s->lock);
}

/* --- numbers, start and end ------------------------------------------------------------------- */

static size_t counters(const struct broker *b, struct broker_counter out[BROKER_COUNTERS_MAX]) {
    struct broker_memory *m = list_entry(b, struct broker_memory, broker);
    struct history_counts sum = {0};
    for (size_t n = 0; n < SHARDS; n++) {
        pthread_mutex_lock(&m->shards[n].lock);
        history_count(&m->shards[n].history, &sum);
        pthread_mutex_unlock(&m->shards[n].lock);
    }
    const struct broker_counter rows[] = {
        {"history_channels", "Channels whose epoch is kept.", sum.channels, true},
        {"history_messages", "Publications that are kept.", sum.messages, true},
        {"history_bytes", "Memory of the history.", sum.bytes, true},
    };
    _Static_assert(sizeof(rows) / sizeof(*rows) <= BROKER_COUNTERS_MAX, "they fit");
    memcpy(out, rows, sizeof(rows));
    return sizeof(rows) / sizeof(*rows);
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
        history_fini(&m->shards[i].history);
        idempotency_fini(&m->shards[i].published);
        buf_fini(&m->shards[i].patch);
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
        .history = read_history,
        .history_remove = remove_history,
        .tick = tick,
        .counters = counters,
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
        history_init(&m->shards[i].history);
        idempotency_init(&m->shards[i].published, IDEMPOTENT_MAX, IDEMPOTENT_MS);
    }
    return &m->broker;
}
