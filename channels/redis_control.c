/* See redis_control.h.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_control.h"

#include "channels/redis_scripts.h"
#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

enum { NODES_MAX = 10000, NAME_MAX_BYTES = 255 };

static enum broker_result result_of(enum redis_outcome outcome, const redisReply *reply) {
    static struct log_limit limit;
    const char *words = reply ? redis_error_words(reply) : NULL;
    if (words)
        log_limited(&limit, LOG_WARN, "redis refuses a note to other nodes reason=\"%s\"", words);
    if (outcome == REDIS_LOST)
        return BROKER_UNKNOWN;
    return outcome == REDIS_ANSWERED && !words ? BROKER_OK : BROKER_UNAVAILABLE;
}

/* --- who is there ----------------------------------------------------------------------------- */

/* The name in [uid, name]*; empty when it has none that can be shown. */
static struct str name_of(const redisReply *names, struct str uid) {
    for (size_t i = 0; i + 1 < names->elements; i += 2) {
        struct str name = redis_text(names->element[i + 1]);
        if (str_equal(redis_text(names->element[i]), uid))
            return name.n <= NAME_MAX_BYTES && str_is_utf8(name) ? name : STR_NONE;
    }
    return STR_NONE;
}

static void add(struct control_reply *r, struct str uid, struct str name) {
    r->nodes[r->count++] = (struct control_node){mem_strndup(uid.n ? uid.p : "", uid.n),
                                                 mem_strndup(name.n ? name.p : "", name.n)};
}

static bool has(const struct control_reply *r, struct str uid) {
    for (size_t i = 0; i < r->count; i++)
        if (str_equal(str_of(r->nodes[i].uid), uid))
            return true;
    return false;
}

static void add_remembered(const struct redis_control *c, struct control_reply *r) {
    struct map_node *n = NULL;
    while ((n = map_next(&c->nodes->others, n)))
        if (!has(r, n->key))
            add(r, n->key, STR_NONE);
}

static void fill(const struct redis_control *c, struct control_reply *r, const redisReply *uids,
                 const redisReply *names) {
    const struct str self = str_of(c->shared->uid);
    r->nodes = mem_array(uids->elements + c->nodes->others.count + 1, sizeof(*r->nodes));
    for (size_t i = 0; i < uids->elements && r->count < NODES_MAX; i++) {
        struct str uid = redis_text(uids->element[i]);
        if (redis_uid_is_valid(uid))
            add(r, uid, name_of(names, uid));
        else
            redis_count(&c->shared->counters.garbage);
    }
    bool is_forgotten = !has(r, self);
    if (is_forgotten)
        add(r, self, str_of(c->shared->name));
    if (is_forgotten || redis_nodes_are_remembered(c->nodes, clock_now_ms()))
        add_remembered(c, r);
}

/* --- answers of Redis ------------------------------------------------------------------------- */

static bool is_list(const redisReply *reply) {
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_ARRAY &&
           reply->element[1]->type == REDIS_REPLY_ARRAY;
}

static void asked(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *call = arg;
    struct redis_control *c = call->owner;
    enum broker_result result = result_of(outcome, reply);
    if (result == BROKER_OK && is_list(reply))
        fill(c, list_entry(call->reply, struct control_reply, reply), reply->element[0],
             reply->element[1]);
    else if (result == BROKER_OK)
        result = BROKER_UNKNOWN;
    redis_call_end(c->inbox, call, result);
}

static void told(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *call = arg;
    struct redis_control *c = call->owner;
    redis_call_end(c->inbox, call, result_of(outcome, reply));
}

static void numbered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *call = arg;
    struct redis_control *c = call->owner;
    enum broker_result result = result_of(outcome, reply);
    bool is_number = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer > 0;
    if (result == BROKER_OK && is_number)
        call->reply->position.offset = (uint64_t)reply->integer;
    else if (result == BROKER_OK)
        result = BROKER_UNAVAILABLE;
    redis_call_end(c->inbox, call, result);
}

/* --- what is kept ----------------------------------------------------------------------------- */

static void keep_answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *call = arg;
    struct redis_control *c = call->owner;
    enum broker_result result = result_of(outcome, reply);
    if (result == BROKER_OK && reply->type == REDIS_REPLY_INTEGER)
        call->reply->position.offset = (uint64_t)reply->integer;
    else if (result == BROKER_OK)
        result = BROKER_UNKNOWN;
    redis_call_end(c->inbox, call, result);
}

static void fill_kept(const struct redis_control *c, struct kept_reply *r,
                      const redisReply *reply) {
    r->items = mem_array(reply->elements / 2 + 1, sizeof(*r->items));
    for (size_t i = 0; i + 1 < reply->elements && r->count < KEPT_MAX; i += 2) {
        struct str bytes = redis_text(reply->element[i]);
        uint64_t until_s;
        if (bytes.n && bytes.n <= KEPT_BYTES_MAX &&
            str_to_u64(redis_text(reply->element[i + 1]), &until_s) && until_s <= INT64_MAX)
            r->items[r->count++] =
                (struct kept_item){mem_strndup(bytes.p, bytes.n), bytes.n, (int64_t)until_s};
        else
            redis_count(&c->shared->counters.garbage);
    }
}

static void kept_answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_call *call = arg;
    struct redis_control *c = call->owner;
    enum broker_result result = result_of(outcome, reply);
    if (result == BROKER_OK && reply->type == REDIS_REPLY_ARRAY)
        fill_kept(c, list_entry(call->reply, struct kept_reply, reply), reply);
    else if (result == BROKER_OK)
        result = BROKER_UNKNOWN;
    redis_call_end(c->inbox, call, result);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool ask(struct redis_control *c, struct redis_call *call) {
    struct redis_args args;
    redis_script_begin(c->shared, SCRIPT_CONTROL, &args);
    redis_args_add(&args, call->msg->parts.data);
    return redis_link_send_args(c->link, &args, (struct redis_waiter){asked, call, 1});
}

static bool tell(struct redis_control *c, struct redis_call *call) {
    struct str to = call->msg->parts.channel;
    struct redis_args args = {.count = 0};
    struct buf name = {0};
    redis_args_add(&args, STR("PUBLISH"));
    redis_args_add(&args,
                   redis_name(c->shared, &name, to.n ? REDIS_CONTROL_ONE : REDIS_CONTROL, to));
    redis_args_add(&args, call->msg->parts.data);
    bool is_sent = redis_link_send_args(c->link, &args, (struct redis_waiter){told, call, 1});
    buf_fini(&name);
    return is_sent;
}

static bool number(struct redis_control *c, struct redis_call *call) {
    struct redis_args args;
    redis_script_begin(c->shared, SCRIPT_NUMBER, &args);
    return redis_link_send_args(c->link, &args, (struct redis_waiter){numbered, call, 1});
}

struct msg *redis_control_keep_msg(struct str bytes, int64_t until_s) {
    char until[24];
    snprintf(until, sizeof(until), "%lld", (long long)until_s);
    return msg_create(&(struct msg_parts){.channel = str_of(until), .data = bytes});
}

static bool keep(struct redis_control *c, struct redis_call *call) {
    struct redis_args args;
    char max[12];
    snprintf(max, sizeof(max), "%d", KEPT_MAX);
    redis_script_begin(c->shared, SCRIPT_KEEP, &args);
    redis_args_add(&args, call->msg->parts.data);
    redis_args_add(&args, call->msg->parts.channel);
    redis_args_add(&args, str_of(max));
    return redis_link_send_args(c->link, &args, (struct redis_waiter){keep_answered, call, 1});
}

static bool read_kept(struct redis_control *c, struct redis_call *call) {
    struct redis_args args;
    redis_script_begin(c->shared, SCRIPT_KEPT, &args);
    return redis_link_send_args(c->link, &args, (struct redis_waiter){kept_answered, call, 1});
}

void redis_control_send(struct redis_control *c, struct redis_call *call) {
    call->owner = c;
    bool is_sent = call->kind == CALL_NUMBER ? number(c, call)
                   : call->kind == CALL_KEEP ? keep(c, call)
                   : call->kind == CALL_KEPT ? read_kept(c, call)
                   : call->reply             ? ask(c, call)
                                             : tell(c, call);
    if (!is_sent)
        redis_call_end(c->inbox, call, BROKER_UNAVAILABLE);
}

/* --- receiving -------------------------------------------------------------------------------- */

bool redis_control_take(const struct redis_control *c, struct str name, struct str payload) {
    struct str rest;
    if (!redis_name_rest(c->shared, name, REDIS_CONTROL, &rest))
        return false;
    if (c->sink)
        c->sink->take(c->sink->arg, payload);
    return true;
}

void redis_control_up(const struct redis_control *c) {
    if (c->sink)
        c->sink->up(c->sink->arg);
}
