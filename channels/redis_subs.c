/* See redis_subs.h. Redis confirms names in the order in which they were asked for, so a channel is
 * asked for again only after its last question is answered, and an answer to an UNSUBSCRIBE that
 * was overtaken by a new attach is told by the state.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_subs.h"

#include "server/base/clock.h"
#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

enum { BATCH_MAX = 512, UNCONFIRMED_MAX = 16 * BATCH_MAX, LINGER_MS = 1000 };
enum { OWN_CHANNELS = 3 }; /* of the node: its beats and the notes of others */
/* Answered by a tick, so a little before the deadline. */
enum { ATTACH_MS = BROKER_DEADLINE_MS - 300 };

enum sub_state { SUB_WANTED, SUB_ASKED, SUB_LIVE, SUB_LEAVING };

struct sub {
    struct map_node node; /* key = name */
    struct list link;     /* in wanted or idle, or nowhere */
    struct list waiters;
    enum sub_state state;
    uint32_t attach_count; /* those that wait included */
    uint64_t idle_since_ms;
    struct redis_stream *stream;
    char name[];
};

/* An attach that is not answered. */
struct waiter {
    struct list in_sub, in_all;
    struct sub *sub;
    struct reply *reply;
};

void redis_subs_init(struct redis_subs *s, struct redis_shared *shared, struct redis_link *link,
                     void (*ended)(struct redis_stream *stream)) {
    *s = (struct redis_subs){.shared = shared, .link = link, .ended = ended};
    map_init(&s->channels);
    list_init(&s->wanted);
    list_init(&s->idle);
    list_init(&s->waiters);
}

static struct sub *find(const struct redis_subs *s, struct str channel) {
    struct map_node *n = map_find(&s->channels, channel);
    return n ? list_entry(n, struct sub, node) : NULL;
}

static void want(struct redis_subs *s, struct sub *sub) {
    sub->state = SUB_WANTED;
    list_remove(&sub->link);
    list_append(&s->wanted, &sub->link);
}

static struct sub *make(struct redis_subs *s, struct str channel) {
    struct sub *sub = mem_zalloc(sizeof(*sub) + channel.n);
    memcpy(sub->name, channel.p, channel.n);
    list_init(&sub->link);
    list_init(&sub->waiters);
    map_insert(&s->channels, &sub->node, (struct str){sub->name, channel.n});
    want(s, sub);
    return sub;
}

static void end_stream(const struct redis_subs *s, struct sub *sub) {
    if (sub->stream)
        s->ended(sub->stream);
    sub->stream = NULL;
}

static void drop(struct map_node *n, void *arg) {
    struct sub *sub = list_entry(n, struct sub, node);
    assert(list_is_empty(&sub->waiters));
    end_stream(arg, sub);
    list_remove(&sub->link);
    mem_free(sub);
}

static void forget(struct redis_subs *s, struct sub *sub) {
    map_remove(&s->channels, &sub->node);
    drop(&sub->node, s);
}

static void answer(struct waiter *w, enum broker_result result) {
    list_remove(&w->in_sub);
    list_remove(&w->in_all);
    broker_answer(w->reply, result);
    mem_free(w);
}

static void start_lingering(struct redis_subs *s, struct sub *sub, uint64_t now_ms) {
    sub->idle_since_ms = now_ms;
    list_append(&s->idle, &sub->link);
}

/* One attached worker less. A channel that is asked for lingers from its confirmation on. */
static void release(struct redis_subs *s, struct sub *sub, uint64_t now_ms) {
    assert(sub->attach_count > 0);
    if (--sub->attach_count > 0)
        return;
    if (sub->state == SUB_LIVE)
        start_lingering(s, sub, now_ms);
    else if (sub->state == SUB_WANTED)
        forget(s, sub);
}

/* --- answers of Redis ------------------------------------------------------------------------- */

static void confirm(struct redis_subs *s, struct sub *sub) {
    if (sub->state != SUB_ASKED)
        return;
    sub->state = SUB_LIVE;
    list_for_each_safe(l, &sub->waiters) answer(list_entry(l, struct waiter, in_sub), BROKER_OK);
    if (sub->attach_count == 0)
        start_lingering(s, sub, clock_now_ms());
}

/* An answer is [3] "subscribe" or "unsubscribe", name, count. */
static bool read_answer(struct redis_subs *s, const redisReply *reply, struct str *channel) {
    struct str name;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return false;
    name = redis_text(reply->element[1]);
    *channel = STR_NONE;
    redis_name_rest(s->shared, name, REDIS_CHANNEL, channel); /* else one of our own */
    return true;
}

static void take_answer(struct redis_subs *s, enum redis_outcome outcome, const redisReply *reply,
                        bool is_subscribe) {
    struct str channel;
    if (outcome != REDIS_ANSWERED)
        return; /* redis_subs_lost() follows */
    if (!read_answer(s, reply, &channel)) {
        const char *words = redis_error_words(reply);
        redis_link_fail(s->link, words ? words : "redis does not speak its protocol");
        return;
    }
    struct sub *sub = find(s, channel);
    if (is_subscribe)
        s->unconfirmed_count--;
    if (sub && is_subscribe)
        confirm(s, sub);
    else if (sub && sub->state == SUB_LEAVING)
        forget(s, sub);
}

static void subscribed(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    take_answer(arg, outcome, reply, true);
}

static void unsubscribed(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    take_answer(arg, outcome, reply, false);
}

/* --- questions to Redis ----------------------------------------------------------------------- */

/* A command with many names, which lie one after the other in a buffer that may move while it
 * grows: the arguments are made at the end. */
struct batch {
    uint32_t count;
    size_t ends[BATCH_MAX];
};

static void batch_add(struct redis_subs *s, struct batch *b, struct str name) {
    buf_add_z(&s->scratch, s->shared->base);
    buf_add_z(&s->scratch, REDIS_CHANNEL);
    buf_add(&s->scratch, name);
    b->ends[b->count++] = s->scratch.n;
}

static void batch_send(struct redis_subs *s, struct batch *b, const char *command,
                       redis_answer_fn *fn) {
    struct redis_args args = {.count = 0};
    size_t at = 0;
    if (b->count == 0)
        return;
    redis_args_add(&args, str_of(command));
    for (uint32_t i = 0; i < b->count; at = b->ends[i++])
        redis_args_add(&args, (struct str){s->scratch.p + at, b->ends[i] - at});
    redis_link_send_args(s->link, &args, (struct redis_waiter){fn, s, b->count});
    buf_clear(&s->scratch);
    b->count = 0;
}

static void subscribe_batch(struct redis_subs *s) {
    struct batch b = {.count = 0};
    while (b.count < BATCH_MAX && !list_is_empty(&s->wanted)) {
        struct sub *sub = list_entry(s->wanted.next, struct sub, link);
        list_remove(&sub->link);
        sub->state = SUB_ASKED;
        batch_add(s, &b, sub->node.key);
    }
    s->unconfirmed_count += b.count;
    batch_send(s, &b, "SUBSCRIBE", subscribed);
}

void redis_subs_turn_end(struct redis_subs *s) {
    while (s->is_connected && redis_link_is_open(s->link) && !list_is_empty(&s->wanted) &&
           s->unconfirmed_count < UNCONFIRMED_MAX)
        subscribe_batch(s);
}

static void unsubscribe_idle(struct redis_subs *s, uint64_t now_ms) {
    struct batch b = {.count = 0};
    list_for_each_safe(l, &s->idle) {
        struct sub *sub = list_entry(l, struct sub, link);
        if (now_ms - sub->idle_since_ms < LINGER_MS)
            break;
        list_remove(l);
        sub->state = SUB_LEAVING;
        end_stream(s, sub);
        batch_add(s, &b, sub->node.key);
        if (b.count == BATCH_MAX)
            batch_send(s, &b, "UNSUBSCRIBE", unsubscribed);
    }
    batch_send(s, &b, "UNSUBSCRIBE", unsubscribed);
}

void redis_subs_tick(struct redis_subs *s, uint64_t now_ms) {
    while (!list_is_empty(&s->waiters)) {
        struct waiter *w = list_entry(s->waiters.next, struct waiter, in_all);
        struct sub *sub = w->sub;
        if (now_ms < w->reply->deadline_ms)
            break;
        answer(w, BROKER_UNAVAILABLE);
        release(s, sub, now_ms);
    }
    if (s->is_connected && redis_link_is_open(s->link))
        unsubscribe_idle(s, now_ms);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void wait_for(struct redis_subs *s, struct sub *sub, struct reply *r) {
    struct waiter *w = mem_zalloc(sizeof(*w));
    w->sub = sub;
    w->reply = r;
    list_append(&sub->waiters, &w->in_sub);
    list_append(&s->waiters, &w->in_all);
}

void redis_subs_attach(struct redis_subs *s, struct str channel, struct reply *r, uint64_t now_ms) {
    struct sub *sub = find(s, channel);
    if (!sub)
        sub = make(s, channel);
    sub->attach_count++;
    r->deadline_ms = now_ms + ATTACH_MS;
    if (sub->state == SUB_LIVE) {
        list_remove(&sub->link); /* it may have lingered */
        broker_answer(r, BROKER_OK);
        return;
    }
    if (sub->state == SUB_LEAVING)
        want(s, sub);
    wait_for(s, sub, r);
}

void redis_subs_detach(struct redis_subs *s, struct str channel, uint64_t now_ms) {
    struct sub *sub = find(s, channel);
    assert(sub);
    release(s, sub, now_ms);
}

struct redis_stream **redis_subs_live_stream(const struct redis_subs *s, struct str channel) {
    struct sub *sub = find(s, channel);
    bool is_wanted = sub && sub->state == SUB_LIVE && (sub->attach_count > 0 || sub->stream);
    return is_wanted ? &sub->stream : NULL;
}

struct str redis_subs_name(const struct redis_subs *s, struct str channel) {
    return find(s, channel)->node.key;
}

bool redis_subs_are_settled(const struct redis_subs *s) {
    return list_is_empty(&s->wanted) && s->unconfirmed_count == 0;
}

/* --- the link --------------------------------------------------------------------------------- */

static void add_own(struct redis_subs *s, struct redis_args *args, struct buf *b, const char *kind,
                    struct str rest) {
    redis_args_add(args, redis_name(s->shared, b, kind, rest));
}

void redis_subs_connected(struct redis_subs *s) {
    struct str uid = str_of(s->shared->uid);
    struct buf names[OWN_CHANNELS] = {{0}};
    struct redis_args args = {.count = 0};
    redis_args_add(&args, STR("SUBSCRIBE"));
    add_own(s, &args, &names[0], REDIS_BEAT, uid);
    add_own(s, &args, &names[1], REDIS_CONTROL, STR_NONE);
    add_own(s, &args, &names[2], REDIS_CONTROL_ONE, uid);
    s->is_connected = true;
    s->unconfirmed_count = OWN_CHANNELS;
    redis_link_send_args(s->link, &args, (struct redis_waiter){subscribed, s, OWN_CHANNELS});
    for (int i = 0; i < OWN_CHANNELS; i++)
        buf_fini(&names[i]);
}

void redis_subs_lost(struct redis_subs *s) {
    struct list unused;
    list_init(&unused);
    while (!list_is_empty(&s->waiters)) {
        struct waiter *w = list_entry(s->waiters.next, struct waiter, in_all);
        w->sub->attach_count--;
        answer(w, BROKER_UNAVAILABLE);
    }
    for (struct map_node *n = NULL; (n = map_next(&s->channels, n));) {
        struct sub *sub = list_entry(n, struct sub, node);
        want(s, sub);
        if (sub->attach_count > 0)
            continue;
        list_remove(&sub->link);
        list_append(&unused, &sub->link);
    }
    while (!list_is_empty(&unused))
        forget(s, list_entry(unused.next, struct sub, link));
    s->is_connected = false;
    s->unconfirmed_count = 0;
}

void redis_subs_fini(struct redis_subs *s) {
    assert(list_is_empty(&s->waiters));
    map_clear(&s->channels, drop, s);
    buf_fini(&s->scratch);
}
