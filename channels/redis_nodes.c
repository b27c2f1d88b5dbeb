/* See redis_nodes.h.
 *
 * Thread: the Redis thread.
 */
#include "channels/redis_nodes.h"

#include "channels/redis_scripts.h"
#include "server/base/clock.h"
#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/mem.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GONE_BEATS = 10, NODES_MAX = 10000, NUMBER_BYTES = 21 };
#define SWEEP_BATCH "100" /* members in one call: Redis does nothing else meanwhile */

struct other {
    struct map_node node; /* key = uid */
    uint64_t number;
    uint64_t changed_ms;
    uint32_t round; /* when it was last in the registry */
    bool is_swept;  /* a batch is under way */
    struct redis_nodes *owner;
    char uid[];
};

void redis_nodes_init(struct redis_nodes *n, struct redis_shared *shared, struct redis_link *link,
                      const struct redis_nodes_hooks *hooks) {
    *n = (struct redis_nodes){.shared = shared, .link = link, .hooks = *hooks};
    map_init(&n->others);
}

static void drop(struct map_node *node, void *arg) {
    (void)arg;
    mem_free(list_entry(node, struct other, node));
}

static void forget(struct redis_nodes *n, struct other *o) {
    map_remove(&n->others, &o->node);
    drop(&o->node, NULL);
}

void redis_nodes_fini(struct redis_nodes *n) {
    map_clear(&n->others, drop, NULL);
}

/* --- those that are gone ---------------------------------------------------------------------- */

static void sweep(struct other *o);

/* fewer than a batch: it is out of the registry now. */
static void swept(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct other *o = arg;
    static struct log_limit limit;
    o->is_swept = false;
    if (outcome != REDIS_ANSWERED)
        return;
    if (reply->type != REDIS_REPLY_INTEGER) {
        const char *words = redis_error_words(reply);
        o->changed_ms = clock_now_ms(); /* not at once again */
        redis_count(&o->owner->shared->counters.garbage);
        log_limited(&limit, LOG_WARN, "members of a node that is gone stay reason=\"%s\"",
                    words ? words : "redis answers nonsense");
    } else if (reply->integer >= atoll(SWEEP_BATCH)) {
        sweep(o);
    } else if (reply->integer >= 0) {
        log_info("node is gone, its members have left uid=%.*s", STR_ARG(o->node.key));
    }
}

static void sweep(struct other *o) {
    struct redis_args args;
    char number[NUMBER_BYTES];
    snprintf(number, sizeof(number), "%llu", (unsigned long long)o->number);
    redis_script_begin(o->owner->shared, SCRIPT_SWEEP, &args);
    redis_args_add(&args, o->node.key);
    redis_args_add(&args, str_of(number));
    redis_args_add(&args, STR(SWEEP_BATCH));
    redis_args_add(&args, STR("0"));
    o->is_swept = redis_link_send_args(o->owner->link, &args, (struct redis_waiter){swept, o, 1});
}

/* --- the registry ----------------------------------------------------------------------------- */

static struct other *find(struct redis_nodes *n, struct str uid) {
    struct map_node *node = map_find(&n->others, uid);
    return node ? list_entry(node, struct other, node) : NULL;
}

static struct other *make(struct redis_nodes *n, struct str uid, uint64_t number, uint64_t now_ms) {
    struct other *o = mem_zalloc(sizeof(*o) + uid.n);
    memcpy(o->uid, uid.p, uid.n);
    o->owner = n;
    o->number = number;
    o->changed_ms = now_ms;
    map_insert(&n->others, &o->node, (struct str){o->uid, uid.n});
    return o;
}

static void saw(struct redis_nodes *n, struct str uid, struct str text, uint64_t now_ms) {
    struct other *o = find(n, uid);
    uint64_t number;
    if (str_equal(uid, str_of(n->shared->uid)))
        return;
    if (!redis_uid_is_valid(uid) || !str_to_u64(text, &number) ||
        (!o && n->others.count >= NODES_MAX)) {
        redis_count(&n->shared->counters.garbage);
        return;
    }
    if (!o)
        o = make(n, uid, number, now_ms);
    if (o->number != number)
        o->changed_ms = now_ms;
    o->number = number;
    o->round = n->round;
}

bool redis_nodes_are_remembered(const struct redis_nodes *n, uint64_t now_ms) {
    return n->forgotten_ms && now_ms - n->forgotten_ms <= (uint64_t)n->shared->beat_ms * GONE_BEATS;
}

static void look_after(struct redis_nodes *n, struct other *o, uint64_t now_ms) {
    uint64_t since_ms = o->changed_ms > n->watching_since_ms ? o->changed_ms : n->watching_since_ms;
    bool is_there = o->round == n->round;
    if (o->is_swept || (!is_there && redis_nodes_are_remembered(n, now_ms)))
        return;
    if (!is_there)
        forget(n, o);
    else if (now_ms - since_ms > (uint64_t)n->shared->beat_ms * GONE_BEATS)
        sweep(o);
}

static void read_registry(struct redis_nodes *n, const redisReply *list) {
    uint64_t now_ms = clock_now_ms();
    n->round++;
    for (size_t i = 0; i + 1 < list->elements; i += 2)
        saw(n, redis_text(list->element[i]), redis_text(list->element[i + 1]), now_ms);
    for (struct map_node *next = map_next(&n->others, NULL), *node; (node = next);) {
        next = map_next(&n->others, node);
        look_after(n, list_entry(node, struct other, node), now_ms);
    }
}

/* --- beats ------------------------------------------------------------------------------------ */

/* Redis lives but does not write: messages go on, who is there is not kept. Other errors mean that
 * this Redis is of no use. */
static bool is_bearable(const redisReply *reply) {
    static const char *const words[] = {"OOM", "MISCONF", "NOREPLICAS", "WRONGTYPE"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (redis_is_error(reply, words[i]))
            return true;
    return false;
}

static void beat_failed(struct redis_nodes *n, const redisReply *reply) {
    const char *words = redis_error_words(reply);
    if (!words || !is_bearable(reply)) {
        n->hooks.fail(n->hooks.arg, words ? words : "redis does not run scripts as it should");
        return;
    }
    if (redis_is_error(reply, "WRONGTYPE"))
        redis_count(&n->shared->counters.garbage);
    if (n->refusal != words)
        log_warn("presence is not kept reason=\"%s\"", words);
    n->refusal = words;
    n->has_beaten = true;
    n->watching_since_ms = clock_now_ms(); /* others cannot write their beats either */
}

static bool is_beat_answer(const redisReply *reply) {
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
           reply->element[0]->type == REDIS_REPLY_INTEGER &&
           reply->element[1]->type == REDIS_REPLY_INTEGER &&
           reply->element[2]->type == REDIS_REPLY_ARRAY;
}

static void beat_answered(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_nodes *n = arg;
    bool is_first = !n->has_written;
    n->is_beating = false;
    if (outcome != REDIS_ANSWERED)
        return;
    if (!is_beat_answer(reply)) {
        beat_failed(n, reply);
        return;
    }
    n->has_beaten = n->has_written = true;
    if (n->was_registered && !reply->element[0]->integer && !reply->element[1]->integer)
        n->forgotten_ms = clock_now_ms();
    n->was_registered = true;
    if (n->refusal)
        log_info("presence is kept again");
    n->refusal = NULL;
    read_registry(n, reply->element[2]);
    n->hooks.beat(n->hooks.arg, is_first, reply->element[0]->integer != 0,
                  reply->element[1]->integer != 0);
}

static void beat(struct redis_nodes *n, uint64_t now_ms) {
    struct redis_args args;
    char number[NUMBER_BYTES];
    n->beat_at_ms = now_ms + n->shared->beat_ms;
    if (n->is_beating)
        return;
    snprintf(number, sizeof(number), "%llu", (unsigned long long)++n->beat_number);
    redis_script_begin(n->shared, SCRIPT_BEAT, &args);
    redis_args_add(&args, str_of(number));
    redis_args_add(&args, str_of(n->shared->name));
    n->is_beating =
        redis_link_send_args(n->link, &args, (struct redis_waiter){beat_answered, n, 1});
}

void redis_nodes_connected(struct redis_nodes *n, uint64_t now_ms) {
    n->is_connected = true;
    n->has_beaten = n->has_written = false;
    n->heard_ms = n->watching_since_ms = now_ms;
    beat(n, now_ms);
}

void redis_nodes_lost(struct redis_nodes *n) {
    n->is_connected = n->has_beaten = n->has_written = false;
}

/* Three beats, and a little for the third to arrive. */
static uint64_t missed_ms(const struct redis_nodes *n) {
    return (uint64_t)n->shared->beat_ms * 33 / 10;
}

void redis_nodes_tick(struct redis_nodes *n, uint64_t now_ms, bool was_stalled) {
    if (!n->is_connected)
        return;
    if (was_stalled) /* we were away ourselves: that says nothing about others */
        n->heard_ms = n->watching_since_ms = now_ms;
    if (now_ms - n->heard_ms > missed_ms(n))
        n->hooks.fail(n->hooks.arg, "redis does not answer");
    else if (now_ms >= n->beat_at_ms)
        beat(n, now_ms);
}

void redis_nodes_heard(struct redis_nodes *n, struct str payload) {
    uint64_t number;
    if (!str_to_u64(payload, &number) || number > n->beat_number || number <= n->heard_number) {
        redis_count(&n->shared->counters.garbage);
        return;
    }
    n->heard_number = number;
    n->heard_ms = clock_now_ms();
}

/* --- goodbye ---------------------------------------------------------------------------------- */

static void said_goodbye(void *arg, enum redis_outcome outcome, const redisReply *reply) {
    struct redis_nodes *n = arg;
    bool is_more = outcome == REDIS_ANSWERED && reply->type == REDIS_REPLY_INTEGER &&
                   reply->integer >= atoll(SWEEP_BATCH);
    if (is_more)
        redis_nodes_say_goodbye(n);
    else
        n->is_gone = true;
}

void redis_nodes_say_goodbye(struct redis_nodes *n) {
    struct redis_args args;
    n->beat_at_ms = UINT64_MAX; /* a beat would enter us again */
    redis_script_begin(n->shared, SCRIPT_SWEEP, &args);
    redis_args_add(&args, str_of(n->shared->uid));
    redis_args_add(&args, STR("0"));
    redis_args_add(&args, STR(SWEEP_BATCH));
    redis_args_add(&args, STR("1"));
    if (!redis_link_send_args(n->link, &args, (struct redis_waiter){said_goodbye, n, 1}))
        n->is_gone = true;
}
