/* See broker_redis.h. One thread with a loop and two links to Redis. What happens there:
 *
 *     inbox      calls of other threads             pair      both links, connecting again
 *     subs       which channels Redis sends us      nodes     heartbeat, who is gone
 *     publisher  publications, with history or not  streams   channels with history, without holes
 *     members    of this node                       presence  reading who is there
 *     control    notes to and from other nodes
 *
 * The broker is up when everything attached is subscribed again and a beat was answered. Before,
 * what needs Redis is refused at once. Every message, also of this node itself, comes to the fanout
 * only from Redis, so all nodes see one order.
 *
 * Thread: the operations any, the rest the Redis thread.
 */
#include "channels/broker_redis.h"

#include "channels/redis_control.h"
#include "channels/redis_inbox.h"
#include "channels/redis_members.h"
#include "channels/redis_nodes.h"
#include "channels/redis_options.h"
#include "channels/redis_presence.h"
#include "channels/redis_publish.h"
#include "channels/redis_streams.h"
#include "channels/redis_subs.h"
#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <string.h>

enum { GOODBYE_MS = 1000, QUIET_MS = 40000 };

struct broker_redis {
    struct broker broker;
    struct fanout *fanout;
    struct redis_pair_options options;
    struct redis_shared shared;
    struct redis_inbox inbox;
    struct redis_loop *loop;
    pthread_t thread;
    atomic_bool is_up;
    atomic_bool must_stop;
    _Atomic(const char *) trouble; /* a static text */
    bool is_joined;                /* the thread has ended */
    /* of the Redis thread: */
    struct redis_pair pair;
    struct redis_subs subs;
    struct redis_nodes nodes;
    struct redis_members members;
    struct redis_presence presence;
    struct redis_control control;
    struct redis_publisher publisher;
    struct redis_acks acks;
    struct redis_history history;
    struct redis_streams streams;
    uint64_t down_since_ms;
    uint64_t up_count;
    uint64_t stop_at_ms; /* 0: not stopping */
};

static struct broker_redis *of(struct broker *b) {
    return list_entry(b, struct broker_redis, broker);
}

/* --- up and down ------------------------------------------------------------------------------ */

static void check_up(struct broker_redis *b) {
    if (atomic_load(&b->is_up) || b->stop_at_ms || !redis_pair_is_open(&b->pair) ||
        !b->nodes.has_beaten || !redis_subs_are_settled(&b->subs) || !b->publisher.is_loaded ||
        !b->history.has_met)
        return;
    redis_pair_works(&b->pair);
    atomic_store(&b->is_up, true);
    atomic_store(&b->trouble, NULL);
    log_info("redis is there channels=%zu members=%zu away_ms=%llu", b->subs.channels.count,
             b->members.all.count, (unsigned long long)(clock_now_ms() - b->down_since_ms));
    redis_acks_connected(&b->acks);
    redis_streams_connected(&b->streams);
    redis_control_up(&b->control);
    if (b->up_count++ > 0)
        redis_count(&b->shared.counters.reconnects);
}

static void connected(void *arg) {
    struct broker_redis *b = arg;
    atomic_store(&b->trouble, "redis is there, channels are being subscribed again");
    redis_publisher_connected(&b->publisher);
    redis_history_connected(&b->history);
    redis_subs_connected(&b->subs);
    redis_nodes_connected(&b->nodes, clock_now_ms());
}

static void moved(void *arg) {
    struct broker_redis *b = arg;
    redis_count(&b->shared.counters.failovers);
}

static void lost(void *arg, const char *why, bool was_connected) {
    struct broker_redis *b = arg;
    if (atomic_exchange(&b->is_up, false))
        b->down_since_ms = clock_now_ms();
    atomic_store(&b->trouble, why);
    if (!was_connected)
        return; /* no part has begun anything */
    redis_history_lost(&b->history);
    redis_publisher_lost(&b->publisher);
    redis_nodes_lost(&b->nodes);
    redis_members_lost(&b->members);
    redis_streams_lost(&b->streams);
    redis_acks_lost(&b->acks);
    redis_subs_lost(&b->subs);
}

static void beat_answered(void *arg, bool is_first, bool is_known, bool is_swept) {
    struct broker_redis *b = arg;
    redis_members_beat(&b->members, is_first, is_known, is_swept);
}

static void part_fails(void *arg, const char *why) {
    struct broker_redis *b = arg;
    redis_pair_fail(&b->pair, why);
}

/* --- messages from Redis ---------------------------------------------------------------------- */

static void take_envelope(struct broker_redis *b, struct str channel, struct str text) {
    struct redis_stream **slot = redis_subs_live_stream(&b->subs, channel);
    struct msg_parts parts = {.channel = channel};
    struct redis_place place;
    if (!slot)
        return; /* nobody wants it any more */
    bool is_ours = redis_place_read(&text, &place);
    if (is_ours && place.flags & (REDIS_PLACE_REMOVED | REDIS_PLACE_BROKEN)) {
        if (place.flags & REDIS_PLACE_REMOVED)
            redis_streams_removed(slot);
        else
            redis_streams_broken(slot, &place.position);
        return;
    }
    if (!is_ours || !redis_envelope_read(text, &parts) ||
        (place.position.offset && parts.kind != MSG_PUBLICATION)) {
        redis_count(&b->shared.counters.garbage);
        return;
    }
    struct msg *m = msg_create(&parts);
    m->position = place.position;
    redis_count(&b->shared.counters.received);
    redis_streams_take(&b->streams, slot, m, &place);
}

static void message(void *arg, struct str name, struct str payload) {
    struct broker_redis *b = arg;
    struct str rest;
    if (redis_name_rest(&b->shared, name, REDIS_CHANNEL, &rest))
        take_envelope(b, rest, payload);
    else if (!redis_control_take(&b->control, name, payload))
        redis_nodes_heard(&b->nodes, payload);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void publish_now(struct broker_redis *b, struct redis_call *c) {
    if (atomic_load(&b->is_up))
        redis_publish(&b->publisher, c);
    else
        redis_publish_refuse(&b->publisher, c);
}

static void attach_now(struct broker_redis *b, struct redis_call *c) {
    if (atomic_load(&b->is_up)) {
        redis_subs_attach(&b->subs, redis_call_channel(c), c->reply, clock_now_ms());
        c->reply = NULL; /* the table answers it */
    }
    redis_call_end(&b->inbox, c, BROKER_UNAVAILABLE);
}

/* Joins and leaves that are only announced are publications nobody waits for. */
static void member_now(struct broker_redis *b, struct redis_call *c) {
    if (!(c->member.flags & MEMBER_KEEP)) {
        publish_now(b, c);
        return;
    }
    if (c->kind == CALL_JOIN)
        redis_members_join(&b->members, msg_ref(c->msg), &c->member);
    else
        redis_members_leave(&b->members, c->msg, c->member.flags);
    redis_call_end(&b->inbox, c, BROKER_OK);
}

static void run_call(struct broker_redis *b, struct redis_call *c) {
    if (!(c->member.flags & MEMBER_KEEP))
        redis_members_flush(&b->members); /* calls take effect in order */
    switch (c->kind) {
    case CALL_PUBLISH:
        publish_now(b, c);
        break;
    case CALL_ATTACH:
        attach_now(b, c);
        break;
    case CALL_DETACH:
        redis_subs_detach(&b->subs, redis_call_channel(c), clock_now_ms());
        redis_call_end(&b->inbox, c, BROKER_OK);
        break;
    case CALL_JOIN:
    case CALL_LEAVE:
        member_now(b, c);
        break;
    case CALL_PRESENCE:
        redis_presence_read(&b->presence, c);
        break;
    case CALL_HISTORY:
        redis_streams_ask(&b->streams, c);
        break;
    case CALL_HISTORY_REMOVE:
        redis_streams_remove(&b->streams, c);
        break;
    case CALL_CONTROL:
    case CALL_NUMBER:
    case CALL_KEEP:
    case CALL_KEPT:
        redis_control_send(&b->control, c);
        break;
    }
}

static void woken(void *arg) {
    struct broker_redis *b = arg;
    for (struct redis_call *c = redis_inbox_take(&b->inbox), *next; c; c = next) {
        next = c->next;
        run_call(b, c);
    }
}

/* --- the thread ------------------------------------------------------------------------------- */

/* What was called before is done first; then our members leave, for a second at most. */
static void check_stop(struct broker_redis *b) {
    uint64_t now_ms = clock_now_ms();
    if (!atomic_load(&b->must_stop))
        return;
    if (!b->stop_at_ms) {
        woken(b);
        b->stop_at_ms = now_ms + GOODBYE_MS;
        redis_members_flush(&b->members);
        redis_nodes_say_goodbye(&b->nodes);
    }
    bool is_done = b->nodes.is_gone && redis_link_open_count(b->pair.commands.link) == 0;
    if (is_done || now_ms >= b->stop_at_ms || !redis_pair_is_open(&b->pair))
        redis_loop_stop(b->loop);
}

static void turn_end(void *arg) {
    struct broker_redis *b = arg;
    redis_members_flush(&b->members);
    redis_subs_turn_end(&b->subs);
    check_up(b);
    check_stop(b);
}

static void take_gauges(struct broker_redis *b) {
    struct broker_redis_counters *n = &b->shared.counters;
    size_t open_count, open_bytes;
    redis_inbox_open(&b->inbox, &open_count, &open_bytes);
    n->channels = b->subs.channels.count;
    n->followed = b->streams.count;
    n->tail_bytes = b->streams.tail_bytes;
    n->held_bytes = b->streams.context.held_bytes;
    n->open_calls = open_count;
    n->open_bytes = open_bytes;
    n->unanswered = redis_link_open_count(b->pair.commands.link);
}

static void tick(void *arg, uint64_t now_ms) {
    struct broker_redis *b = arg;
    redis_pair_tick(&b->pair, now_ms);
    redis_subs_tick(&b->subs, now_ms);
    redis_nodes_tick(&b->nodes, now_ms, redis_loop_was_stalled(b->loop));
    if (atomic_load(&b->is_up))
        redis_streams_tick(&b->streams, now_ms);
    redis_history_tick(&b->history, now_ms);
    redis_acks_tick(&b->acks, now_ms);
    take_gauges(b);
}

static void *run(void *arg) {
    struct broker_redis *b = arg;
    redis_loop_run(b->loop);
    atomic_store(&b->is_up, false);
    redis_pair_close(&b->pair); /* answers what was sent */
    lost(b, "the node is stopping", true);
    return NULL;
}

/* --- the operations: any thread --------------------------------------------------------------- */

static void wake(void *arg) {
    struct broker_redis *b = arg;
    redis_loop_wake(b->loop);
}

/* Takes m. Refused without Redis' thread when it is known to be of no use; false: r is answered. */
static bool post(struct broker *broker, enum redis_call_kind kind, struct msg *m,
                 struct str channel, struct reply *r) {
    struct broker_redis *b = of(broker);
    bool is_up = atomic_load(&b->is_up);
    if (is_up && redis_inbox_post(&b->inbox, redis_call_create(kind, m, channel, r)))
        return true;
    if (!is_up && m)
        msg_unref(m);
    broker_answer(r, BROKER_UNAVAILABLE);
    return false;
}

static void publish(struct broker *broker, struct msg *m, const struct publish_options *o,
                    struct reply *r) {
    struct broker_redis *b = of(broker);
    if (!atomic_load(&b->is_up))
        msg_unref(m);
    else if (redis_inbox_post(&b->inbox, redis_call_create_publish(m, o, r)))
        return;
    redis_count(&b->shared.counters.dropped);
    broker_answer(r, BROKER_UNAVAILABLE);
}

static void attach(struct broker *b, struct str channel, struct reply *r) {
    post(b, CALL_ATTACH, NULL, channel, r);
}

static void detach(struct broker *b, struct str channel) {
    redis_inbox_post(&of(b)->inbox, redis_call_create(CALL_DETACH, NULL, channel, NULL));
}

static void post_member(struct broker *b, enum redis_call_kind kind, struct msg *m,
                        const struct member_options *o) {
    struct redis_call *c = redis_call_create(kind, m, STR_NONE, NULL);
    c->member = *o;
    redis_inbox_post(&of(b)->inbox, c);
}

static void join(struct broker *b, struct msg *m, const struct member_options *o) {
    post_member(b, CALL_JOIN, m, o);
}

static void leave(struct broker *b, struct msg *m, const struct member_options *o) {
    post_member(b, CALL_LEAVE, m, o);
}

static void presence(struct broker *b, struct str channel, struct presence_reply *r) {
    post(b, CALL_PRESENCE, NULL, channel, &r->reply);
}

static const char *trouble(struct broker *b) {
    return atomic_load(&of(b)->trouble);
}

static void history(struct broker *b, struct str channel, struct history_reply *r) {
    post(b, CALL_HISTORY, NULL, channel, &r->reply);
}

static void history_remove(struct broker *b, struct str channel, struct reply *r) {
    post(b, CALL_HISTORY_REMOVE, NULL, channel, r);
}

static bool control(struct broker *b, struct str to, struct str bytes, struct control_reply *r) {
    struct msg *m = msg_create(&(struct msg_parts){.channel = to, .data = bytes});
    return post(b, CALL_CONTROL, m, STR_NONE, r ? &r->reply : NULL);
}

static void next_number(struct broker *b, struct reply *r) {
    post(b, CALL_NUMBER, NULL, STR_NONE, r);
}

static void keep(struct broker *b, struct str bytes, int64_t until_s, struct reply *r) {
    post(b, CALL_KEEP, redis_control_keep_msg(bytes, until_s), STR_NONE, r);
}

static void kept(struct broker *b, struct kept_reply *r) {
    post(b, CALL_KEPT, NULL, STR_NONE, &r->reply);
}

static size_t counters(const struct broker *broker,
                       struct broker_counter out[BROKER_COUNTERS_MAX]) {
    const struct broker_redis *b = list_entry(broker, struct broker_redis, broker);
    return redis_counters_list(&b->shared.counters, out);
}

static void stop(struct broker *broker) {
    struct broker_redis *b = of(broker);
    if (b->is_joined)
        return;
    redis_inbox_close(&b->inbox);
    atomic_store(&b->must_stop, true);
    redis_loop_wake(b->loop);
    pthread_join(b->thread, NULL);
    b->is_joined = true;
}

/* --- start and end ---------------------------------------------------------------------------- */

static void init_pair(struct broker_redis *b, const struct broker_redis_options *o) {
    const struct redis_pair_hooks hooks = {
        .connected = connected, .lost = lost, .message = message, .moved = moved, .arg = b};
    redis_options_init(&b->options, o, b->shared.uid);
    redis_pair_init(&b->pair, b->loop, &b->options, &hooks);
}

static void init_parts(struct broker_redis *b, const struct broker_redis_options *o) {
    struct redis_link *commands = b->pair.commands.link;
    const struct redis_nodes_hooks hooks = {.beat = beat_answered, .fail = part_fails, .arg = b};
    redis_inbox_init(&b->inbox, wake, b);
    redis_subs_init(&b->subs, &b->shared, b->pair.messages.link, redis_streams_end);
    redis_nodes_init(&b->nodes, &b->shared, commands, &hooks);
    redis_members_init(&b->members, &b->shared, commands);
    b->presence = (struct redis_presence){&b->shared, commands, &b->inbox};
    b->control = (struct redis_control){&b->shared, commands, &b->nodes, &b->inbox, o->sink};
    redis_history_init(&b->history, &b->shared, commands);
    b->history.fail = part_fails;
    b->history.arg = b;
    redis_acks_init(&b->acks, &b->shared, commands);
    redis_publisher_init(&b->publisher, &b->shared, commands, &b->inbox);
    b->publisher.acks = &b->acks;
    b->publisher.fail = part_fails;
    b->publisher.arg = b;
    redis_streams_init(&b->streams, &b->shared, b->fanout);
    b->streams.subs = &b->subs;
    b->streams.history = &b->history;
    b->streams.inbox = &b->inbox;
    b->streams.quiet_ms = o->quiet_ms ? o->quiet_ms : QUIET_MS;
}

static void destroy(struct broker *broker) {
    struct broker_redis *b = of(broker);
    stop(broker);
    redis_inbox_fini(&b->inbox);
    redis_pair_fini(&b->pair);
    redis_subs_fini(&b->subs);
    redis_streams_fini(&b->streams);
    redis_publisher_fini(&b->publisher);
    redis_acks_fini(&b->acks);
    redis_nodes_fini(&b->nodes);
    redis_members_fini(&b->members);
    redis_loop_destroy(b->loop);
    redis_shared_fini(&b->shared);
    redis_options_fini(&b->options);
    mem_free(b);
}

static const struct broker_ops ops = {
    .name = "redis",
    .publish = publish,
    .attach = attach,
    .detach = detach,
    .join = join,
    .leave = leave,
    .presence = presence,
    .history = history,
    .history_remove = history_remove,
    .control = control,
    .next_number = next_number,
    .keep = keep,
    .kept = kept,
    .trouble = trouble,
    .counters = counters,
    .stop = stop,
    .destroy = destroy,
};

struct broker *broker_redis_create(const struct broker_redis_options *o, struct fanout *fanout) {
    struct broker_redis *b = mem_zalloc(sizeof(*b));
    const struct redis_loop_hooks hooks = {
        .woken = woken, .tick = tick, .turn_end = turn_end, .arg = b};
    b->loop = redis_loop_create(&hooks);
    if (!b->loop) {
        redis_tls_destroy(o->tls);
        redis_tls_destroy(o->sentinel_tls);
        mem_free(b);
        return NULL;
    }
    b->broker.ops = &ops;
    b->fanout = fanout;
    redis_shared_init(&b->shared, o->prefix, o->uid, o->beat_ms);
    redis_shared_set_name(&b->shared, o->name);
    init_pair(b, o);
    init_parts(b, o);
    b->down_since_ms = clock_now_ms();
    atomic_init(&b->trouble, "redis is not connected yet");
    if (pthread_create(&b->thread, NULL, run, b) == 0)
        return &b->broker;
    b->is_joined = true;
    destroy(&b->broker);
    return NULL;
}

const struct broker_redis_counters *broker_redis_counters(struct broker *b) {
    return &of(b)->shared.counters;
}
