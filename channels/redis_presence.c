/* See redis_presence.h. Members come as the values of the channel's hash; when counts are enough a
 * script counts them. What does not look like a member is counted as garbage and left out.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_presence.h"

#include "channels/presence.h"
#include "channels/redis_envelope.h"
#include "channels/redis_scripts.h"
#include "server/base/list.h"
#include "server/base/log.h"

#include <hiredis/hiredis.h>

static struct presence_reply *reply_of(const struct redis_call *c) {
    return list_entry(c->reply, struct presence_reply, reply);
}

static void fail(struct redis_presence *p, struct redis_call *c, const redisReply *reply) {
    static struct log_limit limit;
    if (reply) {
        const char *words = redis_error_words(reply);
        redis_count(&p->shared->counters.garbage);
        log_limited(&limit, LOG_WARN, "cannot read presence reason=\"%s\"",
                    words ? words : "redis answers nonsense");
    }
    redis_call_end(p->inbox, c, BROKER_UNAVAILABLE);
}

/* "<uid> <A or -><envelope>" */
static bool read_member(struct str value, struct msg_parts *parts) {
    size_t space = str_find(value, ' ');
    return redis_envelope_read(str_slice(value, space + 2, value.n), parts) &&
           parts->kind == MSG_JOIN;
}

static void enter(struct redis_presence *p, struct presence *members, struct str channel,
                  const redisReply *value) {
    struct msg_parts parts = {.channel = channel};
    if (!read_member(redis_text(value), &parts)) {
        redis_count(&p->shared->counters.garbage);
        return;
    }
    struct msg *m = msg_create(&parts);
    presence_join(members, m);
    msg_unref(m);
}

static void got_members(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *c = arg;
    struct redis_presence *p = c->owner;
    struct presence members;
    if (outcome != REDIS_ANSWERED || reply->type != REDIS_REPLY_ARRAY) {
        fail(p, c, reply);
        return;
    }
    presence_init(&members);
    for (size_t i = 0; i < reply->elements; i++)
        enter(p, &members, redis_call_channel(c), reply->element[i]);
    presence_read(&members, redis_call_channel(c), reply_of(c));
    presence_fini(&members);
    redis_call_end(p->inbox, c, BROKER_OK);
}

static void got_counts(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *c = arg;
    struct redis_presence *p = c->owner;
    if (outcome != REDIS_ANSWERED || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        fail(p, c, reply);
        return;
    }
    reply_of(c)->client_count = (uint32_t)reply->element[0]->integer;
    reply_of(c)->user_count = (uint32_t)reply->element[1]->integer;
    redis_call_end(p->inbox, c, BROKER_OK);
}

static bool ask_members(struct redis_presence *p, struct redis_call *c) {
    struct redis_args args = {.count = 0};
    struct buf key = {0};
    redis_args_add(&args, STR("HVALS"));
    redis_args_add(&args, redis_name(p->shared, &key, REDIS_PRESENCE, redis_call_channel(c)));
    bool is_sent = redis_link_send_args(p->link, &args, (struct redis_waiter){got_members, c, 1});
    buf_fini(&key);
    return is_sent;
}

static bool ask_counts(struct redis_presence *p, struct redis_call *c) {
    struct redis_args args;
    redis_script_begin(p->shared, SCRIPT_COUNT, &args);
    redis_args_add(&args, redis_call_channel(c));
    return redis_link_send_args(p->link, &args, (struct redis_waiter){got_counts, c, 1});
}

void redis_presence_read(struct redis_presence *p, struct redis_call *c) {
    bool is_sent;
    c->owner = p;
    is_sent = reply_of(c)->wants_members ? ask_members(p, c) : ask_counts(p, c);
    if (!is_sent)
        fail(p, c, NULL);
}
