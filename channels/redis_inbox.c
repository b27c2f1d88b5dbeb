/* See redis_inbox.h. A linked list under a lock; the reader takes all of it and is woken only when
 * it was empty.
 *
 * Thread: see the header.
 */
#include "channels/redis_inbox.h"

#include "server/base/mem.h"

#include <string.h>

enum { OPEN_MAX_COUNT = 64 * 1024, OPEN_MAX_BYTES = 32 << 20 };

void redis_inbox_init(struct redis_inbox *b, void (*wake)(void *arg), void *wake_arg) {
    *b = (struct redis_inbox){.wake = wake, .wake_arg = wake_arg};
    b->max_count = OPEN_MAX_COUNT;
    b->max_bytes = OPEN_MAX_BYTES;
    b->last = &b->first;
    pthread_mutex_init(&b->lock, NULL);
}

static void free_call(struct redis_call *c) {
    if (c->msg)
        msg_unref(c->msg);
    mem_free(c);
}

void redis_inbox_fini(struct redis_inbox *b) {
    for (struct redis_call *c = redis_inbox_take(b), *next; c; c = next) {
        next = c->next;
        free_call(c);
    }
    pthread_mutex_destroy(&b->lock);
}

static bool is_bounded(enum redis_call_kind kind) {
    return kind != CALL_DETACH && kind != CALL_JOIN && kind != CALL_LEAVE;
}

struct redis_call *redis_call_create(enum redis_call_kind kind, struct msg *msg, struct str channel,
                                     struct reply *reply) {
    struct redis_call *c = mem_zalloc(sizeof(*c) + channel.n);
    c->kind = kind;
    c->msg = msg;
    c->reply = reply;
    c->channel_bytes = channel.n;
    if (channel.n)
        memcpy(c->channel, channel.p, channel.n);
    if (is_bounded(kind))
        c->size_bytes = sizeof(*c) + channel.n + (msg ? msg->size_bytes : 0);
    return c;
}

static struct str keep(char **at, struct str s) {
    struct str kept = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return kept;
}

struct redis_call *redis_call_create_publish(struct msg *msg, const struct publish_options *o,
                                             struct reply *reply) {
    static const struct publish_options nothing_special;
    if (!o)
        o = &nothing_special;
    size_t texts_bytes = o->idempotency_key.n + o->version_epoch.n;
    struct redis_call *c = mem_zalloc(sizeof(*c) + texts_bytes);
    char *at = c->channel;
    c->kind = CALL_PUBLISH;
    c->msg = msg;
    c->reply = reply;
    c->publish = *o;
    c->publish.idempotency_key = keep(&at, o->idempotency_key);
    c->publish.version_epoch = keep(&at, o->version_epoch);
    c->is_kept = o->keep.size > 0 && o->keep.ttl_ms > 0 && !o->skips_history;
    c->size_bytes = sizeof(*c) + texts_bytes + msg->size_bytes;
    return c;
}

struct str redis_call_channel(const struct redis_call *c) {
    return c->msg ? c->msg->parts.channel : (struct str){c->channel, c->channel_bytes};
}

/* Called with the lock held. */
static bool may_enter(const struct redis_inbox *b, const struct redis_call *c) {
    if (b->is_closed)
        return false;
    return c->size_bytes == 0 || (b->open_count < b->max_count && b->open_bytes < b->max_bytes);
}

bool redis_inbox_post(struct redis_inbox *b, struct redis_call *c) {
    pthread_mutex_lock(&b->lock);
    if (!may_enter(b, c)) {
        pthread_mutex_unlock(&b->lock);
        free_call(c);
        return false;
    }
    bool was_empty = !b->first;
    if (c->size_bytes) {
        b->open_count++;
        b->open_bytes += c->size_bytes;
    }
    *b->last = c;
    b->last = &c->next;
    /* Under the lock: after redis_inbox_close() nobody touches the loop that is woken. */
    if (was_empty)
        b->wake(b->wake_arg);
    pthread_mutex_unlock(&b->lock);
    return true;
}

struct redis_call *redis_inbox_take(struct redis_inbox *b) {
    pthread_mutex_lock(&b->lock);
    struct redis_call *first = b->first;
    b->first = NULL;
    b->last = &b->first;
    pthread_mutex_unlock(&b->lock);
    return first;
}

void redis_call_queue_init(struct redis_call_queue *q) {
    q->first = NULL;
    q->last = &q->first;
}

void redis_call_queue_add(struct redis_call_queue *q, struct redis_call *c) {
    c->next = NULL;
    *q->last = c;
    q->last = &c->next;
}

struct redis_call *redis_call_queue_take(struct redis_call_queue *q) {
    struct redis_call *first = q->first;
    redis_call_queue_init(q);
    return first;
}

void redis_call_end(struct redis_inbox *b, struct redis_call *c, enum broker_result result) {
    if (c->size_bytes) {
        pthread_mutex_lock(&b->lock);
        b->open_count--;
        b->open_bytes -= c->size_bytes;
        pthread_mutex_unlock(&b->lock);
    }
    broker_answer(c->reply, result);
    free_call(c);
}

void redis_inbox_close(struct redis_inbox *b) {
    pthread_mutex_lock(&b->lock);
    b->is_closed = true;
    pthread_mutex_unlock(&b->lock);
}

void redis_inbox_open(struct redis_inbox *b, size_t *count, size_t *bytes) {
    pthread_mutex_lock(&b->lock);
    *count = b->open_count;
    *bytes = b->open_bytes;
    pthread_mutex_unlock(&b->lock);
}
